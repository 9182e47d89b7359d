"""Kinds, shapes, defaults, columns, selectable fields and strategies of what is served. resources.json decides what that is."""
import json

TARGET = "Sources/CTables/kubernetes.json"
ALL_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def build(facts):
    table = {
        "shapes": facts.shapes.rows, "groups": groups(facts), "defaults": defaults(facts), "columns": columns(facts), "gates": facts.gates,
    }
    text = json.dumps(table, separators=(",", ":")) + "\n"
    # One row a line where it helps a diff, without costing size that matters.
    return text.replace('],["object"', '],\n["object"').replace('{"plural"', '\n{"plural"')


def groups(facts):
    strategies, selectors = facts.load("strategies.json")["kinds"], facts.load("field-selectors.json")["kinds"]

    def resource(row):
        strategy, selectable = strategies.get(row["type"], {}), selectors.get(row["type"], {})
        out = {
            "plural": row["plural"], "singular": row["singular"], "kind": row["kind"], "namespaced": row["namespaced"],
            "type": facts.shapes.named(row["type"]), "typeName": row["type"], "verbs": ALL_VERBS if row["verbs"] == "all" else row["verbs"],
            "shortNames": row.get("shortNames", []), "categories": row.get("categories", []),
            "subresources": [subresource(name, s) for name, s in sorted(row.get("subresources", {}).items())],
            "strategy": {key: strategy[key] for key in ("createOnUpdate", "unconditionalUpdate", "generation", "immutable", "mutableOnly", "statusKeeps")
                         if key in strategy},
            "selectable": selectable.get("fields", []), "aliases": selectable.get("aliases", {}),
        }
        return {key: value for key, value in out.items() if value not in ([], {})}

    def subresource(name, row):
        return {"name": name, **{key: row[key] for key in ("kind", "verbs", "group", "version", "connect") if key in row}}

    return [
        {"group": group["group"], "priority": group["priority"], "versions": [
            {"version": version["version"], "resources": [resource(row) for row in version["resources"]]} for version in group["versions"]]}
        for group in facts.resources["groups"]]


def defaults(facts):
    """Only defaults that a row can say; the others are code, by the name of the type (Sources/Schema/DefaultRules.swift)."""
    def is_row(rule):
        return ("value" in rule and "if" not in rule and "note" not in rule and rule["when"] in ("nil", "zero", "empty")
                and "[*]" not in rule["path"] and facts.is_on(rule.get("gate", "")))
    out = {}
    for name, rules in facts.load("defaults.json")["types"].items():
        rows = [[rule["path"], rule["when"], rule["value"]] for rule in rules if is_row(rule)]
        if rows and name in facts.shapes.index:
            out[name] = rows
    return out


def columns(facts):
    def column(row):
        return [row["name"], row["type"], row.get("format", ""), row.get("priority", 0), row["cell"], row.get("cellType", "")]
    return {name: [column(row) for row in rows] for name, rows in facts.load("columns.json")["kinds"].items() if name in facts.shapes.index}

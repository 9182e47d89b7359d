"""Compares two transcripts: what is different for a reason is named in expected.py; the rest is a fault of somebody's."""

import json
import re

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
HASH = re.compile(r"(?<=-)[bcdfghjklmnpqrstvwxz2456789]{8,10}(?=$|[-\"\s.])")
SUFFIX = re.compile(r"(?<=[-_])[bcdfghjklmnpqrstvwxz2456789]{5}(?=$|[\"\s.,:])")
EVENT = re.compile(r"(?<=\.)[0-9a-f]{14,16}(?=$|[\"\s])")
ADDRESS = re.compile(r"\b10\.(96|1\d\d)\.\d+\.\d+\b")
AGES = re.compile(r"^(\d+[smhd])+$|^<invalid>$|^\d+$")


def normal(value, tag, old, key=""):
    """The value without what no two servers have in common: times, ids, versions, chance."""
    if isinstance(value, dict):
        result = {}
        for name, inner in value.items():
            if name in ("managedFields", "selfLink", "lastHeartbeatTime", "lastProbeTime") or inner == [] or inner is None:
                continue
            if name in ("volumes", "volumeMounts") and normal(inner, tag, old) == []:
                continue
            if name == "ca.crt" or name == "caBundle":
                inner = "<certificate>"
            result[text(name, tag, old)] = normal(inner, tag, old, name)
        return result
    if isinstance(value, list):
        # the token's volume: a secret up to 1.20, projected since
        value = [v for v in value if not (isinstance(v, dict) and re.match(r"(default|robot)-token-|kube-api-access-", str(v.get("name", ""))))]
        return [normal(inner, tag, old, key) for inner in value]
    if key == "resourceVersion" and value not in ("", "0", None):
        return "<rv>"
    if key == "pod-template-hash" or key == "continue" and value:
        return f"<{key}>"
    if key in ("nodePort", "healthCheckNodePort") and value:
        return "<port>"
    if isinstance(value, str):
        return text(value, tag, old)
    return value


def text(value, tag, old):
    value = value.replace(f"-{tag}", "")
    if old:
        value = re.sub(r"\b(policy|discovery\.k8s\.io)/v1beta1", r"\1/v1", value)
        value = value.replace("batch/v1beta1", "batch/v1").replace("autoscaling/v2beta2", "autoscaling/v2")
    value = UID.sub("<uid>", TIME.sub("<time>", value))
    value = HASH.sub("<hash>", value)
    value = SUFFIX.sub("<rand>", value)
    value = EVENT.sub("<event>", value)
    return ADDRESS.sub("<ip>", value)


def difference(a, b, path=""):
    """Every place where two values differ, as (path, left, right); MISSING where a side has nothing."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(set(a) | set(b)):
            inner = path + key if key.startswith("[") else f"{path}.{key}" if path else key
            if key not in a:
                yield inner, MISSING, b[key]
            elif key not in b:
                yield inner, a[key], MISSING
            else:
                yield from difference(a[key], b[key], inner)
    elif isinstance(a, list) and isinstance(b, list) and (key := identity(a, b)):
        yield from difference({key(v): v for v in a}, {key(v): v for v in b}, path)
    elif isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            yield f"{path}[#]", len(a), len(b)
        for i, (left, right) in enumerate(zip(a, b)):
            yield from difference(left, right, f"{path}[{i}]")
        for i in range(len(b), len(a)):
            yield f"{path}[{i}]", a[i], MISSING
        for i in range(len(a), len(b)):
            yield f"{path}[{i}]", MISSING, b[i]
    elif a != b or isinstance(a, bool) != isinstance(b, bool):
        yield path, a, b


def identity(a, b):
    """What tells the members of two lists apart, where they have names of their own: lists that are maps in truth."""
    if not a or not b:
        return None
    if all(isinstance(v, str) for v in a + b):
        return (lambda v: f"[{v}]") if len(set(a)) == len(a) and len(set(b)) == len(b) and set(a) != set(b) else None
    if not all(isinstance(v, dict) for v in a + b):
        return None
    for key in (lambda v: v.get("name"), lambda v: (v.get("metadata") or {}).get("name"), lambda v: v.get("type"), lambda v: v.get("field") and v["field"] + " " + v.get("reason", "")):
        left, right = [key(v) for v in a], [key(v) for v in b]
        if all(left) and all(right) and len(set(left)) == len(left) and len(set(right)) == len(right):
            return lambda v, key=key: f"[{key(v)}]"
    return None


class Missing:
    def __repr__(self):
        return "-"


MISSING = Missing()


def show(value):
    return value.__repr__() if value is MISSING else json.dumps(value, ensure_ascii=False, sort_keys=True)


def compare(left, right, expected, only=None):
    """Yields (step, [(path, left, right, reason or None)]) for every step that differs."""
    a, b = left["steps"], right["steps"]
    scenarios = list(dict.fromkeys(step["scenario"] for step in a + b))
    for scenario in scenarios:
        if only and not re.search(only, scenario):
            continue
        ours = [step for step in a if step["scenario"] == scenario]
        theirs = [step for step in b if step["scenario"] == scenario]
        if len(ours) != len(theirs):
            yield {"scenario": scenario, "method": "-", "path": "number of steps", "note": None, "request": None, "headers": {}}, [("steps", len(ours), len(theirs), None)]
        for i, (x, y) in enumerate(zip(ours, theirs)):
            step = {**x, "number": i, "path": x["path"].replace("-" + left["tag"], "")}
            one = {"code": x["code"], "type": x["type"].split(";")[0], "warning": x["warning"], "note": x["note"], "body": x["body"]}
            two = {"code": y["code"], "type": y["type"].split(";")[0], "warning": y["warning"], "note": y["note"], "body": y["body"]}
            found = []
            if failed(x["body"]) != failed(y["body"]):  # not two answers to compare field by field
                one, two = {"outcome": outcome(x)}, {"outcome": outcome(y)}
            for path, p, q in difference(normal(one, left["tag"], True), normal(two, right["tag"], False)):
                found.append((path, p, q, reason(step, path, p, q, expected)))
            yield step, found


def failed(body):
    return isinstance(body, dict) and body.get("kind") == "Status" and body.get("status") == "Failure"


def outcome(step):
    """An answer in one line."""
    body = step["body"]
    if failed(body):
        return f"{step['code']} {body.get('reason', '')}: {body.get('message', '')}"
    return f"{step['code']} {body.get('kind', '') if isinstance(body, dict) else str(body)[:60]}"


def reason(step, path, left, right, expected):
    where = f"{step['scenario']} {step['method']} {step['path']}"
    for row in expected:
        at, field, was, now, why = row
        if (re.search(at, where) and re.fullmatch(field, path) and (was is None or re.fullmatch(was, show(left), re.S))
                and (now is None or re.fullmatch(now, show(right), re.S))):
            row_hits[why] = row_hits.get(why, 0) + 1
            return why
    return None


row_hits = {}

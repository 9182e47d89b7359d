"""Interned shapes: a scalar by name, ["list", of], ["map", of, name], ["enum", values, name], ["listMessage", of, name] or
["object", name, fields, atomic, form]. A field: [JSON name, Go name, protobuf number, shape, flags, listType, listMapKeys,
patchStrategy, patchMergeKey, default], cut after its last part that says something. Sources/Schema/SchemaTable+Load.swift reads it."""

SCALARS = ["string", "bool", "int32", "int64", "double", "bytes", "quantity", "intOrString", "time", "microTime", "duration", "rawExtension"]
OMIT, POINTER, REQUIRED, INLINE, ATOMIC, MUST, NO_JSON = 1, 2, 4, 8, 16, 32, 64
# kind and apiVersion are members of every object type, and never on the protobuf wire.
TYPE_META = [["kind", "Kind", 0, 0, OMIT], ["apiVersion", "APIVersion", 0, 0, OMIT]]


class Shapes:
    def __init__(self, types, is_on):
        self.types, self.is_on = types, is_on
        self.index, self.rows = {}, []
        for scalar in SCALARS:
            self.intern(scalar, [scalar])

    def intern(self, key, row):
        if key not in self.index:
            self.index[key] = len(self.rows)
            self.rows.append(row)
        return self.index[key]

    def of(self, field):
        kind = field["type"]
        if kind == "ref":
            return self.named(field["ref"])
        if kind in ("list", "map"):
            inner = self.of(field["of"])
            return self.intern((kind, inner), [kind, inner])
        return self.index[kind]

    def named(self, name):
        if name in self.index:
            return self.index[name]
        type_ = self.types[name]
        if type_.get("form") in ("time", "microTime", "duration"):
            return self.index[type_["form"]]
        if "alias" in type_:
            return self.alias(name, type_)
        row = ["object", name, [], 1 if type_.get("structType") == "atomic" else 0, type_.get("form", "")]
        position = self.intern(name, row)
        for field in type_.get("fields", []):
            if field.get("ref") == "meta/v1.TypeMeta":
                row[2] += TYPE_META
            elif all(self.is_on(gate) for gate in field.get("markers", {}).get("featureGate", [])):
                row[2].append(self.field(field))
        while row[-1] in ("", 0):
            row.pop()
        return position

    def alias(self, name, type_):
        inner = self.of(type_["alias"])
        if "message" in type_:  # a list that is a message of its own in protobuf
            return self.intern(name, ["listMessage", self.rows[inner][1], name])
        if type_.get("enum"):
            return self.intern(name, ["enum", type_["enum"], name])
        if type_["alias"]["type"] == "map":
            return self.intern(name, ["map", self.rows[inner][1], name])
        self.index[name] = inner
        return inner

    def field(self, field):
        flags = sum(bit for bit, on in (
            (OMIT, field.get("omitempty")), (POINTER, field.get("pointer")), (REQUIRED, field.get("required")), (INLINE, field.get("inline")),
            (ATOMIC, field.get("structType") == "atomic" or field.get("mapType") == "atomic"), (MUST, field.get("mustSet")),
            (NO_JSON, field.get("noJSON"))) if on)
        row = [
            field.get("name", ""), field["goName"], field.get("proto", 0), self.of(field), flags, field.get("listType", ""),
            field.get("listMapKeys", []), field.get("patchStrategy", ""), field.get("patchMergeKey", ""), field.get("default")]
        while row[-1] in ("", [], None):
            row.pop()
        return row

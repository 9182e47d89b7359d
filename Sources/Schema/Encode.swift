import Wire

extension SchemaTable {
  /// The canonical bytes of a pruned value: fields in upstream's order, maps sorted by key, absent-like values left out, structs that
  /// Go always writes kept as `{}`. Equal objects have equal bytes.
  package func encode(_ value: Value, type: TypeID) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(2048)
    write(value, shape(type), skip: "", into: &out)
    return out
  }

  /// What the store keeps: neither kind, apiVersion nor resourceVersion.
  package func encodeForStorage(_ value: Value, kind: ResourceKind) -> [UInt8] {
    var value = value
    value.remove("kind")
    value.remove("apiVersion")
    value["metadata"].remove("resourceVersion")
    value["metadata"].remove("selfLink")
    return encode(value, type: kind.type)
  }

  private func write(_ value: Value, _ shape: Shape, skip: String, into out: inout [UInt8]) {
    switch (shape.kind, value) {
    case (.object, .object(let object)): write(object, shape, into: &out)
    case (.list, .array(let elements)), (.listMessage, .array(let elements)):
      let element = self.shape(shape.element)
      out.append(UInt8(ascii: "["))
      for (i, item) in elements.enumerated() {
        if i > 0 { out.append(UInt8(ascii: ",")) }
        write(item, element, skip: "", into: &out)
      }
      out.append(UInt8(ascii: "]"))
    case (.map, .object(let object)):
      let element = self.shape(shape.element)
      let isSorted = zip(object.members, object.members.dropFirst()).allSatisfy {
        $0.key.utf8.lexicographicallyPrecedes($1.key.utf8)
      }
      let members = isSorted ? object.members : object.members.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
      out.append(UInt8(ascii: "{"))
      for (i, member) in members.enumerated() {
        if i > 0 { out.append(UInt8(ascii: ",")) }
        JSONWriter.write(member.key, into: &out)
        out.append(UInt8(ascii: ":"))
        write(member.value, element, skip: "", into: &out)
      }
      out.append(UInt8(ascii: "}"))
    case (.objectOrArray, .object), (.objectOrBool, .object), (.objectOrStrings, .object):
      if let schema = type(named: "apiextensions/v1.JSONSchemaProps") { write(value, self.shape(schema), skip: "", into: &out) }
    default: JSONWriter.write(value, into: &out)
    }
  }

  private func write(_ object: Object, _ shape: Shape, into out: inout [UInt8]) {
    out.append(UInt8(ascii: "{"))
    var isFirst = true
    for field in shape.fields {
      let fieldShape = self.shape(field.type)
      let value: Value
      if let present = object[field.name], !present.isNull {
        if field.omitsEmpty, isEmptyContainer(present, fieldShape, field) { continue }
        value = present
      } else if let kept = alwaysWritten(field, fieldShape) {
        value = kept
      } else {
        continue
      }
      if !isFirst { out.append(UInt8(ascii: ",")) }
      isFirst = false
      out.append(UInt8(ascii: "\""))
      out.append(contentsOf: field.name.utf8)
      out.append(UInt8(ascii: "\""))
      out.append(UInt8(ascii: ":"))
      write(value, fieldShape, skip: "", into: &out)
    }
    out.append(UInt8(ascii: "}"))
  }

  private func isEmptyContainer(_ value: Value, _ shape: Shape, _ field: Field) -> Bool {
    guard !field.isPointer else { return false }
    return switch (shape.kind, value) {
    case (.list, .array(let a)), (.listMessage, .array(let a)): a.isEmpty
    case (.map, .object(let o)): o.isEmpty
    default: false
    }
  }

  /// Go writes structs that are no pointers even when empty, and scalars without omitempty even when zero.
  private func alwaysWritten(_ field: Field, _ shape: Shape) -> Value? {
    guard !field.isPointer else { return nil }
    switch shape.kind {
    case .object: return .emptyObject
    case .string, .enum: return field.omitsEmpty ? nil : ""
    case .int32, .int64, .double: return field.omitsEmpty ? nil : 0
    case .bool: return field.omitsEmpty ? nil : false
    default: return nil
    }
  }
}

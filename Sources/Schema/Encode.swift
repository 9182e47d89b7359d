import Wire

extension SchemaTable {
  /// The canonical bytes of a pruned value: fields in upstream's order, maps sorted by key, absent-like values left out, structs that
  /// Go always writes kept as `{}`. Equal objects have equal bytes. `kind` and `apiVersion` come first where the value has them.
  package func encode(_ value: Value, type: TypeID) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(4096)
    write(value, shape(type), into: &out)
    return out
  }

  /// What the store keeps: neither kind, apiVersion nor resourceVersion.
  package func encodeForStorage(_ value: Value, kind: ResourceKind) -> [UInt8] {
    guard case .object(var object) = value else { return encode(value, type: kind.type) }
    object["kind"] = nil
    object["apiVersion"] = nil
    object.modify("metadata") { metadata in
      metadata["resourceVersion"] = nil
      metadata["selfLink"] = nil
    }
    return encode(.object(object), type: kind.type)
  }

  private func write(_ value: Value, _ shape: Shape, into out: inout [UInt8]) {
    switch (shape.kind, value) {
    case (.object, .object(let object)): write(object, shape, into: &out)
    case (.list, .array(let elements)), (.listMessage, .array(let elements)):
      write(elements, self.shape(shape.element), into: &out)
    case (.map, .object(let object)): writeMap(object, self.shape(shape.element), into: &out)
    case (.objectOrArray, .object), (.objectOrBool, .object), (.objectOrStrings, .object):
      if let schemaProps { write(value, schemaProps, into: &out) }
    case (.objectOrArray, .array(let elements)):
      if let schemaProps { write(elements, schemaProps, into: &out) }
    default: JSONWriter.write(value, into: &out)
    }
  }

  private func write(_ elements: [Value], _ element: Shape, into out: inout [UInt8]) {
    out.append(UInt8(ascii: "["))
    for (i, item) in elements.enumerated() {
      if i > 0 { out.append(UInt8(ascii: ",")) }
      write(item, element, into: &out)
    }
    out.append(UInt8(ascii: "]"))
  }

  private func writeMap(_ object: Object, _ element: Shape, into out: inout [UInt8]) {
    var members = object.members
    let isSorted = zip(members, members.dropFirst()).allSatisfy { $0.key.precedes($1.key) }
    if !isSorted { members.sort { $0.key.precedes($1.key) } }
    out.append(UInt8(ascii: "{"))
    for (i, member) in members.enumerated() {
      if i > 0 { out.append(UInt8(ascii: ",")) }
      JSONWriter.write(member.key, into: &out)
      out.append(UInt8(ascii: ":"))
      write(member.value, element, into: &out)
    }
    out.append(UInt8(ascii: "}"))
  }

  private func write(_ object: Object, _ shape: Shape, into out: inout [UInt8]) {
    out.append(UInt8(ascii: "{"))
    var isFirst = true
    // Members come in any order, fields go out in one: a bit for each field that is to be written, and where its member stands.
    withUnsafeTemporaryAllocation(of: Int32.self, capacity: 64) { places in
      var present: UInt64 = 0
      for i in object.members.indices {
        guard let position = shape.position(of: object.members[i].key), !object.members[i].value.isNull else { continue }
        places[position] = Int32(truncatingIfNeeded: i)
        present |= 1 << UInt64(position)
      }
      var remaining = present | shape.writtenAbsent
      while remaining != 0 {
        let position = remaining.trailingZeroBitCount
        remaining &= remaining &- 1
        let field = shape.fields[position]
        let fieldShape = self.shape(field.type)
        if present & (1 << UInt64(position)) == 0 {
          open(field, &isFirst, into: &out)
          writeAbsent(fieldShape, into: &out)
        } else {
          let i = Int(places[position])
          if field.omitsEmpty, !field.isPointer, fieldShape.isCollection, object.members[i].value.isEmptyContainer { continue }
          open(field, &isFirst, into: &out)
          write(object.members[i].value, fieldShape, into: &out)
        }
      }
    }
    out.append(UInt8(ascii: "}"))
  }

  @inline(__always) private func open(_ field: Field, _ isFirst: inout Bool, into out: inout [UInt8]) {
    if !isFirst { out.append(UInt8(ascii: ",")) }
    isFirst = false
    out.append(contentsOf: field.quotedName)
  }

  private func writeAbsent(_ shape: Shape, into out: inout [UInt8]) {
    switch shape.kind {
    case .object: write(Object(), shape, into: &out)
    case .quantity: JSONWriter.literal("\"0\"", into: &out)
    case .bool: JSONWriter.literal("false", into: &out)
    case .string, .enum: JSONWriter.literal("\"\"", into: &out)
    default: JSONWriter.literal("0", into: &out)
    }
  }
}

extension String {
  /// Order of bytes, as Go sorts the keys of a map.
  fileprivate func precedes(_ other: String) -> Bool { utf8.lexicographicallyPrecedes(other.utf8) }
}

import Schema
import Testing
import Wire

/// Objects made from the table itself: every kind, every field, seeded.
@Suite struct EveryKindTests {
  /// A value of a shape with some or all of its fields set.
  func value(_ type: TypeID, _ random: inout Random, depth: Int, isFull: Bool) -> Value {
    let shape = table.shape(type)
    switch shape.kind {
    case .string: return .string("s\(random.next(1000))")
    case .enum: return .string(shape.values[random.next(shape.values.count)])
    case .bool: return true
    case .int32: return .int(Int64(random.next(2) == 0 ? -1 - random.next(1000) : 1 + random.next(1000)))
    case .int64: return .int(Int64(1 + random.next(1_000_000)) * 1_000_000_007)
    case .double: return .double(Double(1 + random.next(1000)) / 8)
    case .bytes: return .string(Base64.encode((0...random.next(9)).map { _ in UInt8(random.next(256)) }))
    case .quantity: return .string(["1", "500m", "1Gi", "3e6", "12Ki", "7n"][random.next(6)])
    case .intOrString: return random.next(2) == 0 ? .int(Int64(1 + random.next(65535))) : "25%"
    case .time: return .string(Timestamp(seconds: Int64(random.next(2_000_000_000))).description)
    case .microTime: return .string(Timestamp(microseconds: Int64(random.next(2_000_000_000)) * 1_000_003).microDescription)
    case .duration: return "1m30s"
    case .rawExtension, .rawJSON: return ["any": [1, "x", true]]
    case .list, .listMessage:
      return .array((0...random.next(2)).map { _ in value(shape.element, &random, depth: depth + 1, isFull: isFull) })
    case .map:
      var object = Object()
      for i in 0...random.next(2) { object["k\(i)"] = value(shape.element, &random, depth: depth + 1, isFull: isFull) }
      return .object(object)
    case .objectOrBool: return random.next(2) == 0 ? true : ["type": "string"]
    case .objectOrArray: return random.next(2) == 0 ? ["type": "string"] : [["type": "string"], ["type": "object"]]
    case .objectOrStrings: return random.next(2) == 0 ? ["type": "string"] : ["a", "b"]
    case .object:
      var object = Object()
      // Schemas hold schemas: deep ones say less.
      guard depth < 9 else { return .object(object) }
      for field in shape.fields where !["kind", "apiVersion"].contains(field.name) || depth > 0 {
        guard isFull && depth < 4 || random.next(3) == 0 else { continue }
        object[field.name] = value(field.type, &random, depth: depth + 1, isFull: isFull)
      }
      if random.next(2) == 0 { object.members.reverse() }
      return .object(object)
    }
  }

  @Test("JSON and protobuf carry every field of every kind there and back", arguments: 0..<8)
  func roundTrip(seed: Int) throws {
    var random = Random(seed: seed)
    for kind in table.resources {
      var made = value(kind.type, &random, depth: 0, isFull: seed == 0)
      #expect(try table.prune(&made, type: kind.type) == [], "\(kind.kind) seed \(seed)")
      let json = table.encode(made, type: kind.type)
      let read = try table.decode(json, encoding: .json, type: kind.type)
      #expect(read.strictErrors == [], "\(kind.kind) seed \(seed)")
      #expect(text(table.encode(read.value, type: kind.type)) == text(json), "\(kind.kind) seed \(seed)")
      // Nothing is lost: what was made is in what was read (zeros that Go writes come on top).
      #expect(contains(read.value, made), "\(kind.kind) seed \(seed)")
      let wire = table.encodeProtobuf(made, type: kind.type, apiVersion: kind.apiVersion, kind: kind.kind)
      var back = try table.decode(wire, encoding: .protobuf, type: kind.type).value
      var expected = read.value
      dropTypes(&back)
      dropTypes(&expected)
      #expect(
        text(table.encode(back, type: kind.type)) == text(table.encode(expected, type: kind.type)), "\(kind.kind) seed \(seed)")
      var defaulted = made
      table.applyDefaults(&defaulted, kind: kind)
      let once = table.encode(defaulted, type: kind.type)
      table.applyDefaults(&defaulted, kind: kind)
      #expect(table.encode(defaulted, type: kind.type) == once, "\(kind.kind) seed \(seed)")
    }
  }

  func contains(_ whole: Value, _ part: Value) -> Bool {
    switch (whole, part) {
    case (.object(let whole), .object(let part)):
      part.members.allSatisfy { member in whole[member.key].map { contains($0, member.value) } ?? member.value.isEmpty }
    case (.array(let whole), .array(let part)): whole.count == part.count && zip(whole, part).allSatisfy { contains($0, $1) }
    default: whole == part
    }
  }

  /// Nested kind and apiVersion are never on the wire.
  func dropTypes(_ value: inout Value) {
    switch value {
    case .object(var object):
      let isTyped = object["metadata"] != nil
      if isTyped {
        object["kind"] = nil
        object["apiVersion"] = nil
      }
      for i in object.members.indices { dropTypes(&object.members[i].value) }
      value = .object(object)
    case .array(var elements):
      for i in elements.indices { dropTypes(&elements[i]) }
      value = .array(elements)
    default: break
    }
  }
}

extension Value {
  fileprivate var isEmpty: Bool {
    switch self {
    case .array(let elements): elements.isEmpty
    case .object(let object): object.isEmpty
    default: false
    }
  }
}

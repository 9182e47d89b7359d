import Wire

/// The envelope of every protobuf body: `k8s\0` and a message `Unknown`.
package struct ProtobufEnvelope: Sendable {
  package var apiVersion = ""
  package var kind = ""
  package var raw: [UInt8] = []

  package init(_ bytes: [UInt8]) throws(DecodeError) {
    guard bytes.starts(with: [0x6b, 0x38, 0x73, 0x00]) else {
      throw DecodeError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    }
    var reader = ProtobufReader(bytes[4...])
    while let (number, field) = try reader.next() {
      switch (number, field) {
      case (1, .bytes(let meta)):
        var inner = ProtobufReader(meta)
        while let (number, field) = try inner.next() {
          guard case .bytes(let text) = field else { continue }
          if number == 1 { apiVersion = String(decoding: text, as: UTF8.self) }
          if number == 2 { kind = String(decoding: text, as: UTF8.self) }
        }
      case (2, .bytes(let message)): raw = Array(message)
      default: break
      }
    }
  }
}

/// Fields of one message, in the order in which they stand. Every length is checked against what is there.
struct ProtobufReader {
  enum Field {
    case varint(UInt64)
    case fixed64(UInt64)
    case fixed32(UInt32)
    case bytes(ArraySlice<UInt8>)
  }

  private var rest: ArraySlice<UInt8>
  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }
  init(_ bytes: [UInt8]) { rest = bytes[...] }

  private static let truncated = DecodeError("unexpected EOF in protobuf message")

  private mutating func varint() throws(DecodeError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while let byte = rest.popFirst() {
      guard shift < 64 else { throw DecodeError("integer overflow in protobuf message") }
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
    throw Self.truncated
  }

  mutating func next() throws(DecodeError) -> (number: Int, field: Field)? {
    if rest.isEmpty { return nil }
    let tag = try varint()
    let number = Int(truncatingIfNeeded: tag >> 3 & 0x1fff_ffff)
    guard number > 0 else { throw DecodeError("illegal tag 0 in protobuf message") }
    switch tag & 7 {
    case 0: return (number, .varint(try varint()))
    case 1: return (number, .fixed64(try fixed(8)))
    case 2:
      let length = try varint()
      guard length <= UInt64(rest.count) else { throw Self.truncated }
      let bytes = rest.prefix(Int(length))
      rest = rest.dropFirst(Int(length))
      return (number, .bytes(bytes))
    case 5: return (number, .fixed32(UInt32(truncatingIfNeeded: try fixed(4))))
    default: throw DecodeError("illegal wire type \(tag & 7) in protobuf message")
    }
  }

  private mutating func fixed(_ count: Int) throws(DecodeError) -> UInt64 {
    guard rest.count >= count else { throw Self.truncated }
    var value: UInt64 = 0
    for (i, byte) in rest.prefix(count).enumerated() { value |= UInt64(byte) << UInt64(8 * i) }
    rest = rest.dropFirst(count)
    return value
  }
}

extension SchemaTable {
  /// Reads a message of a type into a tree. Unknown numbers are skipped, as every protobuf reader does.
  package func decodeProtobuf(_ bytes: [UInt8], type: TypeID) throws(DecodeError) -> Value {
    .object(try object(bytes[...], shape(type), depth: 0))
  }

  private func object(_ bytes: ArraySlice<UInt8>, _ shape: Shape, depth: Int) throws(DecodeError) -> Object {
    guard depth < Wire.maximumDepth else { throw DecodeError("protobuf message is nested deeper than \(Wire.maximumDepth)") }
    var result = Object()
    var reader = ProtobufReader(bytes)
    while let (number, field) = try reader.next() {
      if let known = shape.fields.first(where: { $0.number == number && $0.outerNumber == 0 }) {
        try store(field, known, into: &result, depth: depth)
      } else if case .bytes(let inlined) = field, shape.fields.contains(where: { $0.outerNumber == number }) {
        // An inlined struct is a message of its own here, and part of its parent in JSON.
        var inner = ProtobufReader(inlined)
        while let (innerNumber, innerField) = try inner.next() {
          guard let known = shape.fields.first(where: { $0.outerNumber == number && $0.number == innerNumber }) else { continue }
          try store(innerField, known, into: &result, depth: depth)
        }
      }
    }
    return result
  }

  private func store(_ field: ProtobufReader.Field, _ known: Field, into object: inout Object, depth: Int) throws(DecodeError) {
    let shape = shape(known.type)
    switch shape.kind {
    case .list:
      object[orNull: known.name].append(try value(field, self.shape(shape.element), depth: depth + 1))
    case .map:
      guard case .bytes(let entry) = field else { throw wrongWire(known) }
      var reader = ProtobufReader(entry)
      var key = ""
      let element = self.shape(shape.element)
      var content: Value = zero(element)
      while let (number, field) = try reader.next() {
        if number == 1, case .bytes(let text) = field { key = try string(text) }
        if number == 2 { content = try value(field, element, depth: depth + 1) }
      }
      object[orNull: known.name][key] = content
    default: object[known.name] = try value(field, shape, depth: depth + 1)
    }
  }

  private func wrongWire(_ field: Field) -> DecodeError { DecodeError("proto: wrong wireType for field \(field.goName)") }

  private func zero(_ shape: Shape) -> Value {
    switch shape.kind {
    case .object: .emptyObject
    case .string, .enum, .bytes: ""
    case .list, .listMessage: []
    default: .null
    }
  }

  private func string(_ bytes: ArraySlice<UInt8>) throws(DecodeError) -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw DecodeError("string field contains invalid UTF-8") }
    return text
  }

  private func value(_ field: ProtobufReader.Field, _ shape: Shape, depth: Int) throws(DecodeError) -> Value {
    switch (shape.kind, field) {
    case (.string, .bytes(let bytes)), (.enum, .bytes(let bytes)): return .string(try string(bytes))
    case (.bool, .varint(let number)): return .bool(number != 0)
    case (.int32, .varint(let number)): return .int(Int64(Int32(truncatingIfNeeded: number)))
    case (.int64, .varint(let number)): return .int(Int64(bitPattern: number))
    case (.double, .fixed64(let bits)): return .double(Double(bitPattern: bits))
    case (.bytes, .bytes(let bytes)): return .string(Base64.encode(bytes))
    case (.object, .bytes(let bytes)): return .object(try object(bytes, shape, depth: depth))
    case (.quantity, .bytes(let bytes)):
      var text = "0"
      var reader = ProtobufReader(bytes)
      while let (number, field) = try reader.next() { if number == 1, case .bytes(let inner) = field { text = try string(inner) } }
      return .string(text.isEmpty ? "0" : text)
    case (.intOrString, .bytes(let bytes)):
      var isString = false
      var number: Int64 = 0
      var text = ""
      var reader = ProtobufReader(bytes)
      while let (position, field) = try reader.next() {
        switch (position, field) {
        case (1, .varint(let type)): isString = type == 1
        case (2, .varint(let value)): number = Int64(Int32(truncatingIfNeeded: value))
        case (3, .bytes(let inner)): text = try string(inner)
        default: break
        }
      }
      return isString ? .string(text) : .int(number)
    case (.time, .bytes(let bytes)), (.microTime, .bytes(let bytes)):
      let (seconds, nanos) = try pair(bytes)
      // The zero time travels as an empty message.
      if seconds == 0, nanos == 0 { return .null }
      let time = Timestamp(microseconds: seconds.multipliedReportingOverflow(by: 1_000_000).partialValue &+ nanos / 1000)
      return .string(shape.kind == .time ? time.description : time.microDescription)
    case (.duration, .bytes(let bytes)): return .string("\(Double(try pair(bytes).0) / 1e9)s")
    case (.listMessage, .bytes(let bytes)):
      var items: [Value] = []
      var reader = ProtobufReader(bytes)
      while let (number, field) = try reader.next() {
        if number == 1, case .bytes(let inner) = field { items.append(.string(try string(inner))) }
      }
      return .array(items)
    case (.rawExtension, .bytes(let bytes)), (.rawJSON, .bytes(let bytes)):
      var raw: ArraySlice<UInt8> = []
      var reader = ProtobufReader(bytes)
      while let (number, field) = try reader.next() { if number == 1, case .bytes(let inner) = field { raw = inner } }
      if raw.isEmpty { return .null }
      do throws(JSONError) { return try Value(json: Array(raw)) } catch { throw DecodeError("embedded object: \(error)") }
    case (.objectOrArray, .bytes(let bytes)), (.objectOrBool, .bytes(let bytes)), (.objectOrStrings, .bytes(let bytes)):
      return try eitherForm(bytes, shape.kind, depth: depth)
    default: throw DecodeError("proto: wrong wireType for a value of type \(shape.name.isEmpty ? "\(shape.kind)" : shape.name)")
    }
  }

  private func pair(_ bytes: ArraySlice<UInt8>) throws(DecodeError) -> (Int64, Int64) {
    var first: Int64 = 0
    var second: Int64 = 0
    var reader = ProtobufReader(bytes)
    while let (number, field) = try reader.next() {
      guard case .varint(let value) = field else { continue }
      if number == 1 { first = Int64(bitPattern: value) }
      if number == 2 { second = Int64(bitPattern: value) }
    }
    return (first, second)
  }

  private func eitherForm(_ bytes: ArraySlice<UInt8>, _ kind: Shape.Kind, depth: Int) throws(DecodeError) -> Value {
    guard let schema = type(named: "apiextensions/v1.JSONSchemaProps") else { return .null }
    var result: Value = .null
    var reader = ProtobufReader(bytes)
    while let (number, field) = try reader.next() {
      switch (number, field, kind) {
      case (1, .varint(let allows), .objectOrBool): if result.isNull { result = .bool(allows != 0) }
      case (2, .bytes(let inner), .objectOrBool), (1, .bytes(let inner), _):
        result = .object(try object(inner, shape(schema), depth: depth + 1))
      case (2, .bytes(let inner), .objectOrArray): result.append(.object(try object(inner, shape(schema), depth: depth + 1)))
      case (2, .bytes(let inner), .objectOrStrings): result.append(.string(try string(inner)))
      default: break
      }
    }
    return result
  }
}

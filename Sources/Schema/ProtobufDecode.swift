import Wire

extension SchemaTable {
  /// Reads a message of a type into a tree. Unknown numbers are skipped, as every protobuf reader does.
  /// The tree is not pruned yet: ``prune(_:type:)`` drops zeros and brings scalars into their form.
  package func decodeProtobuf(_ bytes: [UInt8], type: TypeID) throws(DecodeError) -> Value {
    var result = Object()
    let shape = shape(type)
    try withReadable(bytes) { buffer throws(DecodeError) in try read(buffer, shape, shape.wire, into: &result, depth: 0) }
    return .object(result)
  }

  private func read(
    _ bytes: ProtobufReader.Bytes, _ shape: Shape, _ node: WireNode, into object: inout Object, depth: Int
  ) throws(DecodeError) {
    guard depth < Wire.maximumDepth else { throw DecodeError("protobuf message is nested deeper than \(Wire.maximumDepth) levels") }
    var reader = ProtobufReader(bytes)
    while let (number, field) = try reader.next() {
      switch node.entry(number) {
      case .field(let position): try store(field, shape.fields[position], into: &object, depth: depth)
      case .inlined(let inner):
        // An inlined struct is a message of its own here, and part of its parent in JSON.
        guard case .bytes(let message) = field else { throw DecodeError("proto: wrong wireType for a field of \(shape.name)") }
        try read(message, shape, inner, into: &object, depth: depth + 1)
      case nil: break
      }
    }
  }

  private func store(_ field: ProtobufReader.Field, _ known: Field, into object: inout Object, depth: Int) throws(DecodeError) {
    let shape = shape(known.type)
    // Elements of one list or map follow each other: most often it is the last member already.
    let i: Int
    if object.members.last?.key == known.name {
      i = object.members.count - 1
    } else if let found = object.index(of: known.name) {
      i = found
    } else {
      i = object.members.count
      object.members.append(.init(key: known.name, value: .null))
    }
    switch shape.kind {
    case .list: object.members[i].value.append(try value(field, self.shape(shape.element), known, depth: depth + 1))
    case .map:
      guard case .bytes(let entry) = field else { throw wrongWire(known) }
      var reader = ProtobufReader(entry)
      var key = ""
      let element = self.shape(shape.element)
      var content: Value?
      while let (number, field) = try reader.next() {
        if number == 1, case .bytes(let text) = field { key = try string(text) }
        if number == 2 { content = try value(field, element, known, depth: depth + 1) }
      }
      var map = Object()
      if case .object(let present) = object.members[i].value { map = present }
      object.members[i].value = .null
      // A key that comes again replaces what came before; pruning drops the earlier one.
      map.members.append(.init(key: key, value: content ?? zero(element)))
      object.members[i].value = .object(map)
    default: object.members[i].value = try value(field, shape, known, depth: depth + 1)
    }
  }

  private func wrongWire(_ field: Field) -> DecodeError { DecodeError("proto: wrong wireType for field \(field.goName)") }

  private func zero(_ shape: Shape) -> Value {
    switch shape.kind {
    case .object, .map: .emptyObject
    case .string, .enum, .bytes: ""
    case .list, .listMessage: []
    case .int32, .int64, .double: 0
    case .bool: false
    default: .null
    }
  }

  private func string(_ bytes: ProtobufReader.Bytes) throws(DecodeError) -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw DecodeError("proto: a string is not valid UTF-8") }
    return text
  }

  private func value(_ field: ProtobufReader.Field, _ shape: Shape, _ known: Field, depth: Int) throws(DecodeError) -> Value {
    switch (shape.kind, field) {
    case (.string, .bytes(let bytes)), (.enum, .bytes(let bytes)): return .string(try string(bytes))
    case (.bool, .varint(let number)): return .bool(number != 0)
    case (.int32, .varint(let number)): return .int(Int64(Int32(truncatingIfNeeded: number)))
    case (.int64, .varint(let number)): return .int(Int64(bitPattern: number))
    case (.double, .fixed64(let bits)):
      let number = Double(bitPattern: bits)
      guard number.isFinite else { throw DecodeError("proto: field \(known.goName) is not a finite number") }
      return .double(number)
    case (.bytes, .bytes(let bytes)): return .string(Base64.encode(bytes))
    case (.object, .bytes(let bytes)):
      var object = Object()
      try read(bytes, shape, shape.wire, into: &object, depth: depth)
      return .object(object)
    case (.quantity, .bytes(let bytes)):
      let text = try firstString(bytes)
      return .string(text.isEmpty ? "0" : text)
    case (.intOrString, .bytes(let bytes)): return try intOrString(bytes)
    case (.time, .bytes(let bytes)), (.microTime, .bytes(let bytes)):
      let (seconds, nanos) = try pair(bytes)
      // The zero time travels as an empty message.
      if seconds == 0, nanos == 0 { return .null }
      guard Timestamp.expressible.contains(seconds), (0..<1_000_000_000).contains(nanos) else {
        throw DecodeError("proto: field \(known.goName) is no time between the years 0 and 9999")
      }
      let time = Timestamp(microseconds: seconds * 1_000_000 + nanos / 1000)
      return .string(shape.kind == .time ? time.description : time.microDescription)
    case (.duration, .bytes(let bytes)): return .string(GoDuration(nanoseconds: try pair(bytes).0).description)
    case (.listMessage, .bytes(let bytes)):
      var items: [Value] = []
      var reader = ProtobufReader(bytes)
      while let (number, field) = try reader.next() {
        if number == 1, case .bytes(let inner) = field { items.append(.string(try string(inner))) }
      }
      return .array(items)
    case (.rawExtension, .bytes(let bytes)), (.rawJSON, .bytes(let bytes)): return try embedded(bytes, depth: depth)
    case (.objectOrArray, .bytes(let bytes)), (.objectOrBool, .bytes(let bytes)), (.objectOrStrings, .bytes(let bytes)):
      return try eitherForm(bytes, shape.kind, depth: depth)
    default: throw wrongWire(known)
    }
  }

  private func firstString(_ bytes: ProtobufReader.Bytes) throws(DecodeError) -> String {
    var text = ""
    var reader = ProtobufReader(bytes)
    while let (number, field) = try reader.next() { if number == 1, case .bytes(let inner) = field { text = try string(inner) } }
    return text
  }

  private func intOrString(_ bytes: ProtobufReader.Bytes) throws(DecodeError) -> Value {
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
  }

  /// JSON, or an enveloped object, inside a message.
  private func embedded(_ bytes: ProtobufReader.Bytes, depth: Int) throws(DecodeError) -> Value {
    var raw = ProtobufReader.Bytes(start: nil, count: 0)
    var reader = ProtobufReader(bytes)
    while let (number, field) = try reader.next() { if number == 1, case .bytes(let inner) = field { raw = inner } }
    if raw.isEmpty { return .null }
    guard raw.starts(with: ProtobufEnvelope.prefix) else {
      do throws(JSONError) { return try Value(json: raw) } catch { throw DecodeError("embedded object: \(error)") }
    }
    let envelope = try ProtobufEnvelope(Array(raw))
    let parts = envelope.apiVersion.split(separator: "/").map(String.init)
    let kind = kind(group: parts.count == 2 ? parts[0] : "", version: parts.last ?? "", kind: envelope.kind)
    guard let kind, depth < 8 else {
      throw DecodeError("embedded object: no kind \"\(envelope.kind)\" in \"\(envelope.apiVersion)\"")
    }
    var object: Object = ["kind": .string(envelope.kind), "apiVersion": .string(envelope.apiVersion)]
    let shape = shape(kind.type)
    try withReadable(envelope.raw) { buffer throws(DecodeError) in
      try read(buffer, shape, shape.wire, into: &object, depth: depth + 1)
    }
    return .object(object)
  }

  private func pair(_ bytes: ProtobufReader.Bytes) throws(DecodeError) -> (Int64, Int64) {
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

  private func eitherForm(_ bytes: ProtobufReader.Bytes, _ kind: Shape.Kind, depth: Int) throws(DecodeError) -> Value {
    guard let schema = schemaProps else { return .null }
    func object(_ bytes: ProtobufReader.Bytes) throws(DecodeError) -> Value {
      var object = Object()
      try read(bytes, schema, schema.wire, into: &object, depth: depth + 1)
      return .object(object)
    }
    var result: Value = kind == .objectOrBool ? false : .null
    var reader = ProtobufReader(bytes)
    while let (number, field) = try reader.next() {
      switch (number, field, kind) {
      case (1, .varint(let allows), .objectOrBool): if case .bool = result { result = .bool(allows != 0) }
      case (2, .bytes(let inner), .objectOrBool), (1, .bytes(let inner), .objectOrArray), (1, .bytes(let inner), .objectOrStrings):
        result = try object(inner)
      case (2, .bytes(let inner), .objectOrArray): result.append(try object(inner))
      case (2, .bytes(let inner), .objectOrStrings): result.append(.string(try string(inner)))
      default: break
      }
    }
    return result
  }
}

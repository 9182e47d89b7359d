import CTables
import Wire

/// Messages of a service by table: which field has which number and type.
///
/// A message is a ``Wire/Value`` object with upstream's field names; an enum is its name; `bytes` are text (what CRI puts in them).
/// What a field leaves out is its type's zero, as proto3 has it. Unknown fields are skipped, unknown enum values come as numbers.
package struct ProtoTable: Sendable {
  package struct Failure: Error, Sendable, CustomStringConvertible {
    package var description: String
  }

  indirect enum Kind: Sendable {
    case string, bytes, bool, signed, unsigned, double
    case enumeration(String)
    case message(String)
    case stringMap
  }

  struct FieldRow: Sendable {
    var name: String
    var number: Int
    var kind: Kind
    var isRepeated: Bool
  }

  struct MessageRow: Sendable {
    var byName: [String: FieldRow] = [:]
    var byNumber: [Int: FieldRow] = [:]
  }

  struct EnumRow: Sendable {
    var byName: [String: Int64] = [:]
    var byNumber: [Int64: String] = [:]
  }

  /// Nesting beyond this is refused; CRI needs five levels.
  static let maximumDepth = 32

  private(set) var messages: [String: MessageRow] = [:]
  private(set) var enums: [String: EnumRow] = [:]
  /// `Service/Method` → request and response.
  package private(set) var methods: [String: (request: String, response: String)] = [:]

  /// The table of CRI v1 and of the few containerd services that the agent uses.
  package static let cri: ProtoTable = {
    let table = gantry_cri_table()
    let bytes = UnsafeBufferPointer(start: table.bytes, count: table.count)
    guard let value = try? Value(json: bytes) else {
      preconditionFailure("the embedded table is not JSON: run scripts/generate-cri-tables")
    }
    return ProtoTable(value)
  }()

  /// - Parameter value: `{messages: {name: {field: [number, type]}}, enums: {name: {value: number}}, services: {name: {method: [in, out]}}}`.
  package init(_ value: Value) {
    for member in value["enums"].object?.members ?? [] {
      var row = EnumRow()
      for entry in member.value.object?.members ?? [] {
        guard let number = entry.value.int else { continue }
        row.byName[entry.key] = number
        row.byNumber[number] = entry.key
      }
      enums[member.key] = row
    }
    let names = Set(value["messages"].object?.keys ?? [])
    for member in value["messages"].object?.members ?? [] {
      var row = MessageRow()
      for entry in member.value.object?.members ?? [] {
        guard let number = entry.value[0].int, var type = entry.value[1].string else { continue }
        var isRepeated = false
        if type.hasPrefix("repeated ") {
          isRepeated = true
          type = String(type.dropFirst(9))
        }
        let kind: Kind
        switch type {
        case "string": kind = .string
        case "bytes": kind = .bytes
        case "bool": kind = .bool
        case "int32", "int64": kind = .signed
        case "uint32", "uint64": kind = .unsigned
        case "double": kind = .double
        case "map<string,string>": kind = .stringMap
        default:
          if names.contains(type) {
            kind = .message(type)
          } else {
            // An enum may be declared inside its message.
            kind = .enumeration(enums[type] != nil ? type : "\(member.key).\(type)")
          }
        }
        let field = FieldRow(name: entry.key, number: Int(number), kind: kind, isRepeated: isRepeated)
        row.byName[field.name] = field
        row.byNumber[field.number] = field
      }
      messages[member.key] = row
    }
    for service in value["services"].object?.members ?? [] {
      for method in service.value.object?.members ?? [] {
        guard let request = method.value[0].string, let response = method.value[1].string else { continue }
        methods["\(service.key)/\(method.key)"] = (
          request, response.hasPrefix("stream ") ? String(response.dropFirst(7)) : response
        )
      }
    }
  }

  /// - Throws: where the value has a field that the message does not know, or of another type: a mistake of the caller.
  package func encode(_ value: Value, as name: String) throws(Failure) -> [UInt8] { try encode(value, as: name, depth: 0) }

  private func encode(_ value: Value, as name: String, depth: Int) throws(Failure) -> [UInt8] {
    guard let row = messages[name], depth < Self.maximumDepth else { throw Failure(description: "there is no message \(name)") }
    var writer = ProtoWriter()
    for member in value.object?.members ?? [] where !member.value.isNull {
      guard let field = row.byName[member.key] else { throw Failure(description: "\(name) has no field \(member.key)") }
      if field.isRepeated {
        for element in member.value.array ?? [] { try write(element, field, of: name, depth, &writer) }
      } else {
        try write(member.value, field, of: name, depth, &writer)
      }
    }
    return writer.bytes
  }

  private func write(_ value: Value, _ field: FieldRow, of name: String, _ depth: Int, _ writer: inout ProtoWriter) throws(Failure)
  {
    func wrong() -> Failure { Failure(description: "\(name).\(field.name) has a value of another type") }
    switch field.kind {
    case .string, .bytes:
      guard let text = value.string else { throw wrong() }
      writer.string(field.number, text)
    case .bool:
      guard let flag = value.bool else { throw wrong() }
      writer.integer(field.number, flag ? 1 : 0)
    case .signed, .unsigned:
      guard let number = value.int else { throw wrong() }
      writer.integer(field.number, UInt64(bitPattern: number))
    case .double:
      guard let number = value.double else { throw wrong() }
      writer.double(field.number, number)
    case .enumeration(let type):
      if let number = value.int {
        writer.integer(field.number, UInt64(bitPattern: number))
      } else if let text = value.string, let number = enums[type]?.byName[text] {
        writer.integer(field.number, UInt64(bitPattern: number))
      } else {
        throw wrong()
      }
    case .message(let type):
      guard value.object != nil else { throw wrong() }
      writer.data(field.number, try encode(value, as: type, depth: depth + 1))
    case .stringMap:
      for member in value.object?.members ?? [] {
        var entry = ProtoWriter()
        entry.string(1, member.key)
        entry.string(2, member.value.string ?? "")
        writer.data(field.number, entry.bytes)
      }
    }
  }

  /// - Throws: where the bytes are not the message they claim to be.
  package func decode(_ bytes: [UInt8], as name: String) throws(Failure) -> Value {
    do throws(ProtoReader.Malformed) { return try decode(bytes[...], as: name, depth: 0) } catch {
      throw Failure(description: "\(name): \(error)")
    }
  }

  private func decode(_ bytes: ArraySlice<UInt8>, as name: String, depth: Int) throws(ProtoReader.Malformed) -> Value {
    guard let row = messages[name] else { throw .init(description: "there is no message \(name)") }
    guard depth < Self.maximumDepth else { throw .init(description: "messages are nested too deep") }
    var object = Object()
    var lists: [Int: [Value]] = [:]
    var maps: [Int: Object] = [:]
    var reader = ProtoReader(bytes)
    while let (number, content) = try reader.next() {
      guard let field = row.byNumber[number] else { continue }
      if case .stringMap = field.kind {
        guard case .bytes(let entry) = content else { throw .init(description: "field \(field.name) has a wrong wire type") }
        var entryReader = ProtoReader(entry)
        var key = ""
        var text = ""
        while let (number, part) = try entryReader.next() {
          guard case .bytes(let string) = part else { continue }
          if number == 1 { key = String(decoding: string, as: UTF8.self) }
          if number == 2 { text = String(decoding: string, as: UTF8.self) }
        }
        maps[number, default: Object()].members.append(.init(key: key, value: .string(text)))
        continue
      }
      if field.isRepeated, case .bytes(let packed) = content, isPackable(field.kind) {
        var packedReader = ProtoReader(packed)
        while !packedReader.isAtEnd { lists[number, default: []].append(scalar(try packedReader.varint(), field.kind)) }
        continue
      }
      let value: Value
      switch (field.kind, content) {
      case (.string, .bytes(let text)), (.bytes, .bytes(let text)): value = .string(String(decoding: text, as: UTF8.self))
      case (.message(let type), .bytes(let inner)): value = try decode(inner, as: type, depth: depth + 1)
      case (.double, .fixed64(let bits)): value = .double(Double(bitPattern: bits))
      case (.bool, .varint(let raw)), (.signed, .varint(let raw)), (.unsigned, .varint(let raw)), (.enumeration, .varint(let raw)):
        value = scalar(raw, field.kind)
      default: throw .init(description: "field \(field.name) has a wrong wire type")
      }
      if field.isRepeated { lists[number, default: []].append(value) } else { object[field.name] = value }
    }
    for (number, list) in lists.sorted(by: { $0.key < $1.key }) {
      if let field = row.byNumber[number] { object[field.name] = .array(list) }
    }
    for (number, map) in maps.sorted(by: { $0.key < $1.key }) {
      if let field = row.byNumber[number] { object[field.name] = .object(map) }
    }
    return .object(object)
  }

  private func isPackable(_ kind: Kind) -> Bool {
    switch kind {
    case .bool, .signed, .unsigned, .enumeration: true
    default: false
    }
  }

  private func scalar(_ raw: UInt64, _ kind: Kind) -> Value {
    switch kind {
    case .bool: return .bool(raw != 0)
    case .enumeration(let type):
      let number = Int64(bitPattern: raw)
      return enums[type]?.byNumber[number].map { .string($0) } ?? .int(number)
    default: return .int(Int64(bitPattern: raw))
    }
  }
}

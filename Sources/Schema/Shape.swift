import Wire

/// A position in the table's shapes.
package struct TypeID: Hashable, Sendable {
  package let index: Int32
  init(_ index: Int) { self.index = Int32(truncatingIfNeeded: index) }
}

/// What a value may look like. A class, so that walking a tree costs one reference a step and copies no array.
package final class Shape: Sendable {
  package enum Kind: Sendable, Equatable {
    case string, bool, int32, int64, double, bytes, quantity, intOrString, time, microTime, duration
    /// Any JSON object, kept as it is.
    case rawExtension
    case list, map, object
    /// A list that is a message of its own in protobuf.
    case listMessage
    /// A string out of a few.
    case `enum`
    /// Any JSON at all (FieldsV1, JSON of CRD schemas).
    case rawJSON
    /// Two JSON forms of one type, in CRD schemas.
    case objectOrArray, objectOrBool, objectOrStrings
  }

  package let kind: Kind
  /// The type's name in the table, "" for lists, maps and scalars.
  package let name: String
  /// Of lists and maps.
  package let element: TypeID
  /// In upstream's order, which is the order of emission.
  package let fields: [Field]
  package let values: [String]
  /// A struct that is owned and merged as a whole.
  package let isAtomic: Bool
  /// Names of the structs that are inlined, at any depth: their defaults hold here.
  let inlined: [String]
  /// Lists of resources keep no more than thousandths.
  let isResourceList: Bool
  private let lookup: FieldLookup
  /// A bit for each field that Go writes although it was not sent.
  let writtenAbsent: UInt64
  /// How protobuf numbers lead to fields.
  let wire: WireNode

  init(
    kind: Kind, name: String, element: TypeID, fields: [Field], values: [String], isAtomic: Bool, wire: WireNode, inlined: [String]
  ) {
    self.kind = kind
    self.name = name
    self.element = element
    self.fields = fields
    self.values = values
    self.isAtomic = isAtomic
    self.wire = wire
    self.inlined = inlined
    isResourceList = name == "core/v1.ResourceList"
    lookup = FieldLookup(fields)
    precondition(fields.count <= 64, "\(name) has more fields than a word has bits: SchemaTable.encode and Prune count on it")
    writtenAbsent = fields.indices.reduce(0) { $0 | (fields[$1].isWrittenAbsent ? 1 << UInt64($1) : 0) }
  }

  var isCollection: Bool { kind == .list || kind == .map || kind == .listMessage }

  /// Where the field of a JSON name stands in ``fields``.
  @inline(__always) package func position(of name: String) -> Int? { lookup.position(of: name, in: fields) }

  /// The field of a JSON name.
  @inline(__always) package func field(_ name: String) -> Field? { position(of: name).map { fields[$0] } }

  /// As Go writes the type in its messages: `v1.PodSpec`, `int32`, `[]string`.
  func goName(in table: SchemaTable) -> String {
    switch kind {
    case .string: "string"
    case .bool: "bool"
    case .int32: "int32"
    case .int64: "int64"
    case .double: "float64"
    case .bytes: "[]uint8"
    case .list: "[]\(table.shape(element).goName(in: table))"
    case .map: name.isEmpty ? "map[string]\(table.shape(element).goName(in: table))" : goTypeName
    case .quantity: "resource.Quantity"
    case .intOrString: "intstr.IntOrString"
    case .time: "v1.Time"
    case .microTime: "v1.MicroTime"
    case .duration: "v1.Duration"
    case .rawExtension: "runtime.RawExtension"
    default: goTypeName
    }
  }

  /// `core/v1.PodSpec` → `v1.PodSpec`.
  private var goTypeName: String { name.split(separator: "/").last.map(String.init) ?? "struct" }
  /// `core/v1.PodSpec` → `PodSpec`.
  var goStructName: String { name.split(separator: ".").last.map(String.init) ?? "struct" }
}

/// A member of an object. Fields of inlined structs stand in their parent.
package final class Field: Sendable {
  package let name: String
  package let goName: String
  /// The number in protobuf, inside of the message that holds it; 0 where it is not on the wire.
  package let number: Int
  package let type: TypeID
  package let omitsEmpty: Bool
  package let isPointer: Bool
  package let isRequired: Bool
  package let isAtomic: Bool
  package let listType: String
  package let listMapKeys: [String]
  package let patchStrategies: [String]
  package let patchMergeKey: String
  /// The default that OpenAPI publishes.
  package let markerDefault: Value?
  /// Go writes structs that are no pointers even when empty, and scalars without omitempty even when zero.
  let isWrittenAbsent: Bool
  /// `"name":` as it is emitted.
  let quotedName: [UInt8]

  init(
    name: String, goName: String, number: Int, type: TypeID, omitsEmpty: Bool, isPointer: Bool, isRequired: Bool, isAtomic: Bool,
    listType: String, listMapKeys: [String], patchStrategies: [String], patchMergeKey: String, markerDefault: Value?,
    isWrittenAbsent: Bool
  ) {
    self.name = name
    self.goName = goName
    self.number = number
    self.type = type
    self.omitsEmpty = omitsEmpty
    self.isPointer = isPointer
    self.isRequired = isRequired
    self.isAtomic = isAtomic
    self.listType = listType
    self.listMapKeys = listMapKeys
    self.patchStrategies = patchStrategies
    self.patchMergeKey = patchMergeKey
    self.markerDefault = markerDefault
    self.isWrittenAbsent = isWrittenAbsent
    quotedName = Array("\"\(name)\":".utf8)
  }
}

/// A message's numbers: of its own fields and of structs that are inlined in JSON but are messages of their own here.
final class WireNode: Sendable {
  enum Entry: Sendable {
    /// A position in the shape's fields.
    case field(Int)
    case inlined(WireNode)
  }

  /// By number, ascending.
  let entries: [(number: Int, entry: Entry)]
  /// Positions in ``entries`` by number, -1 where there is none. Numbers of upstream's messages are small.
  private let byNumber: [Int16]

  init(_ entries: [(number: Int, entry: Entry)]) {
    self.entries = entries.sorted { $0.number < $1.number }
    var byNumber = [Int16](repeating: -1, count: min(4096, (self.entries.last?.number ?? 0) + 1))
    for (i, entry) in self.entries.enumerated() where entry.number < byNumber.count { byNumber[entry.number] = Int16(i) }
    self.byNumber = byNumber
  }

  @inline(__always) func entry(_ number: Int) -> Entry? {
    guard number < byNumber.count, byNumber[number] >= 0 else { return nil }
    return entries[Int(byNumber[number])].entry
  }
}

/// Field names by hash: open addressing over a table at least twice as large as what is in it.
private struct FieldLookup: Sendable {
  private let slots: [Int16]
  private let mask: Int

  init(_ fields: [Field]) {
    var size = 4
    while size < fields.count * 2 { size *= 2 }
    var slots = [Int16](repeating: -1, count: size)
    for (i, field) in fields.enumerated() {
      var slot = Self.hash(field.name) & (size - 1)
      while slots[slot] >= 0 { slot = (slot + 1) & (size - 1) }
      slots[slot] = Int16(i)
    }
    self.slots = slots
    mask = size - 1
  }

  /// Length, first and last bytes tell the names of one struct apart; collisions cost a comparison.
  @inline(__always) private static func hash(_ name: String) -> Int {
    let bytes = name.utf8
    var hash = bytes.count &* 31
    if let value = bytes.withContiguousStorageIfAvailable({ (buffer: UnsafeBufferPointer<UInt8>) -> Int in
      var value = 0
      for byte in buffer { value = (value &* 33) ^ Int(byte) }
      return value
    }) {
      hash = hash &+ value
    } else {
      var value = 0
      for byte in bytes { value = (value &* 33) ^ Int(byte) }
      hash = hash &+ value
    }
    return hash ^ (hash >> 7)
  }

  @inline(__always) func position(of name: String, in fields: [Field]) -> Int? {
    var slot = Self.hash(name) & mask
    while true {
      let position = Int(slots[slot])
      if position < 0 { return nil }
      if fields[position].name == name { return position }
      slot = (slot &+ 1) & mask
    }
  }
}

import Wire

/// Why a value does not fit its type. The door answers it as 400.
package struct DecodeError: Error, Sendable, Equatable, CustomStringConvertible {
  package var message: String
  package init(_ message: String) { self.message = message }
  package var description: String { message }
}

extension SchemaTable {
  /// Brings a tree into the form of its type: types checked, unknown fields removed, nulls and absent-like zeros dropped, quantities and
  /// times normalised. `kind` and `apiVersion` at the root are dropped: they are the caller's.
  /// - Returns: what strict validation reports, in upstream's words: `unknown field "spec.foo"`, `duplicate field "spec.x"`; at most 100.
  /// - Throws: ``DecodeError`` where a value has another type than its field.
  package func prune(_ value: inout Value, type: TypeID) throws(DecodeError) -> [String] {
    var pruner = Pruner(table: self)
    try pruner.prune(&value, shape(type), isRoot: true)
    return pruner.findings
  }
}

private struct Pruner {
  let table: SchemaTable
  var findings: [String] = []
  /// The names that lead to the value under work.
  private var path: [PathStep] = []
  /// The struct whose field is under work.
  private var owner: Shape?

  private enum PathStep {
    case field(String)
    case index(Int)
    case key(String)
  }

  init(table: SchemaTable) {
    self.table = table
    path.reserveCapacity(32)
  }

  // MARK: Reports

  /// As upstream's strict decoder writes a path: `spec.containers[0].name`.
  private var pathText: String {
    var text = ""
    for step in path {
      switch step {
      case .field(let name), .key(let name): text += text.isEmpty ? name : ".\(name)"
      case .index(let i): text += "[\(i)]"
      }
    }
    return text
  }

  /// As Go's decoder writes it: the innermost struct, then the names of the fields from the root.
  private var goPath: String {
    var text = owner?.goStructName ?? ""
    for step in path { if case .field(let name) = step { text += ".\(name)" } }
    return text
  }

  private func mismatch(_ value: Value, _ shape: Shape) -> DecodeError { mismatch(value, shape.goName(in: table)) }

  private func mismatch(_ value: Value, _ goType: String) -> DecodeError {
    let isNumeric = ["int32", "int64", "float64"].contains(goType)
    let found =
      switch value {
      case .null: "null"
      case .bool: "bool"
      case .int, .double: isNumeric ? "number \(value.json)" : "number"
      case .string: "string"
      case .array: "array"
      case .object: "object"
      }
    let place = path.isEmpty ? "Go value" : "Go struct field \(goPath)"
    return DecodeError("json: cannot unmarshal \(found) into \(place) of type \(goType)")
  }

  private mutating func report(_ kind: String) {
    guard findings.count < 100 else { return }
    let finding = "\(kind) field \"\(pathText)\""
    if !findings.contains(finding) { findings.append(finding) }
  }

  // MARK: Values

  mutating func prune(_ value: inout Value, _ shape: Shape, isRoot: Bool = false) throws(DecodeError) {
    switch shape.kind {
    case .object: try object(&value, shape, isRoot: isRoot)
    case .list, .listMessage: try list(&value, shape)
    case .map: try map(&value, shape)
    case .string, .enum:
      guard case .string = value else { throw mismatch(value, "string") }
    case .bool:
      guard case .bool = value else { throw mismatch(value, "bool") }
    case .int32:
      guard case .int(let number) = value, Int32(exactly: number) != nil else { throw mismatch(value, "int32") }
    case .int64:
      guard case .int = value else { throw mismatch(value, "int64") }
    case .double:
      guard let number = value.double else { throw mismatch(value, "float64") }
      value = Int64(exactly: number).map { .int($0) } ?? .double(number)
    case .bytes: try bytes(&value)
    case .quantity: try quantity(&value, isRounded: false)
    case .intOrString:
      switch value {
      case .string: break
      case .int(let i) where Int32(exactly: i) != nil: break
      default: throw mismatch(value, "int32")
      }
    case .time, .microTime: try time(&value, isMicro: shape.kind == .microTime)
    case .duration:
      guard case .string(let text) = value else { throw mismatch(value, "string") }
      guard let duration = GoDuration(text) else {
        throw DecodeError("time: invalid duration \"\(text.prefix(64))\" (field \(pathText))")
      }
      value = .string(duration.description)
    case .rawExtension, .rawJSON: break
    case .objectOrArray, .objectOrBool, .objectOrStrings: try eitherForm(&value, shape)
    }
  }

  private mutating func object(_ value: inout Value, _ shape: Shape, isRoot: Bool) throws(DecodeError) {
    guard case .object(var object) = value else { throw mismatch(value, shape) }
    value = .null
    let outer = owner
    owner = shape
    defer { owner = outer }
    var seen: UInt64 = 0
    var kept = 0
    for i in object.members.indices {
      guard let position = shape.position(of: object.members[i].key) else {
        if isRoot, ["kind", "apiVersion"].contains(object.members[i].key) { continue }
        path.append(.field(object.members[i].key))
        report("unknown")
        path.removeLast()
        continue
      }
      let field = shape.fields[position]
      if isRoot, position < 2, field.name == "kind" || field.name == "apiVersion" { continue }
      var member = object.members[i].value
      object.members[i].value = .null
      path.append(.field(field.name))
      defer { path.removeLast() }
      var isSecond = false
      if position < 64 {
        isSecond = seen & (1 << UInt64(position)) != 0
        seen |= 1 << UInt64(position)
      }
      if isSecond { report("duplicate") }
      if member.isNull { continue }
      let fieldShape = table.shape(field.type)
      try prune(&member, fieldShape)
      // The last one of several counts.
      if isSecond, let earlier = object.members[..<kept].firstIndex(where: { $0.key == field.name }) {
        kept -= 1
        object.members[earlier] = object.members[kept]
      }
      let staysZero = fieldShape.kind == .quantity && field.isWrittenAbsent
      if member.isNull || !field.isPointer && !staysZero && isZero(member, fieldShape.kind) { continue }
      object.members[kept] = .init(key: field.name, value: member)
      kept += 1
    }
    if kept < object.members.count { object.members.removeLast(object.members.count - kept) }
    if shape.writtenAbsent != 0 { addQuantities(shape, &object) }
    value = .object(object)
  }

  /// A quantity that is always written ("0" where none was sent) is always there, so that what is sent again equals what is stored.
  private func addQuantities(_ shape: Shape, _ object: inout Object) {
    var remaining = shape.writtenAbsent
    while remaining != 0 {
      let field = shape.fields[remaining.trailingZeroBitCount]
      remaining &= remaining &- 1
      guard table.shape(field.type).kind == .quantity, object[field.name] == nil else { continue }
      object.members.append(.init(key: field.name, value: "0"))
    }
  }

  /// What Go cannot tell from absent in a field that is no pointer: "", 0 and false.
  private func isZero(_ value: Value, _ kind: Shape.Kind) -> Bool {
    switch value {
    case .string(let s):
      switch kind {
      case .string, .enum, .bytes: s.isEmpty
      case .quantity: s == "0"
      default: false
      }
    case .int(0): kind == .int32 || kind == .int64 || kind == .double || kind == .intOrString
    case .bool(false): kind == .bool
    default: false
    }
  }

  private mutating func list(_ value: inout Value, _ shape: Shape) throws(DecodeError) {
    guard case .array(var elements) = value else { throw mismatch(value, shape) }
    value = .null
    let element = table.shape(shape.element)
    for i in elements.indices {
      if case .string = elements[i], element.kind == .string { continue }
      path.append(.index(i))
      defer { path.removeLast() }
      if elements[i].isNull {
        elements[i] = zero(of: element)
      } else {
        try prune(&elements[i], element)
      }
    }
    value = .array(elements)
  }

  private func zero(of shape: Shape) -> Value {
    switch shape.kind {
    case .string, .enum, .bytes: ""
    case .int32, .int64, .double, .intOrString: 0
    case .bool: false
    case .object: .emptyObject
    case .list, .listMessage: []
    case .map: .emptyObject
    case .quantity: "0"
    default: .null
    }
  }

  private mutating func map(_ value: inout Value, _ shape: Shape) throws(DecodeError) {
    guard case .object(var object) = value else { throw mismatch(value, shape) }
    value = .null
    let element = table.shape(shape.element)
    var hasDuplicates = false
    var names: Set<String> = []
    let isSmall = object.members.count <= 8
    for i in object.members.indices {
      let name = object.members[i].key
      let isSecond =
        isSmall ? object.members[..<i].contains { $0.key == name } : !names.insert(name).inserted
      if isSecond {
        hasDuplicates = true
        path.append(.key(name))
        report("duplicate")
        path.removeLast()
      }
      if case .string = object.members[i].value, element.kind == .string { continue }
      path.append(.key(name))
      defer { path.removeLast() }
      if object.members[i].value.isNull {
        object.members[i].value = zero(of: element)
      } else if shape.isResourceList {
        try quantity(&object.members[i].value, isRounded: true)
      } else {
        try prune(&object.members[i].value, element)
      }
    }
    if hasDuplicates {
      var places: [String: Int] = [:]
      var last: [Object.Member] = []
      for member in object.members {
        if let place = places[member.key] {
          last[place].value = member.value
        } else {
          places[member.key] = last.count
          last.append(member)
        }
      }
      object = Object(last)
    }
    value = .object(object)
  }

  // MARK: Scalars with a form of their own

  private func bytes(_ value: inout Value) throws(DecodeError) {
    guard case .string(let text) = value else { throw mismatch(value, "[]uint8") }
    if Base64.isCanonical(text) { return }
    guard let bytes = Base64.decode(text) else {
      throw DecodeError("illegal base64 data at input byte \(Base64.firstError(text)) (field \(pathText))")
    }
    value = .string(Base64.encode(bytes))
  }

  private func time(_ value: inout Value, isMicro: Bool) throws(DecodeError) {
    guard case .string(let text) = value else { throw mismatch(value, "string") }
    guard let time = Timestamp(text) else {
      throw DecodeError("parsing time \"\(text.prefix(64))\" as \"2006-01-02T15:04:05Z07:00\": cannot parse (field \(pathText))")
    }
    if time.isZero {
      value = .null
    } else {
      value = .string(isMicro ? time.microDescription : time.description)
    }
  }

  private func quantity(_ value: inout Value, isRounded: Bool) throws(DecodeError) {
    let text: String
    switch value {
    case .string(let s): text = s
    case .int, .double: text = value.json
    default: throw mismatch(value, "resource.Quantity")
    }
    guard let quantity = Quantity(text) else {
      throw DecodeError(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' (field \(pathText), value \"\(text.prefix(64))\")"
      )
    }
    value = .string((isRounded ? quantity.roundedUpToMilli : quantity).description)
  }

  /// A type of CRD schemas that is written as an object or as something else.
  private mutating func eitherForm(_ value: inout Value, _ shape: Shape) throws(DecodeError) {
    guard let schema = table.schemaProps else { return }
    switch (value, shape.kind) {
    case (.object, _): try prune(&value, schema)
    case (.bool, .objectOrBool): break
    case (.array(var elements), .objectOrArray):
      value = .null
      for i in elements.indices {
        path.append(.index(i))
        defer { path.removeLast() }
        try prune(&elements[i], schema)
      }
      value = .array(elements)
    case (.array(let elements), .objectOrStrings):
      for element in elements { if element.string == nil { throw mismatch(element, "string") } }
    default: throw mismatch(value, shape)
    }
  }
}

import Wire

/// Why a value does not fit its type. The door answers it as 400.
package struct DecodeError: Error, Sendable, Equatable {
  package var message: String
  package init(_ message: String) { self.message = message }
}

extension SchemaTable {
  /// Brings a tree into the form of its type: types checked, unknown fields removed, nulls and absent-like zeros dropped, quantities and
  /// times normalised. `kind` and `apiVersion` at the root are the caller's.
  /// - Returns: what strict validation reports, in upstream's words: `unknown field "spec.foo"`, `duplicate field "spec.x"`.
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
  /// The names that lead to the value under work, built only where something is reported.
  var path: [PathStep] = []

  enum PathStep {
    case field(String)
    case index(Int)
    case key(String)
  }

  init(table: SchemaTable) { self.table = table }

  var pathText: String {
    var text = ""
    for step in path {
      switch step {
      case .field(let name): text += text.isEmpty ? name : ".\(name)"
      case .index(let i): text += "[\(i)]"
      case .key(let key): text += text.isEmpty ? key : ".\(key)"
      }
    }
    return text
  }

  func mismatch(_ value: Value, _ goType: String) -> DecodeError {
    let found =
      switch value {
      case .null: "null"
      case .bool: "bool"
      case .int, .double: "number"
      case .string: "string"
      case .array: "array"
      case .object: "object"
      }
    return DecodeError("json: cannot unmarshal \(found) into Go struct field \(pathText) of type \(goType)")
  }

  mutating func prune(_ value: inout Value, _ shape: Shape, isRoot: Bool = false) throws(DecodeError) {
    switch shape.kind {
    case .object: try object(&value, shape, isRoot: isRoot)
    case .list, .listMessage: try list(&value, table.shape(shape.element))
    case .map: try map(&value, shape, table.shape(shape.element))
    case .string, .enum:
      guard case .string = value else { throw mismatch(value, "string") }
    case .bool:
      guard case .bool = value else { throw mismatch(value, "bool") }
    case .int32:
      guard let number = value.int, value.string == nil else { throw mismatch(value, "int32") }
      guard Int32(exactly: number) != nil else {
        throw DecodeError("json: cannot unmarshal number \(number) into Go struct field \(pathText) of type int32")
      }
      value = .int(number)
    case .int64:
      guard let number = value.int else { throw mismatch(value, "int64") }
      value = .int(number)
    case .double:
      guard let number = value.double else { throw mismatch(value, "float64") }
      value = Int64(exactly: number).map { .int($0) } ?? .double(number)
    case .bytes:
      guard let text = value.string else { throw mismatch(value, "[]uint8") }
      guard let bytes = Base64.decode(text) else {
        throw DecodeError("illegal base64 data at input byte \(Base64.firstError(text)) (field \(pathText))")
      }
      value = .string(Base64.encode(bytes))
    case .quantity: try quantity(&value)
    case .intOrString:
      switch value {
      case .string: break
      case .int(let i) where Int32(exactly: i) != nil: break
      default: throw mismatch(value, "int32")
      }
    case .time, .microTime:
      guard let text = value.string else { throw mismatch(value, "string") }
      guard let time = Timestamp(text) else {
        throw DecodeError("parsing time \"\(text.prefix(64))\" as \"2006-01-02T15:04:05Z07:00\": cannot parse (field \(pathText))")
      }
      value = .string(shape.kind == .time ? time.description : time.microDescription)
    case .duration:
      guard value.string != nil else { throw mismatch(value, "string") }
    case .rawExtension:
      guard case .object = value else { throw mismatch(value, "runtime.RawExtension") }
    case .rawJSON: break
    case .objectOrArray, .objectOrBool, .objectOrStrings: try eitherForm(&value, shape)
    }
  }

  private mutating func object(_ value: inout Value, _ shape: Shape, isRoot: Bool) throws(DecodeError) {
    guard case .object(var object) = value else {
      throw mismatch(value, shape.name.split(separator: ".").last.map(String.init) ?? "struct")
    }
    value = .null
    var kept: [Object.Member] = []
    kept.reserveCapacity(object.members.count)
    var seen: UInt64 = 0
    for i in object.members.indices {
      let name = object.members[i].key
      if isRoot, name == "kind" || name == "apiVersion" { continue }
      guard let position = shape.fields.firstIndex(where: { $0.name == name }) else {
        path.append(.field(name))
        findings.append("unknown field \"\(pathText)\"")
        path.removeLast()
        continue
      }
      let field = shape.fields[position]
      var member = object.members[i].value
      object.members[i].value = .null
      path.append(.field(name))
      defer { path.removeLast() }
      if position < 64 {
        if seen & (1 << UInt64(position)) != 0 {
          findings.append("duplicate field \"\(pathText)\"")
          kept.removeAll { $0.key == name }
        }
        seen |= 1 << UInt64(position)
      }
      if member.isNull { continue }
      let fieldShape = table.shape(field.type)
      try prune(&member, fieldShape)
      if !field.isPointer, isZero(member, fieldShape) { continue }
      kept.append(.init(key: name, value: member))
    }
    object.members = kept
    value = .object(object)
  }

  /// What Go cannot tell from absent: "", 0 and false in fields that are no pointers, and empty lists and maps that are left out.
  private func isZero(_ value: Value, _ shape: Shape) -> Bool {
    switch (value, shape.kind) {
    case (.string(let s), .string), (.string(let s), .enum), (.string(let s), .bytes): s.isEmpty
    case (.int(0), .int32), (.int(0), .int64), (.int(0), .double), (.bool(false), .bool): true
    default: false
    }
  }

  private mutating func list(_ value: inout Value, _ element: Shape) throws(DecodeError) {
    guard case .array(var elements) = value else {
      throw mismatch(value, "[]\(element.name.split(separator: ".").last.map(String.init) ?? "string")")
    }
    value = .null
    for i in elements.indices {
      path.append(.index(i))
      defer { path.removeLast() }
      if elements[i].isNull {
        elements[i] = zero(of: element)
        continue
      }
      try prune(&elements[i], element)
    }
    value = .array(elements)
  }

  private func zero(of shape: Shape) -> Value {
    switch shape.kind {
    case .string, .enum, .bytes: ""
    case .int32, .int64, .double: 0
    case .bool: false
    case .object: .emptyObject
    default: .null
    }
  }

  private mutating func map(_ value: inout Value, _ shape: Shape, _ element: Shape) throws(DecodeError) {
    guard case .object(var object) = value else {
      throw mismatch(value, "map[string]\(element.kind == .string ? "string" : element.name)")
    }
    value = .null
    var names: Set<String> = []
    for i in object.members.indices {
      let name = object.members[i].key
      path.append(.key(name))
      defer { path.removeLast() }
      if !names.insert(name).inserted { findings.append("duplicate field \"\(pathText)\"") }
      if object.members[i].value.isNull {
        object.members[i].value = zero(of: element)
        continue
      }
      try prune(&object.members[i].value, element)
      if shape.name == "core/v1.ResourceList", let quantity = object.members[i].value.string.flatMap({ Quantity($0) }) {
        object.members[i].value = .string(quantity.roundedUpToMilli.description)
      }
    }
    if names.count < object.members.count {
      var last = Object()
      for member in object.members { last[member.key] = member.value }
      object = last
    }
    value = .object(object)
  }

  private func quantity(_ value: inout Value) throws(DecodeError) {
    let text: String
    switch value {
    case .string(let s): text = s
    case .int(let i): text = String(i)
    case .double(let d): text = d.description
    default: throw mismatch(value, "resource.Quantity")
    }
    guard let canonical = Scalars.canonicalQuantity(text) else {
      throw DecodeError(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' (field \(pathText), value \"\(text.prefix(64))\")"
      )
    }
    value = .string(canonical)
  }

  /// A type of CRD schemas that is written as an object or as something else.
  private mutating func eitherForm(_ value: inout Value, _ shape: Shape) throws(DecodeError) {
    switch (value, shape.kind) {
    case (.object, _):
      guard let schema = table.type(named: "apiextensions/v1.JSONSchemaProps") else { return }
      try prune(&value, table.shape(schema))
    case (.array, .objectOrArray), (.array, .objectOrStrings), (.bool, .objectOrBool): break
    default: throw mismatch(value, shape.name)
    }
  }
}

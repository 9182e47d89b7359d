import CTables
import Wire

extension SchemaTable {
  /// Parses the embedded table. The blob is part of the binary: one that does not parse is a build fault.
  static func load() -> SchemaTable {
    let blob = gantry_kubernetes_table()
    var tape = JSONTape(capacity: blob.count / 6)
    let bytes = UnsafeBufferPointer(start: blob.bytes, count: blob.count)
    do { return try tape.read(bytes) { SchemaTable(view: $0) } } catch {
      preconditionFailure("the embedded table of kinds does not parse: \(error)")
    }
  }

  private convenience init(view: JSONView) {
    var rows: [ShapeRow] = []
    view["shapes"].forEach { rows.append(ShapeRow($0)) }
    let shapes = rows.map { $0.shape(rows) }
    var defaults: [TypeID: [DefaultRow]] = [:]
    var names: [String: Int] = [:]
    for (i, shape) in shapes.enumerated() where !shape.name.isEmpty { names[shape.name] = i }
    view["defaults"].forEachMember { name, rules in
      guard let name = name.string, let index = names[name] else { return }
      defaults[TypeID(index)] = rules.map {
        DefaultRow(path: $0[0].split(separator: ".").map(String.init), when: $0[1], value: $0.value[2])
      }
    }
    var columns: [String: [TableColumn]] = [:]
    view["columns"].forEachMember { name, list in columns[name.string ?? ""] = list.map { TableColumn($0.value) } }
    var gates: [String: Bool] = [:]
    view["gates"].forEachMember { name, on in gates[name.string ?? ""] = on.bool ?? false }
    self.init(
      groups: view["groups"].map(APIGroup.init), shapes: shapes, defaults: defaults, columns: columns, gates: gates)
  }
}

/// One row of the table before inlined structs are unfolded.
private struct ShapeRow {
  struct FieldRow {
    var name, goName: String
    var number, type, flags: Int
    var listType: String
    var listMapKeys: [String]
    var patchStrategy, patchMergeKey: String

    init(_ view: JSONView) {
      name = view[0]
      goName = view[1]
      number = view[int: 2]
      type = view[int: 3]
      flags = view[int: 4]
      listType = view[5]
      listMapKeys = view.element(6).compactMap(\.string)
      patchStrategy = view[7]
      patchMergeKey = view[8]
    }
  }

  var kind: String
  var name = ""
  var element = 0
  var fields: [FieldRow] = []
  var values: [String] = []
  var isAtomic = false
  var form = ""

  init(_ view: JSONView) {
    kind = view[0]
    switch kind {
    case "list", "map", "listMessage":
      element = view[int: 1]
      name = view[2]
    case "enum":
      values = view.element(1).compactMap(\.string)
      name = view[2]
    case "object":
      name = view[1]
      fields = view.element(2).map(FieldRow.init)
      isAtomic = view[int: 3] == 1
      form = view[4]
    default: break
    }
  }

  func shape(_ rows: [ShapeRow]) -> Shape {
    Shape(
      kind: shapeKind, name: name, element: TypeID(element), fields: unfolded(rows, outer: 0), values: values, isAtomic: isAtomic)
  }

  private var shapeKind: Shape.Kind {
    switch (kind, form) {
    case ("string", _): .string
    case ("bool", _): .bool
    case ("int32", _): .int32
    case ("int64", _): .int64
    case ("double", _): .double
    case ("bytes", _): .bytes
    case ("quantity", _): .quantity
    case ("intOrString", _): .intOrString
    case ("time", _): .time
    case ("microTime", _): .microTime
    case ("duration", _): .duration
    case ("rawExtension", _): .rawExtension
    case ("list", _): .list
    case ("map", _): .map
    case ("listMessage", _): .listMessage
    case ("enum", _): .enum
    case ("object", "rawJSON"): .rawJSON
    case ("object", "objectOrArray"): .objectOrArray
    case ("object", "objectOrBool"): .objectOrBool
    case ("object", "objectOrStrings"): .objectOrStrings
    default: .object
    }
  }

  private func unfolded(_ rows: [ShapeRow], outer: Int) -> [Field] {
    fields.flatMap { row -> [Field] in
      let isInline = row.flags & 8 != 0
      if isInline, row.name.isEmpty, rows[row.type].kind == "object" { return rows[row.type].unfolded(rows, outer: row.number) }
      return [
        Field(
          name: row.name, goName: row.goName, number: row.number, outerNumber: outer, type: TypeID(row.type),
          omitsEmpty: row.flags & 1 != 0,
          isPointer: row.flags & 2 != 0, isRequired: row.flags & 4 != 0, isAtomic: row.flags & 16 != 0, listType: row.listType,
          listMapKeys: row.listMapKeys, patchStrategies: row.patchStrategy.split(separator: ",").map(String.init),
          patchMergeKey: row.patchMergeKey)
      ]
    }
  }
}

extension JSONView {
  /// The element at a position of a row; missing where the row is shorter.
  fileprivate func element(_ position: Int) -> JSONView {
    var i = 0
    var found = self["\0"]
    forEach { view in
      if i == position { found = view }
      i += 1
    }
    return found
  }

  fileprivate subscript(position: Int) -> String { element(position).string ?? "" }
  fileprivate subscript(int position: Int) -> Int { Int(element(position).int ?? 0) }
}

extension APIGroup {
  fileprivate init(_ view: JSONView) {
    let name = view["group"].string ?? ""
    self.init(
      name: name, priority: view["priority"].int.map { Int($0) },
      versions: view["versions"].map { version in
        let label = version["version"].string ?? ""
        return APIVersion(
          group: name, version: label, resources: version["resources"].map { ResourceKind($0, group: name, version: label) })
      })
  }
}

extension ResourceKind {
  fileprivate init(_ view: JSONView, group: String, version: String) {
    let strategy = view["strategy"]
    self.init(
      gvr: GroupVersionResource(group: group, version: version, resource: view["plural"].string ?? ""),
      kind: view["kind"].string ?? "",
      singular: view["singular"].string ?? "", shortNames: view["shortNames"].compactMap(\.string),
      categories: view["categories"].compactMap(\.string), isNamespaced: view["namespaced"].bool ?? false,
      verbs: view["verbs"].compactMap(\.string), subresources: view["subresources"].map(Subresource.init),
      type: TypeID(Int(view["type"].int ?? 0)), typeName: view["typeName"].string ?? "",
      strategy: StrategyRow(
        allowsCreateOnUpdate: strategy["createOnUpdate"].bool ?? false,
        allowsUnconditionalUpdate: strategy["unconditionalUpdate"].bool ?? true, generation: strategy["generation"].string),
      selectableFields: view["selectable"].compactMap(\.string), fieldAliases: view["aliases"].stringMap)
  }
}

extension Subresource {
  fileprivate init(_ view: JSONView) {
    self.init(
      name: view["name"].string ?? "", kind: view["kind"].string ?? "", group: view["group"].string,
      version: view["version"].string,
      verbs: view["verbs"].compactMap(\.string), isConnect: view["connect"].bool ?? false)
  }
}

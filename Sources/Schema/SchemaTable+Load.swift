import CTables
import Wire

extension SchemaTable {
  /// Parses the embedded table: 3 ms. The blob is part of the binary: one that does not parse is a build fault.
  package static func load() -> SchemaTable {
    let blob = gantry_kubernetes_table()
    var tape = JSONTape(capacity: blob.count / 6)
    let bytes = UnsafeBufferPointer(start: blob.bytes, count: blob.count)
    do { return try tape.read(bytes) { SchemaTable(view: $0) } } catch {
      preconditionFailure("the embedded table of kinds does not parse: \(error)")
    }
  }

  private convenience init(view: JSONView) {
    let rows = view["shapes"].map(ShapeRow.init)
    var defaults: [String: [DefaultRow]] = [:]
    view["defaults"].forEachMember { name, rules in
      defaults[name.string ?? ""] = rules.map { rule in
        let row = rule.map { $0 }
        return DefaultRow(
          path: row.text(0).split(separator: ".").map(String.init), isForEmpty: row.text(1) == "empty",
          value: row.count > 2 ? row[2].value : .null)
      }
    }
    var columns: [String: [TableColumn]] = [:]
    view["columns"].forEachMember { name, list in columns[name.string ?? ""] = list.map { TableColumn($0.value) } }
    var gates: [String: Bool] = [:]
    view["gates"].forEachMember { name, on in gates[name.string ?? ""] = on.bool ?? false }
    self.init(
      groups: view["groups"].map(APIGroup.init), shapes: rows.map { $0.shape(rows) }, defaults: defaults, columns: columns,
      gates: gates)
  }
}

/// One row of the table before inlined structs are unfolded. The positions are those of scripts/tables/shapes.py.
private struct ShapeRow {
  struct FieldRow {
    let name, goName: String
    let number, type, flags: Int
    let listType: String
    let listMapKeys: [String]
    let patchStrategy, patchMergeKey: String
    let markerDefault: Value?

    init(_ view: JSONView) {
      let row = view.map { $0 }
      name = row.text(0)
      goName = row.text(1)
      number = row.number(2)
      type = row.number(3)
      flags = row.number(4)
      listType = row.text(5)
      listMapKeys = row.texts(6)
      patchStrategy = row.text(7)
      patchMergeKey = row.text(8)
      markerDefault = row.count > 9 ? row[9].value : nil
    }

    func isWrittenAbsent(_ rows: [ShapeRow]) -> Bool {
      guard !has(2), rows.indices.contains(type) else { return false }
      switch rows[type].kind {
      case "object": return rows[type].form.isEmpty
      case "quantity", "intOrString": return true
      case "string", "enum", "bool", "int32", "int64", "double": return !has(1)
      default: return false
      }
    }

    func has(_ flag: Int) -> Bool { flags & flag != 0 }
    /// A struct without a name of its own: its fields stand in the parent.
    func isInlined(_ rows: [ShapeRow]) -> Bool {
      has(8) && name.isEmpty && rows.indices.contains(type) && rows[type].kind == "object"
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
    let row = view.map { $0 }
    kind = row.text(0)
    switch kind {
    case "list", "map", "listMessage":
      element = row.number(1)
      name = row.text(2)
    case "enum":
      values = row.texts(1)
      name = row.text(2)
    case "object":
      name = row.text(1)
      fields = row.count > 2 ? row[2].map(FieldRow.init) : []
      isAtomic = row.number(3) == 1
      form = row.text(4)
    default: break
    }
  }

  func shape(_ rows: [ShapeRow]) -> Shape {
    var unfolded: [Field] = []
    var inlined: [String] = []
    let wire = unfold(rows, into: &unfolded, &inlined)
    return Shape(
      kind: shapeKind, name: name, element: TypeID(element), fields: unfolded, values: values, isAtomic: isAtomic, wire: wire,
      inlined: inlined)
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

  /// Fields of inlined structs in the place of the struct; the numbers keep their nesting.
  private func unfold(_ rows: [ShapeRow], into unfolded: inout [Field], _ inlined: inout [String]) -> WireNode {
    var entries: [(number: Int, entry: WireNode.Entry)] = []
    for row in fields {
      if row.isInlined(rows) {
        inlined.append(rows[row.type].name)
        let inner = rows[row.type].unfold(rows, into: &unfolded, &inlined)
        if row.number > 0 { entries.append((row.number, .inlined(inner))) } else { entries += inner.entries }
        continue
      }
      if row.number > 0 { entries.append((row.number, .field(unfolded.count))) }
      unfolded.append(
        Field(
          name: row.name, goName: row.goName, number: row.number, type: TypeID(row.type), omitsEmpty: row.has(1),
          isPointer: row.has(2), isRequired: row.has(4), isAtomic: row.has(16), listType: row.listType,
          listMapKeys: row.listMapKeys, patchStrategies: row.patchStrategy.split(separator: ",").map(String.init),
          patchMergeKey: row.patchMergeKey, markerDefault: row.markerDefault, isWrittenAbsent: row.isWrittenAbsent(rows)))
    }
    return WireNode(entries)
  }
}

extension [JSONView] {
  fileprivate func text(_ i: Int) -> String { i < count ? self[i].string ?? "" : "" }
  fileprivate func number(_ i: Int) -> Int { i < count ? Int(self[i].int ?? 0) : 0 }
  fileprivate func texts(_ i: Int) -> [String] { i < count ? self[i].compactMap(\.string) : [] }
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
        allowsUnconditionalUpdate: strategy["unconditionalUpdate"].bool ?? true, generation: strategy["generation"].string,
        immutable: strategy["immutable"].compactMap(\.string), mutableOnly: strategy["mutableOnly"].compactMap(\.string),
        statusKeeps: strategy["statusKeeps"].compactMap(\.string)),
      selectableFields: view["selectable"].compactMap(\.string), fieldAliases: view["aliases"].stringMap,
      isConverted: ["events/v1.Event", "autoscaling/v1.HorizontalPodAutoscaler"].contains(view["typeName"].string ?? ""))
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

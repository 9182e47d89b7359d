import CTables
import Wire

/// All rules, parsed once when the first object is validated.
struct ValidationRules: Sendable {
  static let builtin = ValidationRules(table: .builtin)

  /// By position of the shape.
  let types: [Int32: [ValidationRule]]
  let sets: [String: [ValidationRule]]
  /// By type: the format of names and the scope.
  let names: [String: (format: RuleFormat?, scope: String)]
  /// Custom rules for which there is no code, as `type|path|does`.
  let unenforced: [String]
  /// Formats that pass everything.
  let openFormats: Set<String>
  /// Shapes that have rules or lead to one that has.
  let reaching: Set<Int32>

  init(table: SchemaTable) {
    let blob = gantry_validation_table()
    var tape = JSONTape(capacity: blob.count / 8)
    let value: Value
    do { value = try tape.read(UnsafeBufferPointer(start: blob.bytes, count: blob.count)) { $0.value } } catch {
      preconditionFailure("the embedded rules do not parse: \(error)")
    }
    var unenforced: [String] = []
    var openFormats: Set<String> = []
    let gates = value["gates"]
    func parse(_ rows: Value, _ section: String, _ shape: Shape?) -> [ValidationRule] {
      (rows.array ?? []).compactMap { row in
        if let gate = row["gate"].string, !(gates[gate].bool ?? table.isOn(gate: gate)) { return nil }
        guard let rule = ValidationRule(row, section: section, table: table, shape: shape) else { return nil }
        if rule.kind == .custom, rule.custom == nil { unenforced.append("\(section)|\(row["path"].string ?? "")|\(row["does"].string ?? "")") }
        if let name = row["format"].string, rule.format == nil { openFormats.insert(name) }
        return rule
      }
    }
    var types: [Int32: [ValidationRule]] = [:]
    for member in value["types"].object?.members ?? [] {
      guard let id = table.type(named: member.key) else { continue }
      types[id.index] = parse(member.value, member.key, table.shape(id))
    }
    var sets: [String: [ValidationRule]] = [:]
    for member in value["sets"].object?.members ?? [] { sets[member.key] = parse(member.value, member.key, nil) }
    var names: [String: (format: RuleFormat?, scope: String)] = [:]
    for member in value["names"].object?.members ?? [] {
      names[member.key] = (RuleFormat(rawValue: member.value[0].string ?? ""), member.value[1].string ?? "")
    }
    self.types = types
    self.sets = sets
    self.names = names
    self.unenforced = unenforced
    self.openFormats = openFormats
    reaching = Self.reaching(table, types)
  }

  private static func reaching(_ table: SchemaTable, _ types: [Int32: [ValidationRule]]) -> Set<Int32> {
    var reaching = Set(types.keys)
    var grows = true
    while grows {
      grows = false
      for (i, shape) in table.shapes.enumerated() where !reaching.contains(Int32(i)) {
        let leads =
          shape.fields.contains { reaching.contains($0.type.index) }
          || [.list, .map, .listMessage].contains(shape.kind) && reaching.contains(shape.element.index)
        if leads {
          reaching.insert(Int32(i))
          grows = true
        }
      }
    }
    return reaching
  }
}

extension ValidationRule {
  init?(_ row: Value, section: String, table: SchemaTable, shape: Shape?) {
    guard let kind = Kind(rawValue: row["rule"].string ?? "") else { return nil }
    self.kind = kind
    let path = { (text: String) in RulePath(text, table: table, type: shape) }
    let text = row["path"].string ?? ""
    self.path = path(text)
    error = FieldError.Kind(rawValue: row["error"].string ?? "") ?? Self.usualError(kind)
    message = row["message"].string ?? ""
    on = row["on"].string.map { $0.split(separator: ",").reduce(0) { $0 | ValidationOperation.bit(String($1)) } }
    when = row["when"].isNull ? nil : RuleCondition(row["when"], table, shape)
    func flag(_ name: String) -> Bool { row[name].bool ?? false }
    ifSet = flag("ifSet")
    empty = flag("empty")
    nilOnly = flag("nilOnly")
    lower = flag("lower")
    joined = row["joined"].string != nil
    max100 = flag("max100")
    perKey = flag("perKey")
    wholeValue = flag("wholeValue")
    emptyCounts = flag("emptyCounts")
    valueOmitted = flag("valueOmitted")
    valuesOnly = flag("valuesOnly")
    joint = row["joined"].string ?? ""
    prefixMessage = row["prefixMessage"].string ?? ""
    reports = row["reports"].string
    format = RuleFormat(rawValue: row["format"].string ?? "")
    name = row["set"].string ?? row["type"].string ?? row["as"].string ?? ""
    minimum = row["min"].int
    maximum = row["max"].int
    values = row["values"].array ?? (row["value"].isNull ? [] : [row["value"]])
    prefixes = (row["prefixes"].array ?? []).compactMap(\.string)
    shown = row["shown"].isNull ? nil : row["shown"]
    let base = text.isEmpty ? "" : text + "."
    members = (row["members"].array ?? []).map { RulePath($0.string ?? "") }
    by = (row["by"].array ?? []).map { RulePath($0.string ?? "") }
    across = (row["across"].array ?? []).map { path($0.string ?? "") }
    skipZero = row["skipZero"].string.map { RulePath($0) }
    let targets = row["to"].array?.compactMap(\.string) ?? [row["to"].string ?? row["other"].string ?? row["selector"].string].compactMap { $0 }
    others = targets.map { target in
      target.hasPrefix("pod:") ? (true, RulePath(String(target.dropFirst(4)))) : (false, path(target))
    }
    op = row["op"].string ?? ""
    func choice(_ name: String) -> Choice? {
      guard let members = row[name].object else { return nil }
      let row = Value.object(members)
      return Choice(
        error: FieldError.Kind(rawValue: row["error"].string ?? "") ?? .invalid, message: row["message"].string ?? "",
        at: row["at"].string ?? "", valueOmitted: row["valueOmitted"].bool ?? false, shown: row["shown"].isNull ? nil : row["shown"])
    }
    none = choice("none")
    many = choice("many")
    sign = row["sign"].string ?? ""
    keysIn = row["keysIn"].string ?? ""
    fields = (row["fields"].array ?? []).map { field in
      let text = field.string ?? ""
      return RulePath(text.hasPrefix(base) ? String(text.dropFirst(base.count)) : text)
    }
    if kind == .use { name = row["set"].string ?? "" }
    if kind == .useAs { sign = row["as"].string ?? "" }
    if kind == .use, let names = row["names"].string { format = RuleFormat(rawValue: names) }
    if passesAbsent, case .field(let first)? = self.path.nodes.first?.step { decisive = first }
    custom = kind == .custom ? CustomRules.code["\(section)|\(text)|\(row["does"].string ?? "")"] : nil
  }

  private static func usualError(_ kind: Kind) -> FieldError.Kind {
    switch kind {
    case .required, .atLeastOne: .required
    case .forbidden, .mutableOnly: .forbidden
    case .enum: .notSupported
    case .maxLength, .totalSize: .tooLong
    case .maxItems: .tooMany
    case .unique: .duplicate
    case .references: .notFound
    default: .invalid
    }
  }
}

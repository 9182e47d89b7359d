import CTables
import Wire

/// All rules, parsed once when the first object is validated.
struct ValidationRules: Sendable {
  static let builtin = ValidationRules(table: .builtin)

  /// A member below which rules may hold.
  struct Descent: Sendable {
    var name: String
    var type: TypeID
    /// A struct that Go always holds.
    var isAlwaysThere: Bool
  }

  /// By position of the shape.
  let types: [[ValidationRule]]
  /// By position of the shape: its members below which there are rules.
  let descents: [[Descent]]
  let sets: [String: [ValidationRule]]
  /// By type: the format of names and the scope.
  let names: [String: (format: RuleFormat?, scope: String)]
  /// Custom rules for which there is no code, as `type|path|does`.
  let unenforced: [String]
  /// Every rule that needs code, also of gates that are off.
  let custom: Set<String>
  /// Formats that pass everything.
  let openFormats: Set<String>
  /// By position of the shape: whether it has rules or leads to one that has.
  let reaching: [Bool]
  /// By position of the shape: its rules that end the way below a field.
  let ending: [[ValidationRule]]
  /// Types that are treated in their own way.
  enum Special: Sendable { case none, pod, endpoints, statefulSet }
  /// By position of the shape.
  let special: [Special]

  init(table: SchemaTable) {
    let blob = gantry_validation_table()
    var tape = JSONTape(capacity: blob.count / 8)
    let value: Value
    do { value = try tape.read(UnsafeBufferPointer(start: blob.bytes, count: blob.count)) { $0.value } } catch {
      preconditionFailure("the embedded rules do not parse: \(error)")
    }
    var unenforced: [String] = []
    var custom: Set<String> = []
    var openFormats: Set<String> = []
    let gates = value["gates"]
    func parse(_ rows: Value, _ section: String, _ shape: Shape?) -> [ValidationRule] {
      (rows.array ?? []).compactMap { row in
        let name = "\(section)|\(row["path"].string ?? "")|\(row["does"].string ?? "")"
        if row["rule"] == "custom" { custom.insert(name) }
        if let gate = row["gate"].string, !(gates[gate].bool ?? table.isOn(gate: gate)) { return nil }
        guard let rule = ValidationRule(row, section: section, table: table, shape: shape) else { return nil }
        if rule.kind == .custom, rule.custom == nil { unenforced.append(name) }
        if let name = row["format"].string, rule.format == nil { openFormats.insert(name) }
        return rule
      }
    }
    var types: [Int32: [ValidationRule]] = [:]
    var inherited: [Int32: [ValidationRule]] = [:]
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
    // What holds for a struct holds where it is inlined.
    for (i, shape) in table.shapes.enumerated() {
      for name in shape.inlined {
        if let id = table.type(named: name), let rules = types[id.index], id.index != Int32(i) {
          inherited[Int32(i), default: []] += rules
        }
      }
    }
    types.merge(inherited) { $0 + $1 }
    self.types = table.shapes.indices.map { types[Int32($0)] ?? [] }
    ending = self.types.map { $0.filter { $0.kind == .skip || $0.kind == .maxItems } }
    special = table.shapes.map { shape in
      switch shape.name {
      case "core/v1.Pod", "core/v1.PodTemplateSpec": .pod
      case "core/v1.Endpoints": .endpoints
      case "apps/v1.StatefulSetSpec": .statefulSet
      default: .none
      }
    }
    self.sets = sets
    self.names = names
    self.unenforced = unenforced
    self.custom = custom
    self.openFormats = openFormats
    let reaching = Self.reaching(table, types)
    self.reaching = table.shapes.indices.map { reaching.contains(Int32($0)) }
    descents = table.shapes.map { shape in
      shape.fields.filter { reaching.contains($0.type.index) }.map {
        Descent(name: $0.name, type: $0.type, isAlwaysThere: !$0.isPointer && table.shape($0.type).kind == .object)
      }
    }
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

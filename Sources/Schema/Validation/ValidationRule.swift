import CTables
import Wire

/// One rule of validation.json, ready to run. A class, so that going over hundreds of rules copies none.
final class ValidationRule: Sendable {
  enum Kind: String, Sendable {
    case required, forbidden, format, eachFormat, keys, `enum`, range, quantity, maxLength, maxItems, minItems, totalSize, unique
    case exactlyOne, atMostOne, atLeastOne, immutable, mutableOnly, notDecreased, compare, equals, references, disjoint, alone
    case notTogether, onePerFamily, wholeNumber, labels, annotations, matches, percentOrInt, cel, use, useAs, useType, skip, custom
  }

  /// Where an error of `exactlyOne` and its kin goes.
  struct Choice: Sendable {
    var error: FieldError.Kind
    var message: String
    var at: String
    var valueOmitted: Bool
    var shown: Value?
  }

  let kind: Kind
  let path: RulePath
  let error: FieldError.Kind
  let message: String
  /// Bits of ``ValidationOperation``; nil: create and update, or what the rule that uses this set allows.
  let on: UInt8?
  let when: RuleCondition?
  let ifSet, empty, nilOnly, lower, joined, max100, perKey, wholeValue, emptyCounts, valueOmitted, valuesOnly: Bool
  let joint, prefixMessage: String
  let reports: String?
  let format: RuleFormat?
  let name: String
  let minimum, maximum: Int64?
  let values: [Value]
  let prefixes: [String]
  let shown: Value?
  let members: [RulePath]
  let by: [RulePath]
  let across: [RulePath]
  let skipZero: RulePath?
  let others: [(isPod: Bool, path: RulePath)]
  let op: String
  let none, many: Choice?
  let sign: String
  let keysIn: String
  let fields: [RulePath]
  let custom: CustomRule?
  /// The field without which the rule finds nothing.
  let decisive: String?

  /// Whether an absent value, and everything below it, is fine.
  private static func passesAbsent(_ kind: Kind, isAcross: Bool, empty: Bool) -> Bool {
    switch kind {
    case .required, .matches, .exactlyOne, .atLeastOne, .immutable, .mutableOnly, .notDecreased, .cel, .custom, .skip, .useType:
      false
    case .unique: !isAcross
    default: !empty
    }
  }

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
    format = RuleFormat(rawValue: row["format"].string ?? row["names"].string ?? "")
    name = row["set"].string ?? row["type"].string ?? ""
    minimum = row["min"].int
    maximum = row["max"].int
    values = row["values"].array ?? (row["value"].isNull ? [] : [row["value"]])
    prefixes = (row["prefixes"].array ?? []).compactMap(\.string)
    shown = row["shown"].isNull ? Value?.none : row["shown"]
    let base = text.isEmpty ? "" : text + "."
    members = (row["members"].array ?? row["maps"].array ?? []).map { RulePath($0.string ?? "") }
    by = (row["by"].array ?? []).map { RulePath($0.string ?? "") }
    across = (row["across"].array ?? []).map { path($0.string ?? "") }
    skipZero = row["skipZero"].string.map { RulePath($0) }
    let targets =
      row["to"].array?.compactMap(\.string) ?? [row["to"].string ?? row["other"].string ?? row["selector"].string].compactMap { $0 }
    others = targets.map { target in
      target.hasPrefix("pod:") ? (true, RulePath(String(target.dropFirst(4)))) : (false, path(target))
    }
    op = row["op"].string ?? ""
    func choice(_ name: String) -> Choice? {
      guard let members = row[name].object else { return nil }
      let row = Value.object(members)
      return Choice(
        error: FieldError.Kind(rawValue: row["error"].string ?? "") ?? .invalid, message: row["message"].string ?? "",
        at: row["at"].string ?? "", valueOmitted: row["valueOmitted"].bool ?? false,
        shown: row["shown"].isNull ? Value?.none : row["shown"])
    }
    none = choice("none")
    many = choice("many")
    sign = row["sign"].string ?? row["as"].string ?? ""
    keysIn = row["keysIn"].string ?? ""
    fields = (row["fields"].array ?? []).map { field in
      let text = field.string ?? ""
      return RulePath(text.hasPrefix(base) ? String(text.dropFirst(base.count)) : text)
    }
    decisive =
      if Self.passesAbsent(kind, isAcross: !across.isEmpty, empty: empty), case .field(let first)? = self.path.nodes.first?.step {
        first
      } else { nil }
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

/// Steps from a type to a value.
struct RulePath: Sendable {
  enum Step: Sendable {
    case field(String)
    case each
  }

  struct Node: Sendable {
    var step: Step
    /// A struct that Go always holds: what lies below is checked even where the struct is absent.
    var isAlwaysThere: Bool
    /// A key of a map, which errors show in brackets.
    var isKey = false
  }

  var nodes: [Node] = []
  var text = ""

  /// The single field that the path names, and the step to it.
  private(set) var onlyField: String?
  private(set) var onlyStep = FieldStep.index(0)

  /// The last field is a pointer to a struct: an empty one is given, not absent.
  var endsInStructPointer = false

  /// What counts as not given.
  func isUnset(_ value: Value) -> Bool {
    if endsInStructPointer, case .object = value { return false }
    return value.isZero
  }

  var isRoot: Bool { nodes.isEmpty }
  init(_ text: String, table: SchemaTable? = nil, type: Shape? = nil) {
    self.text = text
    var shape = type
    for (part, isKey) in Self.split(text) {
      if part == "[*]" {
        nodes.append(Node(step: .each, isAlwaysThere: false))
        endsInStructPointer = false
        shape = shape.flatMap { s in s.kind == .list || s.kind == .listMessage || s.kind == .map ? table?.shape(s.element) : nil }
        continue
      }
      let field = shape?.kind == .object ? shape?.field(part) : nil
      let next = field.flatMap { table?.shape($0.type) }
      endsInStructPointer = field.map { $0.isPointer && next?.kind == .object } ?? false
      let isAlwaysThere = field.map { !$0.isPointer && next?.kind == .object } ?? false
      // A map that is absent lacks every key.
      if isKey, !nodes.isEmpty { nodes[nodes.count - 1].isAlwaysThere = true }
      nodes.append(Node(step: .field(part), isAlwaysThere: isAlwaysThere, isKey: isKey))
      shape = next ?? (shape?.kind == .map ? shape.flatMap { table?.shape($0.element) } : nil)
    }
    if nodes.count == 1, case .field(let name) = nodes[0].step {
      onlyField = name
      onlyStep = nodes[0].isKey ? .key(name) : .field(name)
    }
  }

  /// `a.b[*].c["x.y"]` → a, b, [*], c, x.y (a key)
  private static func split(_ text: String) -> [(part: String, isKey: Bool)] {
    var parts: [(part: String, isKey: Bool)] = []
    var current = ""
    var rest = text[...]
    func end() {
      if !current.isEmpty { parts.append((current, false)) }
      current = ""
      if rest.first == "." { rest = rest.dropFirst() }
    }
    while let c = rest.first {
      if rest.hasPrefix("[*]") {
        rest = rest.dropFirst(3)
        end()
        parts.append(("[*]", false))
      } else if rest.hasPrefix("[\""), let close = rest.range(of: "\"]") {
        let key = String(rest[rest.index(rest.startIndex, offsetBy: 2)..<close.lowerBound])
        rest = rest[close.upperBound...]
        end()
        parts.append((key, true))
      } else if c == "." {
        end()
      } else {
        current.append(c)
        rest = rest.dropFirst()
      }
    }
    end()
    return parts
  }

  /// Every value at the path below `value`; absent ones are left out.
  func values(below value: Value) -> [Value] {
    var result: [Value] = []
    collect(value, 0, &result)
    return result
  }

  private func collect(_ value: Value, _ index: Int, _ result: inout [Value]) {
    guard index < nodes.count else {
      if !value.isNull { result.append(value) }
      return
    }
    switch nodes[index].step {
    case .field(let name): collect(value[name], index + 1, &result)
    case .each:
      if case .array(let array) = value {
        for element in array { collect(element, index + 1, &result) }
      } else if case .object(let object) = value {
        for member in object.members { collect(member.value, index + 1, &result) }
      }
    }
  }

  func first(below value: Value) -> Value {
    var value = value
    for node in nodes {
      guard case .field(let name) = node.step else { return values(below: value).first ?? .null }
      value = value[name]
      if value.isNull { return .null }
    }
    return value
  }
}

extension Substring {
  fileprivate func range(of needle: String) -> Range<Index>? {
    var i = startIndex
    while i < endIndex {
      if self[i...].hasPrefix(needle) { return i..<index(i, offsetBy: needle.count) }
      i = index(after: i)
    }
    return nil
  }
}

/// When a rule holds.
indirect enum RuleCondition: Sendable {
  case set(RulePath)
  case unset(RulePath)
  case isTrue(RulePath)
  case oneOf(RulePath, [Value])
  case count(RulePath, String, Int64)
  case contains(RulePath, Value)
  case prefix(RulePath, String)
  case compare(RulePath, String, Double)
  case changed(RulePath)
  case all([RuleCondition])
  case any([RuleCondition])
  case not(RuleCondition)
  case old(RuleCondition)
  case pod(RuleCondition)
  case root(String)
  case scope(String)
  /// Something that this server never is or has.
  case never

  init(_ value: Value, _ table: SchemaTable, _ type: Shape?) {
    let members = value.object?.members ?? []
    guard members.count == 1 else {
      self = .all(members.map { RuleCondition(.object(Object([$0])), table, type) })
      return
    }
    let (key, argument) = (members[0].key, members[0].value)
    let path = { (text: Value) in RulePath(text.string ?? "", table: table, type: type) }
    switch key {
    case "set": self = .set(path(argument))
    case "unset": self = .unset(path(argument))
    case "true": self = .isTrue(path(argument))
    case "eq": self = .oneOf(path(argument[0]), [argument[1]])
    case "in": self = .oneOf(path(argument[0]), argument[1].array ?? [])
    case "count": self = .count(path(argument[0]), argument[1].string ?? "", argument[2].int ?? 0)
    case "contains": self = .contains(path(argument[0]), argument[1])
    case "prefix": self = .prefix(path(argument[0]), argument[1].string ?? "")
    case "compare": self = .compare(path(argument[0]), argument[1].string ?? "", argument[2].double ?? 0)
    case "changed": self = .changed(path(argument))
    case "all": self = .all((argument.array ?? []).map { RuleCondition($0, table, type) })
    case "any": self = .any((argument.array ?? []).map { RuleCondition($0, table, type) })
    case "not": self = .not(RuleCondition(argument, table, type))
    case "old": self = .old(RuleCondition(argument, table, type))
    case "pod": self = .pod(RuleCondition(argument, table, nil))
    case "root": self = .root(argument.string ?? "")
    case "scope": self = .scope(argument.string ?? "")
    default: self = .never
    }
  }
}

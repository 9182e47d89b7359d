import Wire

/// A label selector: requirements that must all hold. Both spellings are read: the text of a query (`a=b,c in (d,e),!f`) and the
/// object of a spec (`matchLabels`, `matchExpressions`).
package struct LabelSelector: Hashable, Sendable {
  package enum Operation: Hashable, Sendable {
    case `in`([String])
    case notIn([String])
    case exists
    case doesNotExist
    case greaterThan(Int64)
    case lessThan(Int64)
  }

  package struct Requirement: Hashable, Sendable {
    package var key: String
    package var operation: Operation

    package init(key: String, _ operation: Operation) {
      self.key = key
      self.operation = operation
    }

    /// - Parameter value: nil where the label is missing.
    package func matches(_ value: String?) -> Bool {
      switch operation {
      case .in(let values): value.map(values.contains) ?? false
      case .notIn(let values): !(value.map(values.contains) ?? false)
      case .exists: value != nil
      case .doesNotExist: value == nil
      case .greaterThan(let bound): value.flatMap { Int64($0) }.map { $0 > bound } ?? false
      case .lessThan(let bound): value.flatMap { Int64($0) }.map { $0 < bound } ?? false
      }
    }
  }

  /// Why a text is no selector, in upstream's style.
  package struct Malformed: Error, CustomStringConvertible {
    package var description: String
  }

  package var requirements: [Requirement]

  package init(_ requirements: [Requirement] = []) { self.requirements = requirements }

  /// From the selector of a Service or a ReplicationController: every label must be equal.
  package init(labels: [String: String]) {
    requirements = labels.sorted { $0.key < $1.key }.map { Requirement(key: $0.key, .in([$0.value])) }
  }

  /// From `spec.selector` of a workload.
  /// - Returns: nil where there is none, or where an operator is unknown: such a selector selects nothing.
  package init?(_ view: JSONView) {
    guard view.isObject else { return nil }
    self.init(labels: view["matchLabels"].stringMap)
    var isKnown = true
    view["matchExpressions"].forEach { expression in
      let values = expression["values"].compactMap(\.string)
      guard let key = expression["key"].string else { return isKnown = false }
      switch expression["operator"].string {
      case "In": requirements.append(Requirement(key: key, .in(values)))
      case "NotIn": requirements.append(Requirement(key: key, .notIn(values)))
      case "Exists": requirements.append(Requirement(key: key, .exists))
      case "DoesNotExist": requirements.append(Requirement(key: key, .doesNotExist))
      default: isKnown = false
      }
    }
    if !isKnown { return nil }
  }

  /// The same from a tree.
  package init?(_ value: Value) {
    guard let object = value.object else { return nil }
    let labels = object["matchLabels"]?.object?.members.compactMap { member in member.value.string.map { (member.key, $0) } } ?? []
    self.init(labels: Dictionary(labels, uniquingKeysWith: { $1 }))
    for expression in object["matchExpressions"]?.array ?? [] {
      let values = expression["values"].array?.compactMap(\.string) ?? []
      guard let key = expression["key"].string else { return nil }
      switch expression["operator"].string {
      case "In": requirements.append(Requirement(key: key, .in(values)))
      case "NotIn": requirements.append(Requirement(key: key, .notIn(values)))
      case "Exists": requirements.append(Requirement(key: key, .exists))
      case "DoesNotExist": requirements.append(Requirement(key: key, .doesNotExist))
      default: return nil
      }
    }
  }

  package var isEmpty: Bool { requirements.isEmpty }

  package func matches(_ labels: [String: String]) -> Bool { requirements.allSatisfy { $0.matches(labels[$0.key]) } }

  /// - Parameter labels: `metadata.labels`; makes no dictionary.
  package func matches(_ labels: JSONView) -> Bool { requirements.allSatisfy { $0.matches(labels[dynamic: $0.key].string) } }

  /// Reads the text of a query: `app=web,tier in (a, b),!old,weight>3`.
  package init(parsing text: String) throws(Malformed) {
    var parser = SelectorParser(text)
    requirements = try parser.requirements()
  }

  /// As a query; what ``init(parsing:)`` reads back.
  package var text: String {
    requirements.map { requirement in
      switch requirement.operation {
      case .in(let values):
        values.count == 1 ? "\(requirement.key)=\(values[0])" : "\(requirement.key) in (\(values.joined(separator: ",")))"
      case .notIn(let values):
        values.count == 1 ? "\(requirement.key)!=\(values[0])" : "\(requirement.key) notin (\(values.joined(separator: ",")))"
      case .exists: requirement.key
      case .doesNotExist: "!\(requirement.key)"
      case .greaterThan(let bound): "\(requirement.key)>\(bound)"
      case .lessThan(let bound): "\(requirement.key)<\(bound)"
      }
    }.joined(separator: ",")
  }
}

private struct SelectorParser {
  private var rest: Substring

  init(_ text: String) { rest = text[...] }

  mutating func requirements() throws(LabelSelector.Malformed) -> [LabelSelector.Requirement] {
    var result: [LabelSelector.Requirement] = []
    skipSpace()
    guard !rest.isEmpty else { return [] }
    while true {
      result.append(try requirement())
      skipSpace()
      if rest.isEmpty { return result }
      guard take(",") else { throw unexpected("',' or the end") }
    }
  }

  private mutating func requirement() throws(LabelSelector.Malformed) -> LabelSelector.Requirement {
    skipSpace()
    if take("!") {
      skipSpace()
      return .init(key: try key(), .doesNotExist)
    }
    let key = try key()
    skipSpace()
    if rest.isEmpty || rest.first == "," { return .init(key: key, .exists) }
    if take("==") || take("=") { return .init(key: key, .in([value()])) }
    if take("!=") { return .init(key: key, .notIn([value()])) }
    if take(">") { return .init(key: key, .greaterThan(try number())) }
    if take("<") { return .init(key: key, .lessThan(try number())) }
    switch word() {
    case "in": return .init(key: key, .in(try list()))
    case "notin": return .init(key: key, .notIn(try list()))
    default: throw LabelSelector.Malformed(description: "unable to parse requirement: found an unknown operator after '\(key)'")
    }
  }

  private mutating func key() throws(LabelSelector.Malformed) -> String {
    let key = word()
    guard !key.isEmpty else { throw unexpected("a label key") }
    return key
  }

  /// Label characters; an empty value is a value.
  private mutating func word() -> String {
    let word = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || "-_./".contains($0)) }
    rest = rest[word.endIndex...]
    return String(word)
  }

  private mutating func value() -> String {
    skipSpace()
    return word()
  }

  private mutating func number() throws(LabelSelector.Malformed) -> Int64 {
    guard let number = Int64(value()) else {
      throw LabelSelector.Malformed(description: "for 'Gt', 'Lt' operators, the value must be an integer")
    }
    return number
  }

  private mutating func list() throws(LabelSelector.Malformed) -> [String] {
    skipSpace()
    guard take("(") else { throw unexpected("'('") }
    var values: [String] = []
    while true {
      values.append(value())
      skipSpace()
      if take(")") { return values.sorted() }
      guard take(",") else { throw unexpected("',' or ')'") }
    }
  }

  private mutating func take(_ token: String) -> Bool {
    guard rest.hasPrefix(token) else { return false }
    rest = rest.dropFirst(token.count)
    return true
  }

  private mutating func skipSpace() { rest = rest.drop { $0 == " " || $0 == "\t" } }

  private func unexpected(_ wanted: String) -> LabelSelector.Malformed {
    .init(description: "unable to parse requirement: found '\(rest.prefix(32))', expected: \(wanted)")
  }
}

/// A field selector: `metadata.name=x,status.phase!=Running`. Which fields a kind knows is the schema's business.
package struct FieldSelector: Hashable, Sendable {
  package struct Requirement: Hashable, Sendable {
    package var field: String
    package var value: String
    package var isEqual: Bool
  }
  package var requirements: [Requirement]

  package init(parsing text: String) throws(LabelSelector.Malformed) {
    requirements = []
    guard !text.isEmpty else { return }
    for part in text.split(separator: ",", omittingEmptySubsequences: true) {
      guard let sign = part.firstIndex(where: { $0 == "=" || $0 == "!" }) else {
        throw LabelSelector.Malformed(description: "invalid selector: '\(text)'; can't understand '\(part)'")
      }
      let operation = part[sign...]
      let isEqual: Bool
      let length: Int
      if operation.hasPrefix("!=") {
        (isEqual, length) = (false, 2)
      } else if operation.hasPrefix("==") {
        (isEqual, length) = (true, 2)
      } else if operation.hasPrefix("=") {
        (isEqual, length) = (true, 1)
      } else {
        throw LabelSelector.Malformed(description: "invalid selector: '\(text)'; can't understand '\(part)'")
      }
      requirements.append(
        Requirement(field: String(part[..<sign]), value: String(operation.dropFirst(length)), isEqual: isEqual))
    }
  }

  package var isEmpty: Bool { requirements.isEmpty }

  package func matches(_ value: (String) -> String) -> Bool {
    requirements.allSatisfy { ($0.value == value($0.field)) == $0.isEqual }
  }
}

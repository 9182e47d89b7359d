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
    for term in Self.terms(text) where !term.isEmpty {
      guard let (field, isEqual, raw) = Self.split(term) else {
        throw LabelSelector.Malformed(description: "invalid selector: '\(text)'; can't understand '\(term)'")
      }
      requirements.append(Requirement(field: field, value: try Self.unescape(raw), isEqual: isEqual))
    }
  }

  /// At the commas that no backslash precedes.
  private static func terms(_ text: String) -> [Substring] {
    var terms: [Substring] = []
    var start = text.startIndex
    var isEscaped = false
    for index in text.indices {
      if isEscaped {
        isEscaped = false
      } else if text[index] == "\\" {
        isEscaped = true
      } else if text[index] == "," {
        terms.append(text[start..<index])
        start = text.index(after: index)
      }
    }
    return terms + [text[start...]]
  }

  /// At the first operator.
  private static func split(_ term: Substring) -> (field: String, isEqual: Bool, value: Substring)? {
    for index in term.indices {
      for (operation, isEqual) in [("!=", false), ("==", true), ("=", true)] where term[index...].hasPrefix(operation) {
        return (String(term[..<index]), isEqual, term[index...].dropFirst(operation.count))
      }
    }
    return nil
  }

  /// `\\`, `\,` and `\=` are the characters themselves; a bare comma or equals sign is a mistake.
  private static func unescape(_ text: Substring) throws(LabelSelector.Malformed) -> String {
    var value = ""
    var isEscaped = false
    for character in text {
      if isEscaped {
        guard "\\,=".contains(character) else {
          throw LabelSelector.Malformed(description: "invalid field selector: invalid escape sequence: \\\(character)")
        }
        value.append(character)
        isEscaped = false
      } else if character == "\\" {
        isEscaped = true
      } else if character == "," || character == "=" {
        let code = character.unicodeScalars.first.map { Int($0.value) } ?? 0
        throw LabelSelector.Malformed(description: "invalid field selector: unescaped character in value: \(code)")
      } else {
        value.append(character)
      }
    }
    if isEscaped { throw LabelSelector.Malformed(description: "invalid field selector: invalid escape sequence: \\") }
    return value
  }

  package var isEmpty: Bool { requirements.isEmpty }

  package func matches(_ value: (String) -> String) -> Bool {
    requirements.allSatisfy { ($0.value == value($0.field)) == $0.isEqual }
  }
}

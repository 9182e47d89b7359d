import Wire

/// One step from the root to a value.
enum FieldStep {
  case field(String)
  case index(Int)
  case key(String)
}

/// The way to values, and the places of errors.
extension Validator {
  /// Calls `body` with every value at the path, the stored value there, and the steps that lead to it.
  func visit(_ rule: RulePath, _ value: Value, _ old: Value, _ body: (Value, Value) -> Void) {
    visit(rule.nodes, 0, value, old, body)
  }

  /// - Parameter position: of the next step.
  private func visit(_ nodes: [RulePath.Node], _ position: Int, _ value: Value, _ old: Value, _ body: (Value, Value) -> Void) {
    guard position < nodes.count else { return body(value, old) }
    switch nodes[position].step {
    case .field(let name):
      var member = value[name]
      if member.isNull, position + 1 < nodes.count {
        guard nodes[position].isAlwaysThere else { return }
        member = .emptyObject
      }
      path.append(nodes[position].isKey ? .key(name) : .field(name))
      visit(nodes, position + 1, member, old[name], body)
      path.removeLast()
    case .each:
      if case .array(let elements) = value {
        for (i, element) in elements.enumerated() {
          path.append(.index(i))
          visit(nodes, position + 1, element, old[i], body)
          path.removeLast()
        }
      } else if case .object(let object) = value {
        let stored = ObjectIndex(old.object ?? Object())
        for member in object.members {
          path.append(.key(member.key))
          visit(nodes, position + 1, member.value, stored[member.key] ?? .null, body)
          path.removeLast()
        }
      }
    }
  }

  static func text(_ path: some Sequence<FieldStep>) -> String {
    var text = ""
    for step in path {
      switch step {
      case .field(let name): text += text.isEmpty ? name : ".\(name)"
      case .index(let i): text += "[\(i)]"
      case .key(let key): text += "[\(key)]"
      }
    }
    return text
  }

  /// - Parameters:
  ///   - base: how many steps lead to the type that the rule belongs to.
  ///   - more: steps below the value under work.
  ///   - at: the whole place, instead of what the rule says.
  func report(
    _ rule: ValidationRule, base: Int, _ value: Value?, _ message: String? = nil, kind: FieldError.Kind? = nil,
    more: [FieldStep] = [], suffix: String? = nil, at: [FieldStep]? = nil
  ) {
    guard errors.count < Self.maximumErrors else { return }
    let full = path + more
    var field: String
    if let at {
      field = Self.text(at)
    } else if let reports = rule.reports, suffix == nil {
      field = place(reports, base: base, full)
    } else {
      field = Self.text(full)
      if let suffix, !suffix.isEmpty { field += field.isEmpty ? suffix : ".\(suffix)" }
    }
    let error = kind ?? rule.error
    let shown = rule.valueOmitted ? nil : rule.shown.flatMap { $0.string.map { .string($0) } } ?? value
    if field.hasPrefix(".") { field.removeFirst() }
    // Upstream shows the taints of nodes where they once stood.
    if self.kind.typeName == "core/v1.Node", field.hasPrefix("spec.taints") { field = "metadata" + field.dropFirst("spec".count) }
    errors.append(FieldError(error, field, value: shown, message ?? rule.message))
  }

  /// A place of the table: relative to the type, with `^` for the list that holds it and brackets for the offending entry.
  func place(_ reports: String, base: Int, _ full: [FieldStep]) -> String {
    var start = Array(full.prefix(base))
    var rest = reports[...]
    var ups = 0
    while rest.first == "^" {
      rest = rest.dropFirst()
      ups += 1
    }
    if ups > 0 {
      while let last = start.popLast() {
        if case .field = last { continue }
        break
      }
      if ups > 1 { _ = start.popLast() }
      if rest.first == "." { rest = rest.dropFirst() }
    }
    var captured = full.dropFirst(base).filter { if case .field = $0 { false } else { true } }[...]
    var text = Self.text(start)
    if !rest.isEmpty { text += text.isEmpty ? "" : "." }
    while let c = rest.first {
      if c == "[", let close = rest.firstIndex(of: "]") {
        let inside = rest[rest.index(after: rest.startIndex)..<close]
        if ["i", "j", "k", "key", "name"].contains(String(inside)), let step = captured.popFirst() {
          text += Self.text([step])
        } else {
          text += rest[...close]
        }
        rest = rest[rest.index(after: close)...]
        continue
      }
      if rest.hasPrefix("<name>"), let step = captured.popFirst(), case .key(let key) = step {
        text += key
        rest = rest.dropFirst("<name>".count)
        continue
      }
      text.append(c)
      rest = rest.dropFirst()
    }
    return text
  }
}

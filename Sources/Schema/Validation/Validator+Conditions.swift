import Wire

/// When rules hold, and when values are the same.
extension Validator {
  func holds(_ condition: RuleCondition?, _ value: Value, _ old: Value) -> Bool {
    guard let condition else { return true }
    return holds(condition, value, old)
  }

  func holds(_ condition: RuleCondition, _ value: Value, _ old: Value) -> Bool {
    switch condition {
    case .set(let path): return !path.isUnset(path.first(below: value))
    case .unset(let path): return path.isUnset(path.first(below: value))
    case .isTrue(let path): return path.first(below: value).bool == true
    case .oneOf(let path, let values):
      let found = path.first(below: value)
      return values.contains { $0 == found || found.isNull && $0 == "" }
    case .count(let path, let op, let number):
      let found = path.first(below: value)
      return Self.compare(Double(found.array?.count ?? found.object?.count ?? 0), op, Double(number))
    case .contains(let path, let wanted):
      switch path.first(below: value) {
      case .array(let array): return array.contains { $0 == wanted || $0.object != nil && Self.isCondition($0, wanted) }
      case .object(let object): return wanted.string.map { object[$0] != nil } ?? false
      default: return false
      }
    case .prefix(let path, let text): return path.first(below: value).string?.hasPrefix(text) ?? false
    case .compare(let path, let op, let number): return Self.compare(path.first(below: value).double ?? 0, op, number)
    case .changed(let path): return oldRoot != nil && !Self.isSame(path.first(below: value), path.first(below: old))
    case .all(let list): return list.allSatisfy { holds($0, value, old) }
    case .any(let list): return list.contains { holds($0, value, old) }
    case .not(let inner): return !holds(inner, value, old)
    case .old(let inner): return oldRoot != nil && holds(inner, old, old)
    case .pod(let inner): return holds(inner, pod, oldPod)
    case .root(let name): return kind.typeName == name
    case .scope(let name): return (name == "Namespaced") == kind.isNamespaced
    case .never: return false
    }
  }

  /// Whether a condition of a status is what a rule writes as `Established=True`.
  private static func isCondition(_ value: Value, _ wanted: Value) -> Bool {
    guard let parts = wanted.string?.split(separator: "="), parts.count == 2 else { return false }
    return value["type"].string == String(parts[0]) && value["status"].string == String(parts[1])
  }

  static func compare(_ a: Double, _ op: String, _ b: Double) -> Bool {
    switch op {
    case "<": a < b
    case "<=": a <= b
    case ">": a > b
    case ">=": a >= b
    case "!=": a != b
    default: a == b
    }
  }

  /// Semantic equality: absent equals empty.
  static func isSame(_ a: Value, _ b: Value) -> Bool {
    switch (a, b) {
    case (.object(let x), .object(let y)):
      isSameObject(x, y)
    case (.array(let x), .array(let y)): x.count == y.count && zip(x, y).allSatisfy { isSame($0, $1) }
    case (.null, .object(let y)): y.members.allSatisfy { isSame(.null, $0.value) }
    case (.object(let x), .null): x.members.allSatisfy { isSame($0.value, .null) }
    case (.null, _): b.isZero
    case (_, .null): a.isZero
    default: a == b
    }
  }

  static func isSameObject(_ x: Object, _ y: Object) -> Bool {
    let (inX, inY) = (ObjectIndex(x), ObjectIndex(y))
    return x.members.allSatisfy { isSame($0.value, inY[$0.key] ?? .null) }
      && y.members.allSatisfy { inX[$0.key] != nil || isSame(.null, $0.value) }
  }
}

import Wire

/// One expression over a node's labels, or over its name.
package struct Requirement: Hashable, Sendable {
  package enum Operation: String, Sendable {
    case `in` = "In"
    case notIn = "NotIn"
    case exists = "Exists"
    case doesNotExist = "DoesNotExist"
    case greaterThan = "Gt"
    case lessThan = "Lt"
  }
  package var key: String
  package var operation: Operation
  package var values: [String]

  package init(key: String, operation: Operation, values: [String] = []) {
    self.key = key
    self.operation = operation
    self.values = values
  }

  init?(_ view: JSONView) {
    guard let key = view["key"].string, let operation = view["operator"].string.flatMap(Operation.init) else { return nil }
    self.init(key: key, operation: operation, values: view["values"].compactMap(\.string))
  }

  /// - Parameter value: the label's value, nil where the node does not have it.
  func matches(_ value: String?) -> Bool {
    switch operation {
    case .in: value.map(values.contains) ?? false
    case .notIn: !(value.map(values.contains) ?? false)
    case .exists: value != nil
    case .doesNotExist: value == nil
    case .greaterThan: compare(value).map { $0.0 > $0.1 } ?? false
    case .lessThan: compare(value).map { $0.0 < $0.1 } ?? false
    }
  }

  private func compare(_ value: String?) -> (Int64, Int64)? {
    guard let value = value.flatMap({ Int64($0) }), let bound = values.first.flatMap({ Int64($0) }), values.count == 1 else {
      return nil
    }
    return (value, bound)
  }
}

/// Expressions that must all hold.
package struct NodeTerm: Hashable, Sendable {
  package var labels: [Requirement]
  /// Over fields; upstream knows `metadata.name` alone.
  package var fields: [Requirement]

  package init(labels: [Requirement] = [], fields: [Requirement] = []) {
    self.labels = labels
    self.fields = fields
  }

  /// nil for an expression that is unknown: such a term matches no node.
  init?(_ view: JSONView) {
    let labels = view["matchExpressions"].map { Requirement($0) }
    let fields = view["matchFields"].map { Requirement($0) }
    guard !labels.contains(nil), !fields.contains(nil) else { return nil }
    self.init(labels: labels.compactMap { $0 }, fields: fields.compactMap { $0 })
  }

  /// An empty term matches nothing.
  func matches(_ node: NodeFacts) -> Bool {
    guard !(labels.isEmpty && fields.isEmpty) else { return false }
    return labels.allSatisfy { $0.matches(node.labels[$0.key]) }
      && fields.allSatisfy { $0.key == "metadata.name" && $0.matches(node.name) }
  }
}

package struct WeightedNodeTerm: Hashable, Sendable {
  /// 1…100.
  package var weight: Int32
  package var term: NodeTerm

  package init(weight: Int32, term: NodeTerm) {
    self.weight = weight
    self.term = term
  }
}

package struct Toleration: Hashable, Sendable {
  /// "" with `Exists` tolerates everything.
  package var key: String
  package var isExists: Bool
  package var value: String
  /// nil for every effect.
  package var effect: Taint.Effect?

  package init(key: String = "", isExists: Bool = false, value: String = "", effect: Taint.Effect? = nil) {
    self.key = key
    self.isExists = isExists
    self.value = value
    self.effect = effect
  }

  init(_ view: JSONView) {
    self.init(
      key: view["key"].string ?? "", isExists: view["operator"].equals("Exists"), value: view["value"].string ?? "",
      effect: view["effect"].string.flatMap(Taint.Effect.init))
  }

  func tolerates(_ taint: Taint) -> Bool {
    if let effect, effect != taint.effect { return false }
    if key.isEmpty { return isExists }
    return key == taint.key && (isExists || value == taint.value)
  }
}

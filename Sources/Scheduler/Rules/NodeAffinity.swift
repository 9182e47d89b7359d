/// `nodeSelector` and required node affinity refuse; preferred affinity scores.
enum NodeAffinity: SchedulingRule {
  static let weight: Int32 = 2

  static func applies(to shape: PodShape) -> Bool { !shape.nodeSelector.isEmpty || shape.requiresTerm }

  static func refusal(of shape: PodShape, on node: NodeFacts) -> String? {
    let isSelected = shape.nodeSelector.allSatisfy { $0.matches(node.labels[$0.key]) }
    let isRequired = !shape.requiresTerm || shape.requiredTerms.contains { $0.matches(node) }
    return isSelected && isRequired ? nil : "node(s) didn't match Pod's node affinity/selector"
  }

  /// - Returns: 0…100, the weight of the preferences that hold as a share of all.
  static func score(_ shape: PodShape, _ node: NodeFacts) -> Int32 {
    let total = shape.preferredTerms.reduce(Int64(0)) { $0 + Int64(max(0, $1.weight)) }
    guard total > 0 else { return 0 }
    let held = shape.preferredTerms.reduce(Int64(0)) { $0 + ($1.term.matches(node) ? Int64(max(0, $1.weight)) : 0) }
    return Int32(held * 100 / total)
  }
}

/// Why a decision came out as it did.
package struct Explanation: Sendable, Equatable {
  /// Nodes that were looked at.
  package var nodes: Int
  /// How many nodes say so, by the words of the refusal.
  package var refusals: [String: Int]
  /// The node that was chosen and its score in points (0…900), nil where every node refused.
  package var chosen: (node: String, score: Double)?

  /// As upstream words it: `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.`
  package var message: String {
    guard nodes > 0 else { return "no nodes available to schedule pods" }
    let reasons = refusals.map { "\($0.value) \($0.key)" }.sorted()
    return "0/\(nodes) nodes are available: \(reasons.joined(separator: ", "))."
  }

  package static func == (a: Explanation, b: Explanation) -> Bool {
    a.nodes == b.nodes && a.refusals == b.refusals && a.chosen?.node == b.chosen?.node
  }

  /// Asks every rule about every node: only where a class is refused by all, and once for the class until a node changes.
  static func refusal(_ shape: PodShape, _ table: NodeTable) -> Explanation {
    var explanation = Explanation(nodes: table.count, refusals: [:])
    for slot in 0..<table.capacity {
      guard let node = table.facts[slot] else { continue }
      for word in refuse(shape, node, slot, table) { explanation.refusals[word, default: 0] += 1 }
    }
    return explanation
  }

  private static func refuse(_ shape: PodShape, _ node: NodeFacts, _ slot: Int, _ table: NodeTable) -> [String] {
    for rule in fixedRules where rule.applies(to: shape) {
      if let words = rule.refusal(of: shape, on: node) { return [words] }
    }
    if HostPorts.applies(to: shape), !HostPorts.admits(shape, used: table.hostPorts[slot] ?? []) {
      return [HostPorts.refusal]
    }
    return ResourcesFit.refusals(shape, on: slot, of: table)
  }
}

/// Why a decision came out as it did.
package struct Explanation: Sendable, Equatable {
  /// Nodes that were looked at.
  package var nodes: Int
  /// How many nodes say so, by the words of the refusal.
  package var refusals: [String: Int]
  /// The node that was chosen and its score in points (0…900), nil where every node refused.
  package var chosen: (node: String, score: Double)?

  /// How many of the refusing nodes would not take the pod if nothing ran there: taints, selectors, requests beyond what they have.
  package var hopeless = 0
  /// What upstream adds about making room by evicting others.
  package var preemption = Preemption.unsaid

  package enum Preemption: Sendable, Equatable {
    /// Less important pods run somewhere: whether they should go is not decided here yet, so nothing is said.
    case unsaid
    /// Nobody less important runs anywhere.
    case noVictims
    /// The pod's own policy.
    case never
  }

  /// As upstream words it: `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: 0/3 nodes are
  /// available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.`
  package var message: String {
    guard nodes > 0 else { return "no nodes available to schedule pods" }
    let refused = noneAvailable(refusals)
    switch preemption {
    case .unsaid: return refused
    case .never: return "\(refused) preemption: not eligible due to preemptionPolicy=Never."
    case .noVictims:
      let words = [
        "No preemption victims found for incoming pod": nodes - hopeless, "Preemption is not helpful for scheduling": hopeless,
      ]
      return "\(refused) preemption: \(noneAvailable(words.filter { $0.value > 0 }))"
    }
  }

  private func noneAvailable(_ reasons: [String: Int]) -> String {
    "0/\(nodes) nodes are available: \(reasons.map { "\($0.value) \($0.key)" }.sorted().joined(separator: ", "))."
  }

  package static func == (a: Explanation, b: Explanation) -> Bool {
    a.nodes == b.nodes && a.refusals == b.refusals && a.hopeless == b.hopeless && a.preemption == b.preemption
      && a.chosen?.node == b.chosen?.node
  }

  /// Asks every rule about every node: only where a class is refused by all, and once for the class until a node changes.
  static func refusal(_ shape: PodShape, _ table: NodeTable) -> Explanation {
    var explanation = Explanation(nodes: table.count, refusals: [:])
    for slot in 0..<table.capacity {
      guard let node = table.facts[slot] else { continue }
      let refusal = refuse(shape, node, slot, table)
      for word in refusal.words { explanation.refusals[word, default: 0] += 1 }
      if refusal.isHopeless { explanation.hopeless += 1 }
    }
    return explanation
  }

  private static func refuse(_ shape: PodShape, _ node: NodeFacts, _ slot: Int, _ table: NodeTable) -> (
    words: [String], isHopeless: Bool
  ) {
    for rule in fixedRules where rule.applies(to: shape) {
      if let words = rule.refusal(of: shape, on: node) { return ([words], true) }
    }
    if HostPorts.applies(to: shape), !HostPorts.admits(shape, used: table.hostPorts[slot] ?? []) {
      return ([HostPorts.refusal], false)
    }
    return (ResourcesFit.refusals(shape, on: slot, of: table), !ResourcesFit.fitsEmpty(shape, node))
  }
}

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
}

/// What every node says to a class that none of them takes: found out once for each, and again for a node that changes.
struct RefusalTally: Sendable {
  private struct Words: Hashable {
    var reasons: [String]
    /// The node would not take the pod either if nothing ran there.
    var isHopeless: Bool
  }

  /// What nodes say, with how many say so.
  private var words: [(words: Words, count: Int)] = []
  private var ids: [Words: Int] = [:]
  /// By slot: which of `words`, −1 where no node is.
  private var said: [Int32] = []
  /// Position in the log of changed nodes up to which all of it is right.
  private var seen = 0

  var footprint: Int { said.count * MemoryLayout<Int32>.stride }
  /// Different words are few; where they are not, they are collected anew.
  private static let limit = 1024

  /// - Returns: what the nodes say now.
  mutating func explanation(_ shape: PodShape, _ table: NodeTable, _ log: ChangeLog, _ work: inout ShapeClass.Work) -> Explanation {
    if let changes = log.since(seen), said.count == table.capacity, changes.count <= max(64, table.capacity / 8),
      words.count < Self.limit
    {
      for change in changes { ask(change.slot, shape, table, &work) }
    } else {
      self = RefusalTally()
      said = [Int32](repeating: -1, count: table.capacity)
      for slot in said.indices { ask(slot, shape, table, &work) }
    }
    seen = log.end
    var explanation = Explanation(nodes: table.count, refusals: [:])
    for (words, count) in words where count > 0 {
      for reason in words.reasons { explanation.refusals[reason, default: 0] += count }
      if words.isHopeless { explanation.hopeless += count }
    }
    return explanation
  }

  private mutating func ask(_ slot: Int, _ shape: PodShape, _ table: NodeTable, _ work: inout ShapeClass.Work) {
    if said[slot] >= 0 { words[Int(said[slot])].count -= 1 }
    said[slot] = -1
    guard let node = table.facts[slot] else { return }
    work.explained += 1
    let answer = Self.refuse(shape, node, slot, table)
    let id = ids[answer] ?? words.count
    if id == words.count {
      ids[answer] = id
      words.append((answer, 0))
    }
    words[id].count += 1
    said[slot] = Int32(truncatingIfNeeded: id)
  }

  private static func refuse(_ shape: PodShape, _ node: NodeFacts, _ slot: Int, _ table: NodeTable) -> Words {
    for rule in fixedRules where rule.applies(to: shape) {
      if let reason = rule.refusal(of: shape, on: node) { return Words(reasons: [reason], isHopeless: true) }
    }
    if HostPorts.applies(to: shape), !HostPorts.admits(shape, used: table.hostPorts[slot] ?? []) {
      return Words(reasons: [HostPorts.refusal], isHopeless: false)
    }
    return Words(reasons: ResourcesFit.refusals(shape, on: slot, of: table), isHopeless: !ResourcesFit.fitsEmpty(shape, node))
  }
}

import Client
import Controllers
import Testing
import Wire

/// Nodes that speak and fall silent, what the controller has heard of them (some seconds late, in any order between nodes), and its
/// decisions, written as the server would take them.
private struct Fleet {
  struct Node {
    /// Speaks: renews its lease every 10 s. What it says of itself then.
    var isSpeaking = true
    var isReady = true
    /// When that last changed.
    var changed: Int64
    /// Since when it was not well, the last time that it was not.
    var failedAt: Int64 = 0
    var lastLease: Int64
    var taints: [NodeView.Taint] = []
    var ready = "True"
    var revision: Int64 = 1
    // What the controller has seen.
    var heard: Int64
    var view: (ready: String, taints: [NodeView.Taint], revision: Int64)
    /// Made of `view`, once a revision.
    var projection: NodeView?
  }
  struct Pod {
    var node: Int
    var seconds: Int64?
    var evicted: Int64?
  }

  var random: SplitMix
  var now: Int64 = 1_700_000_000
  var nodes: [Node]
  var pods: [Pod]
  private(set) var faults: [String] = []

  init(seed: UInt64, nodes count: Int) {
    random = SplitMix(state: seed)
    nodes = (0..<count).map { _ in
      Node(changed: 1_700_000_000, lastLease: 1_700_000_000, heard: 1_700_000_000, view: ("True", [], 1))
    }
    pods = (0..<count * 3).map { Pod(node: $0 % count, seconds: $0 % 3 == 2 ? nil : [60, 300][$0 % 3]) }
  }

  private mutating func view(_ i: Int) -> NodeView {
    let seen = nodes[i].view
    if let made = nodes[i].projection, made.meta.revision == seen.revision { return made }
    let taints = seen.taints.map { taint -> Value in
      ["key": .string(taint.key), "effect": .string(taint.effect), "timeAdded": .string(taint.added)]
    }
    let value: Value = [
      "metadata": ["name": .string("n\(i)"), "uid": .string("u\(i)"), "creationTimestamp": "2026-01-01T00:00:00Z"],
      "spec": ["taints": .array(taints)], "status": ["conditions": [["type": "Ready", "status": .string(seen.ready)]]],
    ]
    guard let object = try? EncodedObject(bytes: value.jsonBytes, revision: seen.revision) else { preconditionFailure("fixture") }
    let made = NodeView(object)
    nodes[i].projection = made
    return made
  }

  mutating func set(_ i: Int, speaking: Bool, ready: Bool = true) {
    nodes[i].isSpeaking = speaking
    nodes[i].isReady = ready
    nodes[i].changed = now
    if !speaking || !ready { nodes[i].failedAt = now }
  }

  /// So many seconds pass: nodes speak, news arrives within five seconds, the controller decides about nodes in any order.
  mutating func pass(_ seconds: Int64) {
    let end = now + seconds
    while now < end {
      now += Int64.random(in: 1...3, using: &random)
      for i in nodes.indices where nodes[i].isSpeaking && now - nodes[i].lastLease >= 10 {
        nodes[i].lastLease = now
        let says = nodes[i].isReady ? "True" : "False"
        if nodes[i].ready != says {
          nodes[i].ready = says
          nodes[i].revision += 1
        }
      }
      for i in nodes.indices where random.once(in: 2) || now % 5 == 0 {
        if nodes[i].view.revision != nodes[i].revision { nodes[i].view = (nodes[i].ready, nodes[i].taints, nodes[i].revision) }
        if nodes[i].heard < nodes[i].lastLease { nodes[i].heard = now }
      }
      for i in nodes.indices.shuffled(using: &random) where random.once(in: 2) { decide(i) }
    }
  }

  private mutating func decide(_ i: Int) {
    var views: [NodeView] = []
    for other in nodes.indices { views.append(view(other)) }
    let outcome = NodeReconcile(node: views[i], lastSeen: nodes[i].heard, now: now, eviction: .init(views)).decide()
    if outcome.status != nil {
      if nodes[i].isSpeaking, now - nodes[i].changed > 15 { faults.append("n\(i) was called silent while it spoke") }
      nodes[i].ready = "Unknown"
      nodes[i].revision += 1
    }
    if let taints = outcome.taints, nodes[i].view.revision == nodes[i].revision {
      nodes[i].taints = taints
      nodes[i].revision += 1
    }
    guard nodes[i].view.taints.contains(where: { $0.effect == "NoExecute" }) else { return }
    for p in pods.indices where pods[p].node == i && pods[p].evicted == nil {
      let tolerations: [Value] =
        ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"].map { key in
          var toleration: Value = ["key": .string(key), "operator": "Exists", "effect": "NoExecute"]
          if let seconds = pods[p].seconds { toleration["tolerationSeconds"] = .int(seconds) }
          return toleration
        }
      let deadline = TaintEviction.deadline(
        pod("p", spec: ["tolerations": .array(tolerations)]), taints: nodes[i].view.taints, now: now)
      guard let deadline, deadline <= now else { continue }
      pods[p].evicted = now
      // That it is well again takes up to 40 s to be seen: its next word, the news of it, the controller's turn.
      let isWell = nodes[i].isSpeaking && nodes[i].isReady && now - nodes[i].changed > 40
      if let seconds = pods[p].seconds, !isWell, now - nodes[i].failedAt >= seconds { continue }
      faults.append("a pod of n\(i) that bears \(pods[p].seconds ?? -1) s was driven out after \(now - nodes[i].failedAt)")
    }
  }

  /// What the controller has put on nodes.
  var taints: [String] { nodes.flatMap { $0.taints.map { "\($0.key):\($0.effect)" } } }
}

@Suite("the life of nodes in simulation")
struct NodeLifeTests {
  @Test(
    "a few that fall silent, fail and come back: pods go when their time is up and not before, and all marks go again",
    arguments: 0..<80)
  func some(seed: Int) {
    var fleet = Fleet(seed: UInt64(seed), nodes: 7)
    fleet.pass(60)
    for _ in 0..<3 {
      let (a, b) = (Int.random(in: 0..<3, using: &fleet.random), Int.random(in: 3..<6, using: &fleet.random))
      fleet.set(a, speaking: false)
      fleet.set(b, speaking: true, ready: false)
      fleet.pass(Int64.random(in: 70...500, using: &fleet.random))
      fleet.set(a, speaking: true)
      fleet.set(b, speaking: true)
      fleet.pass(90)
    }
    #expect(fleet.faults == [], "seed \(seed)")
    #expect(fleet.taints == [], "seed \(seed)")
    #expect(fleet.nodes.allSatisfy { $0.ready == "True" }, "seed \(seed)")
  }

  @Test("one that stays silent is unreachable within the minute, and loses the pods that do not bear it", arguments: 0..<60)
  func one(seed: Int) {
    var fleet = Fleet(seed: UInt64(seed) + 10_000, nodes: 5)
    fleet.pass(30)
    fleet.set(2, speaking: false)
    fleet.pass(65)
    #expect(fleet.nodes[2].ready == "Unknown", "seed \(seed)")
    #expect(
      Set(fleet.taints) == ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"], "seed \(seed)"
    )
    fleet.pass(400)
    #expect(
      fleet.pods.filter { $0.node == 2 }.map { $0.evicted == nil } == fleet.pods.filter { $0.node == 2 }.map { $0.seconds == nil })
    #expect(fleet.pods.allSatisfy { $0.node == 2 || $0.evicted == nil } && fleet.faults == [], "seed \(seed)")
  }

  @Test("when all fall silent at once nobody is driven out, and when they come back nothing is left of it", arguments: 0..<80)
  func all(seed: Int) {
    var fleet = Fleet(seed: UInt64(seed) + 20_000, nodes: 6)
    fleet.pass(30)
    for i in fleet.nodes.indices { fleet.set(i, speaking: false) }
    fleet.pass(900)
    #expect(fleet.pods.allSatisfy { $0.evicted == nil }, "seed \(seed)")
    for i in fleet.nodes.indices { fleet.set(i, speaking: true) }
    fleet.pass(90)
    #expect(fleet.taints == [] && fleet.pods.allSatisfy { $0.evicted == nil } && fleet.faults == [], "seed \(seed)")
  }
}

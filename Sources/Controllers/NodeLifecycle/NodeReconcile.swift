import Client
import Wire

/// One node: what its health says about its condition and its taints. Pure.
package struct NodeReconcile {
  package var node: NodeView
  /// When the node last said anything, seconds since 1970: its lease, or a heartbeat of its status.
  package var lastSeen: Int64
  package var now: Int64
  package var eviction = Eviction.normal

  package init(node: NodeView, lastSeen: Int64, now: Int64, eviction: Eviction = .normal) {
    self.node = node
    self.lastSeen = lastSeen
    self.now = now
    self.eviction = eviction
  }

  /// Seconds of silence after which a node counts as unreachable.
  package static let gracePeriod: Int64 = 40

  /// Whether nodes that are not ready are to lose their pods. When all of them, or most, fail at once, the fault is more likely with
  /// those who look at them, and driving pods out would turn it into an outage.
  /// - Source: Kubernetes "Nodes: rate limits on eviction".
  package enum Eviction: Sendable, Equatable {
    case normal
    /// Most nodes are not ready: nobody else is driven out, those who are stay marked.
    case held
    /// No node is ready: nobody is driven out.
    case off

    /// - Parameters: nodes by what their Ready condition says.
    package init(ready: Int, notReady: Int) {
      if ready == 0 && notReady > 0 {
        self = .off
      } else if notReady > 2 && Double(notReady) / Double(notReady + ready) >= 0.55 && ready + notReady <= 50 {
        self = .held
      } else {
        self = .normal
      }
    }

    package init(_ nodes: [NodeView]) {
      let ready = nodes.count { $0.condition("Ready") == "True" }
      self.init(ready: ready, notReady: nodes.count - ready)
    }
  }

  package static let notReady = "node.kubernetes.io/not-ready"
  package static let unreachable = "node.kubernetes.io/unreachable"
  package static let unschedulable = "node.kubernetes.io/unschedulable"
  /// Conditions that become taints: type, the status that does it, the taint.
  package static let pressures = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"), ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"), ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
  ]

  package struct Outcome {
    /// A status patch that says the node has fallen silent.
    package var status: Value?
    /// It was ready until now.
    package var isNews = false
    /// nil: the taints are right.
    package var taints: [NodeView.Taint]?
    /// Seconds until the node counts as silent, if nothing comes.
    package var checkAgain: Int64?
  }

  package func decide() -> Outcome {
    var outcome = Outcome()
    let silence = now - lastSeen
    let isSilent = silence >= Self.gracePeriod
    // A node that has just been made has said nothing yet: nothing is placed on it, and nothing driven out.
    var ready = node.condition("Ready") ?? "Unready"
    if isSilent {
      if ready != "Unknown" || node.condition("Ready") == nil { outcome.status = silentStatus() }
      outcome.isNews = ready == "True"
      ready = "Unknown"
    } else {
      outcome.checkAgain = Self.gracePeriod - silence
    }
    let taints = wantedTaints(ready: ready)
    if taints.map({ [$0.key, $0.effect] }) != node.taints.map({ [$0.key, $0.effect] }) { outcome.taints = taints }
    return outcome
  }

  private func wantedTaints(ready: String) -> [NodeView.Taint] {
    var wanted: [(key: String, effect: String)] = []
    switch ready {
    case "True": break
    case "Unready": wanted.append((Self.notReady, "NoSchedule"))
    case "False": wanted += drivingOut(Self.notReady)
    default: wanted += drivingOut(Self.unreachable)
    }
    for (condition, taint) in Self.pressures where node.condition(condition) == "True" { wanted.append((taint, "NoSchedule")) }
    if node.isUnschedulable { wanted.append((Self.unschedulable, "NoSchedule")) }
    let managed = Set([Self.notReady, Self.unreachable, Self.unschedulable] + Self.pressures.map(\.1))
    var taints = node.taints.filter { taint in
      !managed.contains(taint.key) || wanted.contains { $0.key == taint.key && $0.effect == taint.effect }
    }
    for item in wanted where !taints.contains(where: { $0.key == item.key && $0.effect == item.effect }) {
      taints.append(.init(key: item.key, value: "", effect: item.effect, added: Timestamp(seconds: now).description))
    }
    return taints
  }

  private func drivingOut(_ key: String) -> [(key: String, effect: String)] {
    let drivesOut =
      switch eviction {
      case .normal: true
      case .held: node.taints.contains { $0.key == key && $0.effect == "NoExecute" }
      case .off: false
      }
    return drivesOut ? [(key, "NoSchedule"), (key, "NoExecute")] : [(key, "NoSchedule")]
  }

  private func silentStatus() -> Value {
    let instant = Timestamp(seconds: now).description
    let types = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"]
    let conditions = types.compactMap { type -> Value? in
      let old = node.condition(type)
      if old == "Unknown" { return nil }
      var condition: Value = ["type": .string(type), "status": "Unknown"]
      // Nobody has spoken yet: as upstream, its making counts as its word.
      if old == nil { condition["lastHeartbeatTime"] = .string(Timestamp(seconds: node.meta.created).description) }
      condition["lastTransitionTime"] = .string(instant)
      condition["reason"] = old == nil ? "NodeStatusNeverUpdated" : "NodeStatusUnknown"
      condition["message"] = old == nil ? "Kubelet never posted node status." : "Kubelet stopped posting node status."
      return condition
    }
    return ["status": ["conditions": .array(conditions)]]
  }
}

/// Whose pods are to be marked as not ready: of each node that falls silent once, and again only where that failed. A node that lives all
/// the same (its clock stood still, its leases went astray) says how its pods are, and must not be contradicted for ever. Pure.
package struct SilencedNodes: Sendable {
  private var unmarked: Set<String> = []

  package init() {}

  /// - Parameters:
  ///   - ready: the node's condition as it is seen.
  ///   - isFirst: this process sees it for the first time.
  ///   - falls: it is found silent now.
  package mutating func marksPods(of node: String, ready: String?, isFirst: Bool, falls: Bool) -> Bool {
    if falls, ready != nil { unmarked.insert(node) }
    // Whoever was before may have been cut off between the two.
    if isFirst, ready == "Unknown" { unmarked.insert(node) }
    if !falls, ready != "Unknown" { unmarked.remove(node) }
    return unmarked.contains(node)
  }

  package mutating func marked(_ node: String) { unmarked.remove(node) }
}

/// Which pods of a node its `NoExecute` taints drive out, and when. Pure.
package struct TaintEviction {
  /// - Parameter started: since when anybody has looked. A taint that is older counts from then, so that a server that was away for
  ///   an hour does not drive pods out before their nodes had a chance to speak.
  /// - Returns: seconds since 1970 at which the pod must go; nil: it may stay.
  package static func deadline(_ pod: PodView, taints: [NodeView.Taint], started: Int64 = 0, now: Int64) -> Int64? {
    var deadline: Int64?
    for taint in taints where taint.effect == "NoExecute" {
      let tolerations = pod.tolerations.filter { tolerates($0, taint) }
      guard !tolerations.isEmpty else { return 0 }
      // The shortest of those that end counts; one without an end tolerates for good only where no other has one.
      guard let seconds = tolerations.compactMap(\.seconds).min() else { continue }
      let since = max(started, Timestamp(taint.added)?.seconds ?? now)
      deadline = min(deadline ?? .max, since + max(0, min(seconds, 1 << 40)))
    }
    return deadline
  }

  private static func tolerates(_ toleration: PodView.Toleration, _ taint: NodeView.Taint) -> Bool {
    if !toleration.effect.isEmpty && toleration.effect != taint.effect { return false }
    if toleration.key.isEmpty { return toleration.isExists }
    return toleration.key == taint.key && (toleration.isExists || toleration.value == taint.value)
  }
}

/// Gives every node a block of pod addresses out of the cluster's. Pure.
package struct PodCIDRAllocator {
  /// The cluster's IPv4 block: first address and prefix.
  package let base: UInt32
  package let prefix: Int
  /// Every node gets a block of this prefix.
  package static let nodePrefix = 24

  package init?(_ text: String) {
    let parts = text.split(separator: "/")
    let octets = parts.first?.split(separator: ".").compactMap { UInt32($0) } ?? []
    guard parts.count == 2, octets.count == 4, octets.allSatisfy({ $0 < 256 }), let prefix = Int(parts[1]),
      (8...Self.nodePrefix).contains(prefix)
    else { return nil }
    self.prefix = prefix
    base = octets.reduce(0) { $0 << 8 | $1 } & ~UInt32(0) << UInt32(32 - prefix)
  }

  /// - Parameter used: blocks of other nodes.
  /// - Returns: the lowest block that is free; nil where the cluster's block is used up.
  package func next(used: Set<String>) -> String? {
    for i in 0..<(UInt32(1) << UInt32(Self.nodePrefix - prefix)) {
      let block = base | i << 8
      let text = "\(block >> 24).\(block >> 16 & 255).\(block >> 8 & 255).0/\(Self.nodePrefix)"
      if !used.contains(text) { return text }
    }
    return nil
  }
}

import Client
import Wire

/// One node: what its health says about its condition and its taints. Pure.
struct NodeReconcile {
  var node: NodeView
  /// When the node last said anything, seconds since 1970: its lease, or a heartbeat of its status.
  var lastSeen: Int64
  var now: Int64

  /// Seconds of silence after which a node counts as unreachable.
  static let gracePeriod: Int64 = 50

  static let notReady = "node.kubernetes.io/not-ready"
  static let unreachable = "node.kubernetes.io/unreachable"
  static let unschedulable = "node.kubernetes.io/unschedulable"
  /// Conditions that become taints: type, the status that does it, the taint.
  static let pressures = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"), ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"), ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
  ]

  struct Outcome {
    /// A status patch that says the node has fallen silent.
    var status: Value?
    /// nil: the taints are right.
    var taints: [NodeView.Taint]?
    /// Seconds until the node counts as silent, if nothing comes.
    var checkAgain: Int64?
  }

  func decide() -> Outcome {
    var outcome = Outcome()
    let silence = now - lastSeen
    let isSilent = silence >= Self.gracePeriod
    // A node that has just been made has said nothing yet: nothing is placed on it, and nothing driven out.
    var ready = node.condition("Ready") ?? "Unready"
    if isSilent {
      if ready != "Unknown" || node.condition("Ready") == nil { outcome.status = silentStatus() }
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
    case "False": wanted += [(Self.notReady, "NoSchedule"), (Self.notReady, "NoExecute")]
    default: wanted += [(Self.unreachable, "NoSchedule"), (Self.unreachable, "NoExecute")]
    }
    for (condition, taint) in Self.pressures where node.condition(condition) == "True" { wanted.append((taint, "NoSchedule")) }
    if node.isUnschedulable { wanted.append((Self.unschedulable, "NoSchedule")) }
    let managed = Set([Self.notReady, Self.unreachable, Self.unschedulable] + Self.pressures.map(\.1))
    var taints = node.taints.filter { taint in
      !managed.contains(taint.key) || wanted.contains { $0.key == taint.key && $0.effect == taint.effect }
    }
    for item in wanted where !taints.contains(where: { $0.key == item.key && $0.effect == item.effect }) {
      taints.append(.init(key: item.key, value: "", effect: item.effect, added: RFC3339.text(now)))
    }
    return taints
  }

  private func silentStatus() -> Value {
    let instant = RFC3339.text(now)
    let types = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"]
    let conditions = types.map { type -> Value in
      let isNew = node.condition(type) == nil
      return [
        "type": .string(type), "status": "Unknown", "reason": .string(isNew ? "NodeStatusNeverUpdated" : "NodeStatusUnknown"),
        "message": .string(isNew ? "Kubelet never posted node status." : "Kubelet stopped posting node status."),
        "lastTransitionTime": .string(instant),
      ]
    }
    return ["status": ["conditions": .array(conditions)]]
  }
}

/// Which pods of a node its `NoExecute` taints drive out, and when. Pure.
struct TaintEviction {
  /// - Returns: seconds since 1970 at which the pod must go; nil: it may stay.
  static func deadline(_ pod: PodView, taints: [NodeView.Taint], now: Int64) -> Int64? {
    var deadline: Int64?
    for taint in taints where taint.effect == "NoExecute" {
      let tolerations = pod.tolerations.filter { tolerates($0, taint) }
      guard !tolerations.isEmpty else { return 0 }
      // The shortest of those that end counts; one without an end tolerates for good only where no other has one.
      guard let seconds = tolerations.compactMap(\.seconds).min() else { continue }
      let since = RFC3339.seconds(taint.added) ?? now
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
  let base: UInt32
  let prefix: Int
  /// Every node gets a block of this prefix.
  static let nodePrefix = 24

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

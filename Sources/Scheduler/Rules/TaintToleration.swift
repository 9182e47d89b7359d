/// A node with a taint that the pod does not tolerate: `NoSchedule` and `NoExecute` refuse, `PreferNoSchedule` costs score.
enum TaintToleration: SchedulingRule {
  static let weight: Int32 = 3

  static func applies(to shape: PodShape) -> Bool { true }

  static func refusal(of shape: PodShape, on node: NodeFacts) -> String? {
    guard !node.taints.isEmpty else { return nil }
    let isTolerated = node.taints.allSatisfy { taint in !taint.refuses || shape.tolerations.contains { $0.tolerates(taint) } }
    return isTolerated ? nil : "node(s) had untolerated taint(s)"
  }

  /// - Returns: 0…100. Upstream scales by the worst node; a fixed scale keeps a node's score independent of the others.
  static func score(_ shape: PodShape, _ node: NodeFacts) -> Int32 {
    guard !node.taints.isEmpty else { return 100 }
    let untolerated = node.taints.filter { taint in !taint.refuses && !shape.tolerations.contains { $0.tolerates(taint) } }
    return 100 / Int32(clamping: 1 + untolerated.count)
  }
}

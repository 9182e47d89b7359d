/// A cordoned node takes no new pod, unless the pod tolerates the taint that stands for it (pods of DaemonSets do).
enum Unschedulable: SchedulingRule {
  static let taint = Taint(key: "node.kubernetes.io/unschedulable", effect: .noSchedule)

  static func applies(to shape: PodShape) -> Bool { !shape.tolerations.contains { $0.tolerates(taint) } }

  static func refusal(of shape: PodShape, on node: NodeFacts) -> String? {
    node.isUnschedulable ? "node(s) were unschedulable" : nil
  }
}

/// A reason why a node may not take a pod: does it apply to this pod, does this node pass, and what a refusal means in words.
///
/// Fixed rules read nothing but the node's own facts; an equivalence class asks them once per node and again when the node changes.
protocol SchedulingRule: Sendable {
  static func applies(to shape: PodShape) -> Bool
  /// - Returns: nil where the node passes, else what the pod's condition says about such nodes.
  static func refusal(of shape: PodShape, on node: NodeFacts) -> String?
}

/// In the order in which a refusal is reported: a node counts for the first rule that refuses it.
let fixedRules: [any SchedulingRule.Type] = [Unschedulable.self, TaintToleration.self, NodeAffinity.self]

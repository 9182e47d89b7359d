import Client
import Controllers
import Testing
import Wire

@Suite("one Node")
struct NodeTests {
  private func node(ready: String?, taints: [Value] = [], unschedulable: Bool = false, disk: String = "False") -> NodeView {
    var conditions: [Value] = [["type": "DiskPressure", "status": .string(disk)]]
    if let ready { conditions.append(["type": "Ready", "status": .string(ready)]) }
    return NodeView(
      stored(
        "n1",
        ["spec": ["taints": .array(taints), "unschedulable": .bool(unschedulable)], "status": ["conditions": .array(conditions)]]))
  }

  private func taints(_ outcome: NodeReconcile.Outcome) -> [String]? {
    outcome.taints?.map { "\($0.key.split(separator: "/")[1]):\($0.effect)" }
  }

  @Test("a node that speaks is left alone, and looked at again when it should have spoken")
  func healthy() {
    let outcome = NodeReconcile(node: node(ready: "True"), lastSeen: noon - 10, now: noon).decide()
    #expect(outcome.status == nil && outcome.taints == nil && outcome.checkAgain == NodeReconcile.gracePeriod - 10)
  }

  @Test("silence makes it unknown and unreachable; its own word, not ready; its condition, a taint")
  func taints() {
    let silent = NodeReconcile(node: node(ready: "True"), lastSeen: noon - 60, now: noon).decide()
    let conditions = silent.status?["status"]["conditions"].array ?? []
    #expect(
      conditions.allSatisfy { $0["status"] == "Unknown" } && conditions.first?["message"] == "Kubelet stopped posting node status.")
    #expect(conditions.first { $0["type"] == "MemoryPressure" }?["reason"] == "NodeStatusNeverUpdated")
    #expect(taints(silent) == ["unreachable:NoSchedule", "unreachable:NoExecute"])
    #expect(
      taints(NodeReconcile(node: node(ready: "False"), lastSeen: noon, now: noon).decide()) == [
        "not-ready:NoSchedule", "not-ready:NoExecute",
      ])
    #expect(taints(NodeReconcile(node: node(ready: nil), lastSeen: noon, now: noon).decide()) == ["not-ready:NoSchedule"])
    let busy = NodeReconcile(node: node(ready: "True", unschedulable: true, disk: "True"), lastSeen: noon, now: noon).decide()
    #expect(taints(busy) == ["disk-pressure:NoSchedule", "unschedulable:NoSchedule"])
  }

  @Test("what is made up about a node that never spoke has its making as heartbeat; what is unknown already stays as it is")
  func neverReported() throws {
    let fresh = NodeReconcile(node: node(ready: nil), lastSeen: noon - 60, now: noon).decide()
    let conditions = try #require(fresh.status?["status"]["conditions"].array)
    let made = Value.string(Timestamp(seconds: noon - 3600).description)
    #expect(conditions.map { $0["type"] } == ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"])
    for condition in conditions where condition["type"] != "DiskPressure" {
      #expect(condition["lastHeartbeatTime"] == made && condition["reason"] == "NodeStatusNeverUpdated")
    }
    // The node said that itself: its own heartbeat stands.
    #expect(conditions[2]["lastHeartbeatTime"].isNull && conditions[2]["reason"] == "NodeStatusUnknown")
    #expect(!fresh.isNews)
    let silent = NodeReconcile(node: node(ready: "True", disk: "Unknown"), lastSeen: noon - 60, now: noon).decide()
    #expect(silent.isNews)
    #expect(silent.status?["status"]["conditions"].array?.map { $0["type"] } == ["Ready", "MemoryPressure", "PIDPressure"])
    #expect(!NodeReconcile(node: node(ready: "False"), lastSeen: noon - 60, now: noon).decide().isNews)
  }

  @Test("pods of a node that falls silent are marked once, again where that failed, and never against a node that speaks")
  func marking() {
    var nodes = SilencedNodes()
    func marks(_ ready: String?, first: Bool = false, falls: Bool = false) -> Bool {
      nodes.marksPods(of: "n1", ready: ready, isFirst: first, falls: falls)
    }
    #expect(!marks("True", first: true))
    #expect(marks("True", falls: true))
    #expect(marks("Unknown"), "it failed: again")
    nodes.marked("n1")
    // The agent contradicts; the condition takes its time.
    for _ in 0..<5 { #expect(!marks("Unknown")) }
    #expect(!marks("True") && marks("True", falls: true), "the next time counts again")
    #expect(!marks("True"), "it speaks: what failed is over")
    var restarted = SilencedNodes()
    let isMarked = restarted.marksPods(of: "n1", ready: "Unknown", isFirst: true, falls: false)
    #expect(isMarked)
    let isNewMarked = nodes.marksPods(of: "new", ready: nil, isFirst: true, falls: true)
    #expect(!isNewMarked, "it never ran anything")
  }

  @Test("when it is well again its taints go, those of others stay")
  func recovered() {
    let old: [Value] = [
      ["key": "node.kubernetes.io/unreachable", "effect": "NoExecute"],
      ["key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"],
      ["key": "mine.org/gpu", "effect": "NoSchedule", "value": "yes"],
    ]
    #expect(taints(NodeReconcile(node: node(ready: "True", taints: old), lastSeen: noon, now: noon).decide()) == ["gpu:NoSchedule"])
  }

  @Test("when every node is silent nobody is driven out; when most are, nobody else")
  func disruption() {
    #expect(NodeReconcile.Eviction(ready: 0, notReady: 1) == .off && NodeReconcile.Eviction(ready: 2, notReady: 3) == .held)
    #expect(NodeReconcile.Eviction(ready: 1, notReady: 2) == .normal && NodeReconcile.Eviction(ready: 40, notReady: 60) == .normal)
    let silent = node(ready: "Unknown", taints: [["key": "node.kubernetes.io/unreachable", "effect": "NoExecute"]])
    let off = NodeReconcile(node: silent, lastSeen: noon - 60, now: noon, eviction: .off).decide()
    #expect(taints(off) == ["unreachable:NoSchedule"])
    let held = NodeReconcile(node: silent, lastSeen: noon - 60, now: noon, eviction: .held).decide()
    #expect(taints(held) == ["unreachable:NoExecute", "unreachable:NoSchedule"])
    let other = NodeReconcile(node: node(ready: "Unknown"), lastSeen: noon - 60, now: noon, eviction: .held).decide()
    #expect(taints(other) == ["unreachable:NoSchedule"])
  }

  @Test("a taint drives out who does not bear it, at the end of what he bears")
  func eviction() {
    let taint = NodeView(
      stored(
        "n1",
        [
          "spec": [
            "taints": [["key": "k", "effect": "NoExecute", "timeAdded": .string(Timestamp(seconds: noon - 100).description)]]
          ]
        ])
    ).taints
    func deadline(_ tolerations: Value, started: Int64 = 0) -> Int64? {
      TaintEviction.deadline(pod("a", spec: ["tolerations": tolerations]), taints: taint, started: started, now: noon)
    }
    #expect(deadline([]) == 0)
    #expect(deadline([["key": "k", "operator": "Exists"]]) == nil)
    #expect(deadline([["operator": "Exists"]]) == nil)
    #expect(deadline([["key": "k", "operator": "Exists", "effect": "NoSchedule"]]) == 0)
    #expect(deadline([["key": "k", "operator": "Exists", "tolerationSeconds": 300]]) == noon + 200)
    #expect(deadline([["key": "k", "operator": "Exists", "tolerationSeconds": 300]], started: noon - 5) == noon + 295)
    #expect(deadline([["key": "k", "value": "other", "effect": "NoExecute"]]) == 0)
  }
}

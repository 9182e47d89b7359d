import Client
import Controllers
import Testing
import Wire

@Suite("PodDisruptionBudgets") struct DisruptionTests {
  private func budget(_ spec: Value, disrupted: Value = [:]) -> DisruptionBudgetView {
    var spec = spec
    spec["selector"] = ["matchLabels": ["app": "web"]]
    return DisruptionBudgetView(stored("b", ["spec": spec, "status": ["disruptedPods": disrupted]]))
  }

  private func pods(ready: Int, waiting: Int = 0, owner: String? = "set") -> [PodView] {
    let reference = owner.map { uid in
      ["apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "set", "uid": .string(uid), "controller": true] as Value
    }
    return (0..<ready).map { pod("r\($0)", owner: reference) }
      + (0..<waiting).map { pod("w\($0)", readySince: nil, owner: reference) }
  }

  @Test(
    "what may go is what is healthy beyond what is wanted",
    arguments: [
      (["minAvailable": 2], 3, 0, 3, 2, 1), (["minAvailable": 3], 3, 0, 3, 3, 0), (["minAvailable": 4], 3, 0, 3, 4, 0),
      (["minAvailable": "50%"], 5, 0, 5, 3, 2), (["maxUnavailable": 1], 3, 0, 3, 2, 1), (["maxUnavailable": 1], 2, 1, 3, 2, 0),
      (["maxUnavailable": "30%"], 10, 0, 10, 7, 3), (["maxUnavailable": 5], 3, 0, 3, 0, 3), (["minAvailable": 0], 0, 0, 0, 0, 0),
    ] as [(Value, Int, Int, Int64, Int64, Int64)])
  func numbers(spec: Value, ready: Int, waiting: Int, expected: Int64, desired: Int64, allowed: Int64) {
    let status = DisruptionReconcile.status(
      of: budget(spec), pods: pods(ready: ready, waiting: waiting), scales: ["set": Int64(ready + waiting)], now: noon
    ).status
    #expect(status.expectedPods == expected && status.desiredHealthy == desired && status.disruptionsAllowed == allowed)
    #expect(status.currentHealthy == Int64(ready) && status.isTold == (allowed > 0))
  }

  @Test("a controller's size counts, not the pods it happens to have")
  func scale() {
    let status = DisruptionReconcile.status(
      of: budget(["maxUnavailable": 1]), pods: pods(ready: 2), scales: ["set": 4], now: noon
    ).status
    #expect(status.expectedPods == 4 && status.desiredHealthy == 3 && status.disruptionsAllowed == 0)
  }

  @Test("a granted eviction counts against the budget until its pod is gone, or two minutes are over")
  func granted() {
    let instant = Value.string(Timestamp(seconds: noon - 30).description)
    let view = budget(["minAvailable": 1], disrupted: ["r0": instant, "gone": instant])
    let (status, again) = DisruptionReconcile.status(of: view, pods: pods(ready: 3), scales: ["set": 3], now: noon)
    #expect(status.currentHealthy == 2 && status.disruptionsAllowed == 1)
    #expect(status.disruptedPods.keys.sorted() == ["r0"] && again == 90)
    let patch = DisruptionReconcile.patch(view, status, now: noon)
    #expect(patch["status"]["disruptedPods"] == ["gone": .null] && patch["metadata"]["resourceVersion"] == "7")
    #expect(patch["status"]["conditions"][0]["reason"] == "SufficientPods")
    let later = DisruptionReconcile.status(of: view, pods: pods(ready: 3), scales: ["set": 3], now: noon + 90)
    #expect(later.status.currentHealthy == 3 && later.lookAgain == nil)
  }

  @Test("an aggregated role gathers the rules of those it selects, by name and each once")
  func aggregation() {
    let selector = LabelSelector(labels: ["aggregate-to-view": "true"])
    let read: Value = ["verbs": ["get"]]
    let list: Value = ["verbs": ["list"]]
    let view = ClusterRoleAggregation.RoleView(name: "view", rules: [list], selectors: [selector])
    let all = [
      view, .init(name: "b", labels: ["aggregate-to-view": "true"], rules: [list, read]),
      .init(name: "a", labels: ["aggregate-to-view": "true"], rules: [read]), .init(name: "c", rules: [["verbs": ["delete"]]]),
    ]
    #expect(ClusterRoleAggregation.gathered(view, all) == [read, list])
    #expect(ClusterRoleAggregation.gathered(all[3], all) == [["verbs": ["delete"]]])
  }
}

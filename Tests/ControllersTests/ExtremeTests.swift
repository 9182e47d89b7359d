import Client
import Controllers
import Testing
import Wire

private let extremes: [Int64] = [.min, .min + 1, -1, 0, 1, Int64(Int32.max), Int64(Int32.max) + 1, .max - 1, .max]
private let percents = ["0%", "100%", "2147483648%", "9223372036854775807%", "99999999999999999999%", "-1%", "%", "x%"]

/// Numbers that somebody wrote into an object, whatever they are, must neither end the process nor keep it busy.
@Suite("absurd numbers in objects")
struct ExtremeTests {
  private func sized(_ number: Int64) -> Value {
    [
      "deployment.kubernetes.io/desired-replicas": .string("\(number)"),
      "deployment.kubernetes.io/max-replicas": .string("\(number)"),
      "deployment.kubernetes.io/revision": .string("\(number)"),
    ]
  }

  /// Sizes are what the API accepts, whatever was reckoned.
  private func check(_ actions: [Action], _ about: String) {
    for (name, size) in actions.sizes { #expect((0...Int64(Int32.max)).contains(size), "\(name) of \(about)") }
    for set in actions.created { #expect((0...Int64(Int32.max)).contains(set["spec"]["replicas"].int ?? -1), "\(about)") }
  }

  @Test("a deployment and its sets", arguments: extremes)
  func deployments(number: Int64) {
    for other in extremes {
      var sets = [
        replicaSet("old", replicas: other, annotations: sized(number), created: noon - 100),
        replicaSet("new", replicas: number, status: other, image: "web:2", annotations: sized(other), minReadySeconds: number),
      ]
      let status: Value = [
        "replicas": .int(number), "updatedReplicas": .int(other), "collisionCount": .int(number), "observedGeneration": .int(other),
        "conditions": [
          [
            "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated",
            "lastUpdateTime": .string(Timestamp(seconds: noon - 61).description),
          ]
        ],
      ]
      for type in ["RollingUpdate", "Recreate"] {
        for paused in [false, true] {
          let web = deployment(
            replicas: other, surge: .int(number), unavailable: .int(other), image: "web:2",
            spec: [
              "minReadySeconds": .int(number), "revisionHistoryLimit": .int(number), "progressDeadlineSeconds": .int(other),
              "paused": .bool(paused),
            ], status: status, type: type)
          var round = DeploymentReconcile(web, sets: sets, unfinishedPods: [:], now: noon)
          check(round.decide(), "\(number) and \(other)")
        }
      }
      sets.removeLast()
      var round = DeploymentReconcile(deployment(replicas: 1, image: "web:2"), sets: sets, unfinishedPods: [:], now: noon)
      check(round.decide(), "\(number) and \(other), without the new set")
    }
  }

  @Test("the highest revision there is stays the highest, and no round writes it twice")
  func revision() throws {
    let sets = [
      replicaSet("old", replicas: 0, annotations: sized(.max), created: noon - 100),
      replicaSet("new", replicas: 1, image: "web:2", annotations: sized(.max)),
    ]
    let web = deployment(
      replicas: 1, image: "web:2", annotations: ["deployment.kubernetes.io/revision": .string("\(Int64.max)")])
    var round = DeploymentReconcile(web, sets: sets, unfinishedPods: [:], now: noon)
    var revisions: [Value] = []
    for case .write(.patch(_, _, _, let patch)) in round.decide() {
      revisions.append(patch.body["metadata"]["annotations"]["deployment.kubernetes.io/revision"])
    }
    let isWritten = revisions.contains { !$0.isNull }
    #expect(!isWritten)
  }

  @Test("percents", arguments: percents)
  func amounts(percent: String) {
    for replicas in extremes {
      let web = deployment(replicas: replicas, surge: .string(percent), unavailable: .string(percent))
      let limits = web.limits
      #expect((0...Int64(Int32.max)).contains(limits.surge) && (0...Int64(Int32.max)).contains(limits.unavailable), "\(replicas)")
      var round = DeploymentReconcile(
        web, sets: [replicaSet("a", replicas: 3, annotations: sized(1)), replicaSet("b", replicas: 2, image: "web:2")],
        unfinishedPods: [:], now: noon)
      check(round.decide(), "\(percent) of \(replicas)")
    }
    // What is too large is as much as there can be, not the default.
    if percent.count > 10 {
      #expect(deployment(replicas: 10, surge: .string(percent)).limits.surge == 10 * Int64(Int32.max) / 100 + 1)
    }
  }

  @Test("a set and its pods", arguments: extremes)
  func replicaSets(number: Int64) {
    for other in extremes {
      let set = replicaSet("s", replicas: number, status: other, minReadySeconds: other)
      let pods = (0..<3).map { pod("p\($0)", restarts: number, cost: "\(other)") }
      let outcome = ReplicaSetReconcile(set: set, owned: pods, now: noon).decide()
      #expect(outcome.creates <= ReplicaSetReconcile.burst && outcome.deletes.count <= 3)
    }
  }

  @Test("disruption budgets and evictions", arguments: extremes)
  func budgets(number: Int64) {
    for other in extremes {
      for field in ["minAvailable", "maxUnavailable"] {
        let budget = DisruptionBudgetView(
          stored(
            "b", ["spec": ["selector": [:], field: .int(number)], "status": ["disruptionsAllowed": .int(other)]]))
        let set: Value = ["kind": "ReplicaSet", "name": "s", "uid": "s", "controller": true]
        let status = DisruptionReconcile.status(of: budget, pods: [pod("a", owner: set)], scales: ["s": 3], now: noon).status
        #expect(status.disruptionsAllowed <= 1)
      }
      let toleration: Value = ["key": "k", "operator": "Exists", "tolerationSeconds": .int(number)]
      let node = NodeView(
        stored(
          "n",
          ["spec": ["taints": [["key": "k", "effect": "NoExecute", "timeAdded": .string(Timestamp(seconds: noon).description)]]]]))
      #expect(TaintEviction.deadline(pod("a", spec: ["tolerations": [toleration]]), taints: node.taints, now: noon) ?? 0 >= noon)
    }
  }
}

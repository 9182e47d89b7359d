import Client
import Controllers
import Testing
import Wire

@Suite("one Deployment")
struct DeploymentTests {
  private func decide(_ deployment: DeploymentView, _ sets: [ReplicaSetView], unfinished: [String: Int] = [:], now: Int64 = noon)
    -> [Action]
  {
    var round = DeploymentReconcile(deployment, sets: sets, unfinishedPods: unfinished, now: now)
    return round.decide()
  }

  private func sized(_ desired: Int64, _ maximum: Int64, revision: Int = 1) -> Value {
    [
      "deployment.kubernetes.io/desired-replicas": .string("\(desired)"),
      "deployment.kubernetes.io/max-replicas": .string("\(maximum)"),
      "deployment.kubernetes.io/revision": .string("\(revision)"),
    ]
  }

  @Test(
    "surge rounds up, unavailable rounds down, both zero means one unavailable",
    arguments: [
      (10, "25%", "25%", 3, 2), (1, "25%", "25%", 1, 0), (3, 0, 0, 0, 1), (4, "0%", "10%", 0, 1), (5, 2, 10, 2, 5),
      (0, "50%", "50%", 0, 1),
    ] as [(Int64, Value, Value, Int64, Int64)])
  func limits(replicas: Int64, surge: Value, unavailable: Value, wantedSurge: Int64, wantedUnavailable: Int64) {
    let limits = deployment(replicas: replicas, surge: surge, unavailable: unavailable).limits
    #expect(limits.surge == wantedSurge && limits.unavailable == wantedUnavailable)
  }

  @Test("the first set is made whole, named after its template, and says so")
  func first() throws {
    let actions = decide(
      deployment(replicas: 3, annotations: ["note": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"]), [])
    let set = try #require(actions.created.first)
    let hash = try #require(set["metadata"]["labels"]["pod-template-hash"].string)
    #expect(set["metadata"]["name"] == .string("web-\(hash)") && set["spec"]["replicas"] == 3)
    #expect(set["spec"]["selector"]["matchLabels"]["pod-template-hash"] == .string(hash))
    #expect(set["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] == .string(hash))
    #expect(
      set["metadata"]["ownerReferences"][0]["uid"] == "uid-web" && set["metadata"]["ownerReferences"][0]["controller"] == true)
    let annotations = set["metadata"]["annotations"]
    #expect(annotations["deployment.kubernetes.io/revision"] == "1" && annotations["note"] == "x")
    #expect(
      annotations["deployment.kubernetes.io/max-replicas"] == "4"
        && annotations["kubectl.kubernetes.io/last-applied-configuration"].isNull)
    #expect(actions.notes == ["Scaled up replica set web-\(hash) from 0 to 3"])
    let progressing = actions.condition("Progressing")
    #expect(
      progressing["reason"] == "NewReplicaSetCreated"
        && progressing["message"] == .string("Created new replica set \"web-\(hash)\""))
    #expect(actions.condition("Available")["reason"] == "MinimumReplicasUnavailable")
    #expect(DeploymentReconcile.hash(["a": 1], collisions: 0) != DeploymentReconcile.hash(["a": 1], collisions: 1))
  }

  @Test("a new set grows by the surge; the old one shrinks by what may be unavailable")
  func steps() {
    let web = deployment(replicas: 10, image: "web:2")
    let old = replicaSet("old", replicas: 10, annotations: sized(10, 13))
    let grown = decide(web, [old, replicaSet("new", replicas: 0, image: "web:2", annotations: sized(10, 13, revision: 2))])
    #expect(grown.sizes == ["new": 3])
    let fresh = replicaSet("new", replicas: 3, available: 0, image: "web:2", annotations: sized(10, 13, revision: 2))
    #expect(decide(web, [old, fresh]).sizes == ["old": 8])
    let ready = replicaSet("new", replicas: 3, image: "web:2", annotations: sized(10, 13, revision: 2))
    #expect(decide(web, [old, ready]).sizes == ["old": 5])
    // Pods that do not run anyway go first, and cost no availability.
    let broken = replicaSet("old", replicas: 10, available: 8, annotations: sized(10, 13))
    #expect(decide(web, [broken, fresh]).sizes == ["old": 8])
    // Pods that the old set has not deleted yet take room.
    let shrinking = replicaSet("old", replicas: 5, status: 8, annotations: sized(10, 13))
    #expect(decide(web, [shrinking, ready]).sizes["new"] == 5)
  }

  @Test("a status that is older than the size does not let more go than may")
  func staleStatus() {
    let web = deployment(replicas: 6, surge: 2, unavailable: 1, image: "web:2")
    let old = replicaSet("old", replicas: 3, status: 6, available: 6, annotations: sized(6, 8))
    let new = replicaSet("new", replicas: 5, available: 3, image: "web:2", annotations: sized(6, 8, revision: 2))
    #expect(decide(web, [old, new]).sizes == ["old": 2])
  }

  @Test("scaling in the middle of a rollout is shared out by size, leftovers go to the largest")
  func proportional() {
    let sets = [
      replicaSet("old", replicas: 8, annotations: sized(10, 13), created: noon - 100),
      replicaSet("new", replicas: 5, available: 2, image: "web:2", annotations: sized(10, 13, revision: 2)),
    ]
    let up = decide(deployment(replicas: 20, surge: 3, unavailable: 2, image: "web:2"), sets)
    #expect(up.sizes == ["old": 14, "new": 9], "23 of 13, by 8 to 5")
    let down = decide(deployment(replicas: 5, surge: 3, unavailable: 2, image: "web:2"), sets)
    #expect(down.sizes.values.reduce(0, +) == 8)
    let none = decide(deployment(replicas: 0, surge: 3, unavailable: 2, image: "web:2"), sets)
    #expect(none.sizes == ["old": 0, "new": 0])
  }

  @Test("going back takes the old set, gives it the next revision and keeps the ones it had")
  func rollback() throws {
    let actions = decide(
      deployment(replicas: 2, image: "web:1"),
      [
        replicaSet("one", replicas: 0, annotations: sized(2, 3, revision: 1)),
        replicaSet("two", replicas: 2, image: "web:2", annotations: sized(2, 3, revision: 2)),
      ])
    guard case .write(.patch(.deployments, _, "status", let own))? = actions.first else {
      Issue.record("no revision of the deployment: \(actions)")
      return
    }
    #expect(own.body["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3")
    let patches = actions.compactMap {
      if case .write(.patch(.replicaSets, let key, nil, let patch)) = $0, key.name == "one" { patch.body } else { nil }
    }
    let annotations = try #require(patches.first)["metadata"]["annotations"]
    #expect(
      annotations["deployment.kubernetes.io/revision"] == "3" && annotations["deployment.kubernetes.io/revision-history"] == "1")
  }

  @Test("a finished rollout says so and keeps as much history as it is asked to")
  func complete() {
    let sets = (1...4).map { replicaSet("old\($0)", replicas: 0, image: "web:\($0 + 1)", annotations: sized(2, 3, revision: $0)) }
    let web = deployment(
      replicas: 2, spec: ["revisionHistoryLimit": 2], status: ["observedGeneration": 1],
      annotations: ["deployment.kubernetes.io/revision": "5"])
    let actions = decide(web, sets + [replicaSet("new", replicas: 2, annotations: sized(2, 3, revision: 5))])
    #expect(actions.deleted == ["old1", "old2"])
    #expect(actions.condition("Progressing")["reason"] == "NewReplicaSetAvailable")
    #expect(actions.condition("Progressing")["message"] == "ReplicaSet \"new\" has successfully progressed.")
    #expect(actions.condition("Available")["reason"] == "MinimumReplicasAvailable")
    #expect(actions.status["unavailableReplicas"].isNull && actions.status["availableReplicas"] == 2)
  }

  @Test("the condition that was written last stands last, as clients print them: Available, Progressing")
  func conditionOrder() throws {
    func types(_ actions: [Action]) -> [String] { actions.status["conditions"].array?.compactMap { $0["type"].string } ?? [] }
    let first = decide(deployment(replicas: 1), [])
    #expect(types(first) == ["Available", "Progressing"] || types(first) == ["Progressing", "Available"])
    var conditions = first.status["conditions"]
    // A pod comes up: both change in one round.
    let done = decide(
      deployment(replicas: 1, status: ["observedGeneration": 1, "conditions": conditions]),
      [replicaSet("new", replicas: 1, annotations: sized(1, 2))])
    #expect(types(done) == ["Available", "Progressing"])
    conditions = done.status["conditions"]
    let lost = decide(
      deployment(
        replicas: 1, unavailable: 0,
        status: ["observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "conditions": conditions]),
      [replicaSet("new", replicas: 1, available: 0, annotations: sized(1, 2))])
    #expect(types(lost) == ["Progressing", "Available"], "only availability changed")
  }

  @Test("a rollout that stands still for too long has failed; a failure of the new set is handed on")
  func deadline() {
    let condition: Value = [
      "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated",
      "lastUpdateTime": .string(Timestamp(seconds: noon - 61).description),
      "lastTransitionTime": .string(Timestamp(seconds: noon - 61).description),
    ]
    let status: Value = ["replicas": 2, "updatedReplicas": 2, "observedGeneration": 1, "conditions": [condition]]
    let set = replicaSet("new", replicas: 2, available: 0, annotations: sized(2, 3), failure: "no quota")
    let late = decide(deployment(replicas: 2, spec: ["progressDeadlineSeconds": 60], status: status), [set])
    #expect(
      late.condition("Progressing")["reason"] == "ProgressDeadlineExceeded" && late.condition("Progressing")["status"] == "False")
    #expect(late.condition("Progressing")["message"] == "ReplicaSet \"new\" has timed out progressing.")
    #expect(late.condition("ReplicaFailure")["message"] == "no quota")
    let patient = decide(deployment(replicas: 2, spec: ["progressDeadlineSeconds": 600], status: status), [set])
    #expect(patient.condition("Progressing")["reason"] == "ReplicaSetUpdated")
    #expect(patient.contains { if case .requeue(let seconds) = $0 { seconds > 500 && seconds < 600 } else { false } })
  }

  @Test("while paused nothing rolls, but scaling goes on")
  func paused() {
    let sets = [replicaSet("old", replicas: 3, annotations: sized(3, 4))]
    let actions = decide(deployment(replicas: 5, image: "web:2", spec: ["paused": true]), sets)
    #expect(actions.created.isEmpty && actions.sizes == ["old": 5])
    #expect(
      actions.condition("Progressing")["reason"] == "DeploymentPaused" && actions.condition("Progressing")["status"] == "Unknown")
  }

  @Test("Recreate waits for the last pod of the old set")
  func recreate() {
    let web = deployment(replicas: 2, image: "web:2", type: "Recreate")
    #expect(decide(web, [replicaSet("old", replicas: 2, annotations: sized(2, 2))]).sizes == ["old": 0])
    let empty = replicaSet("old", replicas: 0, annotations: sized(2, 2))
    #expect(decide(web, [empty], unfinished: ["uid-old": 1]).created.isEmpty)
    #expect(decide(web, [empty]).created.count == 1)
  }
}

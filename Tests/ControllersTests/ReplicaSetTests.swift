import Controllers
import Testing
import Wire

@Suite("one ReplicaSet")
struct ReplicaSetTests {
  private func decide(
    _ set: ReplicaSetView, _ pods: [PodView], orphans: [PodView] = [], _ expectations: Expectations = Expectations()
  ) -> ReplicaSetReconcile.Outcome {
    ReplicaSetReconcile(set: set, owned: pods, orphans: orphans, expectations: expectations, now: noon).decide()
  }

  @Test("creates what is missing; what is finished or going does not count")
  func creates() {
    let pods = [pod("a"), pod("b", phase: "Failed"), pod("c", deleting: true), pod("d", phase: "Pending", readySince: nil)]
    let outcome = decide(replicaSet("web", replicas: 5), pods)
    #expect(outcome.creates == 3 && outcome.deletes.isEmpty)
    #expect(outcome.status.replicas == 2 && outcome.status.ready == 1 && outcome.status.available == 1)
    #expect(decide(replicaSet("web", replicas: 5000), []).creates == ReplicaSetReconcile.burst)
  }

  @Test("does nothing twice: neither creates nor deletes while something is expected, and gives up on what never comes")
  func expectations() {
    var expectations = Expectations()
    expectations.creations = [.init(namespace: "default", name: "x")]
    expectations.since = noon - 10
    #expect(decide(replicaSet("web", replicas: 3), [], expectations).creates == 0)
    #expect(decide(replicaSet("web", replicas: 0), [pod("a")], expectations).deletes.isEmpty)
    expectations.since = noon - Expectations.patience - 1
    #expect(decide(replicaSet("web", replicas: 3), [], expectations).creates == 3)
  }

  @Test("adopts active pods that match and have nobody, releases those that stopped to match")
  func claims() {
    let stranger = pod("stranger", labels: ["app": "other"])
    let orphans = [pod("orphan"), pod("done", phase: "Succeeded"), pod("other", labels: ["app": "other"])]
    let outcome = decide(replicaSet("web", replicas: 2), [pod("mine"), stranger], orphans: orphans)
    #expect(outcome.adopts.map(\.meta.key.name) == ["orphan"])
    #expect(outcome.releases.map(\.meta.key.name) == ["stranger"])
    #expect(outcome.creates == 0 && outcome.deletes.isEmpty, "the adopted pod counts")
  }

  @Test(
    "the pod that is worth least goes first",
    arguments: [
      ("without a node", pod("z", node: "")), ("pending", pod("z", phase: "Pending", readySince: nil)),
      ("not ready", pod("z", readySince: nil)), ("cheap", pod("z", cost: "-5")),
      ("ready for a short time", pod("z", readySince: noon - 5)),
      ("restarted", pod("z", restarts: 3)), ("young", pod("z", created: noon - 700)),
    ])
  func victims(why: String, victim: PodView) {
    let others = [pod("a", node: "n2"), pod("b", node: "n3")]
    for pods in [[victim] + others, others + [victim]] {
      #expect(decide(replicaSet("web", replicas: 2), pods).deletes.map(\.meta.key.name) == ["z"], "\(why)")
    }
  }

  @Test("an expensive pod stays although it is not the oldest; a crowded node loses one")
  func order() {
    #expect(
      decide(replicaSet("web", replicas: 1), [pod("a", node: "n1"), pod("b", node: "n2", cost: "10")]).deletes.map(\.meta.key.name)
        == ["a"])
    let pods = [pod("a", node: "n1"), pod("b", node: "n2"), pod("c", node: "n2")]
    #expect(decide(replicaSet("web", replicas: 2), pods).deletes.first?.node == "n2")
    let related = ReplicaSetReconcile(
      set: replicaSet("web", replicas: 1), owned: [pod("a", node: "n1"), pod("b", node: "n2")], now: noon,
      relatedPodsByNode: ["n1": 5, "n2": 1]
    ).decide()
    #expect(related.deletes.map(\.node) == ["n1"])
  }

  @Test("available is ready for long enough; it looks again when the first becomes so")
  func minReadySeconds() {
    let outcome = decide(
      replicaSet("web", replicas: 3, minReadySeconds: 30),
      [pod("a"), pod("b", readySince: noon - 10), pod("c", readySince: noon - 25)])
    #expect(outcome.status.ready == 3 && outcome.status.available == 1 && outcome.checkAgain == 5)
  }
}

import Client
import Controllers
import Testing
import Wire

private let web = ObjectKey(namespace: "default", name: "web")

private func deployment(_ replicas: Int, image: Int = 1, strategy: Value) -> Value {
  [
    "metadata": ["name": "web", "namespace": "default"],
    "spec": [
      "replicas": .int(Int64(replicas)), "selector": ["matchLabels": ["app": "web"]], "strategy": strategy,
      "template": [
        "metadata": ["labels": ["app": "web"]], "spec": ["containers": [["name": "c", "image": .string("web:\(image)")]]],
      ],
    ],
  ]
}

private func rolling(surge: Int, unavailable: Int) -> Value {
  ["type": "RollingUpdate", "rollingUpdate": ["maxSurge": .int(Int64(surge)), "maxUnavailable": .int(Int64(unavailable))]]
}

private func image(_ number: Int) -> (inout World) -> Void {
  { world in
    world.patch(
      .deployments, web,
      Patch(.strategic, ["spec": ["template": ["spec": ["containers": [["name": "c", "image": .string("web:\(number)")]]]]]]))
  }
}

private func spec(_ spec: Value) -> (inout World) -> Void { { $0.patch(.deployments, web, Patch(.merge, ["spec": spec])) } }

extension World {
  /// Pods that are not going.
  fileprivate var active: [Value] { all(.pods).filter { $0["metadata"]["deletionTimestamp"].isNull } }
  fileprivate var ready: Int { active.count { !($0["status"]["conditions"].array ?? []).isEmpty } }
  fileprivate var images: Set<String> { Set(all(.pods).compactMap { $0["spec"]["containers"][0]["image"].string }) }

  fileprivate func isComplete(_ replicas: Int, image: Int) -> Bool {
    let status = value(.deployments, web)?["status"] ?? .null
    let count = Value.int(Int64(replicas))
    let counts =
      replicas == 0
      ? ["replicas"].allSatisfy { status[$0].int ?? 0 == 0 }
      : ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"].allSatisfy { status[$0] == count }
    return counts && all(.pods).count == replicas && images.isSubset(of: ["web:\(image)"])
      && status["observedGeneration"] == value(.deployments, web)?["metadata"]["generation"]
  }
}

@Suite("controllers in simulation")
struct SimulationTests {
  @Test("a rolling update has never fewer ready pods than it may, never more pods, and comes to an end", arguments: 0..<400)
  func rollingUpdate(seed: Int) {
    var world = World(seed: UInt64(seed))
    let replicas = Int.random(in: 1...8, using: &world.random)
    let surge = Int.random(in: 0...3, using: &world.random)
    let unavailable = Int.random(in: (surge == 0 ? 1 : 0)...3, using: &world.random)
    world.create(.deployments, deployment(replicas, strategy: rolling(surge: surge, unavailable: unavailable)))
    _ = world.run()
    #expect(world.isComplete(replicas, image: 1), "seed \(seed)")
    // The second change comes while the first is under way, the last goes back.
    world.script = [image(2), image(3), image(1)]
    let least = replicas - min(unavailable, replicas)
    var failure: String?
    let ended = world.run { world in
      if failure == nil, world.ready < least { failure = "\(world.ready) ready pods, at least \(least) must be" }
      if failure == nil, world.active.count > replicas + surge {
        failure = "\(world.active.count) pods, at most \(replicas + surge) may be"
      }
    }
    #expect(failure == nil, "seed \(seed), \(replicas) replicas, surge \(surge), unavailable \(unavailable)")
    #expect(ended && world.isComplete(replicas, image: 1), "seed \(seed): \(world.value(.deployments, web)?["status"].json ?? "")")
  }

  @Test("whatever is scaled, paused, changed and killed, it ends as asked for", arguments: 0..<300)
  func everything(seed: Int) {
    var world = World(seed: UInt64(seed) + 10_000)
    world.create(.deployments, deployment(4, strategy: rolling(surge: 1, unavailable: 1)))
    var replicas = 4
    var number = 1
    var script: [(inout World) -> Void] = []
    for _ in 0..<Int.random(in: 3...8, using: &world.random) {
      switch Int.random(in: 0..<4, using: &world.random) {
      case 0:
        replicas = Int.random(in: 0...9, using: &world.random)
        script.append(spec(["replicas": .int(Int64(replicas))]))
      case 1:
        number = Int.random(in: 1...4, using: &world.random)
        script.append(image(number))
      case 2: script += [spec(["paused": true]), spec(["paused": .null])]
      default:
        script.append { world in
          guard let victim = world.all(.pods).randomElement(using: &world.random) else { return }
          world.delete(.pods, ObjectKey(namespace: "default", name: victim["metadata"]["name"].string ?? ""), DeleteOptions())
        }
      }
    }
    world.script = script
    _ = world.run()
    #expect(
      world.isComplete(replicas, image: number),
      "seed \(seed): wanted \(replicas) of web:\(number), \(world.value(.deployments, web)?.json ?? "")")
    #expect(world.crimes.isEmpty, "seed \(seed)")
  }

  @Test("a set has never more pods than it asks for, however late it sees them", arguments: 0..<200)
  func expectations(seed: Int) {
    var world = World(seed: UInt64(seed) + 20_000)
    let replicas = Int.random(in: 1...12, using: &world.random)
    world.create(.deployments, deployment(replicas, strategy: rolling(surge: 0, unavailable: 1)))
    var most = 0
    let ended = world.run { most = max(most, $0.all(.pods).count) }
    #expect(ended && most == replicas, "seed \(seed)")
  }

  @Test("Recreate never has pods of two templates", arguments: 0..<200)
  func recreate(seed: Int) {
    var world = World(seed: UInt64(seed) + 30_000)
    world.create(.deployments, deployment(3, strategy: ["type": "Recreate"]))
    world.script = [image(2), image(3)]
    var isMixed = false
    let ended = world.run { if $0.images.count > 1 { isMixed = true } }
    #expect(ended && !isMixed, "seed \(seed)")
    #expect(world.isComplete(3, image: 3), "seed \(seed)")
  }

  @Test(
    "deleting a deployment takes everything with it, in the order that was asked for, in the middle of a rollout too",
    arguments: 0..<200, [DeleteOptions.Propagation.background, .foreground])
  func deletion(seed: Int, propagation: DeleteOptions.Propagation) {
    var world = World(seed: UInt64(seed) + 40_000)
    world.create(.deployments, deployment(4, strategy: rolling(surge: 1, unavailable: 1)))
    if seed % 2 == 0 { _ = world.run() }
    world.script = [image(2), { $0.delete(.deployments, web, DeleteOptions(propagation: propagation)) }]
    var wasEarly = false
    let ended = world.run { world in
      // In the foreground the owner is the last to go. A set that was made when the collector had not seen it is forgiven.
      if propagation == .foreground, seed % 2 == 0, world.value(.deployments, web) == nil, world.all(.replicaSets).count > 1 {
        wasEarly = true
      }
    }
    #expect(ended && world.all(.replicaSets).isEmpty && world.all(.pods).isEmpty, "seed \(seed): \(world.all(.pods).map(\.json))")
    #expect(!wasEarly, "seed \(seed)")
    #expect(world.crimes.isEmpty, "seed \(seed)")
  }

  @Test("an orphaned set leaves its pods, and a new set takes them over instead of making others", arguments: 0..<300)
  func orphans(seed: Int) {
    var world = World(seed: UInt64(seed) + 50_000)
    world.create(.deployments, deployment(3, strategy: rolling(surge: 1, unavailable: 0)))
    _ = world.run()
    let before = Set(world.all(.pods).compactMap { $0["metadata"]["uid"].string })
    let set = ObjectKey(namespace: "default", name: world.all(.replicaSets)[0]["metadata"]["name"].string ?? "")
    world.script = [{ $0.delete(.replicaSets, set, DeleteOptions(propagation: .orphan)) }]
    _ = world.run()
    #expect(Set(world.all(.pods).compactMap { $0["metadata"]["uid"].string }) == before, "seed \(seed)")
    #expect(world.isComplete(3, image: 1) && world.crimes.isEmpty, "seed \(seed): \(world.crimes)")
  }
}

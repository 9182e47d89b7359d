import Agent
import Testing
import Wire

/// One pod's decisions, step by step, on a clock that the test moves.
@Suite("Pod machine")
struct PodMachineTests {
  struct World {
    var machine: PodMachine
    var now = Moment(seconds: 1_000_000)
    var effects: [PodMachine.Effect] = []

    init(_ spec: Value, status: Value = .emptyObject) {
      machine = PodMachine(
        ["metadata": ["name": "p", "namespace": "d", "uid": "u"], "spec": spec, "status": status], now: Moment(seconds: 1_000_000))
    }

    /// What is to be done because of an event, without what is only told.
    mutating func send(_ event: PodMachine.Event) -> [PodMachine.Effect] {
      effects = machine.handle(event, now: now)
      return effects.filter { if case .tell = $0 { false } else { true } }
    }

    mutating func pass(_ seconds: Double) -> [PodMachine.Effect] {
      now = now + seconds
      return send(.wake)
    }

    mutating func begin() -> [PodMachine.Effect] {
      _ = send(.wake)
      return send(.sandboxCreated(id: "s", addresses: ["10.0.0.1"]))
    }

    mutating func run(_ name: String, id: String) -> [PodMachine.Effect] {
      send(.started(container: name, id: id, image: "i", imageID: "i@1"))
    }

    mutating func exit(_ name: String, id: String, code: Int64, after seconds: Double = 1) -> [PodMachine.Effect] {
      let started = now
      now = now + seconds
      return send(
        .exited(
          container: name,
          .init(id: id, code: code, reason: code == 0 ? "Completed" : "Error", message: "", startedAt: started, finishedAt: now)))
    }

    mutating func delete(grace: Int64 = 30) -> [PodMachine.Effect] {
      var object = machine.plan.object
      object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
      object["metadata"]["deletionGracePeriodSeconds"] = .int(grace)
      return send(.specChanged(object))
    }

    var told: [String] {
      effects.compactMap { if case .tell(_, let reason, let message, _) = $0 { "\(reason): \(message)" } else { nil } }
    }
    mutating func status() -> Value { machine.status(hostAddress: "10.1.1.1", now: now) }
  }

  static func spec(_ containers: Value..., inits: [Value] = [], restart: String = "Always") -> Value {
    ["restartPolicy": .string(restart), "containers": .array(containers), "initContainers": .array(inits)]
  }

  @Test("a sandbox comes first, then the container, then the pod is running and ready")
  func start() {
    var world = World(Self.spec(["name": "c", "image": "i"]))
    #expect(world.send(.wake) == [.createSandbox(attempt: 0)])
    #expect(world.send(.wake) == [])
    #expect(world.send(.sandboxCreated(id: "s", addresses: ["10.0.0.1"])) == [.start(container: "c", attempt: 0)])
    #expect(world.status()["phase"].string == "Pending")
    #expect(world.run("c", id: "1") == [])
    let status = world.status()
    #expect(status["phase"].string == "Running")
    #expect(status["podIP"].string == "10.0.0.1")
    #expect(status["conditions"].array?.first { $0["type"].string == "Ready" }?["status"].string == "True")
  }

  @Test("init containers run one after another, and the others only after the last")
  func initOrder() {
    var world = World(Self.spec(["name": "c"], inits: [["name": "a"], ["name": "b"]]))
    #expect(world.begin() == [.start(container: "a", attempt: 0)])
    _ = world.run("a", id: "1")
    #expect(world.exit("a", id: "1", code: 0) == [.start(container: "b", attempt: 0)])
    #expect(world.status()["conditions"].array?.first { $0["type"].string == "Initialized" }?["status"].string == "False")
    _ = world.run("b", id: "2")
    #expect(world.exit("b", id: "2", code: 0) == [.start(container: "c", attempt: 0)])
    #expect(world.status()["conditions"].array?.first { $0["type"].string == "Initialized" }?["status"].string == "True")
  }

  @Test("an init container that fails in a pod that never restarts fails the pod")
  func initFails() {
    var world = World(Self.spec(["name": "c"], inits: [["name": "a"]], restart: "Never"))
    _ = world.begin()
    _ = world.run("a", id: "1")
    #expect(world.exit("a", id: "1", code: 1) == [.stopSandbox(id: "s")])
    #expect(world.status()["phase"].string == "Failed")
  }

  @Test("a sidecar starts before the next init container, stays, and is stopped last")
  func sidecar() {
    var world = World(
      Self.spec(["name": "c"], inits: [["name": "side", "restartPolicy": "Always"], ["name": "a"]], restart: "Never"))
    #expect(world.begin() == [.start(container: "side", attempt: 0)])
    #expect(world.run("side", id: "1") == [.start(container: "a", attempt: 0)])
    _ = world.run("a", id: "2")
    #expect(world.exit("a", id: "2", code: 0) == [.start(container: "c", attempt: 0)])
    _ = world.run("c", id: "3")
    #expect(world.exit("c", id: "3", code: 0) == [.stop(container: "side", id: "1", grace: 30)])
    #expect(world.exit("side", id: "1", code: 0) == [.stopSandbox(id: "s")])
    #expect(world.status()["phase"].string == "Succeeded")
  }

  @Test("restarts come at once, then after 10 s, 20 s, … up to five minutes, and at once again after ten good minutes")
  func backoff() {
    var world = World(Self.spec(["name": "c"]))
    _ = world.begin()
    _ = world.run("c", id: "0")
    #expect(world.exit("c", id: "0", code: 1) == [.start(container: "c", attempt: 1)])
    for (n, delay) in [10.0, 20, 40, 80, 160, 300, 300].enumerated() {
      _ = world.run("c", id: "\(n + 1)")
      #expect(world.exit("c", id: "\(n + 1)", code: 1) == [])
      #expect(world.told.contains { $0.hasPrefix("BackOff: Back-off restarting failed container c in pod p_d(u)") })
      #expect(world.status()["containerStatuses"][0]["state"]["waiting"]["reason"].string == "CrashLoopBackOff")
      #expect(world.machine.wakeAt == world.now + delay)
      #expect(world.pass(delay - 1) == [])
      #expect(world.pass(1) == [.start(container: "c", attempt: n + 2)])
    }
    _ = world.run("c", id: "long")
    #expect(world.exit("c", id: "long", code: 1, after: 601) == [.start(container: "c", attempt: 9)])
  }

  @Test(
    "restart policies",
    arguments: [("Always", 0, true), ("Always", 1, true), ("OnFailure", 0, false), ("OnFailure", 1, true), ("Never", 1, false)])
  func policies(policy: String, code: Int64, restarts: Bool) {
    var world = World(Self.spec(["name": "c"], restart: policy))
    _ = world.begin()
    _ = world.run("c", id: "1")
    #expect(world.exit("c", id: "1", code: code).contains(.start(container: "c", attempt: 1)) == restarts)
    #expect(world.status()["phase"].string == (restarts ? "Running" : code == 0 ? "Succeeded" : "Failed"))
  }

  @Test("an image that cannot be pulled is tried again with back-off, told as upstream tells it")
  func pull() {
    var world = World(Self.spec(["name": "c", "image": "no:1"]))
    _ = world.begin()
    _ = world.send(.startFailed(container: "c", reason: "ErrImagePull", message: "not there"))
    #expect(world.told.contains("Failed: Error: ErrImagePull"))
    #expect(world.told.contains("BackOff: Back-off pulling image \"no:1\""))
    #expect(world.status()["containerStatuses"][0]["state"]["waiting"]["reason"].string == "ImagePullBackOff")
    #expect(world.pass(10) == [.start(container: "c", attempt: 0)])
    _ = world.send(.startFailed(container: "c", reason: "ErrImagePull", message: "not there"))
    #expect(world.pass(10) == [])
    #expect(world.pass(10) == [.start(container: "c", attempt: 0)])
  }

  @Test("what waits for a config map starts when it appears, in a volume or in the environment")
  func sourcesAppear() {
    var world = World(Self.spec(["name": "a", "image": "i"]))
    _ = world.send(.wake)
    #expect(world.send(.sandboxFailed(reason: "FailedMount", message: "configmap \"c\" not found")) == [])
    #expect(world.send(.sourcesChanged) == [.createSandbox(attempt: 1)])
    _ = world.send(.sandboxCreated(id: "s", addresses: ["10.0.0.1"]))
    #expect(
      world.send(.startFailed(container: "a", reason: "CreateContainerConfigError", message: "configmap \"c\" not found")) == [])
    #expect(world.pass(1) == [])
    #expect(world.send(.sourcesChanged) == [.start(container: "a", attempt: 0)])
    // Other waits go on.
    _ = world.send(.startFailed(container: "a", reason: "ErrImagePull", message: "not found"))
    #expect(world.send(.sourcesChanged) == [])
  }

  @Test("liveness restarts after its threshold with the probe's own grace; readiness only takes the pod out")
  func probes() {
    var world = World(
      Self.spec([
        "name": "c", "livenessProbe": ["failureThreshold": 2, "terminationGracePeriodSeconds": 3],
        "readinessProbe": ["failureThreshold": 1],
      ]))
    _ = world.begin()
    _ = world.run("c", id: "1")
    #expect(world.status()["containerStatuses"][0]["ready"].bool == false)
    _ = world.send(.probed(container: "c", id: "1", .readiness, succeeded: true, message: ""))
    #expect(world.status()["containerStatuses"][0]["ready"].bool == true)
    #expect(world.send(.probed(container: "c", id: "1", .readiness, succeeded: false, message: "no")) == [])
    #expect(world.told == ["Unhealthy: Readiness probe failed: no"])
    #expect(world.status()["containerStatuses"][0]["ready"].bool == false)
    #expect(world.send(.probed(container: "c", id: "1", .liveness, succeeded: false, message: "no")) == [])
    #expect(
      world.send(.probed(container: "c", id: "1", .liveness, succeeded: false, message: "no")) == [
        .stop(container: "c", id: "1", grace: 3)
      ])
    #expect(world.told.last == "Killing: Container c failed liveness probe, will be restarted")
    #expect(world.exit("c", id: "1", code: 137) == [.start(container: "c", attempt: 1)])
    // A late answer about the old container changes nothing.
    _ = world.run("c", id: "2")
    #expect(world.send(.probed(container: "c", id: "1", .liveness, succeeded: false, message: "no")) == [])
  }

  @Test("until the startup probe succeeds no other probe counts")
  func startup() {
    var world = World(Self.spec(["name": "c", "startupProbe": ["failureThreshold": 3], "livenessProbe": ["failureThreshold": 1]]))
    _ = world.begin()
    _ = world.run("c", id: "1")
    #expect(world.send(.probed(container: "c", id: "1", .liveness, succeeded: false, message: "")) == [])
    _ = world.send(.probed(container: "c", id: "1", .startup, succeeded: true, message: ""))
    #expect(world.status()["containerStatuses"][0]["started"].bool == true)
    #expect(
      world.send(.probed(container: "c", id: "1", .liveness, succeeded: false, message: "")) == [
        .stop(container: "c", id: "1", grace: 30)
      ])
  }

  @Test("a deletion stops containers with its grace, then the sandbox, then lets the object go")
  func deletion() {
    var world = World(Self.spec(["name": "a"], ["name": "b"]))
    _ = world.begin()
    _ = world.run("a", id: "1")
    _ = world.run("b", id: "2")
    #expect(world.delete(grace: 7) == [.stop(container: "a", id: "1", grace: 7), .stop(container: "b", id: "2", grace: 7)])
    #expect(world.exit("a", id: "1", code: 0) == [])
    #expect(world.exit("b", id: "2", code: 0) == [.stopSandbox(id: "s")])
    #expect(world.send(.sandboxStopped) == [.finish])
    #expect(world.send(.wake) == [])
  }

  @Test("a deletion during a start waits for it and then stops what came of it")
  func deletionDuringStart() {
    var world = World(Self.spec(["name": "a"]))
    _ = world.begin()
    #expect(world.delete() == [])
    #expect(world.run("a", id: "1") == [.stop(container: "a", id: "1", grace: 30)])
    var early = World(Self.spec(["name": "a"]))
    _ = early.send(.wake)
    #expect(early.delete() == [])
    #expect(early.send(.sandboxCreated(id: "s", addresses: [])) == [.stopSandbox(id: "s")])
  }

  @Test("activeDeadlineSeconds ends a pod as failed")
  func deadline() {
    var spec = Self.spec(["name": "a"])
    spec["activeDeadlineSeconds"] = 60
    var world = World(spec)
    _ = world.begin()
    _ = world.run("a", id: "1")
    #expect(world.pass(59) == [])
    #expect(world.pass(1) == [.stop(container: "a", id: "1", grace: 30)])
    #expect(world.status()["reason"].string == "DeadlineExceeded")
    #expect(world.status()["phase"].string == "Failed")
  }

  @Test("a sandbox that dies is made again, and what ran in it starts again")
  func sandboxDies() {
    var world = World(Self.spec(["name": "a"], inits: [["name": "i"]]))
    _ = world.begin()
    _ = world.run("i", id: "0")
    _ = world.exit("i", id: "0", code: 0)
    _ = world.run("a", id: "1")
    #expect(world.send(.sandboxDied) == [.stopSandbox(id: "s")])
    _ = world.exit("a", id: "1", code: 137)
    #expect(world.send(.sandboxStopped) == [.createSandbox(attempt: 1)])
    #expect(world.send(.sandboxCreated(id: "s2", addresses: ["10.0.0.2"])) == [.start(container: "i", attempt: 1)])
  }

  @Test("a pod that the node refuses shows why and no containers")
  func refusal() {
    var world = World(Self.spec(["name": "a"]))
    #expect(world.send(.fail(reason: "OutOfcpu", message: "too much")) == [])
    let status = world.status()
    #expect(status["phase"].string == "Failed")
    #expect(status["reason"].string == "OutOfcpu")
    #expect(status["containerStatuses"].isNull)
  }

  @Test("whatever comes in whatever order, nothing is started twice and a deleted pod ends", arguments: 0..<200 as Range<UInt64>)
  func anyOrder(seed: UInt64) {
    var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
    func next(_ n: UInt64) -> UInt64 {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return state % n
    }
    var world = World(
      Self.spec(
        ["name": "a", "livenessProbe": ["failureThreshold": 1]], ["name": "b"],
        inits: [["name": "i"], ["name": "s", "restartPolicy": "Always"]]))
    var pending: [PodMachine.Effect] = []
    var ids = 0
    var alive: [String: String] = [:]
    var sandboxes = 0
    var isFinished = false
    func take(_ effects: [PodMachine.Effect]) {
      for effect in effects {
        switch effect {
        case .start(let name, _):
          #expect(alive[name] == nil, "seed \(seed): \(name) started twice")
          #expect(!pending.contains { if case .start(name, _) = $0 { true } else { false } }, "seed \(seed)")
          #expect(sandboxes == 1, "seed \(seed): no sandbox")
        case .createSandbox: #expect(sandboxes == 0, "seed \(seed): second sandbox")
        case .finish:
          #expect(alive.isEmpty && sandboxes == 0, "seed \(seed): finished while something runs")
          isFinished = true
        default: break
        }
        pending.append(effect)
      }
    }
    take(world.send(.wake))
    for step in 0..<400 {
      if step == 300 { take(world.delete(grace: 1)) }
      if !pending.isEmpty, next(3) > 0 {
        let effect = pending.remove(at: Int(next(UInt64(pending.count))))
        switch effect {
        case .createSandbox:
          if next(5) == 0 {
            take(world.send(.sandboxFailed(reason: "x", message: "y")))
          } else {
            sandboxes = 1
            take(world.send(.sandboxCreated(id: "s\(step)", addresses: ["10.0.0.1"])))
          }
        case .stopSandbox:
          let dying = alive
          for (name, id) in dying {
            alive[name] = nil
            take(world.exit(name, id: id, code: 137, after: 0))
          }
          pending.removeAll { if case .stop = $0 { true } else { false } }
          sandboxes = 0
          take(world.send(.sandboxStopped))
        case .start(let name, _):
          if next(5) == 0 || sandboxes == 0 {
            take(
              world.send(
                .startFailed(container: name, reason: next(2) == 0 ? "ErrImagePull" : "CreateContainerError", message: "m")))
          } else {
            ids += 1
            alive[name] = "\(ids)"
            take(world.run(name, id: "\(ids)"))
          }
        case .stop(let name, let id, _):
          if alive[name] == id {
            alive[name] = nil
            take(world.exit(name, id: id, code: 143, after: 0))
          }
        default: break
        }
      } else if let (name, id) = alive.sorted(by: { $0.key < $1.key }).first, next(4) == 0 {
        if next(2) == 0 {
          alive[name] = nil
          take(world.exit(name, id: id, code: Int64(next(2)), after: Double(next(700))))
        } else {
          take(world.send(.probed(container: name, id: id, .liveness, succeeded: next(2) == 0, message: "")))
        }
      } else if next(30) == 0, sandboxes == 1 {
        take(world.send(.sandboxDied))
      } else {
        take(world.pass(Double(next(400))))
      }
      _ = world.status()
    }
    #expect(isFinished, "seed \(seed): does not end; pending \(pending), alive \(alive)")
  }
}

import Agent
import Testing
import Wire

/// How a pod's machine ends containers, and what it shows meanwhile.
@Suite("Pod machine: ends and waits")
struct EndingTests {
  typealias World = PodMachineTests.World

  private func conditions(_ world: inout World) -> [String: String] {
    let list = world.status()["conditions"].array ?? []
    return Dictionary(list.map { ($0["type"].string ?? "", $0["status"].string ?? "") }, uniquingKeysWith: { $1 })
  }

  @Test("a pod that is deleted is ready until its container has ended, or its readiness probe says no; liveness counts no more")
  func servesWhileEnding() {
    var world = World(
      PodMachineTests.spec(["name": "c", "readinessProbe": ["failureThreshold": 1], "livenessProbe": ["failureThreshold": 1]]))
    _ = world.begin()
    _ = world.run("c", id: "1")
    _ = world.send(.probed(container: "c", id: "1", .readiness, succeeded: true, message: ""))
    #expect(world.delete() == [.stop(container: "c", id: "1", grace: 30)])
    #expect(conditions(&world)["Ready"] == "True")
    #expect(world.status()["containerStatuses"][0]["ready"].bool == true)
    #expect(world.send(.probed(container: "c", id: "1", .liveness, succeeded: false, message: "no")) == [])
    #expect(conditions(&world)["Ready"] == "True")
    _ = world.send(.probed(container: "c", id: "1", .readiness, succeeded: false, message: "no"))
    #expect(conditions(&world)["Ready"] == "False")
    _ = world.send(.probed(container: "c", id: "1", .readiness, succeeded: true, message: ""))
    #expect(conditions(&world)["Ready"] == "True")
    #expect(world.exit("c", id: "1", code: 0) == [.stopSandbox(id: "s")])
    #expect(conditions(&world)["Ready"] == "False")
  }

  @Test("a second deletion with less grace hurries what is ending; one with more does not")
  func lessGrace() {
    var world = World(PodMachineTests.spec(["name": "c"]))
    _ = world.begin()
    _ = world.run("c", id: "1")
    #expect(world.delete(grace: 600) == [.stop(container: "c", id: "1", grace: 600)])
    #expect(world.delete(grace: 900) == [])
    #expect(world.delete(grace: 2) == [.stop(container: "c", id: "1", grace: 2)])
    #expect(world.delete(grace: 2) == [])
  }

  @Test(
    "grace and times that no clock can count are the longest there is", arguments: [Int64.max, .min, -1, 9_300_000_000_000_000])
  func endlessGrace(seconds: Int64) throws {
    var spec = PodMachineTests.spec(["name": "c", "livenessProbe": ["terminationGracePeriodSeconds": .int(seconds)]])
    spec["terminationGracePeriodSeconds"] = .int(seconds)
    let plan = PodPlan(["metadata": ["name": "p"], "spec": spec])
    let probe = try #require(plan.containers[0].probes[.liveness]?.grace)
    for grace in [plan.grace, probe] { #expect(grace == (seconds < 0 ? 0 : 1 << 31)) }
    let moment = Moment(seconds: seconds)
    for other in [Moment.now(), moment, Moment(nanoseconds: .max), Moment(nanoseconds: .min)] {
      #expect((moment - other).isFinite)
      #expect(other + 1e300 >= other && other + -1e300 <= other)
      #expect(seconds < 0 ? other + Double(seconds) <= other : other + Double(seconds) >= other)
    }
    #expect(Moment.now() + 1e300 == Moment(nanoseconds: .max))
    #expect(Moment(seconds: -1) + -1e300 == Moment(nanoseconds: .min))
  }

  @Test("a clock that was set back by an hour makes no wait longer than it was to be")
  func clockSetBack() {
    var crash = World(PodMachineTests.spec(["name": "c"]))
    _ = crash.begin()
    _ = crash.run("c", id: "0")
    _ = crash.exit("c", id: "0", code: 1)
    _ = crash.run("c", id: "1")
    #expect(crash.exit("c", id: "1", code: 1) == [])
    #expect(crash.pass(-3600) == [])
    #expect(crash.machine.wakeAt == crash.now + 10)
    #expect(crash.pass(10) == [.start(container: "c", attempt: 2)])
    var mount = World(PodMachineTests.spec(["name": "c"]))
    _ = mount.send(.wake)
    _ = mount.send(.sandboxFailed(reason: "FailedMount", message: ""))
    #expect(mount.pass(-3600) == [])
    #expect(mount.pass(1) == [.createSandbox(attempt: 1)])
  }

  @Test("another image has no failures yet: it is pulled, or started, at once")
  func mendedImage() {
    func mended(_ world: World) -> Value {
      var object = world.machine.plan.object
      object["spec"]["containers"] = [["name": "c", "image": "good:1"]]
      return object
    }
    var pull = World(PodMachineTests.spec(["name": "c", "image": "typo:1"]))
    _ = pull.begin()
    _ = pull.send(.startFailed(container: "c", reason: "ErrImagePull", message: "not there"))
    #expect(pull.pass(1) == [])
    #expect(pull.send(.specChanged(mended(pull))) == [.start(container: "c", attempt: 0)])
    #expect(pull.send(.startFailed(container: "c", reason: "ErrImagePull", message: "not there")) == [])
    #expect(pull.pass(10) == [.start(container: "c", attempt: 0)])
    var crash = World(PodMachineTests.spec(["name": "c", "image": "bad:1"]))
    _ = crash.begin()
    for id in ["0", "1", "2"] {
      _ = crash.run("c", id: id)
      _ = crash.exit("c", id: id, code: 1)
      if id == "1" { _ = crash.pass(10) }
    }
    #expect(crash.pass(1) == [])
    #expect(crash.send(.specChanged(mended(crash))) == [.start(container: "c", attempt: 3)])
  }

  @Test("containers that are gone with their sandbox go on by the numbers of their logs")
  func restartsGoOn() {
    let status: Value = [
      "phase": "Running",
      "containerStatuses": [
        [
          "name": "ran", "restartCount": 2, "containerID": "containerd://old",
          "state": ["running": ["startedAt": "2026-01-01T00:00:00Z"]],
        ],
        ["name": "ended", "restartCount": 0, "state": ["terminated": ["exitCode": 1, "containerID": "containerd://e"]]],
        ["name": "new", "restartCount": 0, "state": ["waiting": ["reason": "ContainerCreating"]]],
      ],
    ]
    var world = World(PodMachineTests.spec(["name": "ran"], ["name": "ended"], ["name": "new"]), status: status)
    for (name, next) in [("ran", 3), ("ended", 1), ("new", 0)] {
      world.machine.resume(container: name, next: next, now: world.now)
    }
    #expect(
      world.begin() == [
        .start(container: "ran", attempt: 3), .start(container: "ended", attempt: 1), .start(container: "new", attempt: 0),
      ])
    let last = world.status()["containerStatuses"][0]["lastState"]["terminated"]
    #expect(last["reason"].string == "ContainerStatusUnknown" && last["exitCode"].int == 137)
    #expect(last["containerID"].string == "containerd://old")
    #expect(world.status()["containerStatuses"].array?.map { $0["restartCount"].int } == [3, 1, 0])
  }

  @Test("a late word of an earlier container's end changes nothing")
  func lateExit() {
    var world = World(PodMachineTests.spec(["name": "c"]))
    _ = world.begin()
    _ = world.run("c", id: "0")
    _ = world.exit("c", id: "0", code: 1)
    #expect(world.exit("c", id: "0", code: 1) == [])
    _ = world.run("c", id: "1")
    #expect(world.exit("c", id: "0", code: 1) == [])
    #expect(world.status()["containerStatuses"][0]["state"]["running"].object != nil)
    #expect(world.status()["containerStatuses"][0]["restartCount"].int == 1)
  }

  @Test("the probe's warning is told once it succeeds, and only then")
  func warning() {
    var world = World(PodMachineTests.spec(["name": "c", "readinessProbe": .emptyObject]))
    _ = world.begin()
    _ = world.run("c", id: "1")
    _ = world.send(.probed(container: "c", id: "1", .readiness, succeeded: true, message: "elsewhere"))
    #expect(world.told == ["ProbeWarning: Readiness probe warning: elsewhere"])
    _ = world.send(.probed(container: "c", id: "1", .readiness, succeeded: true, message: ""))
    #expect(world.told == [])
  }
}

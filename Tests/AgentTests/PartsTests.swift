import Agent
import Testing
import Wire

@Suite("Parts of the agent")
struct PartsTests {
  @Test("a line of a CRI log")
  func logLine() throws {
    let entry = try #require(LogFile.parse(Array("2026-11-25T08:41:20.78699315Z stderr F two words".utf8)[...]))
    #expect(entry.isError)
    #expect(!entry.isPartial)
    #expect(String(decoding: entry.text, as: UTF8.self) == "two words")
    #expect(LogFile.parse(Array("nonsense".utf8)[...]) == nil)
    #expect(LogFile.parse(Array("t stdlog F x".utf8)[...]) == nil)
  }

  @Test(
    "quality of service",
    arguments: [
      ([:], "BestEffort"), (["requests": ["cpu": "1"]], "Burstable"),
      (["requests": ["cpu": "1", "memory": "1Gi"], "limits": ["cpu": "1000m", "memory": "1024Mi"]], "Guaranteed"),
      (["limits": ["cpu": "1"]], "Burstable"),
    ] as [(Value, String)])
  func qos(resources: Value, expected: String) {
    let plan = PodPlan(["metadata": ["name": "p"], "spec": ["containers": [["name": "c", "resources": resources]]]])
    #expect(plan.qosClass == expected)
  }

  /// The pod's files in both hierarchies, from the resources of its containers.
  @Test(
    "cgroups of version 1 and 2",
    arguments: [
      ([["limits": ["cpu": "500m", "memory": "64Mi"]]], "podu", ("512", "20", "50000"), "67108864"),
      (
        [["requests": ["cpu": "250m"], "limits": ["memory": "1Mi"]], ["requests": ["cpu": "250m"]]], "burstable/podu",
        ("512", "20", nil), nil
      ),
      (
        [["requests": ["cpu": "100m"], "limits": ["cpu": "1"]], ["limits": ["cpu": "500m"]]], "burstable/podu",
        ("614", "24", "150000"), nil
      ),
      ([["limits": ["cpu": "1m", "memory": "1Ki"]]], "podu", ("2", "1", "1000"), "1024"),
      ([["requests": ["cpu": "1000"]]], "burstable/podu", ("262144", "10000", nil), nil),
      ([.emptyObject], "besteffort/podu", ("2", "1", nil), nil),
      // Init containers run alone, those that stay beside all others.
      (
        [["limits": ["cpu": "250m", "memory": "1Mi"]], ["init": ["cpu": "1", "memory": "64Mi"]]], "podu",
        ("1024", "39", "100000"), "67108864"
      ),
      (
        [["limits": ["cpu": "250m", "memory": "3Mi"]], ["sidecar": ["cpu": "250m", "memory": "1Mi"]]], "podu",
        ("512", "20", "50000"), "4194304"
      ),
      (
        [["limits": ["cpu": "250m", "memory": "1Mi"]], ["init": ["cpu": "250m"]]], "burstable/podu", ("256", "10", "25000"), nil
      ),
      (
        [["limits": ["cpu": "9E", "memory": "9E"]], ["sidecar": ["cpu": "9E", "memory": "9E"]]], "podu",
        ("262144", "10000", "109951162777600"), "\(Int64.max)"
      ),
    ] as [([Value], String, (String, String, String?), String?)])
  func cgroups(resources: [Value], path: String, cpu: (shares: String, weight: String, quota: String?), memory: String?) {
    var containers: [Value] = []
    var inits: [Value] = []
    for (i, resources) in resources.enumerated() {
      let name = Value.string("c\(i)")
      if resources["init"].object != nil {
        inits.append(["name": name, "resources": ["limits": resources["init"]]])
      } else if resources["sidecar"].object != nil {
        inits.append(["name": name, "resources": ["limits": resources["sidecar"]], "restartPolicy": "Always"])
      } else {
        containers.append(["name": name, "resources": resources])
      }
    }
    let plan = PodPlan([
      "metadata": ["name": "p", "uid": "u"], "spec": ["containers": .array(containers), "initContainers": .array(inits)],
    ])
    var configuration = AgentConfiguration(nodeName: "n", nodeAddress: "1.1.1.1", dataDirectory: "/d")
    configuration.cgroupRoot = "/kubepods"
    func setting(_ file: String, _ text: String?) -> [Cgroups.Setting] { text.map { [.init(file: file, text: $0)] } ?? [] }
    let isBestEffort = path.hasPrefix("besteffort")
    #expect(
      Cgroups.settings(plan, configuration, .split)
        == setting("cpu/kubepods/\(path)/cpu.shares", cpu.shares) + setting("cpu/kubepods/\(path)/cpu.cfs_quota_us", cpu.quota)
        + setting("memory/kubepods/\(path)/memory.limit_in_bytes", memory)
        + setting("cpu/kubepods/besteffort/cpu.shares", isBestEffort ? "2" : nil))
    #expect(
      Cgroups.settings(plan, configuration, .unified)
        == setting("kubepods/\(path)/cpu.weight", cpu.weight)
        + setting("kubepods/\(path)/cpu.max", cpu.quota.map { "\($0) 100000" }) + setting("kubepods/\(path)/memory.max", memory)
        + setting("kubepods/besteffort/cpu.weight", isBestEffort ? "1" : nil))
  }

  @Test(
    "an emptyDir in memory is no larger than its limit, than its pod may use, than pods may use",
    arguments: [
      (nil, [], 4096), ("1Ki", [], 1024), ("8Ki", [], 4096), (nil, ["2Ki"], 2048), ("1Ki", ["2Ki"], 1024),
      ("3Ki", ["1Ki", "1Ki"], 2048), (nil, ["1Ki", nil], 4096), ("0", [], 4096),
    ] as [(String?, [String?], Int64)])
  func memoryVolume(limit: String?, containers: [String?], expected: Int64) {
    let list = containers.map { limit -> Value in
      ["name": "c", "resources": limit.map { ["limits": ["memory": .string($0)]] } ?? [:]]
    }
    let plan = PodPlan(["spec": ["containers": .array(list.isEmpty ? [["name": "c"]] : list)]])
    let source: Value = limit.map { ["medium": "Memory", "sizeLimit": .string($0)] } ?? ["medium": "Memory"]
    #expect(plan.memoryVolumeSize(source, allocatable: ["memory": 4096 * 1000]) == expected)
  }

  @Test(
    "whose a pod's token is: its containers' common user",
    arguments: [
      (nil, [nil, nil], nil), (1000, [nil, nil], 1000), (nil, [1000, nil], nil), (nil, [1000, 1000], 1000),
      (1000, [nil, 1001], nil), (1000, [1001, 1001], 1001),
    ] as [(Int64?, [Int64?], Int64?)])
  func tokenOwner(pod: Int64?, containers: [Int64?], expected: Int64?) {
    func context(_ user: Int64?) -> Value { user.map { ["runAsUser": .int($0)] } ?? .emptyObject }
    let list = containers.map { user -> Value in ["name": "c", "securityContext": context(user)] }
    let plan = PodPlan(["spec": ["securityContext": context(pod), "containers": .array(list)]])
    #expect(plan.commonUser == expected)
  }

  @Test("a status that somebody overwrote is seen; what others added and how empty things are written is not")
  func overwritten() {
    let own: Value = [
      "phase": "Running", "message": .null, "conditions": [["type": "Ready", "status": "True"]], "lastState": .emptyObject,
    ]
    #expect(PodMachine.shows(own, in: own))
    #expect(
      PodMachine.shows(own, in: ["phase": "Running", "conditions": [["status": "True", "type": "Ready"]], "resize": "Proposed"]))
    for other: Value in [
      ["phase": "Bogus", "conditions": [["type": "Ready", "status": "True"]]], ["phase": "Running"],
      ["phase": "Running", "conditions": [["type": "Ready", "status": "True"], ["type": "Other", "status": "True"]]],
      ["phase": "Running", "message": "what", "conditions": [["type": "Ready", "status": "True"]]],
    ] { #expect(!PodMachine.shows(own, in: other), "\(other.json)") }
  }
}

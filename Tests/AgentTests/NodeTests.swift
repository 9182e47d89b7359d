import Agent
import Testing
import Wire

/// What a node refuses and what it tells of itself.
@Suite("The node's own judgement")
struct NodeTests {
  private func plan(_ spec: Value) -> PodPlan { PodPlan(["metadata": ["name": "p", "uid": "u"], "spec": spec]) }

  @Test(
    "the kernel's settings: what counts in the pod alone is set, all else refused",
    arguments: [
      ("net.ipv4.tcp_syncookies", .emptyObject, nil), ("net/ipv4/ip_local_port_range", .emptyObject, nil),
      ("kernel.shm_rmid_forced", .emptyObject, nil), ("kernel.msgmax", .emptyObject, "\"kernel.msgmax\" not allowlisted"),
      ("net.core.somaxconn", .emptyObject, "\"net.core.somaxconn\" not allowlisted"),
      ("vm.swappiness", .emptyObject, "\"vm.swappiness\" not allowlisted"),
      (
        "net.ipv4.tcp_syncookies", ["hostNetwork": true],
        "\"net.ipv4.tcp_syncookies\" not allowed with host Net enabled"
      ), ("kernel.shm_rmid_forced", ["hostIPC": true], "\"kernel.shm_rmid_forced\" not allowed with host IPC enabled"),
    ] as [(String, Value, String?)])
  func sysctls(name: String, host: Value, refusal: String?) {
    var spec = host
    spec["securityContext"] = ["sysctls": [["name": .string(name), "value": "1"]]]
    spec["containers"] = [["name": "c"]]
    let found = NodeAdmission.refusal(of: plan(spec), used: [:], usedPorts: [], allocatable: [:])
    #expect(found?.reason == refusal.map { _ in "SysctlForbidden" })
    #expect(found?.message == refusal.map { "forbidden sysctl: \($0)" })
  }

  @Test("requests beyond all counting fill the node and no more")
  func endlessRequests() {
    let greedy = plan(["containers": [["name": "c", "resources": ["requests": ["x.io/a": "9223372036854775807", "cpu": "8E"]]]]])
    var used: [String: Int64] = [:]
    for _ in 0..<3 {
      for (name, amount) in NodeAdmission.requests(greedy) { used[name] = NodeAdmission.sum(used[name] ?? 0, amount) }
    }
    #expect(used == ["x.io/a": .max, "cpu": .max])
    let refusal = NodeAdmission.refusal(of: greedy, used: used, usedPorts: [], allocatable: ["cpu": 2000])
    #expect(refusal?.reason == "OutOfcpu")
    #expect(NodeAdmission.sum(.min, -1) == .min)
  }

  @Test(
    "confinement that the machine cannot enforce is refused, whoever asks for it",
    arguments: [
      (["securityContext": ["appArmorProfile": ["type": "Localhost", "localhostProfile": "x"]]], true),
      (["securityContext": ["appArmorProfile": ["type": "RuntimeDefault"]]], true),
      (["securityContext": ["appArmorProfile": ["type": "Unconfined"]]], false), (.emptyObject, false),
    ] as [(Value, Bool)])
  func appArmor(context: Value, isConfined: Bool) {
    var ofPod = context
    ofPod["containers"] = [["name": "c"]]
    var ofContainer = context
    ofContainer["name"] = "c"
    for spec in [ofPod, ["containers": [ofContainer]]] {
      for hasAppArmor in [true, false] {
        let found = NodeAdmission.refusal(of: plan(spec), used: [:], usedPorts: [], allocatable: [:], hasAppArmor: hasAppArmor)
        #expect(found?.reason == (isConfined && !hasAppArmor ? "AppArmor" : nil))
      }
    }
  }

  @Test("user namespaces, which the runtime does not have, are refused")
  func users() {
    #expect(RuntimeConfiguration.unsupported(plan(["containers": []])) == nil)
    #expect(RuntimeConfiguration.unsupported(plan(["hostUsers": true, "containers": []])) == nil)
    #expect(RuntimeConfiguration.unsupported(plan(["hostUsers": false, "containers": []]))?.contains("user namespaces") == true)
  }

  private static func status(_ trues: [String], boot: String = "b1") -> Value {
    let types = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]
    return [
      "nodeInfo": ["bootID": .string(boot)],
      "conditions": .array(types.map { ["type": .string($0), "status": .string(trues.contains($0) ? "True" : "False")] }),
    ]
  }

  @Test("a node tells what becomes of it, and at a start what is well")
  func news() {
    let well = Self.status(["Ready"])
    func told(_ old: Value, _ new: Value, isStart: Bool = false) -> [String] {
      NodeReporter.news(from: old, to: new, node: "n", isStart: isStart).map {
        "\($0.isWarning ? "!" : "")\($0.reason): \($0.message)"
      }
    }
    let start = [
      "Starting: Starting kubelet.", "NodeHasSufficientMemory: Node n status is now: NodeHasSufficientMemory",
      "NodeHasNoDiskPressure: Node n status is now: NodeHasNoDiskPressure",
      "NodeHasSufficientPID: Node n status is now: NodeHasSufficientPID",
    ]
    #expect(told(.null, well, isStart: true) == start + ["NodeReady: Node n status is now: NodeReady"])
    #expect(told(well, well, isStart: true) == start)
    #expect(told(well, well) == [])
    #expect(told(well, Self.status([])) == ["NodeNotReady: Node n status is now: NodeNotReady"])
    #expect(
      told(well, Self.status(["Ready", "DiskPressure"])) == ["NodeHasDiskPressure: Node n status is now: NodeHasDiskPressure"])
    #expect(told(well, Self.status(["Ready"], boot: "b2")) == ["!Rebooted: Node n has been rebooted, boot id: b2"])
  }

  @Test("a node contradicts who says otherwise of its conditions; what others add is theirs")
  func agreement() {
    var shown = Self.status(["Ready"])
    shown["conditions"] = .array((shown["conditions"].array ?? []) + [["type": "NetworkUnavailable", "status": "False"]])
    #expect(NodeReporter.agrees(shown, with: Self.status(["Ready"])))
    #expect(!NodeReporter.agrees(shown, with: Self.status([])))
    #expect(!NodeReporter.agrees(.emptyObject, with: Self.status(["Ready"])))
    shown["capacity"] = ["cpu": "2", "example.com/dongle": "4"]
    #expect(!NodeReporter.agrees(shown, with: Self.status(["Ready"])))
    shown["allocatable"] = ["cpu": "1", "example.com/dongle": "4"]
    #expect(NodeReporter.agrees(shown, with: Self.status(["Ready"])))
  }
}

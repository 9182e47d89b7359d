import Scheduler
import Testing
import Wire

/// One pod, one node: the rule's verdict in the words a user reads, or the binding.
private func verdict(_ podSpec: Value, _ node: NodeFacts, beside: Value? = nil) throws -> String {
  var state = SchedulerState(seed: 1)
  state.add(node)
  if let beside {
    var spec = beside
    spec["nodeName"] = .string(node.name)
    state.add(try pod("beside", spec: spec))
  }
  state.add(try pod("p", spec: podSpec))
  return state.decisions().joined(separator: "; ")
}

/// - Parameter hopeless: the node would not take the pod if nothing ran there either.
private func refused(_ why: String..., hopeless: Bool = false) -> String {
  let preemption = hopeless ? "Preemption is not helpful for scheduling" : "No preemption victims found for incoming pod"
  return
    "p: 0/1 nodes are available: \(why.map { "1 \($0)" }.joined(separator: ", ")). preemption: 0/1 nodes are available: 1 \(preemption)."
}

@Test("a node must have left what a pod asks for, and says all that is short")
func resources() throws {
  #expect(try verdict(requests(cpu: "4", memory: "8Gi"), node("n")) == "p → n")
  #expect(try verdict(requests(cpu: "4001m"), node("n")) == refused("Insufficient cpu", hopeless: true))
  #expect(
    try verdict(requests(cpu: "5", memory: "9Gi"), node("n"))
      == refused("Insufficient cpu", "Insufficient memory", hopeless: true))
  #expect(try verdict(requests(cpu: "1m"), node("n"), beside: requests(cpu: "4")) == refused("Insufficient cpu"))
  #expect(try verdict(requests(memory: "1"), node("n"), beside: requests(cpu: "4")) == "p → n")
  #expect(try verdict(requests(), node("n", pods: "1"), beside: requests()) == refused("Too many pods"))
  let gpu = [("example.com/gpu", "1")]
  #expect(try verdict(requests(more: gpu), node("n")) == refused("Insufficient example.com/gpu", hopeless: true))
  #expect(try verdict(requests(more: gpu), node("n", more: gpu)) == "p → n")
  #expect(
    try verdict(requests(more: gpu), node("n", more: gpu), beside: requests(more: gpu)) == refused("Insufficient example.com/gpu"))
  #expect(
    try verdict(requests(more: [("ephemeral-storage", "11Gi")]), node("n"))
      == refused("Insufficient ephemeral-storage", hopeless: true))
  #expect(try verdict(requests(cpu: "many"), node("n")) == "p → n", "what is no quantity was refused at the door")
  #expect(try verdict(requests(cpu: "9E"), node("n")) == refused("Insufficient cpu", hopeless: true), "absurd amounts saturate")
}

@Test("init containers count at their hungriest moment, sidecars beside them, and pod-level requests replace both")
func initContainers() throws {
  func container(_ cpu: String, sidecar: Bool = false) -> Value {
    var value: Value = ["name": "c", "resources": ["requests": ["cpu": .string(cpu)]]]
    if sidecar { value["restartPolicy"] = "Always" }
    return value
  }
  let spec: Value = [
    "containers": [container("1"), container("1")], "initContainers": [container("1", sidecar: true), container("3")],
  ]
  #expect(try verdict(spec, node("n", cpu: "4")) == "p → n")
  #expect(try verdict(spec, node("n", cpu: "3999m")) == refused("Insufficient cpu", hopeless: true))
  var podLevel = spec
  podLevel["resources"] = ["requests": ["cpu": "2"]]
  #expect(try verdict(podLevel, node("n", cpu: "2")) == "p → n")
  var overhead = podLevel
  overhead["overhead"] = ["cpu": "1m"]
  #expect(try verdict(overhead, node("n", cpu: "2")) == refused("Insufficient cpu", hopeless: true))
}

@Test("an untolerated taint refuses; toleration by key, value, effect or everything")
func taints() throws {
  func tolerating(_ toleration: Value) -> Value { ["tolerations": [toleration]] }
  let tainted = try node("n", taints: [["key": "dedicated", "value": "db", "effect": "NoSchedule"]])
  #expect(try verdict(.emptyObject, tainted) == refused("node(s) had untolerated taint(s)", hopeless: true))
  #expect(
    try verdict(tolerating(["key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"]), tainted) == "p → n")
  #expect(try verdict(tolerating(["key": "dedicated", "value": "web"]), tainted) != "p → n")
  #expect(try verdict(tolerating(["key": "dedicated", "operator": "Exists"]), tainted) == "p → n")
  #expect(try verdict(tolerating(["key": "dedicated", "operator": "Exists", "effect": "NoExecute"]), tainted) != "p → n")
  #expect(try verdict(tolerating(["operator": "Exists"]), tainted) == "p → n")
  #expect(try verdict(.emptyObject, node("n", taints: [["key": "slow", "effect": "PreferNoSchedule"]])) == "p → n")
  #expect(
    try verdict(.emptyObject, node("n", taints: [["key": "gone", "effect": "NoExecute"]]))
      == refused("node(s) had untolerated taint(s)", hopeless: true))
}

@Test("a cordoned node takes only pods that tolerate it")
func cordoned() throws {
  let cordoned = try node("n", unschedulable: true)
  #expect(try verdict(.emptyObject, cordoned) == refused("node(s) were unschedulable", hopeless: true))
  #expect(try verdict(["tolerations": [["key": "node.kubernetes.io/unschedulable", "operator": "Exists"]]], cordoned) == "p → n")
}

@Test(
  "node selector and required affinity",
  arguments: [
    (#"{"nodeSelector":{"disk":"ssd"}}"#, true), (#"{"nodeSelector":{"disk":"hdd"}}"#, false),
    (#"{"nodeSelector":{"disk":"ssd","zone":"b"}}"#, false),
    (#"[{"matchExpressions":[{"key":"disk","operator":"In","values":["hdd","ssd"]}]}]"#, true),
    (#"[{"matchExpressions":[{"key":"disk","operator":"NotIn","values":["ssd"]}]}]"#, false),
    (#"[{"matchExpressions":[{"key":"none","operator":"NotIn","values":["ssd"]}]}]"#, true),
    (#"[{"matchExpressions":[{"key":"disk","operator":"Exists"}]}]"#, true),
    (#"[{"matchExpressions":[{"key":"disk","operator":"DoesNotExist"}]}]"#, false),
    (#"[{"matchExpressions":[{"key":"cores","operator":"Gt","values":["3"]}]}]"#, true),
    (#"[{"matchExpressions":[{"key":"cores","operator":"Lt","values":["4"]}]}]"#, false),
    (#"[{"matchExpressions":[{"key":"disk","operator":"Gt","values":["3"]}]}]"#, false),
    (#"[{"matchFields":[{"key":"metadata.name","operator":"In","values":["n"]}]}]"#, true),
    (#"[{"matchFields":[{"key":"metadata.name","operator":"In","values":["m"]}]}]"#, false),
    (
      #"[{"matchExpressions":[{"key":"none","operator":"Exists"}]},{"matchExpressions":[{"key":"disk","operator":"Exists"}]}]"#,
      true
    ),
    (#"[{}]"#, false), (#"[{"matchExpressions":[{"key":"disk","operator":"Near"}]}]"#, false),
  ])
func affinity(text: String, admits: Bool) throws {
  let parsed = try Value(json: text)
  let spec: Value =
    parsed.array == nil
    ? parsed : ["affinity": ["nodeAffinity": ["requiredDuringSchedulingIgnoredDuringExecution": ["nodeSelectorTerms": parsed]]]]
  let labelled = try node("n", labels: ["disk": "ssd", "zone": "a", "cores": "4"])
  #expect(
    try verdict(spec, labelled) == (admits ? "p → n" : refused("node(s) didn't match Pod's node affinity/selector", hopeless: true))
  )
}

@Test("host ports: the same port, protocol and an overlapping address cannot be shared")
func hostPorts() throws {
  func port(_ number: Int64, _ transport: String = "TCP", ip: String? = nil) -> Value {
    var port: Value = ["containerPort": 80, "hostPort": .int(number), "protocol": .string(transport)]
    if let ip { port["hostIP"] = .string(ip) }
    return ["containers": [["name": "c", "ports": [port]]]]
  }
  let conflict = refused("node(s) didn't have free ports for the requested pod ports")
  #expect(try verdict(port(80), node("n"), beside: port(80)) == conflict)
  #expect(try verdict(port(80), node("n"), beside: port(81)) == "p → n")
  #expect(try verdict(port(80), node("n"), beside: port(80, "UDP")) == "p → n")
  #expect(try verdict(port(80, ip: "10.0.0.1"), node("n"), beside: port(80, ip: "10.0.0.2")) == "p → n")
  #expect(try verdict(port(80, ip: "10.0.0.1"), node("n"), beside: port(80)) == conflict)
}

@Test("the words about preemption: by node, by the pod's own policy, and none where somebody less important runs")
func preemption() throws {
  func words(_ spec: Value, beside: Value) throws -> [String] {
    var state = SchedulerState(seed: 1)
    state.add(
      try node("full", cpu: "1"), try node("small", cpu: "500m"),
      try node("tainted", taints: [["key": "t", "effect": "NoSchedule"]]))
    var beside = beside
    beside["nodeName"] = "full"
    state.add(try pod("beside", spec: beside))
    state.add(try pod("p", spec: spec))
    return state.decisions()
  }
  let refusal = "p: 0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu."
  var important = requests(cpu: "1")
  important["priority"] = 1000
  #expect(
    try words(requests(cpu: "1"), beside: requests(cpu: "1")) == [
      "\(refusal) preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, "
        + "2 Preemption is not helpful for scheduling."
    ])
  #expect(try words(important, beside: requests(cpu: "1")) == [refusal])
  #expect(try words(important, beside: important) == words(requests(cpu: "1"), beside: requests(cpu: "1")))
  important["preemptionPolicy"] = "Never"
  #expect(
    try words(important, beside: requests(cpu: "1")) == ["\(refusal) preemption: not eligible due to preemptionPolicy=Never."])
}

@Test("scores: the emptier node, the preferred label, the untainted node, and the node without a sibling win")
func scores() throws {
  func choice(_ podSpec: Value, owner: String? = nil, _ nodes: NodeFacts..., bound: [(String, Value)] = []) throws -> String? {
    var state = SchedulerState(seed: 7)
    for node in nodes { state.add(node) }
    for (i, item) in bound.enumerated() {
      var spec = item.1
      spec["nodeName"] = .string(item.0)
      state.add(try pod("bound-\(i)", spec: spec, owner: owner))
    }
    state.add(try pod("p", spec: podSpec, owner: owner))
    _ = state.decisions()
    return state.node(of: ObjectKey(namespace: "default", name: "p"))
  }
  #expect(
    try choice(requests(cpu: "1", memory: "1Gi"), node("a"), node("b"), bound: [("a", requests(cpu: "2", memory: "4Gi"))]) == "b")
  let prefersB: Value = [
    "affinity": [
      "nodeAffinity": [
        "preferredDuringSchedulingIgnoredDuringExecution": [
          ["weight": 1, "preference": ["matchExpressions": [["key": "b", "operator": "Exists"]]]]
        ]
      ]
    ]
  ]
  #expect(try choice(prefersB, node("a", cpu: "8"), node("b", labels: ["b": ""])) == "b")
  #expect(try choice(.emptyObject, node("a", cpu: "8", taints: [["key": "t", "effect": "PreferNoSchedule"]]), node("b")) == "b")
  #expect(
    try choice(
      requests(cpu: "100m"), owner: "rs", node("a", cpu: "64", memory: "64Gi"), node("b"), bound: [("a", requests(cpu: "100m"))])
      == "b")
}

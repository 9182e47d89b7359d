import Scheduler
import Testing
import Wire

/// A cluster that changes at random, with the arithmetic done a second time in the plainest way.
private struct Cluster {
  var random: SeededRandom
  var state: SchedulerState
  var nodes: [String: NodeFacts] = [:]
  var pods: [ObjectKey: PodFacts] = [:]
  var serial = 0

  init(seed: UInt64) {
    random = SeededRandom(seed)
    state = SchedulerState(seed: seed)
  }

  mutating func pick(_ n: Int) -> Int { Int.random(in: 0..<n, using: &random) }

  mutating func makeNode() throws {
    let name = "n\(pick(12))"
    let facts = try node(
      name, cpu: ["1", "2", "4"][pick(3)], memory: ["1Gi", "4Gi"][pick(2)], pods: ["3", "110"][pick(2)],
      labels: ["zone": .string("z\(pick(3))")], taints: pick(5) == 0 ? [["key": "t", "effect": "NoSchedule"]] : [],
      unschedulable: pick(10) == 0)
    nodes[name] = facts
    state.add(facts)
  }

  mutating func makePod() throws {
    serial += 1
    var spec = requests(cpu: ["100m", "500m", "1"][pick(3)], memory: ["64Mi", "512Mi"][pick(2)])
    if pick(3) == 0 { spec["nodeSelector"] = ["zone": .string("z\(pick(3))")] }
    if pick(4) == 0 { spec["tolerations"] = [["key": "t", "operator": "Exists"]] }
    if pick(6) == 0 {
      spec["containers"].append(["name": "port", "ports": [["containerPort": 1, "hostPort": .int(Int64(8000 + pick(3)))]]])
    }
    let facts = try pod("p\(serial)", spec: spec, owner: pick(2) == 0 ? "rs\(pick(3))" : nil)
    pods[facts.key] = facts
    state.add(facts)
  }

  func load(_ name: String) -> (cpu: Int64, memory: Int64, pods: Int64) {
    var load: (cpu: Int64, memory: Int64, pods: Int64) = (0, 0, 0)
    for (key, facts) in pods where state.node(of: key) == name {
      load.cpu += facts.shape.requests.cpu
      load.memory += facts.shape.requests.memory
      load.pods += 1
    }
    return load
  }
}

@Test("classes choose what a full scan chooses, no node is ever overcommitted, and no pod waits that could run", arguments: 0..<60)
func simulation(seed: UInt64) throws {
  var cluster = Cluster(seed: seed)
  var now = Duration.zero
  for _ in 0..<3 { try cluster.makeNode() }
  for step in 0..<400 {
    now += .milliseconds(cluster.pick(3000))
    switch cluster.pick(12) {
    case 0: try cluster.makeNode()
    case 1 where cluster.nodes.count > 1:
      let name = cluster.nodes.keys.sorted()[cluster.pick(cluster.nodes.count)]
      cluster.nodes[name] = nil
      cluster.state.apply(.nodeDeleted(name), now: now)
      // What ran there is evicted.
      for key in cluster.pods.keys.sorted() where cluster.state.node(of: key) == name {
        cluster.pods[key] = nil
        cluster.state.apply(.podDeleted(key), now: now)
      }
    case 2, 3:
      guard !cluster.pods.isEmpty else { continue }
      let key = cluster.pods.keys.sorted()[cluster.pick(cluster.pods.count)]
      cluster.pods[key] = nil
      cluster.state.apply(.podDeleted(key), now: now)
    default: try cluster.makePod()
    }
    // One at a time, so that every choice can be compared with a scan of the same instant.
    while true {
      var reference = cluster.state
      _ = reference.schedule(limit: 0, now: now)
      guard let effect = cluster.state.schedule(limit: 1, now: now).first else { break }
      guard case .bind(let key, let uid, let node, _) = effect, var facts = cluster.pods[key] else { continue }
      #expect(reference.exhaustiveBest(facts.shape)?.node == node, "seed \(seed), step \(step)")
      let load = cluster.load(node)
      let allocatable = try #require(cluster.nodes[node]).allocatable
      #expect(
        load.cpu <= allocatable.cpu && load.memory <= allocatable.memory && load.pods <= allocatable.pods,
        "seed \(seed), step \(step)")
      if cluster.pick(5) == 0 {
        cluster.state.apply(.bindingFailed(key, uid: uid), now: now)
      } else if cluster.pick(4) > 0 {
        facts.node = node
        cluster.pods[key] = facts
        cluster.state.apply(.pod(facts), now: now)
      }
    }
  }
  // Back-offs run out: whoever still waits is refused by every node.
  for _ in 0..<20 {
    now += .seconds(40)
    for effect in cluster.state.schedule(limit: 10_000, now: now) {
      if case .bind(let key, _, let node, _) = effect, var facts = cluster.pods[key] {
        facts.node = node
        cluster.pods[key] = facts
        cluster.state.apply(.pod(facts), now: now)
      }
    }
  }
  for (key, facts) in cluster.pods where cluster.state.node(of: key) == nil {
    #expect(cluster.state.exhaustiveBest(facts.shape) == nil, "\(key) waits, seed \(seed)")
  }
}

@Test("a class asks its rules twice of every node, not once a pod; a placement scores the one node that changed")
func classes() throws {
  let (nodes, pods) = (500, 3000)
  var state = SchedulerState(seed: 1)
  for i in 0..<nodes { state.add(try node("n\(i)", labels: ["disk": "ssd"])) }
  var spec = requests(cpu: "10m")
  spec["nodeSelector"] = ["disk": "ssd"]
  for i in 0..<pods { state.add(try pod("p\(i)", spec: spec, owner: "rs")) }
  #expect(state.decisions().count == pods)
  // The first pod of a shape looks at every node and keeps nothing, the second keeps what it finds.
  #expect(state.work.filtered == 2 * nodes)
  #expect(state.work.scored == 2 * nodes + pods - 2)
  // One node changes: one is asked again, by each class that is used.
  state.add(try node("n7", labels: ["disk": "hdd"]))
  state.add(try pod("another", spec: spec, owner: "rs"))
  #expect(state.decisions().count == 1)
  #expect(state.work.filtered == 2 * nodes + 1)
  #expect(state.work.scored == 2 * nodes + pods)
}

@Test("a class that no node takes asks every node once, and for each pod that comes or goes the node that it is on")
func refusedClass() throws {
  let (nodes, events) = (400, 600)
  var state = SchedulerState(seed: 1)
  for i in 0..<nodes { state.add(try node("n\(i)", cpu: i % 2 == 0 ? "4" : "2")) }
  state.add(try pod("huge", spec: requests(cpu: "100")), try pod("huger", spec: requests(cpu: "200")))
  #expect(state.decisions().count == 2)
  #expect(state.work.explained == 2 * nodes)
  let scored = state.work.scored
  for i in 0..<events {
    var spec = requests(cpu: "10m")
    spec["nodeName"] = .string("n\(i % nodes)")
    state.add(try pod("p\(i)", spec: spec))
    #expect(state.decisions() == [])
  }
  #expect(state.work.explained == 2 * nodes + 2 * events)
  #expect(state.work.scored <= scored + 2 * nodes + 2 * events)
  // What they say is right after all that.
  for i in 0..<nodes { state.add(try node("n\(i)", cpu: "4", unschedulable: i < 100)) }
  #expect(
    state.decisions().allSatisfy { $0.contains("0/400 nodes are available: 100 node(s) were unschedulable, 300 Insufficient cpu.") }
  )
}

@Test("the same seed gives the same placements, another seed breaks ties differently")
func seeds() throws {
  func run(_ seed: UInt64) throws -> [String] {
    var state = SchedulerState(seed: seed)
    for i in 0..<40 { state.add(try node("n\(i)")) }
    for i in 0..<40 { state.add(try pod("p\(i)", spec: requests(cpu: "100m"), owner: "rs")) }
    return state.decisions()
  }
  #expect(try run(1) == run(1))
  #expect(try run(1) != run(2))
  #expect(Set(try run(3).map { $0.split(separator: " ").last }).count == 40, "an owner's pods go to forty nodes")
}

import Scheduler
import Wire

/// Placements per second of the scheduler's decisions, against the plain loop that looks at every node for every pod.
enum SchedulerBenchmark {
  struct Row {
    var name: String
    var perSecond: Double
    var floor: Double
  }

  /// - Parameter templates: how many Deployments the pods come from, in shuffled order.
  static func measure(name: String, pods: Int, nodes: Int, templates: Int) -> Row {
    var random = SplitMix(state: 42)
    let facts = (0..<nodes).map { i in
      NodeFacts(
        name: "node-\(i)", labels: ["kubernetes.io/hostname": "node-\(i)", "zone": "z\(i % 3)"],
        allocatable: ResourceList(cpu: 32 * ResourceList.unitsPerCore, memory: 128 << 30, ephemeralStorage: 1 << 40, pods: 110))
    }
    let shapes = (0..<templates).map { i in
      PodShape(
        owner: "rs-\(i)",
        requests: ResourceList(
          cpu: [100, 250, 500, 1000][Int(random.next() % 4)] * 128, memory: [128, 256, 512, 2048][Int(random.next() % 4)] << 20))
    }
    let waiting = (0..<pods).map { i in
      PodFacts(
        key: ObjectKey(namespace: "default", name: "pod-\(i)"), uid: "uid-\(i)",
        shape: shapes[Int(random.next() % UInt64(templates))])
    }

    var state = SchedulerState(seed: 1)
    for node in facts { state.apply(.node(node), now: .zero) }
    var placed = 0
    let clock = ContinuousClock()
    let time = clock.measure {
      for pod in waiting { state.apply(.pod(pod), now: .zero) }
      while state.hasWork { placed += state.schedule(limit: 512, now: .zero).count }
    }
    precondition(placed == pods, "every pod fits")

    // The floor does the same arithmetic for some of the pods, without queue, reservations and explanations.
    let sample = waiting.prefix(max(200, 20_000_000 / nodes / 50))
    var free = facts.map(\.allocatable)
    var beside = [[Int]](repeating: [Int](repeating: 0, count: templates), count: nodes)
    let templateOf = Dictionary(uniqueKeysWithValues: shapes.enumerated().map { ($1, $0) })
    let floorTime = clock.measure {
      for pod in sample {
        let template = templateOf[pod.shape] ?? 0
        var best = -1
        var bestScore = -1
        for i in 0..<nodes {
          guard free[i].cpu >= pod.shape.requests.cpu, free[i].memory >= pod.shape.requests.memory, free[i].pods > 0 else {
            continue
          }
          let cpu = (free[i].cpu - pod.shape.requests.cpu) * 100 / facts[i].allocatable.cpu
          let memory = (free[i].memory - pod.shape.requests.memory) * 100 / facts[i].allocatable.memory
          let score = Int(cpu + memory) / 2 + 100 - Int(abs(cpu - memory)) / 2 + 200 / (1 + beside[i][template])
          if score > bestScore { (best, bestScore) = (i, score) }
        }
        guard best >= 0 else { continue }
        free[best].cpu -= pod.shape.requests.cpu
        free[best].memory -= pod.shape.requests.memory
        free[best].pods -= 1
        beside[best][template] += 1
      }
    }
    return Row(name: name, perSecond: Double(pods) / time.seconds, floor: Double(sample.count) / floorTime.seconds)
  }

  static func run() {
    for (row, target) in [
      (measure(name: "5,000 pods of 1 Deployment on 1,000 nodes", pods: 5000, nodes: 1000, templates: 1), 5.0),
      (measure(name: "30,000 pods of 200 Deployments on 10,000 nodes", pods: 30000, nodes: 10000, templates: 200), 3),
      (measure(name: "3,000 pods of 3,000 shapes on 10,000 nodes", pods: 3000, nodes: 10000, templates: 3000), 1),
    ] {
      Report.line(
        "scheduler: \(row.name)", "\(Report.count(row.perSecond)) placements/s",
        against: "a plain loop over every node \(Report.count(row.floor))/s", ratio: row.perSecond / row.floor, .atLeast(target))
    }
  }
}

private struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &+ 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

extension Duration {
  fileprivate var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

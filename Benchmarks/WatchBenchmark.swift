import Cache
import Glibc
import NIOCore
import NIOPosix
import Store
import Synchronization
import Wire

/// One write until the last of thousands of watchers has it, and deliveries per second, against an AsyncStream per watcher.
enum WatchBenchmark {
  static func run() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    for watchers in [1000, 5000] {
      let single = try await ring(group, watchers: watchers, rounds: 300, batch: 1)
      let burst = try await ring(group, watchers: watchers, rounds: 10, batch: 500)
      let streams = await streams(watchers: watchers, rounds: 20, batch: 10)
      let idle = try await idleBytes(group, watchers: watchers)
      let name = "watch: \(Report.count(Double(watchers))) watchers"
      Report.line(
        "\(name), the last has one write", Report.time(single.latency),
        against: "an AsyncStream each \(Report.time(Double(watchers) / streams))",
        ratio: single.latency * streams / Double(watchers),
        .atMost(1))
      Report.line(
        "\(name), deliveries in bursts", "\(Report.count(burst.rate))/s", against: "an AsyncStream each \(Report.count(streams))/s",
        ratio: burst.rate / streams, .atLeast(10))
      Report.line("\(name), idle", "\(idle) bytes each", against: "mark 2,500 bytes", ratio: Double(idle) / 2500, .atMost(1))
    }
    let nodes = try await nodes(group, watchers: 5000)
    let everybody = try await ring(group, watchers: 5000, rounds: 50, batch: 1).latency
    Report.line(
      "watch: 5,000 nodes watch their own pods, one pod bound", Report.time(nodes),
      against: "5,000 that watch everything \(Report.time(everybody))", ratio: nodes / everybody, .atMost(0.1))
    try await group.shutdownGracefully()
  }

  /// An event loop as the doors use it: one hop a batch.
  final class LoopTarget: WakeTarget {
    let loop: any EventLoop
    init(_ loop: any EventLoop) { self.loop = loop }
    func wake(_ cursors: [WatchCursor]) { loop.execute { for cursor in cursors { cursor.onWake() } } }
  }

  final class Watcher: Sendable {
    let cursor = Mutex<WatchCursor?>(nil)
    let count: Counter
    init(_ count: Counter) { self.count = count }
    func drain() {
      guard let cursor = cursor.withLock({ $0 }) else { return }
      while case .events(let events, let hasMore) = cursor.next() {
        if !events.isEmpty { count.add(events.count) }
        if !hasMore { return }
      }
    }
  }

  final class Counter: Sendable {
    private let value = Atomic<Int>(0)
    private let waiter = Mutex<(Int, CheckedContinuation<Void, Never>)?>(nil)
    private let target = Atomic<Int>(Int.max)

    func add(_ n: Int) {
      if value.add(n, ordering: .sequentiallyConsistent).newValue >= target.load(ordering: .sequentiallyConsistent) { fire() }
    }
    private func fire() {
      let found = waiter.withLock { waiter in
        defer { waiter = nil }
        return waiter
      }
      if found != nil { target.store(Int.max, ordering: .sequentiallyConsistent) }
      found?.1.resume()
    }
    func reach(_ n: Int, after body: () -> Void) async {
      await withCheckedContinuation { continuation in
        waiter.withLock { $0 = (n, continuation) }
        target.store(n, ordering: .sequentiallyConsistent)
        body()
        if value.load(ordering: .sequentiallyConsistent) >= n { fire() }
      }
    }
    func reset() { value.store(0, ordering: .sequentiallyConsistent) }
  }

  static func make(
    _ group: MultiThreadedEventLoopGroup, watchers: Int, scope: (Int) -> WatchScope
  ) throws -> (MemoryStore, Counter, [Watcher], ResourceCache) {
    let store = MemoryStore()
    let cache = Cache(
      open: { _, value in value }, index: { _ in { object in object.withView { $0["spec"]["nodeName"].string ?? "" } } })
    try cache.follow(store)
    let resource = cache.resource(GroupResource(resource: "pods"))
    let targets = (0..<2).map { _ in LoopTarget(group.next()) }
    let counter = Counter()
    let all = (0..<watchers).map { i in
      let watcher = Watcher(counter)
      let cursor = resource.watch(after: 0, scope: scope(i), target: targets[i % 2]) { watcher.drain() }
      watcher.cursor.withLock { $0 = cursor }
      return watcher
    }
    // The cache lives as long as its store's observer asks for it: the resource alone would not be fed.
    keep.withLock { $0 = cache }
    return (store, counter, all, resource)
  }

  static let keep = Mutex<Cache?>(nil)

  static func ring(_ group: MultiThreadedEventLoopGroup, watchers: Int, rounds: Int, batch: Int) async throws -> (
    latency: Double, rate: Double
  ) {
    let (store, counter, all, _) = try make(group, watchers: watchers) { _ in .all }
    let writes = (0..<batch).map { (CacheBenchmark.key($0), CacheBenchmark.pod($0)) }
    let clock = ContinuousClock()
    var total = Duration.zero
    for _ in 0..<rounds {
      counter.reset()
      total += await clock.measure { await counter.reach(watchers * batch) { store.put(writes) } }
    }
    for watcher in all {
      watcher.cursor.withLock {
        $0?.close(); $0 = nil
      }
    }
    return (seconds(total) / Double(rounds), Double(watchers * batch * rounds) / seconds(total))
  }

  static func nodes(_ group: MultiThreadedEventLoopGroup, watchers: Int) async throws -> Double {
    let (store, counter, all, _) = try make(group, watchers: watchers) { .attribute("node-\($0 % 300 + $0 / 300 * 300)") }
    let clock = ContinuousClock()
    var total = Duration.zero
    for i in 0..<300 {
      counter.reset()
      total += await clock.measure { await counter.reach(1) { store.put(CacheBenchmark.key(i), CacheBenchmark.pod(i)) } }
    }
    for watcher in all {
      watcher.cursor.withLock {
        $0?.close(); $0 = nil
      }
    }
    return seconds(total) / 300
  }

  static func idleBytes(_ group: MultiThreadedEventLoopGroup, watchers: Int) async throws -> Int {
    // Freed memory goes back first: what is taken from it again would not be seen.
    _ = trimHeap(0)
    let before = residentBytes()
    let (_, _, all, _) = try make(group, watchers: watchers) { _ in .all }
    let after = residentBytes()
    for watcher in all {
      watcher.cursor.withLock {
        $0?.close(); $0 = nil
      }
    }
    return (after - before) / watchers
  }

  static func streams(watchers: Int, rounds: Int, batch: Int) async -> Double {
    let counter = Counter()
    var continuations: [AsyncStream<Int>.Continuation] = []
    var tasks: [Task<Void, Never>] = []
    for _ in 0..<watchers {
      let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
      continuations.append(continuation)
      tasks.append(Task.detached { for await _ in stream { counter.add(1) } })
    }
    let clock = ContinuousClock()
    var total = Duration.zero
    let all = continuations
    for _ in 0..<rounds {
      counter.reset()
      total += await clock.measure {
        await counter.reach(watchers * batch) { for event in 0..<batch { for continuation in all { continuation.yield(event) } } }
      }
    }
    for continuation in continuations { continuation.finish() }
    for task in tasks { await task.value }
    return Double(watchers * batch * rounds) / seconds(total)
  }
}

@_silgen_name("malloc_trim") private func trimHeap(_ keep: Int) -> Int32

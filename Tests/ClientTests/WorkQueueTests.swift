import Client
import Testing

@Test("a key waits once, comes again when added while worked on, and keys keep their order")
func workQueue() async {
  let queue = WorkQueue<String>()
  queue.add(["a", "b", "a"])
  #expect(await queue.next() == "a")
  queue.add("a")
  #expect(await queue.next() == "b")
  queue.done("b")
  queue.done("a")
  #expect(await queue.next() == "a")
  queue.done("a")
  async let waiting = queue.next()
  queue.add("c")
  #expect(await waiting == "c")
  queue.close()
  #expect(await queue.next() == nil)
}

@Test("cancellation wakes who waits")
func cancelled() async {
  let queue = WorkQueue<Int>()
  let waiter = Task { await queue.next() }
  waiter.cancel()
  #expect(await waiter.value == nil)
}

@Test("eight workers and four writers: every key is worked on after its last addition, never by two at once")
func workers() async {
  let queue = WorkQueue<Int>()
  let ledger = Ledger()
  await withTaskGroup(of: Void.self) { group in
    for _ in 0..<8 {
      group.addTask {
        while let key = await queue.next() {
          await ledger.begin(key)
          await Task.yield()
          await ledger.end(key)
          queue.done(key)
          if await ledger.isComplete { queue.close() }
        }
      }
    }
    for writer in 0..<4 {
      group.addTask {
        for i in 0..<500 {
          await ledger.want(i % 17)
          queue.add(i % 17)
        }
        await ledger.finish(writer)
        queue.add(0)
      }
    }
  }
  #expect(await ledger.overlaps == 0)
  #expect(await ledger.isComplete)
}

private actor Ledger {
  private var wanted: Set<Int> = []
  private var working: Set<Int> = []
  private var finished: Set<Int> = []
  private(set) var overlaps = 0
  func want(_ key: Int) { wanted.insert(key) }
  func begin(_ key: Int) {
    if !working.insert(key).inserted { overlaps += 1 }
    wanted.remove(key)
  }
  func end(_ key: Int) { working.remove(key) }
  func finish(_ writer: Int) { finished.insert(writer) }
  var isComplete: Bool { finished.count == 4 && wanted.isEmpty }
}

@Test("back-off doubles to its limit and starts anew")
func backoff() {
  var backoff = Backoff(base: .milliseconds(100), limit: .seconds(1))
  #expect((0..<6).map { _ in backoff.next() } == [100, 200, 400, 800, 1000, 1000].map { .milliseconds($0) })
  backoff.reset()
  #expect(backoff.next() == .milliseconds(100))
}

@Test("alarms against a dictionary: each key once, at its earliest instant, never after its slack", arguments: 0..<50)
func alarms(seed: UInt64) {
  var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
  func random(_ bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % bound
  }
  let start = ContinuousClock.now
  var now = start
  var alarms = Alarms<Int>()
  var model: [Int: (at: ContinuousClock.Instant, latest: ContinuousClock.Instant)] = [:]
  for _ in 0..<400 {
    if random(3) > 0 {
      let delay = Duration.milliseconds(1 + random(1000))
      let key = random(40)
      let isEarlier = alarms.add(key, at: now + delay, latest: now + delay + delay / 20)
      #expect(isEarlier == (model[key].map { now + delay < $0.at } ?? true))
      if isEarlier { model[key] = (now + delay, now + delay + delay / 20) }
    } else if let next = alarms.next {
      now = max(now, next)
      for key in alarms.take(now: now) {
        let due = model.removeValue(forKey: key)
        #expect(due.map { $0.at <= now } == true, "key \(key), seed \(seed)")
      }
      // What is left may still wait until the timer goes off again.
      #expect(model.values.allSatisfy { $0.latest >= now }, "seed \(seed)")
    }
  }
  while let next = alarms.next {
    now = max(now, next)
    for key in alarms.take(now: now) { model[key] = nil }
  }
  #expect(model.isEmpty, "seed \(seed)")
}

@Test("a key comes back by itself, the earliest of its alarms counts")
func alarm() async {
  let queue = WorkQueue<String>()
  queue.add("late", after: .seconds(3600))
  queue.add("soon", after: .milliseconds(20))
  queue.add("late", after: .milliseconds(40))
  #expect(await queue.next() == "soon")
  #expect(await queue.next() == "late")
  queue.close()
}

@Test("what was added while a run went on that failed is worked on at once, not after the back-off")
func dirtyAfterFailure() async {
  let queue = WorkQueue<String>(base: .seconds(3600), limit: .seconds(3600))
  queue.add(["a", "b"])
  #expect(await queue.next() == "a")
  queue.add("a")
  queue.done("a", succeeded: false)
  #expect(await queue.next() == "b")
  queue.done("b", succeeded: false)
  #expect(await queue.next() == "a")
  // Nothing came meanwhile: now it waits.
  queue.done("a", succeeded: false)
  queue.add("end")
  #expect(await queue.next() == "end")
  queue.close()
}

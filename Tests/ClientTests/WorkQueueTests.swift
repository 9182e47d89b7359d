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

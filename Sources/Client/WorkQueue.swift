import Synchronization

/// Keys that wait to be worked on. A key is in it once however often it is added; one that is added while it is being worked on
/// comes again after that, also where the work failed: what came meanwhile may be what it lacked. Failures back off by key.
package final class WorkQueue<Key: Hashable & Sendable>: Sendable {
  private struct State {
    var waiting: [Key] = []
    var head = 0
    var queued: Set<Key> = []
    var working: Set<Key> = []
    var again: Set<Key> = []
    var backoffs: [Key: Backoff] = [:]
    /// When keys come by themselves, and the one timer that waits for the first of them.
    var alarms = Alarms<Key>()
    var timer: (at: ContinuousClock.Instant, task: Task<Void, Never>)?
    var isClosed = false
    var sleepers: [CheckedContinuation<Void, Never>] = []

    mutating func enqueue(_ key: Key) {
      guard !isClosed else { return }
      if working.contains(key) {
        again.insert(key)
      } else if queued.insert(key).inserted {
        waiting.append(key)
      }
    }

    mutating func dequeue() -> Key? {
      guard head < waiting.count else { return nil }
      let key = waiting[head]
      head += 1
      if head > 1024, head * 2 > waiting.count {
        waiting.removeFirst(head)
        head = 0
      }
      queued.remove(key)
      working.insert(key)
      return key
    }
  }

  private let state = Mutex(State())
  private let base: Duration
  private let limit: Duration

  /// - Parameters base, limit: patience after the first failure of a key, and the longest.
  package init(base: Duration = .milliseconds(5), limit: Duration = .seconds(60)) {
    self.base = base
    self.limit = limit
  }

  package func add(_ key: Key) { add([key]) }

  package func add(_ keys: some Sequence<Key>) {
    let sleepers = state.withLock { state in
      for key in keys { state.enqueue(key) }
      defer { state.sleepers = [] }
      return state.sleepers
    }
    for sleeper in sleepers { sleeper.resume() }
  }

  /// Comes back after a while, or up to a twentieth of it later. A key has one alarm, the earliest that was set.
  package func add(_ key: Key, after delay: Duration) {
    guard delay > .zero else { return add(key) }
    let alarm = ContinuousClock.now + delay
    state.withLock { state in
      guard !state.isClosed, state.alarms.add(key, at: alarm, latest: alarm + delay / 20) else { return }
      arm(&state)
    }
  }

  private func arm(_ state: inout State) {
    guard let next = state.alarms.next, state.timer.map({ next < $0.at }) ?? true else { return }
    state.timer?.task.cancel()
    let task = Task { [weak self] in
      guard (try? await Task.sleep(until: next, clock: .continuous)) != nil else { return }
      self?.ring()
    }
    state.timer = (next, task)
  }

  private func ring() {
    let sleepers = state.withLock { state -> [CheckedContinuation<Void, Never>] in
      state.timer = nil
      let due = state.alarms.take(now: .now)
      for key in due { state.enqueue(key) }
      arm(&state)
      if due.isEmpty { return [] }
      defer { state.sleepers = [] }
      return state.sleepers
    }
    for sleeper in sleepers { sleeper.resume() }
  }

  /// Waits for a key. Whoever takes one says ``done(_:succeeded:)``.
  /// - Returns: nil when the queue is closed or the task is cancelled.
  package func next() async -> Key? {
    while !Task.isCancelled {
      let taken: (key: Key?, isClosed: Bool) = state.withLock { ($0.dequeue(), $0.isClosed) }
      if let key = taken.key { return key }
      if taken.isClosed { return nil }
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          let isReady = state.withLock { state in
            if state.head < state.waiting.count || state.isClosed || Task.isCancelled { return true }
            state.sleepers.append(continuation)
            return false
          }
          if isReady { continuation.resume() }
        }
      } onCancel: {
        wakeAll()
      }
    }
    return nil
  }

  /// - Parameter succeeded: false brings the key back after its back-off, or at once where it was added meanwhile.
  package func done(_ key: Key, succeeded: Bool = true) {
    let (delay, sleepers) = state.withLock { state -> (Duration?, [CheckedContinuation<Void, Never>]) in
      state.working.remove(key)
      var delay: Duration?
      if succeeded {
        state.backoffs[key] = nil
      } else {
        delay = state.backoffs[key, default: Backoff(base: base, limit: limit)].next()
      }
      guard state.again.remove(key) != nil else { return (delay, []) }
      state.enqueue(key)
      defer { state.sleepers = [] }
      return (nil, state.sleepers)
    }
    for sleeper in sleepers { sleeper.resume() }
    if let delay { add(key, after: delay) }
  }

  package func close() {
    state.withLock { state in
      state.isClosed = true
      state.timer?.task.cancel()
      state.timer = nil
    }
    wakeAll()
  }

  private func wakeAll() {
    let sleepers = state.withLock { state in
      defer { state.sleepers = [] }
      return state.sleepers
    }
    for sleeper in sleepers { sleeper.resume() }
  }
}

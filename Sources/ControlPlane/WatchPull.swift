import Client
import Synchronization

/// Events of one watch, pulled by whoever reads its stream: what is not read waits in the ring as everybody's does, not in a queue of
/// its own, and who is too slow for ring and log is told that the position has expired.
final class WatchPull: Sendable {
  private struct State {
    /// nil once it is over.
    var watch: Watch?
    /// A wake that came while nobody waited.
    var isWoken = false
    var waiter: CheckedContinuation<Void, Never>?
  }

  private let state = Mutex(State())

  func start(_ watch: Watch) { state.withLock { $0.watch = watch } }

  deinit { end() }

  func wake() {
    let waiter = state.withLock { state in
      defer { state.waiter = nil }
      if state.waiter == nil { state.isWoken = true }
      return state.waiter
    }
    waiter?.resume()
  }

  func end() {
    let (watch, waiter) = state.withLock { state in
      defer { (state.watch, state.waiter) = (nil, nil) }
      return (state.watch, state.waiter)
    }
    watch?.close()
    waiter?.resume()
  }

  /// The next events; nil when the watch is over. For one reader.
  func next() async -> [WatchEvent]? {
    while let watch = state.withLock({ $0.watch }) {
      let batch = watch.next()
      if batch.isEnd { end() }
      if !batch.events.isEmpty { return batch.events }
      if !batch.hasMore, !batch.isEnd { await woken() }
    }
    return nil
  }

  private func woken() async {
    await withCheckedContinuation { continuation in
      let isReady = state.withLock { state in
        if state.isWoken || state.watch == nil {
          state.isWoken = false
          return true
        }
        state.waiter = continuation
        return false
      }
      if isReady { continuation.resume() }
    }
  }
}

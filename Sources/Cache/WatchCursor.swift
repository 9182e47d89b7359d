import Store
import Synchronization
import Wire

/// Where wakes of several cursors arrive together: one for each event loop, so that a batch of events costs one hop a loop.
package protocol WakeTarget: AnyObject, Sendable {
  /// Must arrange that every `onWake` is called, on the target's own thread.
  func wake(_ cursors: [WatchCursor])
}

/// A place in a resource's ring. Idle, it costs itself and nothing else: no timer, no queue, no task.
///
/// A cursor that the ring has left behind reads the store's log until it has caught up; only where the log is compacted too,
/// or has gaps (volatile writes), it has expired.
package final class WatchCursor: Sendable {
  private enum Mode: Sendable {
    /// At this sequence number of the ring.
    case ring(Int)
    /// Events of the log that were read, and whether more are being read.
    case log(backlog: [RingEvent], isReading: Bool)
    case expired
  }

  private struct State: Sendable {
    var mode: Mode
    /// Every event up to here was handed out or is in the backlog.
    var reached: Revision
  }

  private let cache: ResourceCache
  let scope: WatchScope
  let target: any WakeTarget
  package let onWake: @Sendable () -> Void
  private let state: Mutex<State>
  /// Set while a wake is on its way, so that a burst of events wakes once.
  private let isWoken = Atomic<Bool>(false)
  /// The place in its bucket; touched under the resource's lock alone.
  private let place = Atomic<Int>(0)
  var slot: Int {
    get { place.load(ordering: .relaxed) }
    set { place.store(newValue, ordering: .relaxed) }
  }

  /// - Parameter position: in the ring; nil begins in the log, behind `reached`.
  init(
    cache: ResourceCache, scope: WatchScope, position: Int?, reached: Revision, target: any WakeTarget,
    onWake: @escaping @Sendable () -> Void
  ) {
    self.cache = cache
    self.scope = scope
    self.target = target
    self.onWake = onWake
    state = Mutex(State(mode: position.map { .ring($0) } ?? .log(backlog: [], isReading: false), reached: reached))
  }

  package enum Next: Sendable {
    /// Events of this cursor's scope; `hasMore` where the limit ended the batch.
    case events([RingEvent], hasMore: Bool)
    /// Ring and log have moved past this cursor: list again.
    case expired
  }

  /// The events since the last call. Where there are none (yet), a wake will follow.
  package func next(limit: Int = 256) -> Next {
    isWoken.store(false, ordering: .sequentiallyConsistent)
    return state.withLock { state in
      while true {
        switch state.mode {
        case .expired: return .expired
        case .ring(let position):
          switch cache.events(of: scope, from: position, limit: limit) {
          case .events(let events, let next, let reached, let hasMore):
            state.mode = .ring(next)
            state.reached = max(state.reached, reached)
            return .events(events, hasMore: hasMore)
          case .left: state.mode = cache.canReadLog(after: state.reached) ? .log(backlog: [], isReading: false) : .expired
          }
        case .log(var backlog, let isReading):
          if !backlog.isEmpty {
            state.mode = .expired
            let events = Array(backlog.prefix(limit))
            backlog.removeFirst(events.count)
            state.mode = .log(backlog: backlog, isReading: isReading)
            return .events(events, hasMore: !backlog.isEmpty || !isReading)
          }
          if isReading { return .events([], hasMore: false) }
          if let position = cache.position(after: state.reached, of: scope) {
            state.mode = .ring(position)
          } else {
            state.mode = .log(backlog: [], isReading: true)
            cache.readLog(after: state.reached, for: self)
            return .events([], hasMore: false)
          }
        }
      }
    }
  }

  /// Called by the reader of the log.
  func receive(_ events: [RingEvent], reached: Revision) {
    state.withLock { state in
      guard case .log(let backlog, _) = state.mode else { return }
      state.mode = .log(backlog: backlog + events, isReading: false)
      state.reached = max(state.reached, reached)
    }
    if arm() { target.wake([self]) }
  }

  func expire() {
    state.withLock { $0.mode = .expired }
    if arm() { target.wake([self]) }
  }

  func arm() -> Bool { !isWoken.exchange(true, ordering: .sequentiallyConsistent) }

  package func close() { cache.close(self) }
}

extension WatchScope {
  func contains(_ event: RingEvent) -> Bool {
    guard let key = (event.new ?? event.old)?.object.key else { return false }
    switch self {
    case .all: return true
    case .namespace(let namespace): return key.namespace == namespace
    case .object(let wanted): return key == wanted
    case .attribute(let value): return event.new?.attribute == value || event.old?.attribute == value
    }
  }
}

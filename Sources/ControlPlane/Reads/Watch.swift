import Cache
import Client
import Store
import Synchronization
import Wire

/// One watch: events as a client sees them. Pulled by its owner, one at a time.
package final class Watch: Sendable {
  private struct State {
    var initial: ListCursor?
    /// What the end of the initial state is told with.
    var initialRevision: Revision?
    var isEnded = false
  }

  /// Objects that one pull may look at: the loop's other connections come in between.
  package static let batch = 256

  private let controlPlane: ControlPlane
  private let request: ReadRequest
  private let filter: ObjectFilter
  private let cursor: WatchCursor
  private let state: Mutex<State>

  init(_ controlPlane: ControlPlane, _ request: ReadRequest, _ filter: ObjectFilter, _ cursor: WatchCursor, initial: ListCursor?) {
    self.controlPlane = controlPlane
    self.request = request
    self.filter = filter
    self.cursor = cursor
    state = Mutex(State(initial: initial, initialRevision: initial?.revision))
  }

  package struct Batch: Sendable {
    package var events: [WatchEvent]
    /// More can be pulled at once; otherwise wait for the next wake.
    package var hasMore: Bool
    /// After these events the watch is over.
    package var isEnd: Bool
  }

  /// The events since the last pull.
  /// - Parameter limit: objects that may be looked at, whether they match or not.
  package func next(limit: Int = Watch.batch) -> Batch {
    state.withLock { state in
      if state.isEnded { return Batch(events: [], hasMore: false, isEnd: true) }
      if var initial = state.initial {
        // Taken out while it moves, so that it is not copied.
        state.initial = nil
        var events: [WatchEvent] = []
        var steps = limit
        while true {
          switch initial.next(&steps) {
          case .object(let object): events.append(.added(object))
          case .pause:
            state.initial = initial
            return Batch(events: events, hasMore: true, isEnd: false)
          case .end:
            if request.sendInitialEvents, request.allowWatchBookmarks, let revision = state.initialRevision {
              events.append(.bookmark(revision: revision, initialEventsEnd: true))
            }
            return Batch(events: events, hasMore: true, isEnd: false)
          }
        }
      }
      switch cursor.next(limit: limit) {
      case .expired:
        state.isEnded = true
        return Batch(
          events: [.error(APIError(.expired, "The resourceVersion for the provided watch is too old."))], hasMore: false,
          isEnd: true)
      case .events(let ring, let hasMore): return Batch(events: ring.compactMap(event), hasMore: hasMore, isEnd: false)
      }
    }
  }

  /// A bookmark for a quiet watch: nothing up to here is missing once ``next()`` has been drained.
  package var bookmark: WatchEvent { .bookmark(revision: controlPlane.cache.revision, initialEventsEnd: false) }

  package func close() { cursor.close() }

  /// What one change means to this watcher: an object that begins to match is added, one that stops is deleted.
  private func event(_ change: RingEvent) -> WatchEvent? {
    let new = change.new.map { controlPlane.converted($0.object, to: request.kind) }.flatMap { filter.matches($0) ? $0 : nil }
    let old = change.old.map { controlPlane.converted($0.object, to: request.kind) }.flatMap { filter.matches($0) ? $0 : nil }
    switch (new, old) {
    case (let new?, nil): return .added(new)
    case (let new?, _?): return .modified(new)
    // As upstream: the last state that matched, at the revision that ended it.
    case (nil, let old?): return .deleted(old.at(revision: change.revision))
    case (nil, nil): return nil
    }
  }
}

/// Wakes in-process watches. A wake only lets a task go on, so it may run where events come from.
final class InProcessWakeTarget: WakeTarget {
  func wake(_ cursors: [WatchCursor]) { for cursor in cursors { cursor.onWake() } }
}

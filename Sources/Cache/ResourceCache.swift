import Store
import Synchronization
import Wire

/// One change as the ring keeps it. Both states are there, so that "it stopped matching" can become a deletion.
package struct RingEvent: Sendable {
  package let revision: Revision
  /// nil: deleted.
  package let new: ObjectTree.Entry?
  /// nil: created.
  package let old: ObjectTree.Entry?
}

/// A consistent view of one resource.
package struct Snapshot: Sendable {
  package let tree: ObjectTree
  /// The store's revision that the tree stands for.
  package let revision: Revision

  package init(tree: ObjectTree, revision: Revision) {
    self.tree = tree
    self.revision = revision
  }
}

/// One resource: its tree, its ring, its watchers.
package final class ResourceCache: Sendable {
  private struct State {
    var tree = ObjectTree()
    /// Events in order; `first` is the sequence number of `ring[start]`.
    var ring: [RingEvent] = []
    var start = 0
    var first = 0
    var bytes = 0
    /// Everything after this revision is in the ring.
    var completeSince: Revision = 0
    var watchers = WatcherTable()
    var lastRevision: Revision = 0
    /// Recent roots for continue tokens, oldest first.
    var recent: [Snapshot] = []

    var end: Int { first + ring.count - start }
    subscript(sequence: Int) -> RingEvent { ring[start + sequence - first] }
  }

  /// Roots kept for `continue`.
  private static let keptRoots = 32

  package let resource: GroupResource
  private let state = Mutex(State())
  private let index: (@Sendable (EncodedObject) -> String)?
  private let ringBytes: Int

  init(
    _ resource: GroupResource, index: (@Sendable (EncodedObject) -> String)?, ringBytes: Int, completeSince: borrowing Atomic<Int64>
  ) {
    self.resource = resource
    self.index = index
    self.ringBytes = ringBytes
    let revision = completeSince.load(ordering: .acquiring)
    state.withLock { $0.completeSince = revision }
  }

  private func entry(_ object: EncodedObject) -> ObjectTree.Entry {
    ObjectTree.Entry(object: object, attribute: index?(object) ?? "")
  }

  // MARK: Written by the committer's thread alone

  func load(_ object: EncodedObject) {
    let entry = entry(object)
    state.withLock {
      _ = $0.tree.put(entry)
      $0.lastRevision = max($0.lastRevision, object.revision)
    }
  }

  func put(_ object: EncodedObject, wakes: inout WakeList) {
    let entry = entry(object)
    record(object.key, revision: object.revision, wakes: &wakes) { tree in (entry, tree.put(entry)) }
  }

  func remove(_ key: ObjectKey, revision: Revision, wakes: inout WakeList) {
    record(key, revision: revision, wakes: &wakes) { tree in (nil, tree.remove(key)) }
  }

  private func record(
    _ key: ObjectKey, revision: Revision, wakes: inout WakeList,
    _ change: (inout ObjectTree) -> (new: ObjectTree.Entry?, old: ObjectTree.Entry?)
  ) {
    let cursors = state.withLock { state -> [WatchCursor] in
      let (new, old) = change(&state.tree)
      state.lastRevision = revision
      if new == nil, old == nil { return [] }
      state.ring.append(RingEvent(revision: revision, new: new, old: old))
      state.bytes += (new ?? old)?.object.count ?? 0
      while state.bytes > ringBytes, state.ring.count - state.start > 64 {
        let dropped = state.ring[state.start]
        state.bytes -= (dropped.new ?? dropped.old)?.object.count ?? 0
        state.completeSince = dropped.revision
        state.ring[state.start] = RingEvent(revision: dropped.revision, new: nil, old: nil)
        state.start += 1
        state.first += 1
      }
      if state.start > 1024, state.start * 2 > state.ring.count {
        state.ring.removeFirst(state.start)
        state.start = 0
      }
      return state.watchers.matching(key, attributes: [new?.attribute, old?.attribute])
    }
    for cursor in cursors { wakes.add(cursor) }
  }

  // MARK: Read from any event loop

  package func get(_ key: ObjectKey) -> EncodedObject? { state.withLock { $0.tree.get(key)?.object } }

  /// - Parameter revision: the cache's own, read before: the tree may already be newer, and then says so.
  package func snapshot(revision: Revision) -> Snapshot {
    state.withLock { Snapshot(tree: $0.tree, revision: max(revision, $0.lastRevision)) }
  }

  /// The revision of the last change here. Equal means: nothing changed.
  package var lastRevision: Revision { state.withLock { $0.lastRevision } }

  package var count: Int { state.withLock { $0.tree.count } }

  /// Keeps a snapshot for the pages that follow.
  package func keep(_ snapshot: Snapshot) {
    state.withLock { state in
      if state.recent.last?.revision == snapshot.revision { return }
      state.recent.append(snapshot)
      if state.recent.count > Self.keptRoots { state.recent.removeFirst() }
    }
  }

  package func kept(_ revision: Revision) -> Snapshot? { state.withLock { $0.recent.last { $0.revision == revision } } }

  // MARK: Watch

  /// Opens a cursor behind a revision.
  /// - Returns: nil where events after it are no longer in the ring.
  package func watch(
    after revision: Revision, scope: WatchScope, target: any WakeTarget, onWake: @escaping @Sendable () -> Void
  ) -> WatchCursor? {
    state.withLock { state in
      guard revision >= state.completeSince else { return nil }
      // The first event that is newer: the ring is sorted by revision.
      var low = state.first
      var high = state.end
      while low < high {
        let middle = (low + high) / 2
        if state[middle].revision <= revision { low = middle + 1 } else { high = middle }
      }
      let cursor = WatchCursor(cache: self, scope: scope, position: low, target: target, onWake: onWake)
      state.watchers.add(cursor)
      return cursor
    }
  }

  func close(_ cursor: WatchCursor) { state.withLock { $0.watchers.remove(cursor) } }

  enum Batch {
    case events([RingEvent], next: Int)
    case expired
  }

  func events(from position: Int, limit: Int) -> Batch {
    state.withLock { state in
      guard position >= state.first else { return .expired }
      let end = min(state.end, position + limit)
      return .events((position..<max(position, end)).map { state[$0] }, next: max(position, end))
    }
  }
}

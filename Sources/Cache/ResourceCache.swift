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
    var ring = EventRing()
    var buckets: [WatchScope: WatchBucket] = [:]
    var lastRevision: Revision
    /// Recent roots for continue tokens, oldest first, with the second they were kept.
    var recent: [(snapshot: Snapshot, since: Int64)] = []
  }

  /// Roots kept for `continue`, and for how many seconds.
  private static let rootLimit = 32
  private static let keptSeconds: Int64 = 300
  /// Changes that may be undone to show an older state: a millisecond of an event loop.
  private static let undoLimit = 1024

  package let resource: GroupResource
  private let state: Mutex<State>
  /// Used by the one thread that writes.
  private let shelf = Mutex(PatternShelf())
  private let extract: EntryExtractor
  private let log: LogReader
  private let now: @Sendable () -> Int64

  /// - Parameters:
  ///   - completeSince: the ring holds everything behind this revision.
  ///   - revision: what the (empty) tree stands for.
  init(
    _ resource: GroupResource, extract: EntryExtractor, log: LogReader, ringBytes: Int, completeSince: Revision, revision: Revision,
    now: @escaping @Sendable () -> Int64
  ) {
    self.resource = resource
    self.extract = extract
    self.log = log
    self.now = now
    state = Mutex(State(ring: EventRing(limit: ringBytes, completeSince: completeSince), lastRevision: revision))
  }

  // MARK: Written by the committer's thread alone

  func load(_ object: EncodedObject) {
    let entry = entry(object, after: nil)
    state.withLock { _ = $0.tree.put(entry) }
  }

  /// What the log still tells of the time before this process.
  func load(_ event: RingEvent) {
    let live = (event.new ?? event.old).flatMap { entry in state.withLock { $0.tree.get(entry.object.key) } }
    func kept(_ entry: ObjectTree.Entry?) -> ObjectTree.Entry? {
      guard let entry else { return nil }
      return entry.object.revision == live?.object.revision ? live : self.entry(entry.object, after: live)
    }
    let event = RingEvent(revision: event.revision, new: kept(event.new), old: kept(event.old))
    state.withLock { _ = $0.ring.append(event) }
  }

  func put(_ object: EncodedObject, wakes: inout WakeList) {
    // Nobody else writes: what is read here is still there below.
    let entry = entry(object, after: state.withLock { $0.tree.get(object.key) })
    record(object.key, revision: object.revision, wakes: &wakes) { tree in (entry, tree.put(entry)) }
  }

  /// An object as it is kept: in less memory, with what it is found by.
  private func entry(_ object: EncodedObject, after old: ObjectTree.Entry?) -> ObjectTree.Entry {
    var entry = extract(object)
    if let old, old.attribute == entry.attribute { entry.attribute = old.attribute }
    entry.object = shelf.withLock { object.kept(after: old?.object, on: &$0) }
    return entry
  }

  func remove(_ key: ObjectKey, revision: Revision, wakes: inout WakeList) {
    record(key, revision: revision, wakes: &wakes) { tree in (nil, tree.remove(key)) }
  }

  private func record(
    _ key: ObjectKey, revision: Revision, wakes: inout WakeList,
    _ change: (inout ObjectTree) -> (new: ObjectTree.Entry?, old: ObjectTree.Entry?)
  ) {
    let scopes = state.withLock { state -> [WatchScope] in
      let (new, old) = change(&state.tree)
      state.lastRevision = revision
      if new == nil, old == nil { return [] }
      let sequence = state.ring.append(RingEvent(revision: revision, new: new, old: old))
      if state.buckets.isEmpty { return [] }
      var scopes: [WatchScope] = [.namespace(key.namespace), .object(key)]
      if let attribute = new?.attribute, !attribute.isEmpty { scopes.append(.attribute(attribute)) }
      if let attribute = old?.attribute, !attribute.isEmpty, attribute != new?.attribute { scopes.append(.attribute(attribute)) }
      scopes = scopes.filter { state.buckets[$0]?.append(sequence, first: state.ring.first) != nil }
      if state.buckets[.all] != nil { scopes.append(.all) }
      return scopes
    }
    if !scopes.isEmpty { wakes.add(self, scopes) }
  }

  /// The watchers of some buckets. Their arrays are shared, not copied.
  func groups(of scopes: Set<WatchScope>) -> [WatchBucket.WakeGroup] {
    state.withLock { state in scopes.flatMap { state.buckets[$0].map { Array($0.groups.values) } ?? [] } }
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

  /// Keeps a snapshot for the pages that follow: for five minutes, while it is among the newest 32.
  package func keep(_ snapshot: Snapshot) {
    let now = now()
    state.withLock { state in
      state.recent.removeAll { $0.since + Self.keptSeconds < now }
      if state.recent.contains(where: { $0.snapshot.revision == snapshot.revision }) { return }
      state.recent.append((snapshot, now))
      if state.recent.count > Self.rootLimit { state.recent.removeFirst() }
    }
  }

  /// The state at an earlier revision: kept, or the newest with the ring's changes undone.
  /// - Returns: nil where it is gone.
  package func kept(_ revision: Revision) -> Snapshot? {
    enum Found {
      case snapshot(Snapshot)
      case undo(ObjectTree, [RingEvent])
      case gone
    }
    let now = now()
    let found = state.withLock { state -> Found in
      state.recent.removeAll { $0.since + Self.keptSeconds < now }
      if let kept = state.recent.last(where: { $0.snapshot.revision == revision }) { return .snapshot(kept.snapshot) }
      if revision >= state.lastRevision { return .snapshot(Snapshot(tree: state.tree, revision: revision)) }
      guard let from = state.ring.position(after: revision), state.ring.end - from <= Self.undoLimit else { return .gone }
      return .undo(state.tree, state.ring.events(from..<state.ring.end))
    }
    switch found {
    case .gone: return nil
    case .snapshot(let snapshot): return snapshot
    case .undo(var tree, let events):
      for event in events.reversed() {
        if let old = event.old { _ = tree.put(old) } else if let new = event.new { _ = tree.remove(new.object.key) }
      }
      let snapshot = Snapshot(tree: tree, revision: revision)
      keep(snapshot)
      return snapshot
    }
  }

  // MARK: Watch

  /// Opens a cursor behind a revision. Call ``WatchCursor/next(limit:)`` once: what is there already wakes nobody.
  /// - Returns: nil where events after it are neither in the ring nor in the log.
  package func watch(
    after revision: Revision, scope: WatchScope, target: any WakeTarget, onWake: @escaping @Sendable () -> Void
  ) -> WatchCursor? {
    let isInLog = log.canRead(resource, after: revision)
    enum Step {
      case opened(WatchCursor?)
      case search(EventRing.Part)
    }
    while true {
      let step = state.withLock { state -> Step in
        let position = state.ring.position(after: revision)
        var bucket = state.buckets.removeValue(forKey: scope) ?? WatchBucket(knownFrom: state.ring.end)
        defer { if !bucket.isIdle { state.buckets[scope] = bucket } }
        if let position, let gap = bucket.gap(of: scope, from: position, ring: state.ring) {
          bucket.isSearched = true
          return .search(gap)
        }
        bucket.isSearched = false
        guard position != nil || isInLog else { return .opened(nil) }
        let cursor = WatchCursor(cache: self, scope: scope, position: position, reached: revision, target: target, onWake: onWake)
        bucket.add(cursor)
        return .opened(cursor)
      }
      switch step {
      case .opened(let cursor): return cursor
      case .search(let part): search(part, for: scope)
      }
    }
  }

  /// Looks for a scope's events among those that its bucket does not know: a step at a time and outside of the lock, so that thousands
  /// of watchers who come back hold nobody up.
  private func search(_ part: EventRing.Part, for scope: WatchScope) {
    let found = part.events.indices.filter { scope.contains(part.events[$0]) }.map { part.first + $0 }
    state.withLock { state in
      guard var bucket = state.buckets.removeValue(forKey: scope) else { return }
      bucket.learn(found, from: part.first, upTo: part.end)
      state.buckets[scope] = bucket
    }
  }

  func close(_ cursor: WatchCursor) {
    state.withLock { state in
      guard var bucket = state.buckets.removeValue(forKey: cursor.scope) else { return }
      bucket.remove(cursor)
      if !bucket.isIdle { state.buckets[cursor.scope] = bucket }
    }
  }

  enum Batch {
    case events([RingEvent], next: Int, reached: Revision, hasMore: Bool)
    /// The ring has dropped events of the cursor.
    case left
  }

  func events(of scope: WatchScope, from position: Int, limit: Int) -> Batch {
    state.withLock { state in
      let end = state.ring.end
      if scope == .all {
        guard position >= state.ring.first else { return .left }
        let stop = min(end, position + limit)
        let events = state.ring.events(position..<max(position, stop))
        return .events(
          events, next: max(position, stop), reached: stop >= end ? state.lastRevision : events.last?.revision ?? 0,
          hasMore: stop < end)
      }
      guard let bucket = state.buckets[scope] else { return .events([], next: end, reached: state.lastRevision, hasMore: false) }
      guard bucket.knownFrom <= position else { return .left }
      var index = bucket.firstPosting(from: position)
      if index < bucket.postings.count, bucket.postings[index] < state.ring.first { return .left }
      var events: [RingEvent] = []
      while index < bucket.postings.count, events.count < limit {
        events.append(state.ring[bucket.postings[index]])
        index += 1
      }
      let hasMore = index < bucket.postings.count
      return .events(
        events, next: hasMore ? bucket.postings[index] : end, reached: hasMore ? events.last?.revision ?? 0 : state.lastRevision,
        hasMore: hasMore)
    }
  }

  /// Where in the ring a reader of the log goes on; nil where it has not caught up.
  func position(after revision: Revision, of scope: WatchScope) -> Int? {
    while true {
      let (position, gap) = state.withLock { state -> (Int?, EventRing.Part?) in
        let position = state.ring.position(after: revision)
        guard let position, let bucket = state.buckets[scope] else { return (position, nil) }
        return (position, bucket.gap(of: scope, from: position, ring: state.ring))
      }
      guard let gap else { return position }
      search(gap, for: scope)
    }
  }

  package var keptRoots: Int { state.withLock { $0.recent.count } }

  /// Lets go of roots that nobody has asked for in time.
  func prune() {
    let now = now()
    state.withLock { state in
      if state.recent.first.map({ $0.since + Self.keptSeconds < now }) ?? false {
        state.recent.removeAll { $0.since + Self.keptSeconds < now }
      }
    }
  }

  func canReadLog(after revision: Revision) -> Bool { log.canRead(resource, after: revision) }
  func readLog(after revision: Revision, for cursor: WatchCursor) { log.read(self, after: revision, for: cursor, extract: extract) }
}

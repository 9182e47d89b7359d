import Glibc
import Logging
import Store
import Synchronization
import Wire

/// Every live object, once, as bytes: per resource an ordered tree of snapshots and one ring of events.
///
/// In: the store's events, in the order of their revisions. Out: snapshots (a root, O(1)), objects, cursors over the ring.
/// Never: decodes and encodes again, copies an object, or lets a reader wait for a writer for more than a few instructions.
package final class Cache: Sendable {
  /// How stored bytes become an object's bytes: opens the envelope, decrypts, converts what an older release wrote.
  /// - Returns: nil where the value cannot be read by this release.
  package typealias Open = @Sendable (StoreKey, [UInt8]) -> [UInt8]?

  /// Revisions of the log that the rings begin with, so that watchers survive a restart of the server without reading the disk.
  private static let replayedRevisions: Int64 = 2000

  private struct Resources: Sendable {
    var all: [GroupResource: ResourceCache] = [:]
    /// Where rings of resources that nobody has asked for yet begin.
    var completeSince: Revision = 0
    var revision: Revision = 0
    var volatile: Set<GroupResource> = []
  }

  private let resources = Mutex(Resources())
  private let indexes: @Sendable (GroupResource) -> (@Sendable (EncodedObject) -> String)?
  private let terms: @Sendable (GroupResource) -> (@Sendable (EncodedObject) -> [String])?
  private let applied = Atomic<Int64>(0)
  /// When kept roots were last looked at.
  private let pruned = Atomic<Int64>(0)
  private static let pruneSeconds: Int64 = 60
  private let ringBytes: Int
  private let now: @Sendable () -> Int64
  private let decode: @Sendable (StoreRecord) -> EncodedObject?
  private let log: LogReader

  /// - Parameters:
  ///   - ringBytes: what one resource's ring may hold.
  ///   - index: what a resource's watchers select by besides name and namespace (pods: `spec.nodeName`); nil for none.
  ///   - terms: what else objects are looked up by in a snapshot, such as `owner/UID`; nil for none.
  ///   - now: seconds of a clock that only goes forward.
  package init(
    ringBytes: Int = 16 << 20, open: @escaping Open,
    index: @escaping @Sendable (GroupResource) -> (@Sendable (EncodedObject) -> String)?,
    terms: @escaping @Sendable (GroupResource) -> (@Sendable (EncodedObject) -> [String])? = { _ in nil },
    now: @escaping @Sendable () -> Int64 = Cache.monotonicSeconds, logger: Logger = Logger(label: "gantry.cache")
  ) {
    self.ringBytes = ringBytes
    self.now = now
    indexes = index
    self.terms = terms
    decode = { record in
      guard let bytes = open(record.key, record.value) else {
        logger.error("stored object cannot be read", metadata: ["key": "\(record.key)"])
        return nil
      }
      do throws(JSONError) { return try EncodedObject(bytes: bytes, revision: record.revision) } catch {
        logger.error("stored object is damaged", metadata: ["key": "\(record.key)", "error": "\(error)"])
        return nil
      }
    }
    log = LogReader(decode: decode)
  }

  package static let monotonicSeconds: @Sendable () -> Int64 = {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec)
  }

  /// Fills the cache and follows the store from there. Call once, before anything is committed.
  package func follow(_ store: any StoreEngine) throws(StoreError) {
    store.observe { [weak self] events, revision in self?.apply(events, revision: revision) }
    let (records, revision) = try store.load()
    let newest = records.reduce(0) { max($0, $1.revision) }
    let replayFrom = max(store.oldestRevision, newest - Self.replayedRevisions)
    resources.withLock { resources in
      resources.completeSince = replayFrom
      resources.revision = revision
      resources.volatile = store.volatileResources
    }
    for record in records where !record.key.isInternal {
      if let object = decode(record) { resource(record.key.resource).load(object) }
    }
    try replay(store, after: replayFrom)
    log.follow(store)
    applied.store(revision, ordering: .releasing)
  }

  private func replay(_ store: any StoreEngine, after start: Revision) throws(StoreError) {
    let volatile = store.volatileResources
    var position = start
    while true {
      let events = try store.events(after: position, limit: 1000)
      guard let last = events.last else { return }
      position = last.revision
      for event in events where !event.key.isInternal && !volatile.contains(event.key.resource) {
        if let change = log.event(event, extractor(event.key.resource)) { resource(event.key.resource).load(change) }
      }
    }
  }

  private func extractor(_ resource: GroupResource) -> EntryExtractor {
    EntryExtractor(attribute: indexes(resource), terms: terms(resource))
  }

  /// The resource's part of the cache; made when first asked for.
  package func resource(_ resource: GroupResource) -> ResourceCache {
    resources.withLock { resources in
      if let found = resources.all[resource] { return found }
      // What was volatile may be lost: nobody resumes from before the start.
      let completeSince = resources.volatile.contains(resource) ? resources.revision : resources.completeSince
      let made = ResourceCache(
        resource, extract: extractor(resource), log: log, ringBytes: ringBytes, completeSince: completeSince,
        revision: resources.revision, now: now)
      resources.all[resource] = made
      return made
    }
  }

  /// The newest revision that readers can see.
  package var revision: Revision { applied.load(ordering: .acquiring) }

  private func apply(_ events: [StoreEvent], revision: Revision) {
    var wakes = WakeList()
    for event in events where !event.key.isInternal {
      if let value = event.value {
        guard let object = decode(StoreRecord(key: event.key, value: value, revision: event.revision)) else { continue }
        resource(event.key.resource).put(object, wakes: &wakes)
      } else {
        resource(event.key.resource).remove(event.key.key, revision: event.revision, wakes: &wakes)
      }
    }
    applied.store(revision, ordering: .releasing)
    wakes.run()
    prune()
  }

  /// Kept roots hold old trees, which cost nothing until something is written: so it is here that they are let go.
  private func prune() {
    let now = now()
    guard now - pruned.load(ordering: .relaxed) >= Self.pruneSeconds else { return }
    pruned.store(now, ordering: .relaxed)
    for resource in resources.withLock({ Array($0.all.values) }) { resource.prune() }
  }
}

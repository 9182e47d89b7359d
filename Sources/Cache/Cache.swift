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

  /// Keys of this group are no objects (reservations of addresses and ports): they are not cached.
  package static let hiddenGroup = "~"

  private let resources = Mutex<[GroupResource: ResourceCache]>([:])
  private let open: Open
  private let indexes: @Sendable (GroupResource) -> (@Sendable (EncodedObject) -> String)?
  private let applied = Atomic<Int64>(0)
  private let revisionWaiters = Mutex<[(revision: Revision, resume: @Sendable () -> Void)]>([])
  private let ringBytes: Int
  private let logger: Logger

  /// - Parameters:
  ///   - index: what a resource's watchers select by besides name and namespace (pods: `spec.nodeName`); nil for none.
  ///   - ringBytes: what one resource's ring may hold.
  package init(
    ringBytes: Int = 16 << 20, open: @escaping Open,
    index: @escaping @Sendable (GroupResource) -> (@Sendable (EncodedObject) -> String)?,
    logger: Logger = Logger(label: "gantry.cache")
  ) {
    self.ringBytes = ringBytes
    self.open = open
    indexes = index
    self.logger = logger
  }

  /// Fills the cache and follows the store from there. Call once, before anything is committed.
  package func follow(_ store: any StoreEngine) throws(StoreError) {
    store.observe { [weak self] events, revision in self?.apply(events, revision: revision) }
    let (records, revision) = try store.load()
    startRevision.store(revision, ordering: .releasing)
    for record in records where record.key.resource.group != Cache.hiddenGroup {
      guard let object = object(record.key, record.value, record.revision) else { continue }
      resource(record.key.resource).load(object)
    }
    applied.store(revision, ordering: .releasing)
  }

  /// Rings are complete from here on; an older watch is told to list again.
  private let startRevision = Atomic<Int64>(0)

  private func object(_ key: StoreKey, _ value: [UInt8], _ revision: Revision) -> EncodedObject? {
    guard let bytes = open(key, value) else {
      logger.error("stored object cannot be read", metadata: ["key": "\(key)"])
      return nil
    }
    do throws(JSONError) { return try EncodedObject(bytes: bytes, revision: revision) } catch {
      logger.error("stored object is damaged", metadata: ["key": "\(key)", "error": "\(error)"])
      return nil
    }
  }

  /// The resource's part of the cache; made when first asked for.
  package func resource(_ resource: GroupResource) -> ResourceCache {
    resources.withLock { resources in
      if let found = resources[resource] { return found }
      let made = ResourceCache(resource, index: indexes(resource), ringBytes: ringBytes, completeSince: startRevision)
      resources[resource] = made
      return made
    }
  }

  /// The newest revision that readers can see.
  package var revision: Revision { applied.load(ordering: .acquiring) }

  private func apply(_ events: [StoreEvent], revision: Revision) {
    var wakes = WakeList()
    for event in events where event.key.resource.group != Cache.hiddenGroup {
      let resource = resource(event.key.resource)
      if let value = event.value {
        guard let object = object(event.key, value, event.revision) else { continue }
        resource.put(object, wakes: &wakes)
      } else {
        resource.remove(event.key.key, revision: event.revision, wakes: &wakes)
      }
    }
    applied.store(revision, ordering: .releasing)
    wakes.run()
    let ready = revisionWaiters.withLock { waiters in
      let ready = waiters.filter { $0.revision <= revision }
      waiters.removeAll { $0.revision <= revision }
      return ready
    }
    for waiter in ready { waiter.resume() }
  }

  /// Calls `resume` once when a revision is visible: at once where it is already.
  package func whenVisible(_ revision: Revision, _ resume: @escaping @Sendable () -> Void) {
    let isVisible = revisionWaiters.withLock { waiters in
      if self.revision >= revision { return true }
      waiters.append((revision, resume))
      return false
    }
    if isVisible { resume() }
  }
}

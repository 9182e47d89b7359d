import Store
import Synchronization
import Wire

/// Turns a stored object into the entry that the cache keeps: the object with what it is found by.
struct EntryExtractor: Sendable {
  var attribute: (@Sendable (EncodedObject) -> String)?
  var terms: (@Sendable (EncodedObject) -> [String])?

  func callAsFunction(_ object: EncodedObject) -> ObjectTree.Entry {
    ObjectTree.Entry(object: object, attribute: attribute?(object) ?? "", terms: terms?(object) ?? [])
  }
}

/// Reads the store's log for cursors that the ring has left behind, on a thread of its own: an event loop never waits for the disk.
final class LogReader: Sendable {
  /// Events of all resources that one read takes.
  private static let batch = 1000

  private let store = Mutex<(any StoreEngine)?>(nil)
  private let worker = SerialWorker()
  private let decode: @Sendable (StoreRecord) -> EncodedObject?

  init(decode: @escaping @Sendable (StoreRecord) -> EncodedObject?) { self.decode = decode }

  func follow(_ store: any StoreEngine) { self.store.withLock { $0 = store } }

  func canRead(_ resource: GroupResource, after revision: Revision) -> Bool {
    guard let store = store.withLock({ $0 }) else { return false }
    return revision >= store.oldestRevision && !store.volatileResources.contains(resource)
  }

  func event(_ event: StoreEvent, _ extract: EntryExtractor) -> RingEvent? {
    let old = event.previous.flatMap(decode).map { extract($0) }
    let new = event.value.flatMap { decode(StoreRecord(key: event.key, value: $0, revision: event.revision)) }.map { extract($0) }
    if new == nil, old == nil { return nil }
    return RingEvent(revision: event.revision, new: new, old: old)
  }

  func read(_ resource: ResourceCache, after revision: Revision, for cursor: WatchCursor, extract: EntryExtractor) {
    guard let store = store.withLock({ $0 }) else { return cursor.expire() }
    worker.run { [self, weak cursor] in
      guard let cursor else { return }
      guard !store.volatileResources.contains(resource.resource) else { return cursor.expire() }
      // Nothing behind it is handed out here: the log can be ahead of what the cache shows, and the ring will have it.
      let visible = resource.lastRevision
      do throws(StoreError) {
        let events = try store.events(after: revision, limit: Self.batch)
        let own = events.filter { $0.key.resource == resource.resource && $0.revision <= visible }
        let reached = events.count < Self.batch ? visible : min(visible, events.last?.revision ?? visible)
        cursor.receive(own.compactMap { event($0, extract) }.filter { cursor.scope.contains($0) }, reached: reached)
      } catch { cursor.expire() }
    }
  }
}

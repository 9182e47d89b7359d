import Store
import Synchronization
import Wire

/// What a watcher can be woken for. An event wakes its bucket, not everybody.
package enum WatchScope: Hashable, Sendable {
  case all
  case namespace(String)
  case object(ObjectKey)
  /// Objects with this value of the resource's index.
  case attribute(String)
}

/// Where wakes of several cursors arrive together: one for each event loop, so that a batch of events costs one hop a loop.
package protocol WakeTarget: AnyObject, Sendable {
  /// Must arrange that every `onWake` is called, on the target's own thread.
  func wake(_ cursors: [WatchCursor])
}

/// A place in a resource's ring. Idle, it costs itself and nothing else.
package final class WatchCursor: Sendable {
  private let cache: ResourceCache
  let scope: WatchScope
  let target: any WakeTarget
  package let onWake: @Sendable () -> Void
  private let position: Mutex<Int>
  /// Set while a wake is on its way, so that a burst of events wakes once.
  private let isWoken = Atomic<Bool>(false)

  init(cache: ResourceCache, scope: WatchScope, position: Int, target: any WakeTarget, onWake: @escaping @Sendable () -> Void) {
    self.cache = cache
    self.scope = scope
    self.position = Mutex(position)
    self.target = target
    self.onWake = onWake
  }

  package enum Next: Sendable {
    /// Events of this cursor's scope; `hasMore` where the limit ended the batch.
    case events([RingEvent], hasMore: Bool)
    /// The ring has moved past this cursor.
    case expired
  }

  /// The events since the last call.
  package func next(limit: Int = 256) -> Next {
    isWoken.store(false, ordering: .sequentiallyConsistent)
    return position.withLock { position in
      switch cache.events(from: position, limit: limit) {
      case .expired: return .expired
      case .events(let events, let next):
        let hasMore = events.count == limit
        position = next
        return .events(events.filter(matches), hasMore: hasMore)
      }
    }
  }

  func arm() -> Bool { !isWoken.exchange(true, ordering: .sequentiallyConsistent) }

  private func matches(_ event: RingEvent) -> Bool {
    guard let entry = event.new ?? event.old else { return false }
    switch scope {
    case .all: return true
    case .namespace(let namespace): return entry.object.key.namespace == namespace
    case .object(let key): return entry.object.key == key
    case .attribute(let value): return event.new?.attribute == value || event.old?.attribute == value
    }
  }

  package func close() { cache.close(self) }
}

/// The watchers of one resource by what wakes them.
struct WatcherTable {
  private var buckets: [WatchScope: [ObjectIdentifier: WatchCursor]] = [:]

  mutating func add(_ cursor: WatchCursor) { buckets[cursor.scope, default: [:]][ObjectIdentifier(cursor)] = cursor }

  mutating func remove(_ cursor: WatchCursor) {
    buckets[cursor.scope]?[ObjectIdentifier(cursor)] = nil
    if buckets[cursor.scope]?.isEmpty == true { buckets[cursor.scope] = nil }
  }

  func matching(_ key: ObjectKey, attributes: [String?]) -> [WatchCursor] {
    if buckets.isEmpty { return [] }
    var found: [WatchCursor] = []
    var scopes: [WatchScope] = [.all, .namespace(key.namespace), .object(key)]
    for case let attribute? in attributes where !attribute.isEmpty { scopes.append(.attribute(attribute)) }
    for scope in scopes { if let bucket = buckets[scope] { found.append(contentsOf: bucket.values) } }
    return found
  }
}

/// Who is to be woken after a batch of events, grouped by target.
struct WakeList {
  private var groups: [ObjectIdentifier: (target: any WakeTarget, cursors: [WatchCursor])] = [:]

  mutating func add(_ cursor: WatchCursor) {
    guard cursor.arm() else { return }
    groups[ObjectIdentifier(cursor.target), default: (cursor.target, [])].cursors.append(cursor)
  }

  func run() { for group in groups.values { group.target.wake(group.cursors) } }
}

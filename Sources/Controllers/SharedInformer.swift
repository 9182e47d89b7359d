import Client
import Synchronization
import Wire

/// One projection of a resource that several controllers read and follow, with look-ups by what they look for.
final class SharedInformer<T: Sendable>: Sendable {
  struct Change: Sendable {
    var key: ObjectKey
    var old: T?
    var new: T?
  }

  private struct State {
    var objects: [ObjectKey: T] = [:]
    var indexes: [String: [String: Set<ObjectKey>]] = [:]
    var handlers: [@Sendable ([Change]) -> Void] = []
    var isSynced = false
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  private let feed: ObjectFeed
  private let project: @Sendable (EncodedObject) -> T?
  private let indexers: [String: @Sendable (T) -> [String]]
  private let state = Mutex(State())

  /// - Parameter indexes: by name, under which values an object is to be found.
  init(
    client: any Client, resource: GroupVersionResource, namespace: String? = nil, fieldSelector: String = "",
    indexes: [String: @Sendable (T) -> [String]] = [:], project: @escaping @Sendable (EncodedObject) -> T?
  ) {
    feed = ObjectFeed(client: client, resource: resource, namespace: namespace, fieldSelector: fieldSelector)
    self.project = project
    indexers = indexes
  }

  /// The handler is called in the order of changes, outside of any lock, and must not wait. Before ``run()``.
  func onChange(_ handler: @escaping @Sendable ([Change]) -> Void) { state.withLock { $0.handlers.append(handler) } }

  /// Until the task is cancelled.
  func run() async {
    await feed.run { changes in
      let (told, handlers, waiters) = self.state.withLock { state in
        var told: [Change] = []
        var waiters: [CheckedContinuation<Void, Never>] = []
        for change in changes {
          switch change {
          case .set(let object): self.set(object.key, self.project(object), &state, &told)
          case .deleted(let key): self.set(key, nil, &state, &told)
          case .synced:
            state.isSynced = true
            waiters += state.waiters
            state.waiters = []
          }
        }
        return (told, state.handlers, waiters)
      }
      if !told.isEmpty { for handler in handlers { handler(told) } }
      for waiter in waiters { waiter.resume() }
    }
    for waiter in state.withLock({ state in
      defer { state.waiters = [] }
      return state.waiters
    }) { waiter.resume() }
  }

  private func set(_ key: ObjectKey, _ new: T?, _ state: inout State, _ told: inout [Change]) {
    let old = state.objects[key]
    guard old != nil || new != nil else { return }
    state.objects[key] = new
    for (name, indexer) in indexers {
      let before = old.map { Set(indexer($0)) } ?? []
      let after = new.map { Set(indexer($0)) } ?? []
      guard before != after else { continue }
      for value in before.subtracting(after) {
        state.indexes[name]?[value]?.remove(key)
        if state.indexes[name]?[value]?.isEmpty == true { state.indexes[name]?[value] = nil }
      }
      for value in after.subtracting(before) { state.indexes[name, default: [:]][value, default: []].insert(key) }
    }
    told.append(Change(key: key, old: old, new: new))
  }

  func get(_ key: ObjectKey) -> T? { state.withLock { $0.objects[key] } }
  var all: [T] { state.withLock { Array($0.objects.values) } }

  func find(_ index: String, _ value: String) -> [T] {
    state.withLock { state in
      guard let keys = state.indexes[index]?[value] else { return [] }
      var found: [T] = []
      found.reserveCapacity(keys.count)
      for key in keys { if let object = state.objects[key] { found.append(object) } }
      return found
    }
  }

  /// Returns when the first list has been told, or the informer has ended.
  func synced() async {
    await withCheckedContinuation { continuation in
      let isReady = state.withLock { state in
        if state.isSynced || Task.isCancelled { return true }
        state.waiters.append(continuation)
        return false
      }
      if isReady { continuation.resume() }
    }
  }
}

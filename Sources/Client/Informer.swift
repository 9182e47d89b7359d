import Synchronization
import Wire

/// What an informer tells, in the order of revisions.
package enum InformerChange<T: Sendable>: Sendable {
  case added(ObjectKey, T)
  case updated(ObjectKey, old: T, new: T)
  /// The last projection that was known.
  case deleted(ObjectKey, T)
  /// Everything that exists has been told; comes again after a gap.
  case synced
}

/// Keeps a projection of one resource and tells its changes.
///
/// In: a client and what a component wants to know of each object. Out: the current state by key, and batches of changes.
/// An object whose projection is nil does not exist for the informer. One contract of staleness, in process and out: what an
/// informer says was true at some revision not long ago, and it never goes back.
package final class Informer<T: Sendable>: Sendable {
  private struct State {
    var objects: [ObjectKey: T] = [:]
    var hasSynced = false
  }

  private let feed: ObjectFeed
  private let project: @Sendable (EncodedObject) -> T?
  private let state = Mutex(State())
  private let continuation: AsyncStream<[InformerChange<T>]>.Continuation
  /// For one consumer. Ends with ``run()``.
  package let changes: AsyncStream<[InformerChange<T>]>

  /// - Parameter project: pure; called once per object and revision.
  package init(
    client: any Client, resource: GroupVersionResource, namespace: String? = nil, labelSelector: String = "",
    fieldSelector: String = "", project: @escaping @Sendable (EncodedObject) -> T?
  ) {
    feed = ObjectFeed(
      client: client, resource: resource, namespace: namespace, labelSelector: labelSelector, fieldSelector: fieldSelector)
    self.project = project
    (changes, continuation) = AsyncStream.makeStream()
  }

  /// Lists, watches and lists again after a gap, until the task is cancelled.
  package func run() async {
    await feed.run { changes in
      let told = self.state.withLock { state in
        changes.compactMap { change -> InformerChange<T>? in
          switch change {
          case .set(let object):
            let new = self.project(object)
            let old = state.objects[object.key]
            state.objects[object.key] = new
            return switch (old, new) {
            case (nil, let new?): .added(object.key, new)
            case (let old?, let new?): .updated(object.key, old: old, new: new)
            case (let old?, nil): .deleted(object.key, old)
            case (nil, nil): nil
            }
          case .deleted(let key): return state.objects.removeValue(forKey: key).map { .deleted(key, $0) }
          case .synced:
            state.hasSynced = true
            return .synced
          }
        }
      }
      if !told.isEmpty { self.continuation.yield(told) }
    }
    continuation.finish()
  }

  package func get(_ key: ObjectKey) -> T? { state.withLock { $0.objects[key] } }
  package func snapshot() -> [ObjectKey: T] { state.withLock { $0.objects } }
  package var hasSynced: Bool { state.withLock { $0.hasSynced } }
}

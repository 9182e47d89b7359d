import Synchronization
import Wire

/// Several resources followed at once, for consumers that may act only when they know all of them.
package struct ObjectFeeds: Sendable {
  private let client: any Client
  private let resources: [GroupVersionResource]

  package init(client: any Client, _ resources: GroupVersionResource...) {
    self.client = client
    self.resources = resources
  }

  /// Runs until the task is cancelled.
  /// - Parameters:
  ///   - whenSynced: called once, when every resource has been told whole. The resource that was the last waits for it; the others go on.
  ///   - body: the changes of one resource, in order; never two calls for the same resource at once.
  package func run(
    whenSynced: @escaping @Sendable () async -> Void,
    _ body: @escaping @Sendable (GroupVersionResource, [ObjectFeed.Change]) async -> Void
  ) async {
    let unseen = Unseen(resources)
    await withDiscardingTaskGroup { group in
      for resource in resources {
        group.addTask { [client] in
          await ObjectFeed(client: client, resource: resource).run { changes in
            await body(resource, changes)
            if changes.contains(where: { if case .synced = $0 { true } else { false } }), unseen.seesLast(resource) {
              await whenSynced()
            }
          }
        }
      }
    }
  }

  private final class Unseen: Sendable {
    private let resources: Mutex<Set<GroupVersionResource>>

    init(_ resources: [GroupVersionResource]) { self.resources = Mutex(Set(resources)) }

    /// - Returns: whether this was the last that was missing; true once.
    func seesLast(_ resource: GroupVersionResource) -> Bool {
      resources.withLock { $0.remove(resource) != nil && $0.isEmpty }
    }
  }
}

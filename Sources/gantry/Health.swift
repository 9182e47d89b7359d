import KubernetesAPI
import Store
import Synchronization

/// What `/readyz` and `/livez` say about this process beyond that it answers.
final class Health: Sendable {
  /// Set when the server is asked to end: balancers look elsewhere while it drains.
  let isStopping = Atomic<Bool>(false)
  private let store: SQLiteStore

  init(store: SQLiteStore) { self.store = store }

  var checks: [KubernetesAPI.HealthCheck] {
    [
      .init("datastore") { [store] in store.isOutOfSpace ? "the disk of the datastore is full, writes are refused: free space" : nil
      },
      .init("shutdown") { [weak self] in self?.isStopping.load(ordering: .relaxed) == true ? "the server is stopping" : nil },
    ]
  }
}

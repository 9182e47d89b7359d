import Client
import Schema
import Wire

/// Empties a namespace that is being deleted, kind by kind, and lets it go when nothing is left.
final class NamespaceController: Sendable {
  private let loop: ControllerLoop
  private let namespaces: SharedInformer<NamespaceView>
  private let kinds: [GroupVersionResource]

  /// The finalizer of `spec.finalizers` that this controller stands for.
  static let finalizer = "kubernetes"

  init(_ context: ControllerContext) {
    loop = ControllerLoop(name: "namespace-controller", clients: context.clients, log: context.log, patience: .milliseconds(200))
    namespaces = context.namespaces
    kinds = SchemaTable.builtin.stored.filter { $0.isNamespaced && $0.verbs.contains("delete") && $0.verbs.contains("list") }.map(\.gvr)
    namespaces.onChange { [self] changes in
      for change in changes where change.new?.isTerminating == true { loop.queue.add(change.key) }
    }
    // The last pod is what most namespaces wait for.
    context.pods.onChange { [self] changes in
      for change in changes where change.new == nil {
        let key = ObjectKey(name: change.key.namespace)
        if namespaces.get(key)?.isTerminating == true { loop.queue.add(key) }
      }
    }
  }

  func run() async {
    await namespaces.synced()
    await loop.run { [self] (key) async throws(APIError) in try await sync(key) }
  }

  private func sync(_ key: ObjectKey) async throws(APIError) -> [Action] {
    guard let namespace = namespaces.get(key), namespace.isTerminating, namespace.finalizers.contains(Self.finalizer) else { return [] }
    var remaining = 0
    for kind in kinds {
      let list = try await loop.client.list(kind, namespace: key.name, ListOptions())
      let doomed = list.items.filter { object in object.withView { !$0["metadata"]["deletionTimestamp"].isPresent } }
      let results = await loop.client.submit(
        doomed.map { .delete(kind, $0.key, DeleteOptions(propagation: .background, preconditionUID: $0.uid)) })
      remaining += list.items.count - doomed.count
      for result in results {
        switch result {
        // An object that is held by finalizers or a grace period is still there.
        case .success(let object): if object != nil { remaining += 1 }
        case .failure(let error): if error.reason != .notFound { remaining += 1 }
        }
      }
    }
    guard remaining == 0 else { return [.requeue(2)] }
    // The live object, so that nobody else's finalizer is lost.
    let live = try await loop.client.get(.namespaces, key)
    guard live.uid == namespace.meta.uid else { return [] }
    var body = live.value
    body["spec"]["finalizers"] = .array((body["spec"]["finalizers"].array ?? []).filter { $0.string != Self.finalizer })
    _ = try await loop.client.update(.namespaces, key, subresource: "finalize", body: body, WriteOptions())
    return []
  }
}

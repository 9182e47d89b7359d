import Client
import Wire

/// Namespaces that the cluster cannot do without come back when they are deleted: without kube-node-lease no node is heard any more.
final class SystemNamespaces: Sendable {
  private let loop: ControllerLoop
  private let namespaces: SharedInformer<NamespaceView>

  static let names = ["default", "kube-system", "kube-public", "kube-node-lease"]

  init(_ context: ControllerContext) {
    loop = ControllerLoop("namespace-controller", context)
    namespaces = context.namespaces
    namespaces.onChange { [self] changes in
      for change in changes where change.new == nil && Self.names.contains(change.key.name) { loop.queue.add(change.key) }
    }
  }

  func run() async {
    await namespaces.synced()
    loop.queue.add(Self.names.map { ObjectKey(name: $0) })
    await loop.run(workers: 1) { [self] (key) async throws(APIError) in
      guard namespaces.get(key) == nil else { return [] }
      return [.write(.create(.namespaces, namespace: "", body: ["metadata": ["name": .string(key.name)]]))]
    }
  }
}

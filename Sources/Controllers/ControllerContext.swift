import Client
import Logging
import Wire

/// What controllers share: clients by identity, the clocks, chance, and one projection of each resource that several of them follow.
struct ControllerContext: Sendable {
  let clients: @Sendable (Identity) -> any Client
  let now: @Sendable () -> WallTime
  /// A clock that only goes forward.
  let elapsed: @Sendable () -> Duration
  let random: @Sendable () -> UInt64
  let log: Logger
  let pods: SharedInformer<PodView>
  let replicaSets: SharedInformer<ReplicaSetView>
  let deployments: SharedInformer<DeploymentView>
  let services: SharedInformer<ServiceView>
  let namespaces: SharedInformer<NamespaceView>
  let nodes: SharedInformer<NodeView>

  /// The identity that reads for all of them; what each controller writes, it writes as itself.
  static let reader = Identity(name: "system:kube-controller-manager", groups: ["system:authenticated"])

  init(_ configuration: Controllers.Configuration, clients: @escaping @Sendable (Identity) -> any Client, log: Logger) {
    self.clients = clients
    now = configuration.now
    elapsed = configuration.elapsed
    random = configuration.random
    self.log = log
    let client = clients(Self.reader)
    pods = SharedInformer(
      client: client, resource: .pods,
      indexes: [
        "owner": { $0.meta.controller.map { [$0.uid] } ?? [] },
        "orphans": { $0.meta.controller == nil ? [$0.meta.key.namespace] : [] },
        "namespace": { [$0.meta.key.namespace] },
        "node": { $0.node.isEmpty ? [] : [$0.node] },
      ]
    ) { PodView($0) }
    replicaSets = SharedInformer(
      client: client, resource: .replicaSets,
      indexes: [
        "owner": { $0.meta.controller.map { [$0.uid] } ?? [] },
        "orphans": { $0.meta.controller == nil ? [$0.meta.key.namespace] : [] },
        "namespace": { [$0.meta.key.namespace] },
      ]
    ) { ReplicaSetView($0) }
    deployments = SharedInformer(
      client: client, resource: .deployments, indexes: ["namespace": { [$0.meta.key.namespace] }]
    ) { DeploymentView($0) }
    services = SharedInformer(
      client: client, resource: .services, indexes: ["namespace": { [$0.meta.key.namespace] }]
    ) { ServiceView($0) }
    namespaces = SharedInformer(client: client, resource: .namespaces) { NamespaceView($0) }
    nodes = SharedInformer(client: client, resource: .nodes) { NodeView($0) }
  }

  /// Runs every informer until the task is cancelled.
  func run() async {
    await withDiscardingTaskGroup { group in
      group.addTask { await pods.run() }
      group.addTask { await replicaSets.run() }
      group.addTask { await deployments.run() }
      group.addTask { await services.run() }
      group.addTask { await namespaces.run() }
      group.addTask { await nodes.run() }
    }
  }
}

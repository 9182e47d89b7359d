import Client
import Logging
import Wire

/// The controllers: what makes the state that was asked for out of the state that is.
///
/// In: watches, through ``Client``. Out: writes, through ``Client``, each controller as its own service account of kube-system
/// (`system:serviceaccount:kube-system:deployment-controller`, …); they read as `system:kube-controller-manager`.
/// Never: polls, writes whole objects of others, or decides with a clock of its own.
///
/// One folder a controller: its pure part (`…Reconcile`: from views to actions) and the part that feeds it. ``ControllerLoop`` is the
/// one loop around all of them.
package struct Controllers: Sendable {
  package struct Configuration: Sendable {
    /// Nodes get a /24 each out of it.
    package var clusterCIDR: String
    /// PEM of the authorities that pods trust: `kube-root-ca.crt` of every namespace.
    package var caBundle: String
    package var now: @Sendable () -> WallTime = { WallTime.now() }
    /// A clock that only goes forward.
    package var elapsed: @Sendable () -> Duration = {
      let start = ContinuousClock.now
      return { ContinuousClock.now - start }
    }()
    /// Names of pods.
    package var random: @Sendable () -> UInt64 = { UInt64.random(in: .min ... .max) }

    package init(clusterCIDR: String, caBundle: String) {
      self.clusterCIDR = clusterCIDR
      self.caBundle = caBundle
    }
  }

  private let configuration: Configuration
  private let clients: @Sendable (Identity) -> any Client
  private let log: Logger

  /// - Parameter clients: makes a client for an identity.
  package init(
    _ configuration: Configuration, clients: @escaping @Sendable (Identity) -> any Client,
    log: Logger = Logger(label: "gantry.controllers")
  ) {
    self.configuration = configuration
    self.clients = clients
    self.log = log
  }

  /// Runs all of them until the task is cancelled. On several servers, only the leader's runs.
  package func run() async {
    let context = ControllerContext(configuration, clients: clients, log: log)
    let replicaSets = ReplicaSetController(context)
    let deployments = DeploymentController(context)
    let endpoints = EndpointControllers(context)
    let namespaces = NamespaceController(context)
    let systemNamespaces = SystemNamespaces(context)
    let accounts = ServiceAccountControllers(context, caBundle: configuration.caBundle)
    let garbage = GarbageCollector(context)
    let podGC = PodGC(context)
    let nodes = NodeControllers(context, clusterCIDR: configuration.clusterCIDR)
    let mirroring = EndpointSliceMirroring(context)
    let disruption = DisruptionController(context)
    let aggregation = ClusterRoleAggregation(context)
    await withDiscardingTaskGroup { group in
      group.addTask { await context.run() }
      group.addTask { await replicaSets.run() }
      group.addTask { await deployments.run() }
      group.addTask { await endpoints.run() }
      group.addTask { await namespaces.run() }
      group.addTask { await systemNamespaces.run() }
      group.addTask { await accounts.run() }
      group.addTask { await garbage.run() }
      group.addTask { await podGC.run() }
      group.addTask { await nodes.run() }
      group.addTask { await mirroring.run() }
      group.addTask { await disruption.run() }
      group.addTask { await aggregation.run() }
    }
  }
}

import Client
import Wire

/// Keeps the status of PodDisruptionBudgets: how many of their pods are healthy, and how many may be evicted now.
final class DisruptionController: Sendable {
  private let loop: ControllerLoop
  private let budgets: SharedInformer<DisruptionBudgetView>
  private let pods: SharedInformer<PodView>
  private let replicaSets: SharedInformer<ReplicaSetView>
  private let deployments: SharedInformer<DeploymentView>
  private let now: @Sendable () -> WallTime

  static let resource = GroupVersionResource(group: "policy", resource: "poddisruptionbudgets")

  init(_ context: ControllerContext) {
    loop = ControllerLoop("disruption-controller", context)
    pods = context.pods
    replicaSets = context.replicaSets
    deployments = context.deployments
    now = context.now
    budgets = SharedInformer(
      client: context.clients(ControllerContext.reader), resource: Self.resource,
      indexes: ["namespace": { [$0.meta.key.namespace] }]
    ) { DisruptionBudgetView($0) }
    budgets.onChange { [self] changes in
      for change in changes where change.new != nil { loop.queue.add(change.key) }
    }
    pods.onChange { [self] changes in
      for change in changes where Self.matters(change.old, change.new) {
        for budget in budgets.find("namespace", change.key.namespace)
        where [change.old, change.new].contains(where: { pod in pod.map { Self.selects(budget, $0) } ?? false }) {
          loop.queue.add(budget.meta.key)
        }
      }
    }
    replicaSets.onChange { [self] changes in
      for change in changes where change.old?.replicas != change.new?.replicas { enqueueAll(change.key.namespace) }
    }
    deployments.onChange { [self] changes in
      for change in changes where change.old?.replicas != change.new?.replicas { enqueueAll(change.key.namespace) }
    }
  }

  func run() async {
    await withDiscardingTaskGroup { group in
      group.addTask { await self.budgets.run() }
      await pods.synced()
      await replicaSets.synced()
      await deployments.synced()
      await budgets.synced()
      group.addTask { await self.loop.run { [self] (key) async throws(APIError) in sync(key) } }
    }
  }

  private func enqueueAll(_ namespace: String) {
    for budget in budgets.find("namespace", namespace) { loop.queue.add(budget.meta.key) }
  }

  private static func selects(_ budget: DisruptionBudgetView, _ pod: PodView) -> Bool {
    budget.selector?.matches(pod.meta.labels) ?? false
  }

  /// Whether a change of a pod can change a budget's numbers.
  private static func matters(_ old: PodView?, _ new: PodView?) -> Bool {
    guard let old, let new else { return true }
    return old.isReady != new.isReady || old.meta.isDeleting != new.meta.isDeleting || old.meta.labels != new.meta.labels
      || old.meta.controller?.uid != new.meta.controller?.uid
  }

  private func sync(_ key: ObjectKey) -> [Action] {
    guard let budget = budgets.get(key), !budget.meta.isDeleting else { return [] }
    let selected = pods.find("namespace", key.namespace).filter { Self.selects(budget, $0) }
    let instant = now().seconds
    let (status, lookAgain) = DisruptionReconcile.status(of: budget, pods: selected, scales: scales(selected), now: instant)
    var actions: [Action] = lookAgain.map { [.requeue($0)] } ?? []
    if status != budget.status {
      let patch = Patch(.merge, DisruptionReconcile.patch(budget, status, now: instant))
      actions.insert(.write(.patch(Self.resource, key, subresource: "status", patch)), at: 0)
    }
    return actions
  }

  /// A set's size, or its deployment's: during a rollout several sets share it.
  private func scales(_ pods: [PodView]) -> [String: Int64] {
    var scales: [String: Int64] = [:]
    var counted: Set<String> = []
    for pod in pods {
      guard let owner = pod.meta.controller, owner.kind == "ReplicaSet", scales[owner.uid] == nil else { continue }
      guard let set = replicaSets.get(ObjectKey(namespace: pod.meta.key.namespace, name: owner.name)), set.meta.uid == owner.uid
      else { continue }
      guard let parent = set.meta.controller, parent.kind == "Deployment",
        let deployment = deployments.get(ObjectKey(namespace: pod.meta.key.namespace, name: parent.name)),
        deployment.meta.uid == parent.uid
      else {
        scales[owner.uid] = set.replicas
        continue
      }
      scales[owner.uid] = counted.insert(parent.uid).inserted ? deployment.replicas : 0
    }
    return scales
  }
}

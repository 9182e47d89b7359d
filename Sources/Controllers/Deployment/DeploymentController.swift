import Client
import Synchronization
import Wire

/// Rolls Deployments out over ReplicaSets.
final class DeploymentController: Sendable {
  private let loop: ControllerLoop
  private let deployments: SharedInformer<DeploymentView>
  private let sets: SharedInformer<ReplicaSetView>
  private let pods: SharedInformer<PodView>
  private let now: @Sendable () -> WallTime
  /// What a deployment's rounds wrote of its sets and the informer does not show yet.
  private let unseen = Mutex([ObjectKey: UnseenWrites]())

  init(_ context: ControllerContext) {
    loop = ControllerLoop("deployment-controller", context)
    deployments = context.deployments
    sets = context.replicaSets
    pods = context.pods
    now = context.now
    deployments.onChange { [self] changes in loop.queue.add(changes.map(\.key)) }
    sets.onChange { [self] changes in
      for change in changes { enqueueOwner(of: change) }
    }
    // Recreate waits for the last old pod.
    pods.onChange { [self] changes in
      for change in changes where change.new == nil || change.new?.isFinished == true {
        guard let owner = (change.new ?? change.old)?.meta.controller, owner.kind == "ReplicaSet",
          let set = sets.get(ObjectKey(namespace: change.key.namespace, name: owner.name)), let deployment = set.meta.controller
        else { continue }
        let key = ObjectKey(namespace: change.key.namespace, name: deployment.name)
        if deployments.get(key)?.isRecreate == true { loop.queue.add(key) }
      }
    }
  }

  private func enqueueOwner(of change: SharedInformer<ReplicaSetView>.Change) {
    guard let set = change.new ?? change.old else { return }
    if let owner = set.meta.controller {
      if owner.kind == "Deployment" { loop.queue.add(ObjectKey(namespace: change.key.namespace, name: owner.name)) }
    } else {
      for deployment in deployments.find("namespace", change.key.namespace)
      where deployment.selector?.matches(set.meta.labels) == true {
        loop.queue.add(deployment.meta.key)
      }
    }
  }

  func run() async {
    await deployments.synced()
    await sets.synced()
    await pods.synced()
    await loop.run { [self] (key) async throws(APIError) in try await sync(key) }
  }

  private func sync(_ key: ObjectKey) async throws(APIError) -> [Action] {
    guard let deployment = deployments.get(key), let selector = deployment.selector else {
      unseen.withLock { $0[key] = nil }
      return []
    }
    let instant = now().seconds
    let wait = unseen.withLock { unseen -> Int64? in
      let wait = unseen[key]?.wait(now: instant) { sets.get($0)?.meta.revision }
      if wait == nil { unseen[key] = nil }
      return wait
    }
    if let wait { return [.requeue(wait)] }
    guard !selector.isEmpty else {
      let about = ObjectReference(
        apiVersion: "apps/v1", kind: "Deployment", namespace: key.namespace, name: key.name, uid: deployment.meta.uid)
      return [
        .event(
          about, .warning, reason: "SelectingAll",
          note: "This deployment is selecting all pods. A non-empty selector is required.")
      ]
    }
    var owned = sets.find("owner", deployment.meta.uid)
    if !deployment.meta.isDeleting {
      // A set whose labels were changed is let go; its pods stay with it.
      let strangers = owned.filter { !selector.matches($0.meta.labels) }
      let released: Value = ["$patch": "delete", "uid": .string(deployment.meta.uid)]
      for set in strangers {
        let patch: Value = ["metadata": ["uid": .string(set.meta.uid), "ownerReferences": [released]]]
        for result in await loop.client.submit([.patch(.replicaSets, set.meta.key, subresource: nil, Patch(.strategic, patch))]) {
          _ = try result.get()
        }
      }
      owned.removeAll { set in strangers.contains { $0.meta.uid == set.meta.uid } }
      let orphans = sets.find("orphans", key.namespace).filter { !$0.meta.isDeleting && selector.matches($0.meta.labels) }
      let reference = controllerReference(apiVersion: "apps/v1", kind: "Deployment", deployment.meta)
      if !orphans.isEmpty {
        // A view that is behind would hand sets to an owner that is gone, and garbage collection would take them.
        let live = try await loop.client.get(.deployments, key)
        guard live.uid == deployment.meta.uid, live.withView({ !$0["metadata"]["deletionTimestamp"].isPresent }) else { return [] }
      }
      for set in orphans {
        let patch: Value = ["metadata": ["uid": .string(set.meta.uid), "ownerReferences": [reference]]]
        for result in await loop.client.submit([.patch(.replicaSets, set.meta.key, subresource: nil, Patch(.strategic, patch))]) {
          _ = try result.get()
        }
      }
      owned += orphans
    }
    var unfinished: [String: Int] = [:]
    if deployment.isRecreate {
      for set in owned { unfinished[set.meta.uid] = pods.find("owner", set.meta.uid).count { !$0.isFinished } }
    }
    var round = DeploymentReconcile(deployment, sets: owned, unfinishedPods: unfinished, now: now().seconds)
    let actions = round.decide()
    var rest: [Action] = []
    for action in actions {
      guard case .write(let operation) = action else {
        rest.append(action)
        continue
      }
      switch await loop.client.submit([operation]).first {
      case .success(let object): if let object { note(operation, object, key) }
      case .failure(let error):
        guard case .create = operation, let created = round.created else { throw error }
        try await explain(error, created, deployment)
        return []
      case nil: break
      }
    }
    return rest
  }

  private func note(_ operation: Operation, _ object: EncodedObject, _ key: ObjectKey) {
    let isCreation: Bool
    switch operation {
    case .create(.replicaSets, _, _): isCreation = true
    case .patch(.replicaSets, _, _, _): isCreation = false
    default: return
    }
    let instant = now().seconds
    unseen.withLock { $0[key, default: UnseenWrites()].note(object.key, object.revision, isCreation: isCreation, now: instant) }
  }

  /// The name may be taken: by this very set, which the informer has not seen yet, or by another template with the same hash.
  /// - Throws: the error, to try again, unless the whole namespace goes.
  private func explain(
    _ error: APIError, _ created: (key: ObjectKey, template: Value), _ deployment: DeploymentView
  ) async throws(APIError) {
    if error.reason == .alreadyExists {
      let existing = ReplicaSetView(try await loop.client.get(.replicaSets, created.key))
      let isSame =
        existing.meta.controller?.uid == deployment.meta.uid
        && DeploymentReconcile.comparable(existing.template) == DeploymentReconcile.comparable(created.template)
      if !isSame {
        let collided: Value = ["status": ["collisionCount": .int(min(deployment.collisionCount + 1, Int64(Int32.max)))]]
        let patch = Patch(.merge, collided)
        for result in await loop.client.submit([.patch(.deployments, deployment.meta.key, subresource: "status", patch)]) {
          _ = try result.get()
        }
      }
      // The set's or the deployment's own event starts the next round.
      throw error
    }
    if error.causes.contains(where: { $0.reason == "NamespaceTerminating" }) { return }
    // Says why nothing comes up: an invalid template, a quota. Once: each write of it would start the next round at once.
    let isTold = deployment.conditions.contains { $0.type == "Progressing" && $0.reason == "ReplicaSetCreateError" }
    if deployment.progressDeadlineSeconds != nil, !isTold {
      let instant = Timestamp(seconds: now().seconds).description
      let condition: Value = [
        "type": "Progressing", "status": "False", "reason": "ReplicaSetCreateError", "lastUpdateTime": .string(instant),
        "lastTransitionTime": .string(instant),
        "message": .string("Failed to create new replica set \"\(created.key.name)\": \(error.message)"),
      ]
      _ = await loop.client.submit([
        .patch(.deployments, deployment.meta.key, subresource: "status", Patch(.strategic, ["status": ["conditions": [condition]]]))
      ])
    }
    throw error
  }
}

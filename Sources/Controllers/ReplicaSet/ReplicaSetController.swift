import Client
import Logging
import Synchronization
import Wire

/// Keeps as many pods as a ReplicaSet asks for.
final class ReplicaSetController: Sendable {
  private struct Memory {
    var expectations = Expectations()
    var failure: ReplicaSetStatus.Failure?
    /// When a status was last written.
    var lastStatus: Duration?
  }

  private let loop: ControllerLoop
  private let pods: SharedInformer<PodView>
  private let sets: SharedInformer<ReplicaSetView>
  private let memory = Mutex([ObjectKey: Memory]())
  private let now: @Sendable () -> WallTime
  private let elapsed: @Sendable () -> Duration
  private let random: Chance
  /// A status that merely follows its pods is written no more often than this.
  private static let statusInterval: Duration = .milliseconds(50)

  init(_ context: ControllerContext) {
    loop = ControllerLoop("replicaset-controller", context)
    pods = context.pods
    sets = context.replicaSets
    now = context.now
    elapsed = context.elapsed
    random = Chance(draw: context.random)
    sets.onChange { [self] changes in loop.queue.add(changes.map(\.key)) }
    pods.onChange { [self] changes in observe(changes) }
  }

  func run() async {
    await sets.synced()
    await pods.synced()
    await loop.run(workers: 4) { [self] (key) async throws(APIError) in try await sync(key) }
  }

  private func observe(_ changes: [SharedInformer<PodView>.Change]) {
    var keys: Set<ObjectKey> = []
    for change in changes {
      for pod in [change.old, change.new] {
        guard let pod else { continue }
        if let owner = pod.meta.controller {
          if owner.kind == "ReplicaSet" { keys.insert(ObjectKey(namespace: change.key.namespace, name: owner.name)) }
        } else {
          for set in sets.find("namespace", change.key.namespace) where set.selector?.matches(pod.meta.labels) == true {
            keys.insert(set.meta.key)
          }
        }
      }
    }
    memory.withLock { memory in
      for change in changes {
        guard let owner = (change.new ?? change.old)?.meta.controller else { continue }
        let key = ObjectKey(namespace: change.key.namespace, name: owner.name)
        memory[key]?.expectations.creations.remove(change.key)
        if let new = change.new, !new.meta.isDeleting { continue }
        if let uid = (change.new ?? change.old)?.meta.uid { memory[key]?.expectations.deletions.remove(uid) }
      }
    }
    loop.queue.add(keys)
  }

  private func sync(_ key: ObjectKey) async throws(APIError) -> [Action] {
    guard let set = sets.get(key) else {
      memory.withLock { $0[key] = nil }
      return []
    }
    let instant = now()
    let remembered = memory.withLock { $0[key] ?? Memory() }
    let owned = pods.find("owner", set.meta.uid)
    let outcome = ReplicaSetReconcile(
      set: set, owned: owned, orphans: pods.find("orphans", key.namespace), expectations: remembered.expectations,
      failure: remembered.failure, now: instant.seconds, relatedPodsByNode: relatedPodsByNode(set, owned)
    ).decide()

    if !outcome.adopts.isEmpty {
      let live = try await loop.client.get(.replicaSets, key)
      guard live.uid == set.meta.uid, live.withView({ !$0["metadata"]["deletionTimestamp"].isPresent }) else { return [] }
    }
    let reference = controllerReference(apiVersion: "apps/v1", kind: "ReplicaSet", set.meta)
    var claims: [Operation] = outcome.adopts.map { pod in
      let patch: Value = ["metadata": ["uid": .string(pod.meta.uid), "ownerReferences": [reference]]]
      return .patch(.pods, pod.meta.key, subresource: nil, Patch(.strategic, patch))
    }
    claims += outcome.releases.map { pod in
      let released: Value = ["$patch": "delete", "uid": .string(set.meta.uid)]
      return .patch(
        .pods, pod.meta.key, subresource: nil,
        Patch(.strategic, ["metadata": ["uid": .string(pod.meta.uid), "ownerReferences": [released]]]))
    }
    if !claims.isEmpty { for result in await loop.client.submit(claims) { _ = try result.get() } }

    var status = outcome.status
    var failed: APIError?
    if outcome.creates > 0 { failed = await create(outcome.creates, set, reference) }
    if !outcome.deletes.isEmpty { failed = await delete(outcome.deletes, set) ?? failed }
    if outcome.creates > 0 || !outcome.deletes.isEmpty {
      status.failure = failed.map { error in
        // The first failure stands until it is over: words that change with every try (a quota's name the pod) would be a write each,
        // and each write a round at once.
        remembered.failure ?? set.status.failure
          ?? .init(
            reason: outcome.creates > 0 ? "FailedCreate" : "FailedDelete", message: error.message,
            since: Timestamp(seconds: instant.seconds).description)
      }
      memory.withLock { $0[key, default: Memory()].failure = status.failure }
    }
    try await write(status, set, remembered.lastStatus, isUrgent: failed != nil)
    if let failed { throw failed }
    return outcome.checkAgain.map { [.requeue($0)] } ?? []
  }

  /// Pods by node of every set that the set's own controller has: a rollout's old and new pods crowd a node together.
  /// Empty where no pod goes, since it takes a walk over all of them.
  private func relatedPodsByNode(_ set: ReplicaSetView, _ owned: [PodView]) -> [String: Int] {
    guard owned.count > set.replicas else { return [:] }
    var related = owned
    if let owner = set.meta.controller {
      for other in sets.find("owner", owner.uid) where other.meta.uid != set.meta.uid {
        related += pods.find("owner", other.meta.uid)
      }
    }
    var counts: [String: Int] = [:]
    for pod in related where pod.isActive && !pod.node.isEmpty { counts[pod.node, default: 0] += 1 }
    return counts
  }

  private func write(
    _ status: ReplicaSetStatus, _ set: ReplicaSetView, _ last: Duration?, isUrgent: Bool
  ) async throws(APIError) {
    var known = set.status
    known.terminating = status.terminating
    guard status != known else { return }
    let instant = elapsed()
    if !isUrgent, let last, instant - last < Self.statusInterval, status.observedGeneration == known.observedGeneration {
      return loop.queue.add(set.meta.key, after: Self.statusInterval - (instant - last))
    }
    memory.withLock { $0[set.meta.key, default: Memory()].lastStatus = instant }
    let results = await loop.client.submit([
      .patch(.replicaSets, set.meta.key, subresource: "status", Patch(.merge, status.patch(uid: set.meta.uid)))
    ])
    for result in results { _ = try result.get() }
  }

  /// Sixteen, then twice as many, … so that a refusal is noticed early.
  private func create(_ count: Int, _ set: ReplicaSetView, _ reference: Value) async -> APIError? {
    var random = random
    let template = set.template
    let about = ObjectReference(
      apiVersion: "apps/v1", kind: "ReplicaSet", namespace: set.meta.key.namespace, name: set.meta.key.name, uid: set.meta.uid)
    var made = 0
    var size = 16
    while made < count {
      let pods = (0..<min(size, count - made)).map { _ in
        PodTemplate.pod(
          template, owner: reference, prefix: set.meta.key.name, namespace: set.meta.key.namespace,
          suffix: PodTemplate.suffix(using: &random))
      }
      expect(set.meta.key, created: pods.map(\.key))
      let results = await loop.client.submit(pods.map { .create(.pods, namespace: $0.key.namespace, body: $0.body) })
      var failure: APIError?
      var isTerminating = false
      var events: [Operation?] = []
      var failedKeys: [ObjectKey] = []
      for (pod, result) in zip(pods, results) {
        switch result {
        case .success:
          events.append(loop.recorder.operation(about, .normal, reason: "SuccessfulCreate", "Created pod: \(pod.key.name)"))
        case .failure(let error):
          failedKeys.append(pod.key)
          // The whole namespace goes: nothing to be told and nothing to be tried again.
          if error.causes.contains(where: { $0.reason == "NamespaceTerminating" }) {
            isTerminating = true
            continue
          }
          // Somebody has that very name: the next round takes another.
          if error.reason != .alreadyExists || failure == nil { failure = error }
          events.append(loop.recorder.operation(about, .warning, reason: "FailedCreate", "Error creating: \(error.message)"))
        }
      }
      unexpect(set.meta.key, created: failedKeys)
      _ = await loop.client.submit(events.compactMap { $0 })
      if let failure { return failure }
      if isTerminating { return nil }
      made += pods.count
      size = min(size * 2, ControllerLoop.largestBatch)
    }
    return nil
  }

  private func delete(_ pods: [PodView], _ set: ReplicaSetView) async -> APIError? {
    let about = ObjectReference(
      apiVersion: "apps/v1", kind: "ReplicaSet", namespace: set.meta.key.namespace, name: set.meta.key.name, uid: set.meta.uid)
    memory.withLock { memory in
      memory[set.meta.key, default: Memory()].expectations.deletions.formUnion(pods.map(\.meta.uid))
      memory[set.meta.key]?.expectations.since = now().seconds
    }
    let results = await loop.client.submit(
      pods.map { .delete(.pods, $0.meta.key, DeleteOptions(preconditionUID: $0.meta.uid)) })
    var failure: APIError?
    var events: [Operation?] = []
    for (pod, result) in zip(pods, results) {
      switch result {
      case .success:
        events.append(loop.recorder.operation(about, .normal, reason: "SuccessfulDelete", "Deleted pod: \(pod.meta.key.name)"))
      case .failure(let error):
        memory.withLock { _ = $0[set.meta.key]?.expectations.deletions.remove(pod.meta.uid) }
        guard error.reason != .notFound, error.reason != .conflict else { continue }
        failure = error
        events.append(loop.recorder.operation(about, .warning, reason: "FailedDelete", "Error deleting: \(error.message)"))
      }
    }
    _ = await loop.client.submit(events.compactMap { $0 })
    return failure
  }

  private func expect(_ key: ObjectKey, created pods: [ObjectKey]) {
    memory.withLock { memory in
      memory[key, default: Memory()].expectations.creations.formUnion(pods)
      memory[key]?.expectations.since = now().seconds
    }
  }

  private func unexpect(_ key: ObjectKey, created pods: [ObjectKey]) {
    memory.withLock { $0[key]?.expectations.creations.subtract(pods) }
  }
}

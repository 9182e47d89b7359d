import Client
import Schema
import Synchronization
import Wire

/// Empties a namespace that is being deleted, kind by kind, and lets it go when nothing is left. ``NamespaceRemoval`` decides; here it is
/// told what lists say and, of kinds that are not empty at once, what a watch says.
final class NamespaceController: Sendable {
  private let loop: ControllerLoop
  private let namespaces: SharedInformer<NamespaceView>
  private let kinds: [GroupVersionResource]
  private let now: @Sendable () -> WallTime
  private let rounds = Mutex([ObjectKey: Round]())

  private struct Round: Sendable {
    var uid: String
    var removal: NamespaceRemoval
    var feeds: [GroupVersionResource: Task<Void, Never>] = [:]
    /// When what was refused is tried again, seconds since 1970, and how long that takes: twice as long each time.
    var retryAt: Int64?
    var patience: Int64 = 1
    /// When conditions were last written, seconds since 1970.
    var told: Int64 = 0
  }

  /// The finalizer of `spec.finalizers` that this controller stands for.
  static let finalizer = "kubernetes"
  /// Seconds between two writes that merely tell how much is left.
  private static let tellingInterval: Int64 = 2

  init(_ context: ControllerContext) {
    loop = ControllerLoop("namespace-controller", context, patience: .milliseconds(200))
    namespaces = context.namespaces
    now = context.now
    kinds = SchemaTable.builtin.stored.filter { $0.isNamespaced && $0.verbs.contains("delete") && $0.verbs.contains("list") }.map(
      \.gvr)
    namespaces.onChange { [self] changes in
      // Also where it is gone: its round ends.
      for change in changes where change.new?.isTerminating ?? true { loop.queue.add(change.key) }
    }
  }

  func run() async {
    await namespaces.synced()
    await loop.run { [self] (key) async throws(APIError) in try await sync(key) }
    for round in rounds.withLock({ Array($0.values) }) { for feed in round.feeds.values { feed.cancel() } }
  }

  private func sync(_ key: ObjectKey) async throws(APIError) -> [Action] {
    guard let namespace = namespaces.get(key), namespace.isTerminating, namespace.finalizers.contains(Self.finalizer) else {
      end(key)
      return []
    }
    if rounds.withLock({ $0[key].map { $0.uid != namespace.meta.uid } ?? false }) { end(key) }
    let seconds = now().seconds
    rounds.withLock { rounds in
      guard let retryAt = rounds[key]?.retryAt, seconds >= retryAt else { return }
      rounds[key]?.retryAt = nil
      rounds[key]?.removal.retry()
    }
    while true {
      let step = rounds.withLock { rounds in
        rounds[key, default: Round(uid: namespace.meta.uid, removal: NamespaceRemoval(kinds))].removal.next()
      }
      switch step {
      case .look(let kinds): for kind in kinds { await look(kind, key) }
      case .delete(let doomed): await delete(doomed, key)
      case .wait, .pause:
        follow(key)
        return tell(namespace)
      case .finish:
        // The live object, so that nobody else's finalizer is lost.
        let live = try await loop.client.get(.namespaces, key)
        guard live.uid == namespace.meta.uid else { return [] }
        var body = live.value
        body["spec"]["finalizers"] = .array((body["spec"]["finalizers"].array ?? []).filter { $0.string != Self.finalizer })
        _ = try await loop.client.update(.namespaces, key, subresource: "finalize", body: body, WriteOptions())
        return []
      }
    }
  }

  private func end(_ key: ObjectKey) {
    let round = rounds.withLock { $0.removeValue(forKey: key) }
    for feed in round?.feeds.values ?? [:].values { feed.cancel() }
  }

  private func change(_ key: ObjectKey, _ body: (inout NamespaceRemoval) -> Void) {
    rounds.withLock { rounds in
      guard var round = rounds.removeValue(forKey: key) else { return }
      body(&round.removal)
      rounds[key] = round
    }
  }

  private func look(_ kind: GroupVersionResource, _ key: ObjectKey) async {
    do throws(APIError) {
      let list = try await loop.client.list(kind, namespace: key.name, ListOptions())
      change(key) { $0.found(kind, list.items.map { NamespaceRemoval.Thing($0) }) }
    } catch { change(key) { $0.failed(kind, error.message) } }
  }

  private func delete(_ doomed: [NamespaceRemoval.Doomed], _ key: ObjectKey) async {
    let results = await loop.client.submit(
      doomed.map {
        .delete(
          $0.kind, ObjectKey(namespace: key.name, name: $0.thing.name),
          DeleteOptions(propagation: .background, preconditionUID: $0.thing.uid))
      })
    change(key) { removal in
      for (doomed, result) in zip(doomed, results) {
        switch result {
        // An object that is held by finalizers or a grace period is still there.
        case .success(let object?): removal.deleted(doomed, leaves: NamespaceRemoval.Thing(object))
        case .success(nil): removal.deleted(doomed, leaves: nil)
        case .failure(let error) where error.reason == .notFound: removal.deleted(doomed, leaves: nil)
        case .failure(let error): removal.refused(doomed, error.message)
        }
      }
    }
  }

  /// Watches the kinds that something is left of, and no others.
  private func follow(_ key: ObjectKey) {
    let ended = rounds.withLock { rounds -> [Task<Void, Never>] in
      guard var round = rounds[key] else { return [] }
      defer { rounds[key] = round }
      var ended: [Task<Void, Never>] = []
      for kind in round.removal.unwatched {
        if let over = round.feeds[kind] { ended.append(over) }
        let watch = round.removal.watched(kind)
        let feed = ObjectFeed(client: loop.client, resource: kind, namespace: key.name)
        round.feeds[kind] = Task {
          await feed.run { [self] changes in
            change(key) { $0.observe(kind, watch, changes.map { NamespaceRemoval.Change($0) }) }
            loop.queue.add(key)
          }
        }
      }
      let remaining = round.removal.remainingKinds
      for kind in round.feeds.keys.filter({ !remaining.contains($0) }) {
        if let over = round.feeds.removeValue(forKey: kind) { ended.append(over) }
      }
      return ended
    }
    for feed in ended { feed.cancel() }
  }

  /// What is left, in the namespace's conditions, and when somebody must look though nobody says anything.
  private func tell(_ namespace: NamespaceView) -> [Action] {
    let key = namespace.meta.key
    let seconds = now().seconds
    let (rest, retry, mayTell) = rounds.withLock { rounds -> (NamespaceRemains, Int64?, Bool) in
      guard var round = rounds[key] else { return (NamespaceRemains(), nil, false) }
      defer { rounds[key] = round }
      let rest = round.removal.remains
      // How many are left is told, but not for every one that goes.
      let mayTell = seconds - round.told >= Self.tellingInterval
      if mayTell { round.told = seconds }
      if !round.removal.hasFailures {
        round.patience = 1
        round.retryAt = nil
      } else if round.retryAt == nil {
        round.retryAt = seconds + round.patience
        round.patience = min(30, round.patience * 2)
      }
      return (rest, round.retryAt.map { max(1, $0 - seconds) }, mayTell)
    }
    let conditions = rest.conditions
    let changed = conditions.filter { type, condition in namespace.conditions[type] != condition }
    let isNews = changed.contains { type, condition in
      let old = namespace.conditions[type]
      return old?.status != condition.status || old?.reason != condition.reason
    }
    var actions: [Action] = []
    if isNews || mayTell && !changed.isEmpty {
      let instant = Timestamp(seconds: seconds).description
      let list = conditions.map { type, condition -> Value in
        var value: Value = ["type": .string(type), "status": .string(condition.status)]
        if namespace.conditions[type]?.status != condition.status { value["lastTransitionTime"] = .string(instant) }
        value["reason"] = .string(condition.reason)
        value["message"] = .string(condition.message)
        return value
      }
      let patch: Value = ["metadata": ["uid": .string(namespace.meta.uid)], "status": ["conditions": .array(list)]]
      actions.append(.write(.patch(.namespaces, key, subresource: "status", Patch(.strategic, patch))))
    } else if !changed.isEmpty {
      actions.append(.requeue(Self.tellingInterval))
    }
    if let retry { actions.append(.requeue(retry)) }
    return actions
  }
}

extension NamespaceRemoval.Thing {
  init(_ object: EncodedObject) {
    self = object.withView { view in
      NamespaceRemoval.Thing(
        name: object.key.name, uid: object.uid, isDeleting: view["metadata"]["deletionTimestamp"].isPresent,
        finalizers: view["metadata"]["finalizers"].compactMap(\.string))
    }
  }
}

extension NamespaceRemoval.Change {
  init(_ change: ObjectFeed.Change) {
    switch change {
    case .set(let object): self = .set(NamespaceRemoval.Thing(object))
    case .deleted(let key): self = .gone(key.name)
    case .synced: self = .listed
    }
  }
}

import Client
import Schema
import Synchronization
import Wire

/// Empties a namespace that is being deleted, kind by kind, and lets it go when nothing is left.
final class NamespaceController: Sendable {
  private let loop: ControllerLoop
  private let namespaces: SharedInformer<NamespaceView>
  private let kinds: [GroupVersionResource]
  private let now: @Sendable () -> WallTime
  private let rounds = Mutex([ObjectKey: Round]())

  private struct Round {
    var rest: NamespaceRemains
    /// Seconds until somebody looks again; doubles as long as nothing changes.
    var patience: Int64 = 1
    /// When conditions were last written, seconds since 1970.
    var told: Int64 = 0
  }

  /// The finalizer of `spec.finalizers` that this controller stands for.
  static let finalizer = "kubernetes"

  init(_ context: ControllerContext) {
    loop = ControllerLoop(name: "namespace-controller", clients: context.clients, log: context.log, patience: .milliseconds(200))
    namespaces = context.namespaces
    now = context.now
    kinds = SchemaTable.builtin.stored.filter { $0.isNamespaced && $0.verbs.contains("delete") && $0.verbs.contains("list") }.map(
      \.gvr)
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
    guard let namespace = namespaces.get(key), namespace.isTerminating, namespace.finalizers.contains(Self.finalizer) else {
      rounds.withLock { $0[key] = nil }
      return []
    }
    var rest = NamespaceRemains()
    // Pods go first: what protects them (network policies) and what they use stays until they are gone.
    await empty(.pods, of: key.name, &rest)
    if rest.isEmpty { for kind in kinds where kind != .pods { await empty(kind, of: key.name, &rest) } }
    guard rest.isEmpty else {
      let seconds = now().seconds
      let (wait, mayTell) = rounds.withLock { rounds in
        var round = rounds[key] ?? Round(rest: rest)
        round.patience = round.rest == rest ? min(30, round.patience * 2) : 1
        round.rest = rest
        // How many pods are left is told, but not for every pod that goes.
        let mayTell = seconds - round.told >= 2
        if mayTell { round.told = seconds }
        rounds[key] = round
        return (round.patience, mayTell)
      }
      let conditions = rest.conditions
      var actions: [Action] = []
      let isNews = conditions.contains { type, condition in
        let old = namespace.conditions[type]
        return old?.status != condition.status || old?.reason != condition.reason || mayTell && old?.message != condition.message
      }
      if isNews {
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
      }
      // Pods that went are told; for the rest somebody has to look again, more and more rarely.
      actions.append(.requeue(wait))
      return actions
    }
    // The live object, so that nobody else's finalizer is lost.
    let live = try await loop.client.get(.namespaces, key)
    guard live.uid == namespace.meta.uid else { return [] }
    var body = live.value
    body["spec"]["finalizers"] = .array((body["spec"]["finalizers"].array ?? []).filter { $0.string != Self.finalizer })
    _ = try await loop.client.update(.namespaces, key, subresource: "finalize", body: body, WriteOptions())
    return []
  }

  /// Deletes what there is of one kind, and notes what stays.
  private func empty(_ kind: GroupVersionResource, of namespace: String, _ rest: inout NamespaceRemains) async {
    let list: ObjectList
    do throws(APIError) {
      list = try await loop.client.list(kind, namespace: namespace, ListOptions())
    } catch {
      return rest.failures.append(error.message)
    }
    var doomed: [EncodedObject] = []
    for object in list.items {
      let (isDeleting, finalizers) = object.withView { view in
        (view["metadata"]["deletionTimestamp"].isPresent, view["metadata"]["finalizers"].compactMap(\.string))
      }
      if isDeleting { rest.note(kind, finalizers: finalizers) } else { doomed.append(object) }
    }
    let results = await loop.client.submit(
      doomed.map { .delete(kind, $0.key, DeleteOptions(propagation: .background, preconditionUID: $0.uid)) })
    for result in results {
      switch result {
      // An object that is held by finalizers or a grace period is still there.
      case .success(let object?):
        rest.note(kind, finalizers: object.withView { $0["metadata"]["finalizers"].compactMap(\.string) })
      case .success(nil): break
      case .failure(let error) where error.reason == .notFound: break
      case .failure(let error):
        rest.note(kind, finalizers: [])
        rest.failures.append(error.message)
      }
    }
  }
}

/// What is left of a namespace after a round of deletions, and how its conditions say so. Pure.
package struct NamespaceRemains: Sendable, Equatable {
  package private(set) var counts: [String: Int] = [:]
  package private(set) var finalizers: [String: Int] = [:]
  package var failures: [String] = []

  package init() {}

  package var isEmpty: Bool { counts.isEmpty && failures.isEmpty }

  package mutating func note(_ kind: GroupVersionResource, finalizers: [String]) {
    counts["\(kind.resource).\(kind.group)", default: 0] += 1
    for finalizer in finalizers { self.finalizers[finalizer, default: 0] += 1 }
  }

  /// - Source: the conditions of upstream's NamespaceStatus, with its reasons and messages.
  package var conditions: [(type: String, condition: NamespaceView.Condition)] {
    func row(_ type: String, _ bad: (reason: String, message: String)?, _ reason: String, _ message: String) -> (
      String, NamespaceView.Condition
    ) {
      (type, .init(status: bad == nil ? "False" : "True", reason: bad?.reason ?? reason, message: bad?.message ?? message))
    }
    let failed =
      failures.isEmpty
      ? nil
      : (
        "ContentDeletionFailed",
        "Failed to delete all resource types, \(failures.count) remaining: \(failures.sorted().joined(separator: ", "))"
      )
    let remaining = counts.sorted { $0.key < $1.key }.map { "\($0.key) has \($0.value) resource instances" }
    let held = finalizers.sorted { $0.key < $1.key }.map { "\($0.key) in \($0.value) resource instances" }
    return [
      row("NamespaceDeletionDiscoveryFailure", nil, "ResourcesDiscovered", "All resources successfully discovered"),
      row("NamespaceDeletionGroupVersionParsingFailure", nil, "ParsedGroupVersions", "All legacy kube types successfully parsed"),
      row(
        "NamespaceDeletionContentFailure", failed, "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization"),
      row(
        "NamespaceContentRemaining",
        remaining.isEmpty ? nil : ("SomeResourcesRemain", "Some resources are remaining: \(remaining.joined(separator: ", "))"),
        "ContentRemoved", "All content successfully removed"),
      row(
        "NamespaceFinalizersRemaining",
        held.isEmpty
          ? nil
          : ("SomeFinalizersRemain", "Some content in the namespace has finalizers remaining: \(held.joined(separator: ", "))"),
        "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    ]
  }
}

import Client
import Synchronization
import Wire

/// Takes away pods that nobody else will: of nodes that are gone, and finished ones beyond a number.
final class PodGC: Sendable {
  private let loop: ControllerLoop
  private let pods: SharedInformer<PodView>
  private let nodes: SharedInformer<NodeView>
  private let now: @Sendable () -> WallTime
  /// Since when a node is missed that pods name; seconds since 1970.
  private let missing = Mutex([String: Int64]())

  /// Finished pods that may stay, oldest go first.
  static let finishedLimit = 12_500
  /// Seconds that a node may be missing: it may be made anew.
  static let quarantine: Int64 = 40
  private static let finishedKey = ObjectKey(namespace: " ", name: "finished")

  init(_ context: ControllerContext) {
    loop = ControllerLoop("pod-garbage-collector", context)
    pods = context.pods
    nodes = context.nodes
    now = context.now
    nodes.onChange { [self] changes in
      for change in changes where change.new == nil { loop.queue.add(change.key) }
    }
    pods.onChange { [self] changes in
      for change in changes {
        guard let pod = change.new else { continue }
        if !pod.node.isEmpty, change.old?.node != pod.node, nodes.get(ObjectKey(name: pod.node)) == nil {
          loop.queue.add(ObjectKey(name: pod.node))
        }
        if pod.isFinished, change.old?.isFinished != true { loop.queue.add(Self.finishedKey) }
        // Going, and on no node: nobody is there to finish it.
        if pod.meta.isDeleting, pod.node.isEmpty, change.old?.meta.isDeleting != true { loop.queue.add(change.key) }
      }
    }
  }

  func run() async {
    await nodes.synced()
    await pods.synced()
    await loop.run(workers: 1) { [self] (key) async throws(APIError) in try await sync(key) }
  }

  private func sync(_ key: ObjectKey) async throws(APIError) -> [Action] {
    if key == Self.finishedKey {
      return Self.excess(pods.all, limit: Self.finishedLimit).map { .write(Self.delete($0)) }
    }
    if !key.namespace.isEmpty {
      guard let pod = pods.get(key), pod.meta.isDeleting, pod.node.isEmpty else { return [] }
      return [.write(Self.delete(pod))]
    }
    let orphans = pods.find("node", key.name)
    guard nodes.get(key) == nil, !orphans.isEmpty else {
      missing.withLock { $0[key.name] = nil }
      return []
    }
    let instant = now().seconds
    let since = missing.withLock { missing in
      let since = missing[key.name] ?? instant
      missing[key.name] = since
      return since
    }
    if instant - since < Self.quarantine { return [.requeue(Self.quarantine - (instant - since))] }
    // The view of the nodes may be behind the view of the pods.
    do throws(APIError) {
      _ = try await loop.client.get(.nodes, key)
      return []
    } catch {
      guard error.reason == .notFound else { throw error }
    }
    // Pods that name the node later start a time of their own.
    missing.withLock { $0[key.name] = nil }
    return orphans.flatMap { pod -> [Action] in
      let failed = pod.disrupted(reason: "DeletionByPodGC", message: "PodGC: node no longer exists", at: instant, fails: true)
      return (pod.isFinished ? [] : [.write(failed)]) + [.write(Self.delete(pod))]
    }
  }

  /// Finished pods beyond the limit, oldest first.
  static func excess(_ pods: [PodView], limit: Int) -> [PodView] {
    let finished = pods.filter { $0.isFinished && !$0.meta.isDeleting }
    guard finished.count > limit else { return [] }
    return Array(finished.sorted { ($0.meta.created, $0.meta.key) < ($1.meta.created, $1.meta.key) }.prefix(finished.count - limit))
  }

  private static func delete(_ pod: PodView) -> Operation {
    .delete(.pods, pod.meta.key, DeleteOptions(gracePeriodSeconds: 0, preconditionUID: pod.meta.uid))
  }
}

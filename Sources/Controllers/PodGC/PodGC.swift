import Client
import Wire

/// Takes away pods that nobody else will: of nodes that are gone, and finished ones beyond a number.
final class PodGC: Sendable {
  private let loop: ControllerLoop
  private let pods: SharedInformer<PodView>
  private let nodes: SharedInformer<NodeView>
  private let now: @Sendable () -> WallTime

  /// Finished pods that may stay, oldest go first.
  static let finishedLimit = 12_500
  /// Seconds that a pod's node may be unknown: it may just not have registered yet.
  static let quarantine: Int64 = 40
  private static let finishedKey = ObjectKey(namespace: " ", name: "finished")

  init(_ context: ControllerContext) {
    loop = ControllerLoop(name: "pod-garbage-collector", clients: context.clients, log: context.log)
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
      }
    }
  }

  func run() async {
    await nodes.synced()
    await pods.synced()
    await loop.run(workers: 1) { [self] (key) async throws(APIError) in sync(key) }
  }

  private func sync(_ key: ObjectKey) -> [Action] {
    if key == Self.finishedKey {
      return Self.excess(pods.all, limit: Self.finishedLimit).map { .write(Self.delete($0)) }
    }
    guard nodes.get(key) == nil else { return [] }
    let orphans = pods.find("node", key.name)
    let ripe = orphans.filter { now().seconds - $0.meta.created >= Self.quarantine }
    return ripe.map { .write(Self.delete($0)) } + (ripe.count < orphans.count ? [.requeue(Self.quarantine)] : [])
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

import Client
import Synchronization
import Wire

/// Watches over nodes: those that fall silent are marked and tainted, pods that cannot stay are evicted, new nodes get their block of
/// pod addresses.
final class NodeControllers: Sendable {
  private let lifecycle: ControllerLoop
  private let eviction: ControllerLoop
  private let addresses: ControllerLoop
  private let nodes: SharedInformer<NodeView>
  private let pods: SharedInformer<PodView>
  private let leases: SharedInformer<String>
  private let allocator: PodCIDRAllocator?
  private let now: @Sendable () -> WallTime
  /// When a node was last heard of by this process's clock: nodes' own clocks may be wrong.
  private let seen = Mutex([String: Int64]())
  private let mode = Mutex(NodeReconcile.Eviction.normal)
  private let silenced = Mutex(SilencedNodes())
  /// uids of nodes that were told of, by name.
  private let registered = Mutex([String: String]())
  private let started: Int64
  /// Blocks given out that no informer shows yet.
  private let promised = Mutex([String: String]())

  init(_ context: ControllerContext, clusterCIDR: String) {
    lifecycle = ControllerLoop("node-controller", context)
    eviction = ControllerLoop("taint-eviction-controller", context)
    addresses = ControllerLoop("node-ipam-controller", context)
    nodes = context.nodes
    pods = context.pods
    now = context.now
    started = context.now().seconds
    allocator = PodCIDRAllocator(clusterCIDR)
    leases = SharedInformer(client: context.clients(ControllerContext.reader), resource: .leases, namespace: "kube-node-lease") {
      object in
      object.withView { $0["spec"]["renewTime"].string ?? "" }
    }
    leases.onChange { [self] changes in
      let instant = now().seconds
      for change in changes where change.new != nil && change.new != change.old {
        let wasSilent = seen.withLock { seen in
          defer { seen[change.key.name] = instant }
          return seen[change.key.name].map { instant - $0 >= NodeReconcile.gracePeriod } ?? true
        }
        // A renewal of a node that is fine needs no look at it: the timer that is set finds it.
        if wasSilent { lifecycle.queue.add(ObjectKey(name: change.key.name)) }
      }
    }
    nodes.onChange { [self] changes in
      let instant = now().seconds
      for change in changes {
        seen.withLock { seen in
          if let new = change.new {
            if new.conditions.map(\.heartbeat) != change.old?.conditions.map(\.heartbeat) { seen[change.key.name] = instant }
          } else {
            seen[change.key.name] = nil
          }
        }
        lifecycle.queue.add(change.key)
        if change.new?.taints != change.old?.taints { eviction.queue.add(change.key) }
        if change.new?.podCIDRs.isEmpty ?? true { addresses.queue.add(change.key) }
      }
      guard
        changes.contains(where: { $0.new?.condition("Ready") != $0.old?.condition("Ready") || ($0.new == nil) != ($0.old == nil) })
      else { return }
      let all = nodes.all
      let current = NodeReconcile.Eviction(all)
      let isOther = mode.withLock { mode in
        defer { mode = current }
        return mode != current
      }
      if isOther { lifecycle.queue.add(all.map(\.meta.key)) }
    }
    pods.onChange { [self] changes in
      for change in changes {
        guard let pod = change.new, !pod.node.isEmpty, change.old?.node != pod.node else { continue }
        let node = ObjectKey(name: pod.node)
        if nodes.get(node)?.taints.contains(where: { $0.effect == "NoExecute" }) == true { eviction.queue.add(node) }
      }
    }
  }

  func run() async {
    await withDiscardingTaskGroup { group in
      group.addTask { await self.leases.run() }
      await nodes.synced()
      await pods.synced()
      await leases.synced()
      group.addTask { await self.lifecycle.run { [self] (key) async throws(APIError) in try await syncNode(key) } }
      group.addTask { await self.eviction.run { [self] (key) async throws(APIError) in syncEviction(key) } }
      // One worker: two would give the same block twice.
      group.addTask { await self.addresses.run(workers: 1) { [self] (key) async throws(APIError) in syncAddresses(key) } }
    }
  }

  private func syncNode(_ key: ObjectKey) async throws(APIError) -> [Action] {
    let found = nodes.get(key)
    let (old, new) = registered.withLock { registered -> (String?, String?) in
      defer { registered[key.name] = found?.meta.uid }
      return (registered[key.name], found?.meta.uid)
    }
    var actions: [Action] = []
    if let old, old != new {
      let about = ObjectReference(kind: "Node", name: key.name, uid: old)
      actions.append(
        .event(
          about, .normal, reason: "RemovingNode", note: "Node \(key.name) event: Removing Node \(key.name) from Controller"))
    }
    if let new, new != old {
      let about = ObjectReference(kind: "Node", name: key.name, uid: new)
      actions.append(
        .event(
          about, .normal, reason: "RegisteredNode", note: "Node \(key.name) event: Registered Node \(key.name) in Controller"))
    }
    guard let node = found, !node.meta.isDeleting else { return actions }
    let instant = now().seconds
    let lastSeen = seen.withLock { $0[key.name] } ?? instant
    let outcome = NodeReconcile(node: node, lastSeen: lastSeen, now: instant, eviction: mode.withLock { $0 }).decide()
    if let status = outcome.status {
      actions.append(.write(.patch(.nodes, key, subresource: "status", Patch(.strategic, status))))
    }
    if outcome.isNews {
      let about = ObjectReference(kind: "Node", name: key.name, uid: node.meta.uid)
      actions.append(.event(about, .normal, reason: "NodeNotReady", note: "Node \(key.name) status is now: NodeNotReady"))
    }
    let (ready, isFirst) = (node.condition("Ready"), new != old)
    if silenced.withLock({ $0.marksPods(of: key.name, ready: ready, isFirst: isFirst, falls: outcome.status != nil) }) {
      actions += try await markPods(of: key.name, at: instant)
      silenced.withLock { $0.marked(key.name) }
    }
    if let taints = outcome.taints {
      let list = taints.map { taint -> Value in
        var value: Value = ["key": .string(taint.key)]
        if !taint.value.isEmpty { value["value"] = .string(taint.value) }
        value["effect"] = .string(taint.effect)
        if !taint.added.isEmpty { value["timeAdded"] = .string(taint.added) }
        return value
      }
      let patch: Value = [
        "metadata": ["resourceVersion": .string(String(node.meta.revision))],
        "spec": ["taints": list.isEmpty ? .null : .array(list)],
      ]
      actions.append(.write(.patch(.nodes, key, subresource: nil, Patch(.merge, patch))))
    }
    // The timer looks at the time again: renewals meanwhile only move it.
    if let seconds = outcome.checkAgain { actions.append(.requeue(max(10, seconds))) }
    return actions
  }

  /// Nobody can say how the pods of a silent node are: services stop sending to them.
  /// - Returns: the events that tell of it.
  private func markPods(of node: String, at instant: Int64) async throws(APIError) -> [Action] {
    let ready = pods.find("node", node).filter { $0.isReady && !$0.isFinished }
    let condition: Value = [
      "type": "Ready", "status": "False", "lastTransitionTime": .string(Timestamp(seconds: instant).description),
    ]
    let results = await lifecycle.client.submit(
      ready.map { pod in
        let patch: Value = ["metadata": ["uid": .string(pod.meta.uid)], "status": ["conditions": [condition]]]
        return .patch(.pods, pod.meta.key, subresource: "status", Patch(.strategic, patch))
      })
    for case .failure(let error) in results where error.reason != .notFound && error.reason != .conflict { throw error }
    return ready.map {
      .event(.pod($0.meta.key, uid: $0.meta.uid), .warning, reason: "NodeNotReady", note: "Node is not ready")
    }
  }

  private func syncEviction(_ key: ObjectKey) -> [Action] {
    guard let node = nodes.get(key), node.taints.contains(where: { $0.effect == "NoExecute" }) else { return [] }
    let instant = now().seconds
    var next: Int64?
    var actions: [Action] = []
    for pod in pods.find("node", key.name) where !pod.meta.isDeleting {
      guard let deadline = TaintEviction.deadline(pod, taints: node.taints, started: started, now: instant) else { continue }
      guard deadline <= instant else {
        next = min(next ?? .max, deadline - instant)
        continue
      }
      actions.append(
        .event(
          .pod(pod.meta.key, uid: pod.meta.uid), .normal, reason: "TaintManagerEviction",
          note: "Marking for deletion Pod \(pod.meta.key)"))
      actions.append(
        .write(
          pod.disrupted(reason: "DeletionByTaintManager", message: "Taint manager: deleting due to NoExecute taint", at: instant)))
      actions.append(.write(.delete(.pods, pod.meta.key, DeleteOptions(preconditionUID: pod.meta.uid))))
    }
    if let next { actions.append(.requeue(max(1, next))) }
    return actions
  }

  private func syncAddresses(_ key: ObjectKey) -> [Action] {
    guard let allocator else { return [] }
    guard let node = nodes.get(key), node.podCIDRs.isEmpty else {
      promised.withLock { $0[key.name] = nil }
      return []
    }
    let block = promised.withLock { promised -> String? in
      if let block = promised[key.name] { return block }
      let used = Set(nodes.all.flatMap(\.podCIDRs)).union(promised.values)
      promised[key.name] = allocator.next(used: used)
      return promised[key.name]
    }
    guard let block else {
      let about = ObjectReference(kind: "Node", name: key.name, uid: node.meta.uid)
      return [.event(about, .warning, reason: "CIDRNotAvailable", note: "Node \(key.name) status is now: CIDRNotAvailable")]
    }
    return [
      .write(
        .patch(
          .nodes, key, subresource: nil,
          Patch(
            .merge,
            ["metadata": ["uid": .string(node.meta.uid)], "spec": ["podCIDR": .string(block), "podCIDRs": [.string(block)]]])))
    ]
  }
}

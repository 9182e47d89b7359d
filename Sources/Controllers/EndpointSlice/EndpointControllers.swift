import Client
import Wire

/// Says which pods stand behind which service, as EndpointSlices and, for old clients, as Endpoints. Two identities, as upstream.
final class EndpointControllers: Sendable {
  private let slicesLoop: ControllerLoop
  private let endpointsLoop: ControllerLoop
  private let services: SharedInformer<ServiceView>
  private let pods: SharedInformer<PodView>
  private let nodes: SharedInformer<NodeView>
  private let slices: SharedInformer<SliceView>
  private let endpoints: SharedInformer<EndpointsView>

  init(_ context: ControllerContext) {
    slicesLoop = ControllerLoop("endpointslice-controller", context)
    endpointsLoop = ControllerLoop("endpoint-controller", context)
    services = context.services
    pods = context.pods
    nodes = context.nodes
    let reader = context.clients(ControllerContext.reader)
    slices = SharedInformer(
      client: reader, resource: .endpointSlices, indexes: ["service": { ["\($0.meta.key.namespace)/\($0.service)"] }]
    ) { SliceView($0) }
    endpoints = SharedInformer(client: reader, resource: .endpoints) { EndpointsView($0) }
    services.onChange { [self] changes in enqueue(changes.map(\.key)) }
    pods.onChange { [self] changes in
      var keys: Set<ObjectKey> = []
      for change in changes where Self.isRelevant(change) {
        for service in services.find("namespace", change.key.namespace) {
          guard let selector = service.selector else { continue }
          if [change.old, change.new].contains(where: { $0.map { selector.matches($0.meta.labels) } ?? false }) {
            keys.insert(service.meta.key)
          }
        }
      }
      enqueue(keys)
    }
    slices.onChange { [self] changes in
      for change in changes {
        if let slice = change.new ?? change.old, slice.isOurs {
          slicesLoop.queue.add(ObjectKey(namespace: change.key.namespace, name: slice.service))
        }
      }
    }
    endpoints.onChange { [self] changes in endpointsLoop.queue.add(changes.map(\.key)) }
  }

  private func enqueue(_ keys: some Sequence<ObjectKey>) {
    slicesLoop.queue.add(keys)
    endpointsLoop.queue.add(keys)
  }

  /// Most changes of a pod (its container statuses, conditions) say nothing about its endpoints.
  private static func isRelevant(_ change: SharedInformer<PodView>.Change) -> Bool {
    guard let old = change.old, let new = change.new else { return true }
    return old.isReady != new.isReady || old.addresses != new.addresses || old.meta.isDeleting != new.meta.isDeleting
      || old.isFinished != new.isFinished || old.meta.labels != new.meta.labels || old.node != new.node
      || old.meta.uid != new.meta.uid
      || old.ports != new.ports || old.hostname != new.hostname || old.subdomain != new.subdomain
  }

  func run() async {
    await withDiscardingTaskGroup { group in
      group.addTask { await self.slices.run() }
      group.addTask { await self.endpoints.run() }
      await services.synced()
      await pods.synced()
      await slices.synced()
      await endpoints.synced()
      group.addTask { await self.slicesLoop.run { [self] (key) async throws(APIError) in syncSlices(key) } }
      group.addTask { await self.endpointsLoop.run { [self] (key) async throws(APIError) in syncEndpoints(key) } }
    }
  }

  private func members(_ service: ServiceView) -> [PodView] {
    guard let selector = service.selector else { return [] }
    return pods.find("namespace", service.meta.key.namespace).filter { selector.matches($0.meta.labels) }
  }

  private func syncSlices(_ key: ObjectKey) -> [Action] {
    let own = slices.find("service", key.description).filter(\.isOurs)
    guard let service = services.get(key), !service.isExternalName, !service.meta.isDeleting else {
      return own.map { .write(.delete(.endpointSlices, $0.meta.key, DeleteOptions(preconditionUID: $0.meta.uid))) }
    }
    guard service.selector != nil else { return [] }
    let members = members(service)
    var zones: [String: String] = [:]
    for node in Set(members.map(\.node)) where !node.isEmpty {
      zones[node] = nodes.get(ObjectKey(name: node))?.meta.labels["topology.kubernetes.io/zone"]
    }
    return EndpointSliceReconcile(service: service, pods: members, zones: zones, slices: own).decide().map { .write($0) }
  }

  private func syncEndpoints(_ key: ObjectKey) -> [Action] {
    let existing = endpoints.get(key)
    guard let service = services.get(key), !service.meta.isDeleting else {
      // Others' objects of the same name (leader election of long ago) stay.
      guard let existing, existing.meta.labels["endpoints.kubernetes.io/managed-by"] == "endpoint-controller" else { return [] }
      return [.write(.delete(.endpoints, key, DeleteOptions(preconditionUID: existing.meta.uid)))]
    }
    guard service.selector != nil, !service.isExternalName else { return [] }
    let operation = EndpointsReconcile(service: service, pods: members(service)).decide(existing)
    return operation.map { [.write($0)] } ?? []
  }
}

import Client
import Wire

/// Endpoints that somebody else writes for a service without selector become EndpointSlices, which is what the service proxy reads.
///
/// Source: Kubernetes "EndpointSlices", mirroring.
final class EndpointSliceMirroring: Sendable {
  private let loop: ControllerLoop
  private let services: SharedInformer<ServiceView>
  private let endpoints: SharedInformer<MirroredEndpoints>
  private let slices: SharedInformer<MirroredSlice>

  init(_ context: ControllerContext) {
    loop = ControllerLoop("endpointslicemirroring-controller", context)
    services = context.services
    let reader = context.clients(ControllerContext.reader)
    endpoints = SharedInformer(client: reader, resource: .endpoints) { MirroredEndpoints($0) }
    slices = SharedInformer(
      client: reader, resource: .endpointSlices, indexes: ["service": { ["\($0.key.namespace)/\($0.service)"] }]
    ) { MirroredSlice($0) }
    services.onChange { [self] changes in
      for change in changes
      where (change.old?.selector == nil) != (change.new?.selector == nil) || change.old == nil || change.new == nil {
        loop.queue.add(change.key)
      }
    }
    endpoints.onChange { [self] changes in loop.queue.add(changes.map(\.key)) }
    slices.onChange { [self] changes in
      for change in changes {
        guard let slice = change.new ?? change.old else { continue }
        loop.queue.add(ObjectKey(namespace: change.key.namespace, name: slice.service))
      }
    }
  }

  func run() async {
    await withDiscardingTaskGroup { group in
      group.addTask { await self.endpoints.run() }
      group.addTask { await self.slices.run() }
      await services.synced()
      await endpoints.synced()
      await slices.synced()
      group.addTask { await self.loop.run { [self] (key) async throws(APIError) in sync(key) } }
    }
  }

  private func sync(_ key: ObjectKey) -> [Action] {
    let own = slices.find("service", key.description)
    let service = services.get(key)
    let isMirrored = service.map { $0.selector == nil && !$0.meta.isDeleting } ?? false
    let wanted = isMirrored ? endpoints.get(key)?.slices ?? [] : []
    return MirroredSlice.changes(from: own, to: wanted, of: key).map { .write($0) }
  }
}

/// What is to be mirrored of an Endpoints object: nil for one that asks not to be, or that is a lock of leader election.
///
/// Most Endpoints are the endpoint controller's and never mirrored: they are not unpacked before it is known.
package struct MirroredEndpoints: Sendable {
  private let object: EncodedObject

  /// Addresses of a subset that are mirrored; more are left out.
  static let limit = 1000

  package init?(_ object: EncodedObject) {
    let asks = object.withView { view in
      let metadata = view["metadata"]
      return !metadata["labels"][dynamic: "endpointslice.kubernetes.io/skip-mirror"].equals("true")
        && metadata["annotations"]["control-plane.alpha.kubernetes.io/leader"].isNull && metadata["deletionTimestamp"].isNull
    }
    guard asks else { return nil }
    self.object = object
  }

  /// One for every subset and family of addresses, without name.
  package var slices: [Value] {
    object.withView { view in
      let metadata = view["metadata"]
      var labels = metadata["labels"].stringMap
      labels["kubernetes.io/service-name"] = object.key.name
      labels["endpointslice.kubernetes.io/managed-by"] = MirroredSlice.manager
      labels["endpoints.kubernetes.io/managed-by"] = nil
      var annotations = metadata["annotations"].stringMap
      annotations["kubectl.kubernetes.io/last-applied-configuration"] = nil
      var body: Value = [
        "metadata": [
          "namespace": .string(object.key.namespace), "labels": Value(labels),
          "ownerReferences": [
            [
              "apiVersion": "v1", "kind": "Endpoints", "name": .string(object.key.name), "uid": .string(object.uid),
              "controller": true, "blockOwnerDeletion": true,
            ]
          ],
        ]
      ]
      if !annotations.isEmpty { body["metadata"]["annotations"] = Value(annotations) }
      var slices: [Value] = []
      view["subsets"].forEach { subset in
        let all =
          subset["addresses"].map { Self.endpoint($0.value, isReady: true) }
          + subset["notReadyAddresses"].map { Self.endpoint($0.value, isReady: false) }
        for (family, isIPv6) in [("IPv4", false), ("IPv6", true)] {
          let members = all.filter { ($0["addresses"][0].string?.contains(":") ?? false) == isIPv6 }.prefix(Self.limit)
          guard !members.isEmpty else { continue }
          var slice = body
          slice["addressType"] = .string(family)
          slice["endpoints"] = .array(Array(members))
          slice["ports"] = .array(subset["ports"].map { Self.port($0.value) })
          slices.append(slice)
        }
      }
      return slices
    }
  }

  private static func endpoint(_ address: Value, isReady: Bool) -> Value {
    var endpoint: Value = ["addresses": [address["ip"]], "conditions": ["ready": .bool(isReady)]]
    for field in ["hostname", "nodeName", "targetRef"] where !address[field].isNull { endpoint[field] = address[field] }
    return endpoint
  }

  private static func port(_ port: Value) -> Value {
    var value: Value = ["name": .string(port["name"].string ?? ""), "port": port["port"], "protocol": port["protocol"]]
    if !port["appProtocol"].isNull { value["appProtocol"] = port["appProtocol"] }
    return value
  }
}

/// A slice that this controller has made.
package struct MirroredSlice: Sendable {
  package static let manager = "endpointslicemirroring-controller.k8s.io"

  package var key: ObjectKey
  package var uid: String
  package var service: String
  /// What it says, to compare.
  package var content: Value

  package init?(_ object: EncodedObject) {
    let value = object.withView(\.value)
    let labels = value["metadata"]["labels"]
    guard labels["endpointslice.kubernetes.io/managed-by"].string == Self.manager else { return nil }
    key = object.key
    uid = object.uid
    service = labels["kubernetes.io/service-name"].string ?? ""
    content = Self.content(of: value)
  }

  private static func content(of slice: Value) -> Value {
    [
      "labels": slice["metadata"]["labels"], "annotations": slice["metadata"]["annotations"],
      "owners": slice["metadata"]["ownerReferences"],
      "family": slice["addressType"], "ports": slice["ports"], "endpoints": slice["endpoints"],
    ]
  }

  /// Pure: what has to be written so that a service has these slices. What is there already stays.
  package static func changes(from own: [MirroredSlice], to wanted: [Value], of service: ObjectKey) -> [Operation] {
    var left = own.sorted { $0.key < $1.key }
    var missing: [Value] = []
    var names: Set<String> = []
    for slice in wanted {
      let content = content(of: slice)
      // Named after what it says: a round on stale reads collides with itself instead of doubling a slice.
      let name = "\(service.name)-\(DeploymentReconcile.hash(content, collisions: 0))"
      guard names.insert(name).inserted else { continue }
      if let i = left.firstIndex(where: { $0.content == content }) {
        left.remove(at: i)
      } else {
        var slice = slice
        slice["metadata"]["name"] = .string(name)
        missing.append(slice)
      }
    }
    // Made before the others go: a service is never without endpoints in between.
    return missing.map { .create(.endpointSlices, namespace: service.namespace, body: $0) }
      + left.map { .delete(.endpointSlices, $0.key, DeleteOptions(preconditionUID: $0.uid)) }
  }
}

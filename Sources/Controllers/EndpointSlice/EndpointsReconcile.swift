import Client
import Wire

/// The older form of a service's endpoints: one object with subsets, which clients of long ago still read.
struct EndpointsReconcile {
  let service: ServiceView
  let pods: [PodView]

  /// More addresses than this are cut off, and an annotation says so.
  static let capacity = 1000

  /// `subsets`: groups of pods that serve the same ports, ready and not ready apart.
  func subsets() -> [Value] {
    var groups: [[EndpointPort]: (ready: [Endpoint], notReady: [Endpoint])] = [:]
    var room = Self.capacity
    for pod in pods.sorted(by: { $0.meta.key < $1.meta.key }) where room > 0 {
      guard let endpoint = Endpoint(pod, of: service, family: service.families.first ?? "IPv4", zone: "") else { continue }
      guard !endpoint.isTerminating || service.publishesNotReady else { continue }
      let ports = service.resolvedPorts(for: pod)
      guard !ports.isEmpty || service.isHeadless && service.ports.isEmpty else { continue }
      room -= 1
      if endpoint.isReady { groups[ports, default: ([], [])].ready.append(endpoint) } else { groups[ports, default: ([], [])].notReady.append(endpoint) }
    }
    return groups.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { ports, endpoints in
      var subset = Value.emptyObject
      if !endpoints.ready.isEmpty { subset["addresses"] = .array(endpoints.ready.sorted { $0.address < $1.address }.map(address)) }
      if !endpoints.notReady.isEmpty { subset["notReadyAddresses"] = .array(endpoints.notReady.sorted { $0.address < $1.address }.map(address)) }
      if !ports.isEmpty { subset["ports"] = .array(ports.map(port)) }
      return subset
    }
  }

  private func port(_ port: EndpointPort) -> Value {
    var value = Value.emptyObject
    if !port.name.isEmpty { value["name"] = .string(port.name) }
    value["port"] = .int(port.number)
    value["protocol"] = .string(port.transport)
    if !port.appProtocol.isEmpty { value["appProtocol"] = .string(port.appProtocol) }
    return value
  }

  private func address(_ endpoint: Endpoint) -> Value {
    var value: Value = ["ip": .string(endpoint.address)]
    if !endpoint.hostname.isEmpty { value["hostname"] = .string(endpoint.hostname) }
    if !endpoint.node.isEmpty { value["nodeName"] = .string(endpoint.node) }
    value["targetRef"] = endpoint.targetReference
    return value
  }

  var labels: [String: String] {
    var labels = service.meta.labels
    labels["endpoints.kubernetes.io/managed-by"] = "endpoint-controller"
    if service.isHeadless { labels["service.kubernetes.io/headless"] = "" }
    return labels
  }

  /// - Parameter existing: nil where there is none.
  func decide(_ existing: EndpointsView?) -> Operation? {
    let subsets = subsets()
    guard let existing else {
      let body: Value = [
        "metadata": [
          "name": .string(service.meta.key.name), "namespace": .string(service.meta.key.namespace), "labels": Value(labels),
        ], "subsets": .array(subsets),
      ]
      return .create(.endpoints, namespace: service.meta.key.namespace, body: body)
    }
    guard existing.subsets != Value.array(subsets) || existing.meta.labels != labels else { return nil }
    var changed: [String: Value] = [:]
    for key in existing.meta.labels.keys where labels[key] == nil { changed[key] = .null }
    for (key, value) in labels { changed[key] = .string(value) }
    let patch: Value = [
      "metadata": [
        "resourceVersion": .string(String(existing.meta.revision)),
        "labels": .object(Object(changed.sorted { $0.key < $1.key }.map { .init(key: $0.key, value: $0.value) })),
      ], "subsets": subsets.isEmpty ? .null : .array(subsets),
    ]
    return .patch(.endpoints, service.meta.key, subresource: nil, Patch(.merge, patch))
  }
}

struct EndpointsView: Sendable {
  var meta: Meta
  var subsets: Value

  init(_ object: EncodedObject) {
    self = object.withView { view in
      EndpointsView(meta: Meta(object, view), subsets: view["subsets"].isArray ? view["subsets"].value : [])
    }
  }

  private init(meta: Meta, subsets: Value) {
    self.meta = meta
    self.subsets = subsets
  }
}

import Client
import Wire

/// The older form of a service's endpoints: one object with subsets, which clients of long ago still read.
package struct EndpointsReconcile {
  package let service: ServiceView
  package let pods: [PodView]

  package init(service: ServiceView, pods: [PodView]) {
    self.service = service
    self.pods = pods
  }

  /// More addresses than this are cut off, and an annotation says so.
  package static let capacity = 1000

  package static let overCapacity = "endpoints.kubernetes.io/over-capacity"

  /// `subsets`: groups of pods that serve the same ports, ready and not ready apart. Where there are too many, ready ones stay.
  package func subsets() -> (subsets: [Value], isTruncated: Bool) {
    var all: [(ports: [EndpointPort], endpoint: Endpoint)] = []
    for pod in pods.sorted(by: { $0.meta.key < $1.meta.key }) {
      guard let endpoint = Endpoint(pod, of: service, family: service.families.first ?? "IPv4", zone: "") else { continue }
      guard !endpoint.isTerminating || service.publishesNotReady else { continue }
      let ports = service.resolvedPorts(for: pod)
      guard !ports.isEmpty || service.isHeadless && service.ports.isEmpty else { continue }
      all.append((ports, endpoint))
    }
    let kept = (all.filter(\.endpoint.isReady) + all.filter { !$0.endpoint.isReady }).prefix(Self.capacity)
    var groups: [[EndpointPort]: (ready: [Endpoint], notReady: [Endpoint])] = [:]
    for (ports, endpoint) in kept {
      if endpoint.isReady {
        groups[ports, default: ([], [])].ready.append(endpoint)
      } else {
        groups[ports, default: ([], [])].notReady.append(endpoint)
      }
    }
    let subsets = groups.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { ports, endpoints -> Value in
      var subset = Value.emptyObject
      if !endpoints.ready.isEmpty { subset["addresses"] = .array(endpoints.ready.sorted { $0.address < $1.address }.map(address)) }
      if !endpoints.notReady.isEmpty {
        subset["notReadyAddresses"] = .array(endpoints.notReady.sorted { $0.address < $1.address }.map(address))
      }
      if !ports.isEmpty { subset["ports"] = .array(ports.map(port)) }
      return subset
    }
    return (subsets, kept.count < all.count)
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

  package var labels: [String: String] {
    var labels = service.meta.labels
    labels["endpoints.kubernetes.io/managed-by"] = "endpoint-controller"
    labels["service.kubernetes.io/headless"] = service.isHeadless ? "" : nil
    return labels
  }

  /// - Parameter existing: nil where there is none.
  package func decide(_ existing: EndpointsView?) -> Operation? {
    let (subsets, isTruncated) = subsets()
    guard let existing else {
      var body: Value = [
        "metadata": [
          "name": .string(service.meta.key.name), "namespace": .string(service.meta.key.namespace), "labels": Value(labels),
        ], "subsets": .array(subsets),
      ]
      if isTruncated { body["metadata"]["annotations"] = [Self.overCapacity: "truncated"] }
      return .create(.endpoints, namespace: service.meta.key.namespace, body: body)
    }
    guard
      existing.subsets != Value.array(subsets) || existing.meta.labels != labels || existing.isTruncated != isTruncated
    else { return nil }
    var metadata: Value = ["resourceVersion": .string(String(existing.meta.revision))]
    if existing.meta.labels != labels { metadata["labels"] = Value(changing: existing.meta.labels, to: labels) }
    if existing.isTruncated != isTruncated { metadata["annotations"] = [Self.overCapacity: isTruncated ? "truncated" : .null] }
    let patch: Value = ["metadata": metadata, "subsets": subsets.isEmpty ? .null : .array(subsets)]
    return .patch(.endpoints, service.meta.key, subresource: nil, Patch(.merge, patch))
  }
}

package struct EndpointsView: Sendable {
  package var meta: Meta
  package var subsets: Value
  /// Says that addresses are missing.
  package var isTruncated: Bool

  package init(_ object: EncodedObject) {
    self = object.withView { view in
      EndpointsView(
        meta: Meta(object, view), subsets: view["subsets"].isArray ? view["subsets"].value : [],
        isTruncated: view["metadata"]["annotations"][dynamic: EndpointsReconcile.overCapacity].isPresent)
    }
  }

  private init(meta: Meta, subsets: Value, isTruncated: Bool) {
    self.meta = meta
    self.subsets = subsets
    self.isTruncated = isTruncated
  }
}

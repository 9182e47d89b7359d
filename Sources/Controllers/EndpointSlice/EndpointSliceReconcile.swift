import Client
import Wire

/// A port of a slice or a subset, resolved for the pods that share it.
package struct EndpointPort: Sendable, Hashable, Comparable {
  package var name: String
  package var transport: String
  package var number: Int64
  package var appProtocol: String

  package static func < (a: Self, b: Self) -> Bool { (a.name, a.transport, a.number) < (b.name, b.transport, b.number) }

  package var value: Value {
    var value: Value = ["name": .string(name), "port": .int(number), "protocol": .string(transport)]
    if !appProtocol.isEmpty { value["appProtocol"] = .string(appProtocol) }
    return value
  }
}

/// A pod behind a service.
package struct Endpoint: Sendable, Hashable {
  package var address: String
  package var hostname: String
  package var isReady: Bool
  package var isServing: Bool
  package var isTerminating: Bool
  package var node: String
  package var zone: String
  package var pod: ObjectKey
  package var uid: String

  package var value: Value {
    var value: Value = [
      "addresses": [.string(address)],
      "conditions": ["ready": .bool(isReady), "serving": .bool(isServing), "terminating": .bool(isTerminating)],
    ]
    if !hostname.isEmpty { value["hostname"] = .string(hostname) }
    value["targetRef"] = targetReference
    if !node.isEmpty { value["nodeName"] = .string(node) }
    if !zone.isEmpty { value["zone"] = .string(zone) }
    return value
  }

  package var targetReference: Value {
    ["kind": "Pod", "namespace": .string(pod.namespace), "name": .string(pod.name), "uid": .string(uid)]
  }

  /// nil where the pod cannot stand behind a service: no address yet, or finished.
  package init?(_ pod: PodView, of service: ServiceView, family: String, zone: String) {
    let isIPv6 = family == "IPv6"
    guard !pod.isFinished, let address = pod.addresses.first(where: { $0.contains(":") == isIPv6 }) else { return nil }
    self.address = address
    isTerminating = pod.meta.isDeleting
    isServing = pod.isReady
    isReady = service.publishesNotReady || pod.isReady && !isTerminating
    hostname = !pod.hostname.isEmpty && pod.subdomain == service.meta.key.name ? pod.hostname : ""
    node = pod.node
    self.zone = zone
    self.pod = pod.meta.key
    uid = pod.meta.uid
  }

  package init?(_ view: JSONView) {
    var first: String?
    view["addresses"].forEach { if first == nil { first = $0.string } }
    guard let first else { return nil }
    address = first
    hostname = view["hostname"].string ?? ""
    isReady = view["conditions"]["ready"].bool ?? true
    isServing = view["conditions"]["serving"].bool ?? isReady
    isTerminating = view["conditions"]["terminating"].bool ?? false
    node = view["nodeName"].string ?? ""
    zone = view["zone"].string ?? ""
    pod = ObjectKey(namespace: view["targetRef"]["namespace"].string ?? "", name: view["targetRef"]["name"].string ?? "")
    uid = view["targetRef"]["uid"].string ?? ""
  }
}

extension ServiceView {
  /// The service's ports as a pod serves them. A named port that the pod does not have is left out.
  package func resolvedPorts(for pod: PodView) -> [EndpointPort] {
    ports.compactMap { port in
      let number: Int64?
      if let target = port.targetNumber {
        number = target == 0 ? port.port : target
      } else if port.targetName.isEmpty {
        number = port.port
      } else {
        number = pod.ports.first { $0.name == port.targetName && $0.transport == port.transport }?.number
      }
      return number.map { EndpointPort(name: port.name, transport: port.transport, number: $0, appProtocol: port.appProtocol) }
    }.sorted()
  }
}

/// What the controller reads of an EndpointSlice.
package struct SliceView: Sendable {
  package var meta: Meta
  package var service: String
  package var isOurs: Bool
  package var family: String
  package var ports: [EndpointPort]
  package var endpoints: [Endpoint]

  package static let manager = "endpointslice-controller.k8s.io"

  package init?(_ object: EncodedObject) {
    let slice: SliceView? = object.withView { view in
      let labels = view["metadata"]["labels"]
      guard let service = labels["kubernetes.io/service-name"].string else { return nil }
      let ports: [EndpointPort] = view["ports"].map { port in
        EndpointPort(
          name: port["name"].string ?? "", transport: port["protocol"].string ?? "TCP", number: port["port"].int ?? 0,
          appProtocol: port["appProtocol"].string ?? "")
      }
      return SliceView(
        meta: Meta(object, view), service: service,
        isOurs: labels["endpointslice.kubernetes.io/managed-by"].equals("endpointslice-controller.k8s.io"),
        family: view["addressType"].string ?? "IPv4", ports: ports.sorted(),
        endpoints: view["endpoints"].compactMap { Endpoint($0) })
    }
    guard let slice else { return nil }
    self = slice
  }

  private init(meta: Meta, service: String, isOurs: Bool, family: String, ports: [EndpointPort], endpoints: [Endpoint]) {
    self.meta = meta
    self.service = service
    self.isOurs = isOurs
    self.family = family
    self.ports = ports
    self.endpoints = endpoints
  }
}

/// One service and its slices: which writes make them say which pods stand behind it. Pure.
///
/// Endpoints stay in the slice that they are in; new ones fill slices that change anyway, then others with room, then new slices.
package struct EndpointSliceReconcile {
  package let service: ServiceView
  package let pods: [PodView]
  package let zones: [String: String]
  /// The controller's own slices of this service.
  package let slices: [SliceView]

  package init(service: ServiceView, pods: [PodView], zones: [String: String] = [:], slices: [SliceView] = []) {
    self.service = service
    self.pods = pods
    self.zones = zones
    self.slices = slices
  }

  /// Endpoints of one slice at most.
  package static let capacity = 100

  private struct Group: Hashable {
    var family: String
    var ports: [EndpointPort]
  }

  package func decide() -> [Operation] {
    var wanted: [Group: [Endpoint]] = [:]
    for family in service.families {
      for pod in pods {
        guard let endpoint = Endpoint(pod, of: service, family: family, zone: zones[pod.node] ?? "") else { continue }
        wanted[Group(family: family, ports: service.resolvedPorts(for: pod)), default: []].append(endpoint)
      }
    }
    var operations: [Operation] = []
    // One slice stays for every family even where nothing stands behind the service: its absence means "not looked at yet".
    var survivors = Dictionary(service.families.map { ($0, 0) }, uniquingKeysWith: { a, _ in a })
    let existing = Dictionary(grouping: slices.filter { !$0.meta.isDeleting }) { Group(family: $0.family, ports: $0.ports) }
    var spare: [SliceView] = []
    for (group, endpoints) in wanted.sorted(by: {
      ($0.key.family, $0.key.ports.description) < ($1.key.family, $1.key.ports.description)
    }) {
      operations += fill(group, endpoints, existing[group] ?? [], &spare)
      survivors[group.family, default: 0] += 1
    }
    for (group, slices) in existing where wanted[group] == nil { spare += slices }
    for slice in spare.sorted(by: { $0.meta.key < $1.meta.key }) {
      if survivors[slice.family] == 0 {
        survivors[slice.family] = 1
        if !slice.endpoints.isEmpty || slice.meta.labels != labels { operations.append(update(slice, [])) }
      } else {
        operations.append(.delete(.endpointSlices, slice.meta.key, DeleteOptions(preconditionUID: slice.meta.uid)))
      }
    }
    for (family, count) in survivors.sorted(by: { $0.key < $1.key }) where count == 0 {
      operations.append(create(Group(family: family, ports: []), [], ordinal: 0))
    }
    return operations
  }

  private func fill(_ group: Group, _ endpoints: [Endpoint], _ slices: [SliceView], _ spare: inout [SliceView]) -> [Operation] {
    var missing = Dictionary(endpoints.map { ("\($0.address)/\($0.uid)", $0) }, uniquingKeysWith: { a, _ in a })
    var contents: [(slice: SliceView, endpoints: [Endpoint], isChanged: Bool)] = []
    for slice in slices.sorted(by: { $0.meta.key < $1.meta.key }) {
      let kept = slice.endpoints.compactMap { missing.removeValue(forKey: "\($0.address)/\($0.uid)") }
      contents.append((slice, kept, kept != slice.endpoints || slice.meta.labels != labels))
    }
    var rest = missing.values.sorted { $0.pod < $1.pod }[...]
    let byPreference = contents.indices.sorted { a, b in
      contents[a].isChanged != contents[b].isChanged
        ? contents[a].isChanged : contents[a].endpoints.count > contents[b].endpoints.count
    }
    for i in byPreference where !rest.isEmpty && contents[i].endpoints.count < Self.capacity {
      let taken = rest.prefix(Self.capacity - contents[i].endpoints.count)
      contents[i].endpoints += taken
      contents[i].isChanged = true
      rest = rest.dropFirst(taken.count)
    }
    var operations: [Operation] = []
    for content in contents where content.isChanged {
      if content.endpoints.isEmpty {
        spare.append(content.slice)
      } else {
        operations.append(update(content.slice, content.endpoints))
      }
    }
    var ordinal = 0
    while !rest.isEmpty {
      let chunk = rest.prefix(Self.capacity)
      rest = rest.dropFirst(chunk.count)
      while slices.contains(where: { $0.meta.key.name == name(group, ordinal) }) { ordinal += 1 }
      operations.append(create(group, Array(chunk), ordinal: ordinal))
      ordinal += 1
    }
    return operations
  }

  /// The same slice has the same name, so that a round with stale reads collides with itself instead of doing it twice.
  private func name(_ group: Group, _ ordinal: Int) -> String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    let ports = group.ports.map { "\($0.name)/\($0.transport)/\($0.number)" }.joined(separator: ",")
    for byte in "\(service.meta.uid)|\(group.family)|\(ports)|\(ordinal)".utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    var suffix: [UInt8] = []
    for _ in 0..<5 {
      suffix.append(PodTemplate.alphabet[Int(hash % UInt64(PodTemplate.alphabet.count))])
      hash /= UInt64(PodTemplate.alphabet.count)
    }
    return String("\(service.meta.key.name)-".prefix(58)) + String(decoding: suffix, as: UTF8.self)
  }

  /// The service's own labels, and those by which slices are found.
  private var labels: [String: String] {
    var labels = service.meta.labels
    labels["service.kubernetes.io/headless"] = service.isHeadless ? "" : nil
    labels["endpointslice.kubernetes.io/managed-by"] = SliceView.manager
    labels["kubernetes.io/service-name"] = service.meta.key.name
    return labels
  }

  private func create(_ group: Group, _ endpoints: [Endpoint], ordinal: Int) -> Operation {
    let body: Value = [
      "metadata": [
        "name": .string(name(group, ordinal)), "generateName": .string("\(service.meta.key.name)-"),
        "namespace": .string(service.meta.key.namespace), "labels": Value(labels),
        "ownerReferences": [controllerReference(apiVersion: "v1", kind: "Service", service.meta)],
      ], "addressType": .string(group.family), "endpoints": .array(endpoints.map(\.value)),
      "ports": .array(group.ports.map(\.value)),
    ]
    return .create(.endpointSlices, namespace: service.meta.key.namespace, body: body)
  }

  private func update(_ slice: SliceView, _ endpoints: [Endpoint]) -> Operation {
    var metadata: Value = ["resourceVersion": .string(String(slice.meta.revision))]
    if slice.meta.labels != labels { metadata["labels"] = Value(changing: slice.meta.labels, to: labels) }
    return .patch(
      .endpointSlices, slice.meta.key, subresource: nil,
      Patch(.merge, ["metadata": metadata, "endpoints": .array(endpoints.map(\.value))]))
  }
}

import Wire

/// TCP, UDP or SCTP, as nftables spells it.
package enum Transport: String, Sendable, Hashable {
  case tcp
  case udp
  case sctp

  init?(_ view: JSONView) {
    guard let text = view.string else {
      self = .tcp
      return
    }
    self.init(rawValue: text.lowercased())
  }
}

/// What the proxy reads of a Service. Headless services and external names have no address and are nil.
package struct ServiceFacts: Hashable, Sendable {
  package struct Port: Hashable, Sendable {
    package var name: String
    package var transport: Transport
    package var port: UInt16
    /// 0 for none.
    package var nodePort: UInt16

    package init(name: String = "", transport: Transport = .tcp, port: UInt16, nodePort: UInt16 = 0) {
      self.name = name
      self.transport = transport
      self.port = port
      self.nodePort = nodePort
    }
  }
  package var clusterIPs: [IPAddress]
  /// External IPs and the addresses of load balancers: they behave as node ports do.
  package var externalIPs: [IPAddress]
  package var ports: [Port]
  package var keepsInternalTrafficLocal: Bool
  package var keepsExternalTrafficLocal: Bool
  /// RFC 3339, which sorts as text: the older of two services that name the same external address has it.
  package var created: String

  package init(
    clusterIPs: [IPAddress], externalIPs: [IPAddress] = [], ports: [Port], keepsInternalTrafficLocal: Bool = false,
    keepsExternalTrafficLocal: Bool = false, created: String = ""
  ) {
    self.created = created
    self.clusterIPs = clusterIPs
    self.externalIPs = externalIPs
    self.ports = ports
    self.keepsInternalTrafficLocal = keepsInternalTrafficLocal
    self.keepsExternalTrafficLocal = keepsExternalTrafficLocal
  }

  package init?(_ object: EncodedObject) {
    let facts: ServiceFacts? = object.withView { view in
      let spec = view["spec"]
      guard !spec["type"].equals("ExternalName"), !view["metadata"]["labels"]["service.kubernetes.io/service-proxy-name"].isPresent
      else { return nil }
      var clusterIPs = spec["clusterIPs"].compactMap { $0.string.flatMap { IPAddress($0) } }
      if clusterIPs.isEmpty, let single = spec["clusterIP"].string.flatMap({ IPAddress($0) }) { clusterIPs = [single] }
      guard !clusterIPs.isEmpty else { return nil }
      let external =
        spec["externalIPs"].compactMap { $0.string.flatMap { IPAddress($0) } }
        // A load balancer that connects to nodes itself says so: traffic to it is not to be cut short.
        + view["status"]["loadBalancer"]["ingress"].compactMap { ingress in
          ingress["ipMode"].equals("Proxy") ? nil : ingress["ip"].string.flatMap { IPAddress($0) }
        }
      return ServiceFacts(
        clusterIPs: clusterIPs, externalIPs: external,
        ports: spec["ports"].compactMap { port in
          guard let transport = Transport(port["protocol"]), let number = port["port"].int.flatMap({ UInt16(exactly: $0) }) else {
            return nil
          }
          return Port(
            name: port["name"].string ?? "", transport: transport, port: number,
            nodePort: port["nodePort"].int.flatMap { UInt16(exactly: $0) } ?? 0)
        },
        keepsInternalTrafficLocal: spec["internalTrafficPolicy"].equals("Local"),
        keepsExternalTrafficLocal: spec["externalTrafficPolicy"].equals("Local"),
        created: view["metadata"]["creationTimestamp"].string ?? "")
    }
    guard let facts else { return nil }
    self = facts
  }
}

/// What the proxy reads of an EndpointSlice.
package struct SliceFacts: Hashable, Sendable {
  package struct Endpoint: Hashable, Sendable {
    package enum State: Sendable {
      /// Takes new connections.
      case ready
      /// On its way out but still answering: used where a service has nothing better.
      case terminating
      /// Takes nothing.
      case down
    }
    package var address: IPAddress
    package var node: String
    package var state: State

    package init(address: IPAddress, node: String = "", state: State = .ready) {
      self.address = address
      self.node = node
      self.state = state
    }
  }
  package struct Port: Hashable, Sendable {
    package var name: String
    package var transport: Transport
    package var port: UInt16

    package init(name: String = "", transport: Transport = .tcp, port: UInt16) {
      self.name = name
      self.transport = transport
      self.port = port
    }
  }
  package var service: ObjectKey
  package var endpoints: [Endpoint]
  package var ports: [Port]

  package init(service: ObjectKey, endpoints: [Endpoint], ports: [Port]) {
    self.service = service
    self.endpoints = endpoints
    self.ports = ports
  }

  /// nil for a slice that belongs to no service.
  package init?(_ object: EncodedObject) {
    let facts: SliceFacts? = object.withView { view in
      guard let name = view["metadata"]["labels"]["kubernetes.io/service-name"].string else { return nil }
      let endpoints: [Endpoint] = view["endpoints"].compactMap { endpoint in
        var first: IPAddress?
        endpoint["addresses"].forEach { if first == nil { first = $0.string.flatMap { IPAddress($0) } } }
        guard let address = first else { return nil }
        let conditions = endpoint["conditions"]
        let isReady = conditions["ready"].bool ?? true
        let isServing = conditions["serving"].bool ?? isReady
        let isTerminating = conditions["terminating"].bool ?? false
        return Endpoint(
          address: address, node: endpoint["nodeName"].string ?? "",
          state: isReady ? .ready : isServing && isTerminating ? .terminating : .down)
      }
      let ports: [Port] = view["ports"].compactMap { port in
        guard let transport = Transport(port["protocol"]), let number = port["port"].int.flatMap({ UInt16(exactly: $0) }) else {
          return nil
        }
        return Port(name: port["name"].string ?? "", transport: transport, port: number)
      }
      return SliceFacts(service: ObjectKey(namespace: object.key.namespace, name: name), endpoints: endpoints, ports: ports)
    }
    guard let facts else { return nil }
    self = facts
  }
}

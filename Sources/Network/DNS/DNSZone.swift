import Wire

/// The names of a cluster as a plain value: services and endpoints in, answers out.
///
/// Source: "Kubernetes DNS-Based Service Discovery", schema 1.1.0.
package struct DNSZone: Sendable {
  package struct Port: Sendable, Equatable {
    package var name: String
    /// `tcp`, `udp`, `sctp`.
    package var proto: String
    package var port: UInt16

    package init(name: String, proto: String, port: UInt16) {
      self.name = name
      self.proto = proto
      self.port = port
    }
  }

  package struct Service: Sendable, Equatable {
    package var namespace: String
    package var name: String
    /// Empty for headless services.
    package var clusterIPs: [String]
    package var ports: [Port]
    /// The target of a service of type ExternalName.
    package var externalName: String?
    package var publishesNotReady: Bool

    package init(
      namespace: String, name: String, clusterIPs: [String], ports: [Port], externalName: String? = nil,
      publishesNotReady: Bool = false
    ) {
      self.namespace = namespace
      self.name = name
      self.clusterIPs = clusterIPs
      self.ports = ports
      self.externalName = externalName
      self.publishesNotReady = publishesNotReady
    }
  }

  package struct Endpoint: Sendable, Equatable {
    package var address: String
    package var hostname: String?
    package var isReady: Bool
    package var ports: [Port]

    package init(address: String, hostname: String? = nil, isReady: Bool, ports: [Port]) {
      self.address = address
      self.hostname = hostname
      self.isReady = isReady
      self.ports = ports
    }
  }

  private struct ServiceName: Hashable {
    var namespace: String
    var name: String
  }

  /// What one name of the zone stands for.
  private struct Target {
    var address: [UInt8]
    /// The first label of the endpoint's own name.
    var host: String
    var ports: [Port]
  }

  /// Without a dot at its end: `cluster.local`.
  package let domain: String
  /// Seconds that a client may keep an answer: short, since endpoints come and go.
  private let timeToLive: UInt32 = 5
  private var services: [ServiceName: Service] = [:]
  /// By service, by slice.
  private var endpoints: [ServiceName: [String: [Endpoint]]] = [:]
  private var namespaces: [String: Int] = [:]
  /// Reverse names: the address's bytes to the names that own it.
  private var owners: [[UInt8]: Set<ServiceName>] = [:]
  private var serial: UInt32 = 1
  /// Where the zone itself is answered from: the address of `ns.dns` in it.
  private let nameServer: [UInt8]?

  package init(domain: String, nameServer: IPAddress? = nil) {
    self.domain = domain.lowercased()
    self.nameServer = nameServer?.bytes
  }

  // MARK: Changes

  package mutating func set(_ service: Service) {
    remove(serviceNamed: service.name, namespace: service.namespace)
    let key = ServiceName(namespace: service.namespace, name: service.name)
    services[key] = service
    namespaces[service.namespace, default: 0] += 1
    for address in service.clusterIPs.compactMap({ IPAddress($0)?.bytes }) { owners[address, default: []].insert(key) }
    serial &+= 1
  }

  package mutating func remove(serviceNamed name: String, namespace: String) {
    let key = ServiceName(namespace: namespace, name: name)
    guard let old = services.removeValue(forKey: key) else { return }
    namespaces[namespace] = namespaces[namespace].flatMap { $0 > 1 ? $0 - 1 : nil }
    for address in old.clusterIPs.compactMap({ IPAddress($0)?.bytes }) { disown(address, key) }
    serial &+= 1
  }

  /// The endpoints that one slice holds for a service; empty takes the slice away.
  package mutating func set(_ list: [Endpoint], ofService name: String, namespace: String, slice: String) {
    let key = ServiceName(namespace: namespace, name: name)
    for endpoint in endpoints[key]?[slice] ?? [] {
      if let address = IPAddress(endpoint.address)?.bytes, !isClusterIP(address, key) { disown(address, key) }
    }
    if list.isEmpty {
      endpoints[key]?[slice] = nil
      if endpoints[key]?.isEmpty == true { endpoints[key] = nil }
    } else {
      endpoints[key, default: [:]][slice] = list
    }
    for endpoint in (endpoints[key] ?? [:]).values.joined() {
      if let address = IPAddress(endpoint.address)?.bytes { owners[address, default: []].insert(key) }
    }
    serial &+= 1
  }

  private func isClusterIP(_ address: [UInt8], _ key: ServiceName) -> Bool {
    services[key]?.clusterIPs.contains { IPAddress($0)?.bytes == address } ?? false
  }

  private mutating func disown(_ address: [UInt8], _ key: ServiceName) {
    owners[address]?.remove(key)
    if owners[address]?.isEmpty == true { owners[address] = nil }
  }

  // MARK: Answers

  /// - Returns: nil where the name is not this zone's, so that it is forwarded.
  package func answer(_ question: DNSMessage.Question) -> DNSResponse? { answer(question, hops: 0) }

  private func answer(_ question: DNSMessage.Question, hops: Int) -> DNSResponse? {
    let name = question.name.lowercased()
    let labels = name.split(separator: ".").map(String.init)
    if let address = reverseAddress(labels) {
      guard let owners = owners[address], !owners.isEmpty else { return nil }
      return reverse(question, address, owners)
    }
    guard name == domain || name.hasSuffix("." + domain) else { return nil }
    let inside = Array(labels.dropLast(domain.split(separator: ".").count))
    switch inside.last {
    case nil: return apex(question)
    case "svc": return service(question, Array(inside.dropLast()), hops)
    case "pod": return pod(question, Array(inside.dropLast()))
    case "dns" where nameServer != nil:
      guard inside.count <= 2, inside.count == 1 || inside[0] == "ns" else { return missing() }
      return found(question, inside.count == 1 ? [] : addresses(question, [nameServer ?? []]))
    case "dns-version" where inside.count == 1:
      return found(question, question.type == DNSMessage.RecordType.txt.rawValue ? [record(question, .txt, .text("1.1.0"))] : [])
    default: return missing()
    }
  }

  /// The zone's own name: its authority and its name server.
  private func apex(_ question: DNSMessage.Question) -> DNSResponse {
    switch DNSMessage.RecordType(rawValue: question.type) {
    case .soa: return found(question, [startOfAuthority])
    case .ns:
      var response = found(question, [record(question, .ns, .name("ns.dns.\(domain)"))])
      if let nameServer {
        response.additional = [
          .init(
            name: "ns.dns.\(domain)", type: nameServer.count == 4 ? .a : .aaaa, timeToLive: timeToLive, data: .address(nameServer))
        ]
      }
      return response
    default: return found(question, [])
    }
  }

  /// Labels before `svc`: `[ns]`, `[name, ns]`, `[host, name, ns]`, `[_port, _proto, name, ns]`.
  private func service(_ question: DNSMessage.Question, _ labels: [String], _ hops: Int) -> DNSResponse {
    guard let namespace = labels.last else { return found(question, []) }
    guard labels.count > 1 else { return namespaces[namespace] == nil ? missing() : found(question, []) }
    let key = ServiceName(namespace: namespace, name: labels[labels.count - 2])
    guard let service = services[key] else { return missing() }
    let prefix = labels.dropLast(2)
    if let externalName = service.externalName {
      guard prefix.isEmpty else { return missing() }
      var response = found(question, [record(question, .cname, .name(externalName))])
      chase(externalName, question, hops, &response)
      return response
    }
    let targets = targets(of: service, key)
    switch prefix.count {
    case 0:
      if question.type == DNSMessage.RecordType.srv.rawValue { return services(question, service, key, targets) { _ in true } }
      return found(question, addresses(question, targets.map(\.address)))
    case 1:
      // An endpoint has its name whether or not the service has an address.
      let hosts = endpointTargets(of: service, key).filter { $0.host == prefix[0] }
      return hosts.isEmpty ? missing() : found(question, addresses(question, hosts.map(\.address)))
    case 2 where prefix[0].hasPrefix("_") && prefix[1].hasPrefix("_"):
      let (port, proto) = (prefix[0].dropFirst(), prefix[1].dropFirst())
      return services(question, service, key, targets) { $0.name == port && $0.proto == proto }
    default: return missing()
    }
  }

  /// What an alias leads to: stub resolvers do not ask a second time. Eight aliases in a row at most.
  private func chase(_ name: String, _ question: DNSMessage.Question, _ hops: Int, _ response: inout DNSResponse) {
    guard hops < 8, question.type == DNSMessage.RecordType.a.rawValue || question.type == DNSMessage.RecordType.aaaa.rawValue else {
      return
    }
    let target = DNSMessage.Question(name: name.hasSuffix(".") ? String(name.dropLast()) : name, type: question.type)
    if let rest = answer(target, hops: hops + 1) {
      response.answers += rest.answers
      response.continuation = rest.continuation
    } else {
      response.continuation = target
    }
  }

  private func targets(of service: Service, _ key: ServiceName) -> [Target] {
    guard service.clusterIPs.isEmpty else {
      return service.clusterIPs.compactMap { address in
        (IPAddress(address)?.bytes).map { Target(address: $0, host: "", ports: service.ports) }
      }
    }
    return endpointTargets(of: service, key)
  }

  private func endpointTargets(of service: Service, _ key: ServiceName) -> [Target] {
    var seen: Set<[UInt8]> = []
    return (endpoints[key] ?? [:]).sorted { $0.key < $1.key }.flatMap(\.value).compactMap { endpoint in
      guard endpoint.isReady || service.publishesNotReady, let address = IPAddress(endpoint.address)?.bytes,
        seen.insert(address).inserted
      else {
        return nil
      }
      return Target(address: address, host: endpoint.hostname ?? hostLabel(address), ports: endpoint.ports)
    }
  }

  private func services(
    _ question: DNSMessage.Question, _ service: Service, _ key: ServiceName, _ targets: [Target], where matches: (Port) -> Bool
  ) -> DNSResponse {
    let base = "\(service.name).\(service.namespace).svc.\(domain)"
    var answers: [DNSMessage.Record] = []
    var additional: [DNSMessage.Record] = []
    let ports = service.clusterIPs.isEmpty ? targets.flatMap(\.ports) : service.ports
    guard ports.contains(where: matches) else { return missing() }
    guard question.type == DNSMessage.RecordType.srv.rawValue || question.type == DNSMessage.RecordType.any.rawValue else {
      return found(question, [])
    }
    for target in targets {
      let name = target.host.isEmpty ? base : "\(target.host).\(base)"
      for port in target.ports where matches(port) {
        answers.append(
          .init(
            name: question.name, type: .srv, timeToLive: timeToLive,
            data: .service(priority: 0, weight: 100, port: port.port, target: name)))
      }
      additional.append(
        .init(name: name, type: target.address.count == 4 ? .a : .aaaa, timeToLive: timeToLive, data: .address(target.address)))
    }
    var response = found(question, answers)
    response.additional = additional
    return response
  }

  /// `1-2-3-4.namespace.pod`: the address that the name itself spells.
  private func pod(_ question: DNSMessage.Question, _ labels: [String]) -> DNSResponse {
    guard labels.count == 2 else { return labels.count < 2 ? found(question, []) : missing() }
    let address = (IPAddress(labels[0].replacing("-", with: ".")) ?? IPAddress(labels[0].replacing("-", with: ":")))?.bytes
    return address.map { found(question, addresses(question, [$0])) } ?? missing()
  }

  private func reverse(_ question: DNSMessage.Question, _ address: [UInt8], _ owners: Set<ServiceName>) -> DNSResponse? {
    guard question.type == DNSMessage.RecordType.ptr.rawValue || question.type == DNSMessage.RecordType.any.rawValue else {
      return found(question, [])
    }
    var names: [String] = []
    for key in owners.sorted(by: { ($0.namespace, $0.name) < ($1.namespace, $1.name) }) {
      guard let service = services[key] else { continue }
      let base = "\(service.name).\(service.namespace).svc.\(domain)"
      if isClusterIP(address, key) {
        names.append(base)
      } else if service.clusterIPs.isEmpty, let target = targets(of: service, key).first(where: { $0.address == address }) {
        names.append("\(target.host).\(base)")
      }
    }
    return names.isEmpty ? nil : found(question, names.map { record(question, .ptr, .name($0)) })
  }

  private func addresses(_ question: DNSMessage.Question, _ addresses: [[UInt8]]) -> [DNSMessage.Record] {
    addresses.compactMap { address in
      let type: DNSMessage.RecordType = address.count == 4 ? .a : .aaaa
      let isWanted = question.type == type.rawValue || question.type == DNSMessage.RecordType.any.rawValue
      return isWanted ? record(question, type, .address(address)) : nil
    }
  }

  private func record(_ question: DNSMessage.Question, _ type: DNSMessage.RecordType, _ data: DNSMessage.Record.Data)
    -> DNSMessage.Record
  {
    .init(name: question.name, type: type, timeToLive: timeToLive, data: data)
  }

  /// The name exists; without answers the asker gets the zone's authority, so that it keeps the "no" only for seconds.
  private func found(_ question: DNSMessage.Question, _ answers: [DNSMessage.Record]) -> DNSResponse {
    DNSResponse(answers: answers, authority: answers.isEmpty ? [startOfAuthority] : [])
  }

  private func missing() -> DNSResponse { DNSResponse(code: .nameError, authority: [startOfAuthority]) }

  private var startOfAuthority: DNSMessage.Record {
    .init(
      name: domain, type: .soa, timeToLive: timeToLive,
      data: .authority(primary: "ns.dns.\(domain)", mailbox: "hostmaster.\(domain)", serial: serial, minimum: timeToLive))
  }
}

/// `10-1-2-3`: the name of an endpoint that has no hostname.
private func hostLabel(_ address: [UInt8]) -> String {
  if address.count == 4 { return address.map { String($0) }.joined(separator: "-") }
  return stride(from: 0, to: address.count - 1, by: 2).map { String(Int(address[$0]) << 8 | Int(address[$0 + 1]), radix: 16) }
    .joined(separator: "-")
}

/// The address that a name under in-addr.arpa or ip6.arpa spells.
private func reverseAddress(_ labels: [String]) -> [UInt8]? {
  guard labels.last == "arpa", labels.count > 2 else { return nil }
  let parts = labels.dropLast(2).reversed()
  switch labels[labels.count - 2] {
  case "in-addr":
    let bytes = parts.compactMap { UInt8($0) }
    return bytes.count == 4 && parts.count == 4 ? bytes : nil
  case "ip6":
    let nibbles = parts.compactMap { $0.utf8.count == 1 ? UInt8($0, radix: 16) : nil }
    guard nibbles.count == 32, parts.count == 32 else { return nil }
    return stride(from: 0, to: 32, by: 2).map { nibbles[$0] << 4 | nibbles[$0 + 1] }
  default: return nil
  }
}

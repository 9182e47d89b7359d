import Network
import Testing
import Wire

private struct SeededRandom: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &+ 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

private func key(_ name: String) -> ObjectKey { ObjectKey(namespace: "default", name: name) }
private func ip(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

private func slice(_ service: String, _ endpoints: [(String, SliceFacts.Endpoint.State)], port: UInt16 = 8080) throws -> SliceFacts
{
  SliceFacts(
    service: key(service), endpoints: try endpoints.map { .init(address: try ip($0.0), node: "n", state: $0.1) },
    ports: [.init(port: port)])
}

extension ProxyState {
  /// Where every front leads.
  fileprivate var leads: [Front: Set<Backend>] {
    var found: [Front: Set<Backend>] = [:]
    for case .slot(let front, _, let backend) in everything { found[front, default: []].insert(backend) }
    return found
  }

  /// The backends of a front by what is installed, or nil where it has none.
  fileprivate func backends(_ address: String, _ port: UInt16) throws -> [String]? {
    let front = Front.address(try ip(address), .tcp, port)
    let found = everything.compactMap { element -> String? in
      if case .slot(front, _, let backend) = element { backend.address.description } else { nil }
    }
    return found.isEmpty ? nil : found.sorted()
  }
}

@Test("a new backend and a leaving one cost a few elements among five thousand services")
func fewElements() throws {
  var state = ProxyState(node: "n")
  for i in 0..<5000 {
    let address = IPAddress.v4(0x0A60_0000 + UInt32(i) + 1)
    state.setService(key("s\(i)"), ServiceFacts(clusterIPs: [address], ports: [.init(port: 80)]))
    state.setSlice(
      key("s\(i)-a"), try slice("s\(i)", (1...3).map { ("10.244.\(i / 80).\(i % 80 * 3 + $0)", SliceFacts.Endpoint.State.ready) }))
  }
  #expect(state.takeChange().additions.count == 5000 + 15000 + 15000)
  state.setSlice(
    key("s7-a"),
    try slice("s7", [("10.244.0.22", .ready), ("10.244.0.23", .ready), ("10.244.0.24", .ready), ("10.244.99.1", .ready)]))
  let arrival = state.takeChange()
  #expect(arrival.additions.count == 3 && arrival.deletions.count == 1, "slot, hairpin and front; \(arrival)")
  state.setSlice(key("s7-a"), try slice("s7", [("10.244.0.23", .ready), ("10.244.0.24", .ready), ("10.244.99.1", .ready)]))
  let departure = state.takeChange()
  #expect(departure.additions.count == 2 && departure.deletions.count == 4, "\(departure)")
  state.setSlice(key("s7-a"), try slice("s7", [("10.244.0.23", .ready), ("10.244.0.24", .ready), ("10.244.99.2", .ready)]))
  let exchange = state.takeChange()
  #expect(exchange.additions.count == 2 && exchange.deletions.count == 2, "the front stays: \(exchange)")
}

@Test("ready endpoints first, then those that end but still serve, and nothing that is down")
func terminating() throws {
  var state = ProxyState(node: "n")
  state.setService(key("s"), ServiceFacts(clusterIPs: [try ip("10.96.0.9")], ports: [.init(port: 80)]))
  func backends(_ endpoints: [(String, SliceFacts.Endpoint.State)]) throws -> [String]? {
    state.setSlice(key("s-a"), try slice("s", endpoints))
    _ = state.takeChange()
    return try state.backends("10.96.0.9", 80)
  }
  #expect(try backends([("10.0.0.1", .ready), ("10.0.0.2", .terminating), ("10.0.0.3", .down)]) == ["10.0.0.1"])
  #expect(try backends([("10.0.0.2", .terminating), ("10.0.0.3", .down)]) == ["10.0.0.2"])
  #expect(try backends([("10.0.0.3", .down)]) == nil)
}

@Test("a draining address takes no new connection, unless it is the last, and is a new pod's again when its slice has dropped it")
func draining() throws {
  var state = ProxyState(node: "n")
  state.setService(key("s"), ServiceFacts(clusterIPs: [try ip("10.96.0.9")], ports: [.init(port: 80)]))
  state.setSlice(key("s-a"), try slice("s", [("10.0.0.1", .ready), ("10.0.0.2", .ready)]))
  _ = state.takeChange()
  state.drain(try ip("10.0.0.1"))
  _ = state.takeChange()
  #expect(try state.backends("10.96.0.9", 80) == ["10.0.0.2"])
  state.drain(try ip("10.0.0.2"))
  _ = state.takeChange()
  #expect(try state.backends("10.96.0.9", 80) == ["10.0.0.1", "10.0.0.2"])
  state.setSlice(key("s-a"), try slice("s", [("10.0.0.2", .terminating)]))
  state.setSlice(key("s-a"), try slice("s", [("10.0.0.1", .ready), ("10.0.0.2", .terminating)]))
  _ = state.takeChange()
  #expect(try state.backends("10.96.0.9", 80) == ["10.0.0.1"])
}

@Test("local traffic policies choose among this node's endpoints only")
func localPolicies() throws {
  var state = ProxyState(node: "here")
  let endpoints = [
    SliceFacts.Endpoint(address: try ip("10.0.0.1"), node: "here"), SliceFacts.Endpoint(address: try ip("10.0.1.1"), node: "there"),
  ]
  state.setSlice(key("s-a"), SliceFacts(service: key("s"), endpoints: endpoints, ports: [.init(port: 8080)]))
  var service = ServiceFacts(clusterIPs: [try ip("10.96.0.9")], ports: [.init(port: 80, nodePort: 30080)])
  service.keepsExternalTrafficLocal = true
  state.setService(key("s"), service)
  _ = state.takeChange()
  #expect(try state.backends("10.96.0.9", 80) == ["10.0.0.1", "10.0.1.1"])
  let external = state.everything.filter { if case .slot(.nodePort, _, _) = $0 { true } else { false } }
  #expect(external == [.slot(.nodePort(.v4, .tcp, 30080), 0, .init(try ip("10.0.0.1"), 8080))])
  #expect(!state.everything.contains { if case .masquerade = $0 { true } else { false } })
  service.keepsInternalTrafficLocal = true
  service.keepsExternalTrafficLocal = false
  state.setService(key("s"), service)
  _ = state.takeChange()
  #expect(try state.backends("10.96.0.9", 80) == ["10.0.0.1"])
  #expect(state.everything.contains(.masquerade(.nodePort(.v4, .tcp, 30080))))
}

@Test(
  "a service never has another's address: not by naming it, not by being first, not while the other has no endpoint",
  arguments: [true, false])
func capture(isFirst: Bool) throws {
  var state = ProxyState(node: "n", serviceCIDRs: [try #require(CIDR("10.96.0.0/12"))])
  // One in the range of services; one that an earlier, other range gave.
  let addresses = try ["10.96.0.9", "172.20.0.9"].map(ip)
  let thief = ServiceFacts(
    clusterIPs: [try ip("10.96.0.66")], externalIPs: addresses + [try ip("192.0.2.7")], ports: [.init(port: 80)], created: "1")
  func steal() throws {
    state.setService(key("a-thief"), thief)
    state.setSlice(key("a-thief-1"), try slice("a-thief", [("10.0.0.66", .ready)]))
    _ = state.takeChange()
  }
  if isFirst { try steal() }
  for (i, address) in addresses.enumerated() {
    state.setService(key("s\(i)"), ServiceFacts(clusterIPs: [address], ports: [.init(port: 80)], created: "2"))
  }
  _ = state.takeChange()
  if !isFirst { try steal() }
  for address in addresses { #expect(try state.backends(address.description, 80) == nil, "refused, not led to the thief") }
  for i in addresses.indices { state.setSlice(key("s\(i)-1"), try slice("s\(i)", [("10.0.0.\(i)", .ready)])) }
  _ = state.takeChange()
  #expect(try state.backends("10.96.0.9", 80) == ["10.0.0.0"])
  #expect(try state.backends("172.20.0.9", 80) == ["10.0.0.1"])
  #expect(try state.backends("192.0.2.7", 80) == ["10.0.0.66"])
  // An external address of two services: the older one's.
  state.setService(
    key("a"),
    ServiceFacts(clusterIPs: [try ip("10.96.0.70")], externalIPs: [try ip("192.0.2.7")], ports: [.init(port: 80)], created: "3"))
  state.setSlice(key("a-1"), try slice("a", [("10.0.0.70", .ready)]))
  _ = state.takeChange()
  #expect(try state.backends("192.0.2.7", 80) == ["10.0.0.66"])
  state.setService(key("a-thief"), nil)
  _ = state.takeChange()
  #expect(try state.backends("192.0.2.7", 80) == ["10.0.0.70"])
}

@Test("UDP flows to what is gone, and past what is new, are named for conntrack")
func staleFlows() throws {
  var state = ProxyState(node: "n")
  state.setService(key("d"), ServiceFacts(clusterIPs: [try ip("10.96.0.5")], ports: [.init(transport: .udp, port: 53)]))
  func set(_ addresses: [String]) throws -> [ProxyState.StaleFlow] {
    state.setSlice(
      key("d-a"),
      SliceFacts(
        service: key("d"), endpoints: try addresses.map { .init(address: try ip($0)) }, ports: [.init(transport: .udp, port: 5353)])
    )
    return state.takeChange().staleFlows
  }
  let front = ProxyState.Front.address(try ip("10.96.0.5"), .udp, 53)
  #expect(try set(["10.0.0.1", "10.0.0.2"]) == [.init(front: front, backend: nil)])
  #expect(try set(["10.0.0.2"]) == [.init(front: front, backend: try ip("10.0.0.1"))])
}

@Test("a listed flow is stale where its service's address and its endpoint say so")
func flows() throws {
  let line =
    "udp      17 29 src=10.42.0.5 dst=10.96.7.7 sport=7005 dport=53 [UNREPLIED] src=10.42.0.11 dst=10.42.0.5 sport=5353 dport=7005 mark=0 use=1"
  let flow = try #require(UDPFlows.Flow(line: line))
  let (source, answering) = (try ip("10.42.0.5"), try ip("10.42.0.11"))
  #expect(flow.source == source && flow.sourcePort == 7005 && flow.answering == answering)
  func isStale(_ front: ProxyState.Front, _ backend: String?) throws -> Bool {
    flow.matches(.init(front: front, backend: try backend.map(ip)))
  }
  let front = ProxyState.Front.address(try ip("10.96.7.7"), .udp, 53)
  #expect(try isStale(front, "10.42.0.11"))
  #expect(try isStale(front, nil))
  #expect(try !isStale(front, "10.42.0.12"))
  #expect(try !isStale(.address(try ip("10.96.7.7"), .udp, 54), nil))
  #expect(try isStale(.nodePort(.v4, .udp, 53), "10.42.0.11"))
  #expect(try !isStale(.nodePort(.v6, .udp, 53), nil))
  for broken in ["", "udp 17 29 src=10.42.0.5", "tcp 6 src= dst= sport= dport= src=", line.replacing("7005", with: "70050")] {
    #expect(UDPFlows.Flow(line: broken) == nil, "\(broken)")
  }
}

@Test("objects are read: headless, external names and foreign proxies are left out; conditions decide")
func reading() throws {
  func service(_ spec: String, labels: String = "{}") throws -> ServiceFacts? {
    let text =
      #"{"metadata":{"name":"s","namespace":"default","uid":"u","creationTimestamp":"x","labels":\#(labels)},"spec":\#(spec),"#
      + #""status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1","ipMode":"VIP"},{"ip":"192.0.2.2","ipMode":"Proxy"}]}}}"#
    return ServiceFacts(try EncodedObject(bytes: Array(text.utf8), revision: 1))
  }
  let ports = #""ports":[{"port":80,"protocol":"TCP","nodePort":30001},{"name":"dns","port":53,"protocol":"UDP"}]"#
  #expect(try service(#"{"clusterIP":"None","clusterIPs":["None"],\#(ports)}"#) == nil)
  #expect(try service(#"{"type":"ExternalName","externalName":"x"}"#) == nil)
  #expect(try service(#"{"clusterIP":"10.0.0.1",\#(ports)}"#, labels: #"{"service.kubernetes.io/service-proxy-name":"x"}"#) == nil)
  let facts = try #require(try service(#"{"clusterIP":"10.0.0.1","externalTrafficPolicy":"Local",\#(ports)}"#))
  #expect(facts.externalIPs == [try ip("192.0.2.1")], "one that proxies is none of ours")
  #expect(facts.clusterIPs == [try ip("10.0.0.1")] && facts.keepsExternalTrafficLocal && !facts.keepsInternalTrafficLocal)
  #expect(facts.ports == [.init(port: 80, nodePort: 30001), .init(name: "dns", transport: .udp, port: 53)])
  let text = #"""
    {"metadata":{"name":"s-1","namespace":"default","uid":"u","creationTimestamp":"x","labels":{"kubernetes.io/service-name":"s"}},
     "addressType":"IPv4","ports":[{"name":"","port":8080,"protocol":"TCP"}],
     "endpoints":[{"addresses":["10.0.0.1"]},{"addresses":["10.0.0.2"],"conditions":{"ready":false}},
      {"addresses":["10.0.0.3"],"conditions":{"ready":false,"serving":true,"terminating":true}},
      {"addresses":["10.0.0.4"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"n"},{"addresses":["x"]},
      {"addresses":["10.0.0.5"],"conditions":{"ready":true,"serving":true,"terminating":true}}]}
    """#
  let slice = try #require(SliceFacts(try EncodedObject(bytes: Array(text.utf8), revision: 1)))
  #expect(slice.endpoints.map(\.state) == [.ready, .down, .terminating, .ready, .ready] && slice.endpoints[3].node == "n")
}

@Test(
  "whatever changes in whatever order: only what is there is deleted, nothing is added twice, and all ends as wanted",
  arguments: 0..<100)
func simulation(seed: UInt64) throws {
  var random = SeededRandom(state: seed)
  var state = ProxyState(node: "n")
  var model: Set<ProxyState.Element> = []
  var services: [String: ServiceFacts] = [:]
  var slices: [String: SliceFacts] = [:]
  func pick(_ n: Int) -> Int { Int.random(in: 0..<n, using: &random) }
  let drains = seed % 2 == 1
  for step in 0..<300 {
    let number = pick(4)
    let name = "s\(number)"
    switch pick(8) {
    case 0: services[name] = nil
    case 1, 2:
      let addresses = (0...pick(2)).map { _ in IPAddress.v4(0x0A60_0000 + UInt32(pick(5))) }
      services[name] = ServiceFacts(
        // The API server gives no address twice; external addresses are anybody's, those of other services included.
        clusterIPs: [.v4(0x0A60_0000 + UInt32(number))], externalIPs: Array(addresses[1...]),
        ports: (0...pick(2)).map { _ in
          .init(transport: pick(3) == 0 ? .udp : .tcp, port: UInt16(80 + pick(2)), nodePort: UInt16(pick(2) * (30000 + pick(2))))
        },
        keepsExternalTrafficLocal: pick(3) == 0, created: "\(pick(3))")
    case 3: slices["\(name)-\(pick(2))"] = nil
    default:
      slices["\(name)-\(pick(2))"] = SliceFacts(
        service: key(name),
        endpoints: (0..<pick(5)).map { _ in
          .init(
            address: .v4(0x0AF4_0000 + UInt32(pick(8))), node: pick(2) == 0 ? "n" : "m",
            state: [.ready, .ready, .terminating, .down][pick(4)])
        }, ports: [.init(port: 8080), .init(transport: .udp, port: 5353)])
    }
    for name in (0..<4).map({ "s\($0)" }) { state.setService(key(name), services[name]) }
    for name in (0..<8).map({ "s\($0 / 2)-\($0 % 2)" }) { state.setSlice(key(name), slices[name]) }
    if drains, pick(3) == 0 { state.drain(.v4(0x0AF4_0000 + UInt32(pick(8)))) }
    if pick(2) == 0 { continue }
    while state.isDirty {
      let change = state.takeChange()
      for element in change.deletions {
        #expect(model.remove(element) != nil, "seed \(seed), step \(step): \(element) was not there")
      }
      for element in change.additions {
        #expect(model.insert(element).inserted, "seed \(seed), step \(step): \(element) was there")
      }
    }
    #expect(model == Set(state.everything), "seed \(seed), step \(step)")
    // Slots of a front are 0..<n, each once, with distinct backends, and the front says n.
    for case .front(let front, let count) in model {
      var slots: [Int] = []
      var backends: Set<ProxyState.Backend> = []
      for case .slot(front, let slot, let backend) in model {
        slots.append(slot)
        backends.insert(backend)
      }
      #expect(slots.sorted() == Array(0..<count) && backends.count == count, "seed \(seed), step \(step)")
    }
    // Who has what does not depend on the order in which things came: a state that is told all at once, in another order, has the same.
    guard !drains else { continue }
    var fresh = ProxyState(node: "n")
    for name in services.keys.shuffled(using: &random) { fresh.setService(key(name), services[name]) }
    for name in slices.keys.shuffled(using: &random) { fresh.setSlice(key(name), slices[name]) }
    while fresh.isDirty { _ = fresh.takeChange() }
    #expect(fresh.leads == state.leads, "seed \(seed), step \(step)")
    // An address that the API server gave leads to its own service's endpoints, or nowhere.
    for (name, service) in services {
      let own = Set(slices.values.filter { $0.service == key(name) }.flatMap { $0.endpoints.map(\.address) })
      for port in service.ports {
        let found = state.leads[.address(service.clusterIPs[0], port.transport, port.port)] ?? []
        #expect(found.allSatisfy { own.contains($0.address) }, "seed \(seed), step \(step)")
      }
    }
  }
}

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

@Test("objects are read: headless, external names and foreign proxies are left out; conditions decide")
func reading() throws {
  func service(_ spec: String, labels: String = "{}") throws -> ServiceFacts? {
    let text =
      #"{"metadata":{"name":"s","namespace":"default","uid":"u","creationTimestamp":"x","labels":\#(labels)},"spec":\#(spec)}"#
    return ServiceFacts(try EncodedObject(bytes: Array(text.utf8), revision: 1))
  }
  let ports = #""ports":[{"port":80,"protocol":"TCP","nodePort":30001},{"name":"dns","port":53,"protocol":"UDP"}]"#
  #expect(try service(#"{"clusterIP":"None","clusterIPs":["None"],\#(ports)}"#) == nil)
  #expect(try service(#"{"type":"ExternalName","externalName":"x"}"#) == nil)
  #expect(try service(#"{"clusterIP":"10.0.0.1",\#(ports)}"#, labels: #"{"service.kubernetes.io/service-proxy-name":"x"}"#) == nil)
  let facts = try #require(try service(#"{"clusterIP":"10.0.0.1","externalTrafficPolicy":"Local",\#(ports)}"#))
  #expect(facts.clusterIPs == [try ip("10.0.0.1")] && facts.keepsExternalTrafficLocal && !facts.keepsInternalTrafficLocal)
  #expect(facts.ports == [.init(port: 80, nodePort: 30001), .init(name: "dns", transport: .udp, port: 53)])
  let text = #"""
    {"metadata":{"name":"s-1","namespace":"default","uid":"u","creationTimestamp":"x","labels":{"kubernetes.io/service-name":"s"}},
     "addressType":"IPv4","ports":[{"name":"","port":8080,"protocol":"TCP"}],
     "endpoints":[{"addresses":["10.0.0.1"]},{"addresses":["10.0.0.2"],"conditions":{"ready":false}},
      {"addresses":["10.0.0.3"],"conditions":{"ready":false,"serving":true,"terminating":true}},
      {"addresses":["10.0.0.4"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"n"},{"addresses":["x"]}]}
    """#
  let slice = try #require(SliceFacts(try EncodedObject(bytes: Array(text.utf8), revision: 1)))
  #expect(slice.endpoints.map(\.state) == [.ready, .down, .terminating, .ready] && slice.endpoints[3].node == "n")
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
  for step in 0..<300 {
    let name = "s\(pick(4))"
    switch pick(8) {
    case 0: services[name] = nil
    case 1, 2:
      let addresses = (0...pick(2)).map { _ in IPAddress.v4(0x0A60_0000 + UInt32(pick(5))) }
      services[name] = ServiceFacts(
        clusterIPs: [addresses[0]], externalIPs: Array(addresses[1...]),
        ports: (0...pick(2)).map { _ in
          .init(transport: pick(3) == 0 ? .udp : .tcp, port: UInt16(80 + pick(2)), nodePort: UInt16(pick(2) * (30000 + pick(2))))
        },
        keepsExternalTrafficLocal: pick(3) == 0)
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
    if pick(3) == 0 { state.drain(.v4(0x0AF4_0000 + UInt32(pick(8)))) }
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
    // Every service with a ready endpoint can be reached, by itself or whoever holds its address.
    for (name, service) in services {
      let ready = slices.values.contains { slice in
        slice.service == key(name) && slice.endpoints.contains { $0.state == .ready }
      }
      guard ready else { continue }
      for port in service.ports {
        let front = ProxyState.Front.address(service.clusterIPs[0], port.transport, port.port)
        #expect(model.contains { if case .front(front, _) = $0 { true } else { false } }, "seed \(seed), step \(step)")
      }
    }
  }
}

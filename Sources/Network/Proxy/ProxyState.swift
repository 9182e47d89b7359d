import Wire

/// The service proxy as a plain value: takes services and endpoint slices, gives the elements of nftables maps that must change.
///
/// Every front (an address and port that clients connect to) has its backends in numbered slots 0..<n, each slot in the map of
/// that number; the map of fronts says how many slots there are (the chain that draws one of n). A backend that comes takes a free
/// slot or the next; one that goes is replaced by the last. So a change costs a few elements, however many services there are.
package struct ProxyState: Sendable {
  /// What clients connect to.
  package enum Front: Hashable, Sendable, Comparable {
    case address(IPAddress, Transport, UInt16)
    case nodePort(IPAddress.Family, Transport, UInt16)

    package var family: IPAddress.Family {
      switch self {
      case .address(let address, _, _): address.family
      case .nodePort(let family, _, _): family
      }
    }
    var transport: Transport {
      switch self {
      case .address(_, let transport, _), .nodePort(_, let transport, _): transport
      }
    }
    var masqueraded: Masqueraded {
      switch self {
      case .address(let address, _, _): .address(address)
      case .nodePort(let family, let transport, let port): .nodePort(family, transport, port)
      }
    }
    private var order: (Int, Int, IPAddress, String, UInt16) {
      switch self {
      case .address(let address, let transport, let port): (0, 0, address, transport.rawValue, port)
      case .nodePort(let family, let transport, let port): (1, family.rawValue, .v4(0), transport.rawValue, port)
      }
    }
    package static func < (a: Self, b: Self) -> Bool { a.order < b.order }
  }

  package struct Backend: Hashable, Sendable, Comparable {
    package var address: IPAddress
    package var port: UInt16

    package init(_ address: IPAddress, _ port: UInt16) {
      self.address = address
      self.port = port
    }
    package static func < (a: Self, b: Self) -> Bool { (a.address, a.port) < (b.address, b.port) }
  }

  package enum Masqueraded: Hashable, Sendable {
    case address(IPAddress)
    case nodePort(IPAddress.Family, Transport, UInt16)
  }

  /// One element of one map or set.
  package enum Element: Hashable, Sendable {
    /// The front draws one of so many slots.
    case front(Front, slots: Int)
    case slot(Front, Int, Backend)
    /// A pod that reaches itself through a service must see another source address than its own.
    case hairpin(IPAddress)
    /// A node port or an external address whose clients the backend's node might answer past this node.
    case masquerade(Masqueraded)

    package var family: IPAddress.Family {
      switch self {
      case .front(let front, _), .slot(let front, _, _): front.family
      case .hairpin(let address), .masquerade(.address(let address)): address.family
      case .masquerade(.nodePort(let family, _, _)): family
      }
    }
  }

  /// Connections without end (UDP) that conntrack would keep sending to a backend that is gone, or past a service that is new.
  package struct StaleFlow: Hashable, Sendable {
    package var front: Front
    /// nil: flows that began when the front had no backend.
    package var backend: IPAddress?

    package init(front: Front, backend: IPAddress?) {
      self.front = front
      self.backend = backend
    }
  }

  package struct Change: Sendable {
    /// In this order: all deletions first.
    package var deletions: [Element] = []
    package var additions: [Element] = []
    package var staleFlows: [StaleFlow] = []
    package var isEmpty: Bool { deletions.isEmpty && additions.isEmpty && staleFlows.isEmpty }
  }

  private struct Installed {
    var backends: [Backend]
    var isMasqueraded: Bool
  }

  private let node: String
  /// Addresses that the node answers itself (the API server's, DNS): never a front.
  private let terminated: Set<IPAddress>
  /// Addresses in here are given out by the API server alone: what a service merely claims (an external IP, the address of a load
  /// balancer) is no front where it lies in them.
  private let serviceCIDRs: [CIDR]
  private var services: [ObjectKey: ServiceFacts] = [:]
  private var slices: [ObjectKey: SliceFacts] = [:]
  private var slicesOfService: [ObjectKey: Set<ObjectKey>] = [:]
  private var dirty: Set<ObjectKey> = []
  private var draining: Set<IPAddress> = []

  private var installed: [Front: Installed] = [:]
  private var frontsOfService: [ObjectKey: Set<Front>] = [:]
  /// Which services want a front, with or without backends; two cannot share one. See ``holder(of:)``.
  private var claimants: [Front: [ObjectKey]] = [:]
  /// How many fronts or slots need an element that they share.
  private var uses: [Element: Int] = [:]

  package init(node: String, terminated: Set<IPAddress> = [], serviceCIDRs: [CIDR] = []) {
    self.node = node
    self.terminated = terminated
    self.serviceCIDRs = serviceCIDRs
  }

  package var isDirty: Bool { !dirty.isEmpty }
  /// The largest number of slots any front has.
  package var mostSlots: Int { installed.values.reduce(0) { max($0, $1.backends.count) } }

  package mutating func setService(_ key: ObjectKey, _ facts: ServiceFacts?) {
    guard services[key] != facts else { return }
    services[key] = facts
    dirty.insert(key)
  }

  package mutating func setSlice(_ key: ObjectKey, _ facts: SliceFacts?) {
    let old = slices[key]
    guard old != facts else { return }
    slices[key] = facts
    if let old {
      slicesOfService[old.service]?.remove(key)
      if slicesOfService[old.service]?.isEmpty == true { slicesOfService[old.service] = nil }
      dirty.insert(old.service)
      // An address that no slice calls ready any more may be given to a new pod.
      for endpoint in old.endpoints where draining.contains(endpoint.address) && !isReadyAnywhere(endpoint.address) {
        draining.remove(endpoint.address)
      }
    }
    if let facts {
      slicesOfService[facts.service, default: []].insert(key)
      dirty.insert(facts.service)
    }
  }

  /// The pod behind this address is about to be stopped: it gets no new connection from now on, unless its service has nothing else.
  package mutating func drain(_ address: IPAddress) {
    guard isReadyAnywhere(address), draining.insert(address).inserted else { return }
    for slice in slices.values where slice.endpoints.contains(where: { $0.address == address }) { dirty.insert(slice.service) }
  }

  private func isReadyAnywhere(_ address: IPAddress) -> Bool {
    slices.values.contains { $0.endpoints.contains { $0.address == address && $0.state == .ready } }
  }

  /// What must change in the maps since the last call, one family after the other in no particular order.
  package mutating func takeChange() -> Change {
    var change = Change()
    var wanted: [ObjectKey: [Front: Wanted]] = [:]
    var touched: Set<Front> = []
    for key in dirty {
      let fronts = self.fronts(of: key)
      let old = frontsOfService[key] ?? []
      for front in old where fronts[front] == nil {
        claimants[front]?.removeAll { $0 == key }
        if claimants[front]?.isEmpty == true { claimants[front] = nil }
      }
      for front in fronts.keys where !old.contains(front) { claimants[front, default: []].append(key) }
      frontsOfService[key] = fronts.isEmpty ? nil : Set(fronts.keys)
      touched.formUnion(old)
      touched.formUnion(fronts.keys)
      wanted[key] = fronts
    }
    dirty = []
    for front in touched.sorted() {
      guard let holder = holder(of: front) else {
        remove(front, &change)
        continue
      }
      if wanted[holder] == nil { wanted[holder] = fronts(of: holder) }
      if let target = wanted[holder]?[front], !target.backends.isEmpty {
        install(front, target, &change)
      } else {
        remove(front, &change)
      }
    }
    return change
  }

  /// Who has a front does not depend on the order in which services came to be known: an address that the API server gave a service goes
  /// before one that a service merely names, then the older service before the younger. Having no backend gives nothing away.
  private func holder(of front: Front) -> ObjectKey? {
    guard let claimants = claimants[front] else { return nil }
    guard claimants.count > 1 else { return claimants.first }
    func rank(_ key: ObjectKey) -> (Int, String, ObjectKey) {
      let service = services[key]
      let isGiven = if case .address(let address, _, _) = front { service?.clusterIPs.contains(address) == true } else { false }
      return (isGiven ? 0 : 1, service?.created ?? "", key)
    }
    return claimants.min { rank($0) < rank($1) }
  }

  /// Everything that is installed, for a table that is made anew.
  package var everything: [Element] {
    var elements: [Element] = []
    for (front, state) in installed {
      elements.append(.front(front, slots: state.backends.count))
      for (slot, backend) in state.backends.enumerated() { elements.append(.slot(front, slot, backend)) }
    }
    return elements + uses.keys
  }

  private struct Wanted {
    var backends: Set<Backend>
    var isMasqueraded: Bool
  }

  /// All fronts of a service. One without backends is not installed, and refused by a rule of its own.
  private func fronts(of key: ObjectKey) -> [Front: Wanted] {
    guard let service = services[key] else { return [:] }
    var result: [Front: Wanted] = [:]
    let slices = (slicesOfService[key] ?? []).compactMap { self.slices[$0] }
    for port in service.ports {
      let matching = slices.flatMap { slice -> [(SliceFacts.Endpoint, UInt16)] in
        guard let target = slice.ports.first(where: { $0.name == port.name && $0.transport == port.transport }) else { return [] }
        return slice.endpoints.map { ($0, target.port) }
      }
      func add(_ front: Front, localOnly: Bool, masquerades: Bool) {
        let backends = choose(matching.filter { $0.0.address.family == front.family && (!localOnly || $0.0.node == node) })
        // An address of its own that it names once more as external stays what it is.
        if result[front] == nil { result[front] = Wanted(backends: backends, isMasqueraded: masquerades) }
      }
      for address in service.clusterIPs where !terminated.contains(address) {
        add(.address(address, port.transport, port.port), localOnly: service.keepsInternalTrafficLocal, masquerades: false)
      }
      for address in service.externalIPs
      where !terminated.contains(address) && !serviceCIDRs.contains(where: { $0.contains(address) }) {
        add(
          .address(address, port.transport, port.port), localOnly: service.keepsExternalTrafficLocal,
          masquerades: !service.keepsExternalTrafficLocal)
      }
      if port.nodePort > 0 {
        for family in Set(service.clusterIPs.map(\.family)) {
          add(
            .nodePort(family, port.transport, port.nodePort), localOnly: service.keepsExternalTrafficLocal,
            masquerades: !service.keepsExternalTrafficLocal)
        }
      }
    }
    return result
  }

  /// Ready endpoints; where there is none, those on their way out that still answer.
  private func choose(_ candidates: [(SliceFacts.Endpoint, UInt16)]) -> Set<Backend> {
    let ready = candidates.filter { $0.0.state == .ready && !draining.contains($0.0.address) }
    let chosen = ready.isEmpty ? candidates.filter { $0.0.state != .down } : ready
    return Set(chosen.map { Backend($0.0.address, $0.1) })
  }

  private mutating func remove(_ front: Front, _ change: inout Change) {
    guard let state = installed.removeValue(forKey: front) else { return }
    change.deletions.append(.front(front, slots: state.backends.count))
    if state.isMasqueraded { release(.masquerade(front.masqueraded), &change) }
    for (slot, backend) in state.backends.enumerated() {
      change.deletions.append(.slot(front, slot, backend))
      release(backend, front, &change)
    }
  }

  private mutating func install(_ front: Front, _ target: Wanted, _ change: inout Change) {
    let old = installed[front]
    var backends = old?.backends ?? []
    let count = backends.count
    var arrivals = target.backends.subtracting(backends).sorted()[...]
    // From the end, so that what moves into a gap is itself known to stay.
    for slot in backends.indices.reversed() where !target.backends.contains(backends[slot]) {
      let gone = backends[slot]
      change.deletions.append(.slot(front, slot, gone))
      release(gone, front, &change)
      if let next = arrivals.popFirst() {
        backends[slot] = next
        change.additions.append(.slot(front, slot, next))
        retain(next, &change)
        continue
      }
      let last = backends.removeLast()
      if slot < backends.count {
        change.withdraw(.slot(front, backends.count, last))
        backends[slot] = last
        change.additions.append(.slot(front, slot, last))
      }
    }
    for next in arrivals {
      change.additions.append(.slot(front, backends.count, next))
      backends.append(next)
      retain(next, &change)
    }
    if old == nil || count != backends.count {
      if old != nil { change.deletions.append(.front(front, slots: count)) }
      change.additions.append(.front(front, slots: backends.count))
    }
    if target.isMasqueraded != (old?.isMasqueraded ?? false) {
      let element = Element.masquerade(front.masqueraded)
      if target.isMasqueraded { retain(element, &change) } else { release(element, &change) }
    }
    if old == nil, front.transport == .udp { change.staleFlows.append(StaleFlow(front: front, backend: nil)) }
    installed[front] = Installed(backends: backends, isMasqueraded: target.isMasqueraded)
  }

  private mutating func retain(_ backend: Backend, _ change: inout Change) { retain(.hairpin(backend.address), &change) }

  private mutating func release(_ backend: Backend, _ front: Front, _ change: inout Change) {
    release(.hairpin(backend.address), &change)
    if front.transport == .udp { change.staleFlows.append(StaleFlow(front: front, backend: backend.address)) }
  }

  private mutating func retain(_ element: Element, _ change: inout Change) {
    uses[element, default: 0] += 1
    if uses[element] == 1, !change.cancel(deletionOf: element) { change.additions.append(element) }
  }

  private mutating func release(_ element: Element, _ change: inout Change) {
    let count = (uses[element] ?? 0) - 1
    uses[element] = count > 0 ? count : nil
    if count <= 0, !change.cancel(additionOf: element) { change.deletions.append(element) }
  }
}

extension ProxyState.Change {
  /// Takes an element out that was installed before this change, or only by it.
  fileprivate mutating func withdraw(_ element: ProxyState.Element) {
    if !cancel(additionOf: element) { deletions.append(element) }
  }

  fileprivate mutating func cancel(additionOf element: ProxyState.Element) -> Bool {
    guard let i = additions.lastIndex(of: element) else { return false }
    additions.remove(at: i)
    return true
  }

  fileprivate mutating func cancel(deletionOf element: ProxyState.Element) -> Bool {
    guard let i = deletions.lastIndex(of: element) else { return false }
    deletions.remove(at: i)
    return true
  }
}

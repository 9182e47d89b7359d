import Cache
import Client
import Schema
import Store
import Wire

/// Addresses and node ports of services: reserved as keys that are committed with their service, so that nothing leaks.
struct ServiceStrategy: KindStrategy {
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) {
    object["status"] = ["loadBalancer": .emptyObject]
    try allocate(&object, old: nil, &context)
  }

  func prepareForUpdate(_ object: inout Value, old: Value, _ context: inout WriteContext) throws(APIError) {
    guard context.request.subresource == nil else { return }
    let type = object["spec"]["type"].string ?? "ClusterIP"
    if type != "ExternalName", old["spec"]["type"].string != "ExternalName" {
      // A client that sends no address means the one that is there (kubectl replace, kubectl apply).
      for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]
      where object["spec"][field].isNull && !old["spec"][field].isNull {
        object["spec"][field] = old["spec"][field]
      }
    }
    keepNodePorts(&object, old: old)
    dropWhatTheTypeNoLongerUses(&object, old: old)
    try allocate(&object, old: old, &context)
  }

  /// A service that changes its type loses what only the old type uses, where the client did not ask for something else: who sends
  /// `type: ClusterIP` alone means the whole change.
  private func dropWhatTheTypeNoLongerUses(_ object: inout Value, old: Value) {
    func isUnchanged(_ field: String) -> Bool { object["spec"][field] == old["spec"][field] }
    let type = object["spec"]["type"].string ?? "ClusterIP"
    let isExternal = type == "NodePort" || type == "LoadBalancer" || object["spec"]["externalIPs"].array?.isEmpty == false
    if !isExternal, isUnchanged("externalTrafficPolicy") { object["spec"].remove("externalTrafficPolicy") }
    if !needsHealthCheckPort(object), needsHealthCheckPort(old), isUnchanged("healthCheckNodePort") {
      object["spec"].remove("healthCheckNodePort")
    }
    if type != "LoadBalancer" {
      for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] where isUnchanged(field) { object["spec"].remove(field) }
    }
    if type == "ExternalName" {
      for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] where isUnchanged(field) {
        object["spec"].remove(field)
      }
    }
    if usesNodePorts(old), !usesNodePorts(object), var ports = object["spec"]["ports"].array {
      let known = Set((old["spec"]["ports"].array ?? []).compactMap { $0["nodePort"].int })
      for i in ports.indices { if let port = ports[i]["nodePort"].int, known.contains(port) { ports[i].remove("nodePort") } }
      object["spec"]["ports"] = .array(ports)
    }
  }

  /// Load balancers that keep the client's address ask each node whether it has an endpoint.
  private func needsHealthCheckPort(_ object: Value) -> Bool {
    object["spec"]["type"] == "LoadBalancer" && object["spec"]["externalTrafficPolicy"] == "Local"
  }

  /// A port that is sent without its node port keeps the one it has, as upstream patches it in.
  private func keepNodePorts(_ object: inout Value, old: Value) {
    guard usesNodePorts(object), usesNodePorts(old), var ports = object["spec"]["ports"].array else { return }
    let known = old["spec"]["ports"].array ?? []
    let taken = Set(ports.compactMap { $0["nodePort"].int })
    for i in ports.indices where ports[i]["nodePort"].isNull {
      let same = known.first { $0["port"] == ports[i]["port"] && $0["protocol"] == ports[i]["protocol"] }
      if let port = same?["nodePort"], let number = port.int, !taken.contains(number) { ports[i]["nodePort"] = port }
    }
    object["spec"]["ports"] = .array(ports)
  }

  private func usesNodePorts(_ object: Value) -> Bool {
    switch object["spec"]["type"].string {
    case "NodePort": true
    case "LoadBalancer": object["spec"]["allocateLoadBalancerNodePorts"].bool != false
    default: false
    }
  }

  private func allocate(_ object: inout Value, old: Value?, _ context: inout WriteContext) throws(APIError) {
    let allocators = context.controlPlane.allocators
    let owner = "\(context.request.key.namespace)/\(object["metadata"]["name"].string ?? "")"
    let name = object["metadata"]["name"].string ?? ""
    let hadAddresses = Self.addresses(old)
    let hadPorts = Self.nodePorts(old)
    if object["spec"]["type"].string == "ExternalName" {
      // What a client set nevertheless is refused by the name of the list.
      if let asked = object["spec"]["clusterIP"].string, !asked.isEmpty {
        if object["spec"]["clusterIPs"].isNull { object["spec"]["clusterIPs"] = [.string(asked)] }
      } else {
        object["spec"].remove("clusterIP")
      }
      if old == nil { for field in ["internalTrafficPolicy"] { object["spec"].remove(field) } }
    } else {
      try allocateAddress(&object, had: hadAddresses, owner: owner, name, &context)
    }
    if usesNodePorts(object) {
      try allocatePorts(&object, had: hadPorts, owner: owner, name, &context)
    }
    try allocateHealthCheckPort(&object, had: hadPorts, owner: owner, &context)
    for address in hadAddresses.subtracting(Self.addresses(object)) {
      context.writes.append(.delete(allocators.key(address: address), uid: nil))
    }
    for port in hadPorts.subtracting(Self.nodePorts(object)) {
      context.writes.append(.delete(allocators.key(port: port), uid: nil))
    }
  }

  private func allocateHealthCheckPort(
    _ object: inout Value, had: Set<Int>, owner: String, _ context: inout WriteContext
  ) throws(APIError) {
    guard needsHealthCheckPort(object) else { return }
    let allocators = context.controlPlane.allocators
    let cache = context.controlPlane.cache
    var port = Int(object["spec"]["healthCheckNodePort"].int ?? 0)
    let mine = Self.portsOfPorts(object)
    if port == 0 {
      guard let free = allocators.freePort(in: cache, besides: mine) else {
        throw APIError.internalError("failed to allocate a healthCheckNodePort: range is full")
      }
      port = free
    } else if had.contains(port), !mine.contains(port) {
      return
    } else if let why = mine.contains(port) ? Self.isTaken : refusal(port, context) {
      throw .invalid(
        context.kind, object["metadata"]["name"].string ?? "",
        [
          .invalid(
            "spec.healthCheckNodePort", .int(Int64(port)), "failed to allocate requested HealthCheck NodePort \(port): \(why)")
        ])
    }
    reserve(port: port, owner, &context)
    object["spec"]["healthCheckNodePort"] = .int(Int64(port))
  }

  private static let isTaken = "provided port is already allocated"

  /// Why a port that a client asks for cannot be had.
  private func refusal(_ port: Int, _ context: WriteContext) -> String? {
    let allocators = context.controlPlane.allocators
    let range = allocators.nodePorts
    guard range.contains(port) else {
      return "provided port is not in the valid range. The range of valid ports is \(range.lowerBound)-\(range.upperBound)"
    }
    return allocators.isTaken(port: port, in: context.controlPlane.cache) ? Self.isTaken : nil
  }

  private func reserve(port: Int, _ owner: String, _ context: inout WriteContext) {
    let key = context.controlPlane.allocators.key(port: port)
    context.compares.append(.absent(key))
    context.writes.append(.put(key, Array(owner.utf8)))
  }

  private func allocateAddress(
    _ object: inout Value, had: Set<String>, owner: String, _ name: String, _ context: inout WriteContext
  ) throws(APIError) {
    let allocators = context.controlPlane.allocators
    try checkFamilies(object, name, context)
    let asked = object["spec"]["clusterIP"].string ?? object["spec"]["clusterIPs"][0].string ?? ""
    var address = asked
    // What is no address at all is the validation's to refuse.
    if !asked.isEmpty, asked != "None", !had.contains(asked), !Allocators.isAddress(asked) {
      object["spec"]["clusterIPs"] = [.string(asked)]
      object["spec"]["clusterIP"] = .string(asked)
      return
    }
    if asked == "None" {
      object["spec"]["clusterIPs"] = ["None"]
      object["spec"]["clusterIP"] = "None"
    } else {
      if asked.isEmpty {
        guard let free = allocators.freeAddress(in: context.controlPlane.cache) else {
          throw APIError.internalError("failed to allocate IP: range is full")
        }
        address = free
      } else if !had.contains(asked) {
        guard allocators.contains(address: asked) else {
          throw .invalid(
            context.kind, name,
            [
              .invalid(
                "spec.clusterIPs", [.string(asked)],
                "failed to allocate IP \(asked): the provided IP (\(asked)) is not in the valid range. The range of valid IPs is \(allocators.serviceCIDR)"
              )
            ])
        }
        let why: String? =
          if allocators.isTaken(address: asked, in: context.controlPlane.cache)
            || asked == allocators.kubernetesAddress && owner != "default/kubernetes"
          {
            "provided IP is already allocated"
          } else if asked == allocators.dnsAddress { "the cluster's DNS answers there" } else { nil }
        if let why {
          throw .invalid(
            context.kind, name, [.invalid("spec.clusterIPs", [.string(asked)], "failed to allocate IP \(asked): \(why)")])
        }
      }
      if !had.contains(address) {
        let key = allocators.key(address: address)
        context.compares.append(.absent(key))
        context.writes.append(.put(key, Array(owner.utf8)))
      }
      object["spec"]["clusterIP"] = .string(address)
      object["spec"]["clusterIPs"] = [.string(address)]
    }
    // A headless service without selector speaks for addresses that somebody else writes, of either family.
    let isForeign = asked == "None" && object["spec"]["selector"].object?.isEmpty != false
    if object["spec"]["ipFamilies"].isNull { object["spec"]["ipFamilies"] = isForeign ? ["IPv4", "IPv6"] : ["IPv4"] }
    if object["spec"]["ipFamilyPolicy"].isNull { object["spec"]["ipFamilyPolicy"] = isForeign ? "RequireDualStack" : "SingleStack" }
  }

  /// This cluster has one family, IPv4.
  private func checkFamilies(_ object: Value, _ name: String, _ context: WriteContext) throws(APIError) {
    if object["spec"]["clusterIP"] == "None", object["spec"]["selector"].object?.isEmpty != false { return }
    var faults: [FieldFault] = []
    if object["spec"]["ipFamilyPolicy"] == "RequireDualStack" {
      faults.append(.invalid("spec.ipFamilyPolicy", "RequireDualStack", "this cluster is not configured for dual-stack services"))
    }
    for (i, family) in (object["spec"]["ipFamilies"].array ?? []).enumerated() where family != "IPv4" {
      faults.append(.invalid("spec.ipFamilies[\(i)]", family, "not configured on this cluster"))
    }
    if !faults.isEmpty { throw .invalid(context.kind, name, faults) }
  }

  private func allocatePorts(_ object: inout Value, had: Set<Int>, owner: String, _ name: String, _ context: inout WriteContext)
    throws(APIError)
  {
    let allocators = context.controlPlane.allocators
    guard var ports = object["spec"]["ports"].array else { return }
    let asked = Self.nodePorts(object)
    var mine: Set<Int> = []
    for i in ports.indices {
      var port = Int(ports[i]["nodePort"].int ?? 0)
      if port == 0 {
        guard let free = allocators.freePort(in: context.controlPlane.cache, besides: mine.union(asked)) else {
          throw APIError.internalError("failed to allocate a nodePort: range is full")
        }
        port = free
      } else if !had.contains(port), !mine.contains(port), let why = refusal(port, context) {
        throw .invalid(context.kind, name, [.invalid("spec.ports[\(i)].nodePort", .int(Int64(port)), why)])
      }
      if !had.contains(port), !mine.contains(port) { reserve(port: port, owner, &context) }
      mine.insert(port)
      ports[i]["nodePort"] = .int(Int64(port))
    }
    object["spec"]["ports"] = .array(ports)
  }

  func validate(_ object: Value, old: Value?, _ context: WriteContext) -> [FieldFault] {
    guard let old, context.request.subresource == nil else { return [] }
    let before = old["spec"]["clusterIP"]
    let after = object["spec"]["clusterIP"]
    let isExternal = [object, old].contains { $0["spec"]["type"].string == "ExternalName" }
    if !isExternal, before.string?.isEmpty == false, before != after {
      return [.invalid("spec.clusterIPs[0]", object["spec"]["clusterIPs"], "may not change once set")]
    }
    return []
  }

  func release(_ object: Value, _ context: inout WriteContext) {
    let allocators = context.controlPlane.allocators
    for address in Self.addresses(object) { context.writes.append(.delete(allocators.key(address: address), uid: nil)) }
    for port in Self.nodePorts(object) { context.writes.append(.delete(allocators.key(port: port), uid: nil)) }
  }

  static func addresses(_ object: Value?) -> Set<String> {
    Set((object?["spec"]["clusterIPs"].array ?? []).compactMap(\.string).filter { $0 != "None" && !$0.isEmpty })
  }

  /// Everything that a service holds of the node ports.
  static func nodePorts(_ object: Value?) -> Set<Int> {
    let port = Int(object?["spec"]["healthCheckNodePort"].int ?? 0)
    return port > 0 ? portsOfPorts(object).union([port]) : portsOfPorts(object)
  }

  private static func portsOfPorts(_ object: Value?) -> Set<Int> {
    Set((object?["spec"]["ports"].array ?? []).compactMap { $0["nodePort"].int }.filter { $0 > 0 }.map { Int($0) })
  }
}

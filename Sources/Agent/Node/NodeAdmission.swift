import Wire

/// Whether a pod that was bound to this node can run here: resources and host ports. Pure.
enum NodeAdmission {
  /// Thousandths by resource, as the scheduler counts them: the larger of all containers together and any init container.
  static func requests(_ plan: PodPlan) -> [String: Int64] {
    var sum: [String: Quantity] = [:]
    var sidecars: [String: Quantity] = [:]
    var largest: [String: Quantity] = [:]
    for container in plan.containers {
      for member in container.spec["resources"]["requests"].object?.members ?? [] {
        guard let amount = member.value.quantity else { continue }
        if container.isSidecar {
          sidecars[member.key] = (sidecars[member.key] ?? .zero) + amount
        } else if container.isInit {
          largest[member.key] = max(largest[member.key] ?? .zero, amount + (sidecars[member.key] ?? .zero))
        } else {
          sum[member.key] = (sum[member.key] ?? .zero) + amount
        }
      }
    }
    var total = largest
    for (name, amount) in sum.merging(sidecars, uniquingKeysWith: +) { total[name] = max(total[name] ?? .zero, amount) }
    for member in plan.object["spec"]["overhead"].object?.members ?? [] {
      total[member.key] = (total[member.key] ?? .zero) + (member.value.quantity ?? .zero)
    }
    return total.mapValues(\.milliValue)
  }

  static func hostPorts(_ plan: PodPlan) -> Set<String> {
    var ports: Set<String> = []
    for container in plan.containers where !container.isInit || container.isSidecar {
      for port in container.spec["ports"].array ?? [] {
        guard let number = port["hostPort"].int, number > 0 else { continue }
        ports.insert("\(port["protocol"].string ?? "TCP")/\(number)")
      }
    }
    return ports
  }

  static func refusal(
    of plan: PodPlan, used: [String: Int64], usedPorts: Set<String>, allocatable: [String: Int64]
  ) -> (reason: String, message: String)? {
    var wanted = requests(plan)
    wanted["pods"] = 1000
    for name in ["pods", "cpu", "memory", "ephemeral-storage"] {
      guard let amount = wanted[name], amount > 0, let capacity = allocatable[name] else { continue }
      let inUse = used[name] ?? 0
      guard amount > capacity - inUse else { continue }
      let unit: Int64 = name == "cpu" ? 1 : 1000
      return (
        "OutOf\(name)",
        "Pod was rejected: Node didn't have enough resource: \(name), requested: \(amount / unit), used: \(inUse / unit), capacity: \(capacity / unit)"
      )
    }
    if !hostPorts(plan).isDisjoint(with: usedPorts) {
      return (
        "NodePorts", "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
      )
    }
    let spec = plan.object["spec"]
    if let system = spec["os"]["name"].string, system != "linux" {
      return ("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    }
    return nil
  }
}

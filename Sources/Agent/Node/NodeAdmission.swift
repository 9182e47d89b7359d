import Wire

/// Whether a pod that was bound to this node can run here: resources, host ports, what it sets of the kernel. Pure.
package enum NodeAdmission {
  /// Thousandths by resource, as the scheduler counts them: the larger of all containers together and any init container.
  package static func requests(_ plan: PodPlan) -> [String: Int64] {
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

  /// As much as can be counted, where the sum is more.
  package static func sum(_ a: Int64, _ b: Int64) -> Int64 {
    let (sum, overflow) = a.addingReportingOverflow(b)
    return overflow ? (b < 0 ? .min : .max) : sum
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

  /// What a pod may set of the kernel without harm to others: it counts in its own namespaces only.
  /// - Source: Kubernetes "Using sysctls in a Kubernetes Cluster", the safe set.
  private static let safeSysctls: Set<String> = [
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
  ]

  /// Why a pod may not set what it sets of the kernel; nil where it may.
  private static func forbiddenSysctl(_ spec: Value) -> String? {
    for entry in spec["securityContext"]["sysctls"].array ?? [] {
      guard let written = entry["name"].string else { continue }
      // Words are divided by points or by slashes, whichever comes first; the other one is then part of a word.
      let name =
        written.first { $0 == "." || $0 == "/" } == "/"
        ? String(written.map { $0 == "/" ? "." : $0 == "." ? "/" : $0 }) : written
      let isOfProcesses = ["kernel.sem", "kernel.shm", "kernel.msg", "fs.mqueue."].contains { name.hasPrefix($0) }
      if isOfProcesses, spec["hostIPC"].bool == true { return "\"\(written)\" not allowed with host IPC enabled" }
      if name.hasPrefix("net."), spec["hostNetwork"].bool == true { return "\"\(written)\" not allowed with host Net enabled" }
      if !safeSysctls.contains(name) { return "\"\(written)\" not allowlisted" }
    }
    return nil
  }

  package static func refusal(
    of plan: PodPlan, used: [String: Int64], usedPorts: Set<String>, allocatable: [String: Int64], hasAppArmor: Bool = true
  ) -> (reason: String, message: String)? {
    var wanted = requests(plan)
    wanted["pods"] = 1000
    for name in ["pods", "cpu", "memory", "ephemeral-storage"] {
      guard let amount = wanted[name], amount > 0, let capacity = allocatable[name] else { continue }
      let inUse = used[name] ?? 0
      guard sum(amount, inUse) > capacity else { continue }
      let unit: Int64 = name == "cpu" ? 1 : 1000
      return (
        "OutOf\(name)",
        "Node didn't have enough resource: \(name), requested: \(amount / unit), used: \(inUse / unit), capacity: \(capacity / unit)"
      )
    }
    if !hostPorts(plan).isDisjoint(with: usedPorts) {
      return ("NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports")
    }
    let spec = plan.object["spec"]
    if let refused = forbiddenSysctl(spec) { return ("SysctlForbidden", "forbidden sysctl: \(refused)") }
    let isConfined = plan.containers.contains {
      let profile = RuntimeConfiguration.appArmorProfile(plan, $0)["profile_type"].string
      return profile != nil && profile != "Unconfined"
    }
    if isConfined, !hasAppArmor { return ("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host") }
    if let system = spec["os"]["name"].string, system != "linux" {
      return ("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    }
    return nil
  }
}

import Wire

/// Sandbox and container as CRI wants them, from a pod's plan. Pure.
package enum RuntimeConfiguration {
  static func labels(_ plan: PodPlan) -> Value {
    [
      "io.kubernetes.pod.name": .string(plan.key.name), "io.kubernetes.pod.namespace": .string(plan.key.namespace),
      "io.kubernetes.pod.uid": .string(plan.uid),
    ]
  }

  static func logDirectory(_ plan: PodPlan, _ configuration: AgentConfiguration) -> String {
    "\(configuration.podLogDirectory)/\(plan.key.namespace)_\(plan.key.name)_\(plan.uid)"
  }

  static func cgroupParent(_ plan: PodPlan, _ configuration: AgentConfiguration) -> String {
    switch plan.qosClass {
    case "Guaranteed": "\(configuration.cgroupRoot)/pod\(plan.uid)"
    case "Burstable": "\(configuration.cgroupRoot)/burstable/pod\(plan.uid)"
    default: "\(configuration.cgroupRoot)/besteffort/pod\(plan.uid)"
    }
  }

  static func namespaces(_ plan: PodPlan, container: Bool) -> Value {
    let spec = plan.object["spec"]
    let shared = spec["shareProcessNamespace"].bool ?? false
    return [
      "network": spec["hostNetwork"].bool == true ? "NODE" : "POD", "ipc": spec["hostIPC"].bool == true ? "NODE" : "POD",
      "pid": spec["hostPID"].bool == true ? "NODE" : shared ? "POD" : "CONTAINER",
    ]
  }

  static func hostname(_ plan: PodPlan) -> String {
    let name = plan.object["spec"]["hostname"].string ?? ""
    var host = name.isEmpty ? plan.key.name : name
    if host.utf8.count > 63 {
      host = String(host.prefix(63))
      while let last = host.last, last == "-" || last == "." { host.removeLast() }
    }
    return host
  }

  /// `host.sub.ns.svc.domain` for a pod with a subdomain; nil else.
  static func fullName(_ plan: PodPlan, domain: String) -> String? {
    guard let sub = plan.object["spec"]["subdomain"].string, !sub.isEmpty else { return nil }
    return "\(hostname(plan)).\(sub).\(plan.key.namespace).svc.\(domain)"
  }

  /// Name servers, search list and options by the pod's policy and configuration.
  static func dns(_ plan: PodPlan, _ configuration: AgentConfiguration, hostResolver: String) -> Value {
    let spec = plan.object["spec"]
    var servers: [String] = []
    var searches: [String] = []
    var options: [String] = []
    for line in hostResolver.split(separator: "\n") {
      let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).map(String.init)
      switch words.first {
      case "nameserver": servers += words.dropFirst().prefix(1)
      case "search", "domain": searches = Array(words.dropFirst())
      case "options": options = Array(words.dropFirst())
      default: break
      }
    }
    var policy = spec["dnsPolicy"].string ?? "ClusterFirst"
    if policy == "ClusterFirst", plan.isHostNetwork { policy = "Default" }
    if policy == "ClusterFirstWithHostNet" { policy = "ClusterFirst" }
    if policy == "ClusterFirst", !configuration.clusterDNS.isEmpty {
      servers = configuration.clusterDNS
      let domain = configuration.clusterDomain
      searches = ["\(plan.key.namespace).svc.\(domain)", "svc.\(domain)", domain] + searches
      options = ["ndots:5"]
    } else if policy == "None" {
      servers = []
      searches = []
      options = []
    }
    let own = spec["dnsConfig"]
    func merge(_ list: [String], _ more: [String]) -> [String] { more.reduce(into: list) { if !$0.contains($1) { $0.append($1) } } }
    servers = merge(servers, (own["nameservers"].array ?? []).compactMap(\.string))
    searches = merge(searches, (own["searches"].array ?? []).compactMap(\.string))
    for option in own["options"].array ?? [] {
      guard let name = option["name"].string else { continue }
      options.removeAll { $0 == name || $0.hasPrefix("\(name):") }
      options.append(option["value"].string.map { $0.isEmpty ? name : "\(name):\($0)" } ?? name)
    }
    return [
      "servers": .array(servers.map { .string($0) }), "searches": .array(searches.prefix(32).map { .string($0) }),
      "options": .array(options.map { .string($0) }),
    ]
  }

  static func hostsFile(_ plan: PodPlan, addresses: [String], domain: String) -> String {
    var text = """
      # Kubernetes-managed hosts file.
      127.0.0.1\tlocalhost
      ::1\tlocalhost ip6-localhost ip6-loopback
      fe00::0\tip6-localnet
      fe00::0\tip6-mcastprefix
      fe00::1\tip6-allnodes
      fe00::2\tip6-allrouters

      """
    for address in addresses {
      text += "\(address)\t\(fullName(plan, domain: domain).map { "\($0)\t" } ?? "")\(hostname(plan))\n"
    }
    let aliases = plan.object["spec"]["hostAliases"].array ?? []
    if !aliases.isEmpty {
      text += "\n# Entries added by HostAliases.\n"
      for alias in aliases {
        let names = (alias["hostnames"].array ?? []).compactMap(\.string).joined(separator: "\t")
        text += "\(alias["ip"].string ?? "")\t\(names)\n"
      }
    }
    return text
  }

  static func seccomp(_ profile: Value) -> Value {
    switch profile["type"].string {
    case "Unconfined": ["profile_type": "Unconfined"]
    case "Localhost":
      [
        "profile_type": "Localhost",
        "localhost_ref": .string("/var/lib/kubelet/seccomp/\(profile["localhostProfile"].string ?? "")"),
      ]
    case "RuntimeDefault": ["profile_type": "RuntimeDefault"]
    default: ["profile_type": "Unconfined"]
    }
  }

  /// By a container's own word, its pod's, or the annotation of earlier releases; null where none says anything.
  static func appArmorProfile(_ plan: PodPlan, _ container: ContainerPlan) -> Value {
    let own = container.spec["securityContext"]["appArmorProfile"]
    let profile = own.isNull ? plan.object["spec"]["securityContext"]["appArmorProfile"] : own
    switch profile["type"].string {
    case "Localhost": return ["profile_type": "Localhost", "localhost_ref": .string(profile["localhostProfile"].string ?? "")]
    case "RuntimeDefault", "Unconfined": return ["profile_type": profile["type"]]
    default: break
    }
    let annotation =
      plan.object["metadata"]["annotations"]["container.apparmor.security.beta.kubernetes.io/\(container.name)"].string ?? ""
    if annotation == "runtime/default" { return ["profile_type": "RuntimeDefault"] }
    if annotation == "unconfined" { return ["profile_type": "Unconfined"] }
    guard annotation.hasPrefix("localhost/") else { return .null }
    return ["profile_type": "Localhost", "localhost_ref": .string(String(annotation.dropFirst(10)))]
  }

  static func sandbox(_ plan: PodPlan, attempt: Int, _ configuration: AgentConfiguration, hostResolver: String) -> Value {
    let spec = plan.object["spec"]
    let context = spec["securityContext"]
    var security: Value = ["namespace_options": namespaces(plan, container: false), "seccomp": ["profile_type": "RuntimeDefault"]]
    if let user = context["runAsUser"].int { security["run_as_user"] = ["value": .int(user)] }
    if let group = context["runAsGroup"].int, context["runAsUser"].int != nil { security["run_as_group"] = ["value": .int(group)] }
    let groups = supplementalGroups(context)
    if !groups.isEmpty { security["supplemental_groups"] = .array(groups.map { .int($0) }) }
    if plan.containers.contains(where: { $0.spec["securityContext"]["privileged"].bool == true }) { security["privileged"] = true }
    var sysctls: Value = .emptyObject
    for entry in context["sysctls"].array ?? [] {
      if let name = entry["name"].string { sysctls[name] = .string(entry["value"].string ?? "") }
    }
    var ports: [Value] = []
    if !plan.isHostNetwork {
      for container in plan.containers {
        for port in container.spec["ports"].array ?? [] {
          guard let hostPort = port["hostPort"].int, hostPort > 0 else { continue }
          ports.append([
            "protocol": .string(port["protocol"].string ?? "TCP"), "container_port": port["containerPort"],
            "host_port": .int(hostPort),
            "host_ip": .string(port["hostIP"].string ?? ""),
          ])
        }
      }
    }
    return [
      "metadata": [
        "name": .string(plan.key.name), "uid": .string(plan.uid), "namespace": .string(plan.key.namespace),
        "attempt": .int(Int64(attempt)),
      ],
      // A sandbox on the host's network keeps the host's name.
      "hostname": plan.isHostNetwork
        ? ""
        : .string(
          spec["setHostnameAsFQDN"].bool == true
            ? fullName(plan, domain: configuration.clusterDomain) ?? hostname(plan) : hostname(plan)),
      "log_directory": .string(logDirectory(plan, configuration)),
      "dns_config": dns(plan, configuration, hostResolver: hostResolver),
      "port_mappings": .array(ports), "labels": labels(plan),
      "annotations": ["io.kubernetes.pod.terminationGracePeriod": .string("\(plan.grace)")],
      "linux": ["cgroup_parent": .string(cgroupParent(plan, configuration)), "security_context": security, "sysctls": sysctls],
    ]
  }

  /// Why no sandbox can be made of a pod here; nil where one can.
  package static func unsupported(_ plan: PodPlan) -> String? {
    plan.object["spec"]["hostUsers"].bool == false
      ? "hostUsers: false: the container runtime does not support user namespaces; leave hostUsers out, or use runAsUser" : nil
  }

  static func supplementalGroups(_ context: Value) -> [Int64] {
    var groups = (context["supplementalGroups"].array ?? []).compactMap(\.int)
    if let group = context["fsGroup"].int { groups.append(group) }
    return groups
  }

  /// CPU and memory as the kernel counts them; what Kubernetes calls requests and limits.
  static func resources(_ plan: PodPlan, _ container: Value, memoryCapacity: Int64) -> Value {
    let requests = container["resources"]["requests"]
    let limits = container["resources"]["limits"]
    var resources: Value = .emptyObject
    let cpuLimit = limits["cpu"].cpuMilli
    let cpuRequest = requests["cpu"].cpuMilli ?? cpuLimit ?? 0
    resources["cpu_shares"] = .int(min(262_144, max(2, cpuRequest * 1024 / 1000)))
    if let cpuLimit, cpuLimit > 0 {
      resources["cpu_period"] = 100_000
      resources["cpu_quota"] = .int(max(1000, cpuLimit * 100))
    }
    if let memory = limits["memory"].quantity?.value, memory > 0 { resources["memory_limit_in_bytes"] = .int(memory) }
    switch plan.qosClass {
    case "Guaranteed": resources["oom_score_adj"] = -997
    case "BestEffort": resources["oom_score_adj"] = 1000
    default:
      let request = requests["memory"].quantity?.value ?? limits["memory"].quantity?.value ?? 0
      let (product, overflow) = request.multipliedReportingOverflow(by: 1000)
      let share = overflow ? 999 : product / max(1, memoryCapacity)
      resources["oom_score_adj"] = .int(min(999, max(3, 1000 - share)))
    }
    return resources
  }

  /// - Parameter imageUser: the user that the image runs as: number or name; for `runAsNonRoot`.
  /// - Throws: what upstream shows with `CreateContainerConfigError`.
  static func security(_ plan: PodPlan, _ container: ContainerPlan, imageUID: Int64?, imageUserName: String) throws(AgentFailure)
    -> Value
  {
    let pod = plan.object["spec"]["securityContext"]
    let own = container.spec["securityContext"]
    func pick(_ name: String) -> Value { own[name].isNull ? pod[name] : own[name] }
    let user = pick("runAsUser").int
    if pick("runAsNonRoot").bool == true {
      if let user {
        guard user != 0 else {
          throw AgentFailure(
            "container's runAsUser breaks non-root policy (pod: \"\(plan.key.name)_\(plan.key.namespace)(\(plan.uid))\", container: \(container.name))"
          )
        }
      } else if !imageUserName.isEmpty {
        throw AgentFailure(
          "container has runAsNonRoot and image has non-numeric user (\(imageUserName)), cannot verify user is non-root (pod: \"\(plan.key.name)_\(plan.key.namespace)(\(plan.uid))\", container: \(container.name))"
        )
      } else if (imageUID ?? 0) == 0 {
        throw AgentFailure(
          "container has runAsNonRoot and image will run as root (pod: \"\(plan.key.name)_\(plan.key.namespace)(\(plan.uid))\", container: \(container.name))"
        )
      }
    }
    let privileged = own["privileged"].bool ?? false
    var security: Value = ["namespace_options": namespaces(plan, container: true), "privileged": .bool(privileged)]
    if let user {
      security["run_as_user"] = ["value": .int(user)]
    } else if let imageUID {
      security["run_as_user"] = ["value": .int(imageUID)]
    } else if !imageUserName.isEmpty {
      security["run_as_username"] = .string(imageUserName)
    }
    if let group = pick("runAsGroup").int, user != nil || imageUID != nil || !imageUserName.isEmpty {
      security["run_as_group"] = ["value": .int(group)]
    }
    let groups = supplementalGroups(pod)
    if !groups.isEmpty { security["supplemental_groups"] = .array(groups.map { .int($0) }) }
    if own["readOnlyRootFilesystem"].bool == true { security["readonly_rootfs"] = true }
    let capabilities = own["capabilities"]
    if !privileged, !capabilities.isNull {
      security["capabilities"] = [
        "add_capabilities": .array((capabilities["add"].array ?? []).filter { $0.string != nil }),
        "drop_capabilities": .array((capabilities["drop"].array ?? []).filter { $0.string != nil }),
      ]
    }
    if own["allowPrivilegeEscalation"].bool == false { security["no_new_privs"] = true }
    if !privileged, own["procMount"].string != "Unmasked" {
      let masked = [
        "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
        "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
      ]
      security["masked_paths"] = .array(masked.map { .string($0) })
      let readOnly = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
      security["readonly_paths"] = .array(readOnly.map { .string($0) })
    }
    let confinement = appArmorProfile(plan, container)
    if !confinement.isNull { security["apparmor"] = confinement }
    let profile = pick("seccompProfile")
    security["seccomp"] =
      privileged ? ["profile_type": "Unconfined"] : profile.isNull ? ["profile_type": "Unconfined"] : seccomp(profile)
    return security
  }
}

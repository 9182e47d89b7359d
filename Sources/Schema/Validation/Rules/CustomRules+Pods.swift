import Wire

extension CustomRules {
  private static func sum(_ pod: Value, _ resource: String) -> Quantity? {
    var total = Quantity(nanos: 0, format: .decimalSI)
    var found = false
    for container in pod["containers"].array ?? [] {
      guard let amount = container["resources"]["requests"][resource].quantity else { continue }
      total = total + amount
      found = true
    }
    return found ? total : nil
  }

  private static func volume(_ name: Value, _ scope: CustomScope) -> Value {
    (scope.pod["spec"]["volumes"].array ?? []).first { $0["name"] == name } ?? .null
  }

  private static func withoutSeconds(_ toleration: Value) -> Value {
    var toleration = toleration
    toleration.remove("tolerationSeconds")
    return toleration
  }

  private static func isSameCount(_ value: Value, _ scope: CustomScope) -> [CustomFinding] {
    bad(scope.oldRoot != nil && (value.array?.count ?? 0) != (scope.old.array?.count ?? 0))
  }

  private static func stateStays(_ value: Value, _ scope: CustomScope, restartable: Bool) -> [CustomFinding] {
    let policy = scope.root["spec"]["restartPolicy"].string ?? "Always"
    if restartable, policy == "Always" { return fine }
    let before = scope.old.array ?? []
    return (value.array ?? []).enumerated().compactMap { i, status in
      guard let old = before.first(where: { $0["name"] == status["name"] }) else { return nil }
      guard !old["state"]["terminated"].isNull, status["state"]["terminated"].isNull else { return nil }
      if restartable, policy == "OnFailure", old["state"]["terminated"]["exitCode"].int ?? 0 != 0 { return nil }
      return CustomFinding(more: [.index(i)])
    }
  }

  private static let fieldPaths: Set<String> = [
    "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
    "spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName", "status.phase", "status.hostIP", "status.hostIPs",
    "status.podIP", "status.podIPs", "spec.host",
  ]

  /// Pods, their containers and volumes.
  static let pods: [String: CustomRule] = [
    "containerCommon|volumeMounts[*].mountPropagation|Bidirectional needs securityContext.privileged=true": refuse { value, scope in
      value.string == "Bidirectional" && scope.base["securityContext"]["privileged"].bool != true
    },
    "containerCommon|volumeDevices[*].name|its volume is a persistentVolumeClaim or ephemeral": refuse { value, scope in
      let found = volume(value, scope)
      return !found.isNull && found["persistentVolumeClaim"].isNull && found["ephemeral"].isNull
    },
    "containerCommon|image|no white space at either end (pods only, not templates)": refuse { value, _ in
      value.string.map { $0.first?.isWhitespace == true || $0.last?.isWhitespace == true } ?? false
    },
    "resourceRequirements|requests|for hugepages and extended resources the limit must be set": { value, scope in
      (value.object?.members ?? []).compactMap { member in
        ResourceNames.isOvercommittable(member.key) || !scope.base["limits"][member.key].isNull ? nil : CustomFinding()
      }
    },
    "resourceRequirements||hugepages need a request or limit of cpu or memory": refuse { value, _ in
      let names = ["limits", "requests"].flatMap { value[$0].object?.keys ?? [] }
      return names.contains { $0.hasPrefix("hugepages-") } && !names.contains("cpu") && !names.contains("memory")
    },
    "resourceRequirements|claims|name alone, or name and request, are not repeated; name alone excludes name with request": {
      value, _ in
      var seen: [String] = []
      return (value.array ?? []).enumerated().compactMap { i, claim in
        let name = claim["name"].string ?? ""
        let key = claim["request"].string.map { "\(name)/\($0)" } ?? name
        defer { seen.append(key) }
        let clashes =
          seen.contains(key) || claim["request"].isNull && seen.contains { $0.hasPrefix("\(name)/") } || seen.contains(name)
        return clashes ? CustomFinding(value: .string(key), more: [.index(i)]) : nil
      }
    },
    "core/v1.EnvVar|valueFrom|exactly one member where valueFrom is set": refuse { value, _ in
      !value.isNull && (value.object?.members ?? []).allSatisfy { $0.value.isNull }
    },
    "core/v1.LifecycleHandler|sleep.seconds|between 0 and the pod terminationGracePeriodSeconds": { value, scope in
      guard let seconds = value.int else { return fine }
      let grace = scope.pod["spec"]["terminationGracePeriodSeconds"].int ?? 30
      return seconds < 0 || seconds > grace
        ? [CustomFinding(message: "must be non-negative and less than terminationGracePeriodSeconds (\(grace))")] : fine
    },
    "core/v1.ObjectFieldSelector|fieldPath|apiVersion must be v1 and the path one of the known pod field labels or a subscripted metadata.annotations or metadata.labels":
      { value, scope in
        guard let path = value.string, !path.isEmpty else { return fine }
        if let version = scope.base["apiVersion"].string, !version.isEmpty, version != "v1" {
          return [CustomFinding(message: "error converting fieldPath: unsupported pod version: \(version)")]
        }
        if fieldPaths.contains(path) { return fine }
        for (holder, lowercases) in [("metadata.annotations['", true), ("metadata.labels['", false)]
        where path.hasPrefix(holder) && path.hasSuffix("']") {
          let key = String(path.dropFirst(holder.count).dropLast(2))
          return LabelNames.key(lowercases ? key.lowercased() : key).map {
            CustomFinding(message: $0, value: .string(lowercases ? key.lowercased() : key), at: scope.typePlace)
          }
        }
        return [CustomFinding(message: "error converting fieldPath: field label not supported: \(path)")]
      },
    "core/v1.ProjectedVolumeSource|sources|paths of all items of all sources are distinct (serviceAccountToken.path is not in the comparison)":
      { value, _ in
        var seen: Set<String> = []
        var findings: [CustomFinding] = []
        for source in value.array ?? [] {
          for kind in ["secret", "configMap", "downwardAPI"] {
            for item in source[kind]["items"].array ?? [] {
              guard let path = item["path"].string, !path.isEmpty else { continue }
              if !seen.insert(path).inserted {
                let name = source[kind]["name"].string
                findings.append(CustomFinding(value: .string(name ?? path)))
              }
            }
          }
        }
        return findings
      },
    "core/v1.ResourceFieldSelector|divisor|if not zero: 1m or 1 for cpu": refuse { value, _ in
      value.string.map { !["", "0", "1", "1m"].contains($0) } ?? false
    },
    "core/v1.ResourceFieldSelector|divisor|if not zero: 1, or one unit of k M G T P E Ki Mi Gi Ti Pi Ei": refuse { value, _ in
      value.string.map {
        !["", "0", "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"].contains($0)
      } ?? false
    },
    "core/v1.SecurityContext|procMount|Unmasked needs hostUsers=false in the pod": refuse { _, scope in
      scope.pod["spec"]["hostUsers"].bool != false
    },
    "core/v1.SecurityContext||allowPrivilegeEscalation=false excludes privileged=true": refuse { value, _ in
      value["allowPrivilegeEscalation"].bool == false && value["privileged"].bool == true
    },
    "core/v1.SecurityContext||allowPrivilegeEscalation=false excludes CAP_SYS_ADMIN (that very text) in capabilities.add": refuse {
      value, _ in
      value["allowPrivilegeEscalation"].bool == false && value["capabilities"]["add"].array?.contains("CAP_SYS_ADMIN") == true
    },
    "core/v1.Sysctl|name|net.* sysctls not with hostNetwork": refuse { value, _ in
      value.string.map { $0.hasPrefix("net.") || $0.hasPrefix("net/") } ?? false
    },
    "core/v1.Sysctl|name|kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.* not with hostIPC": refuse { value, _ in
      value.string.map {
        $0.hasPrefix("kernel.shm") || $0.hasPrefix("kernel.msg") || $0 == "kernel.sem" || $0.hasPrefix("fs.mqueue.")
      } ?? false
    },
    "core/v1.Volume|ephemeral|\"<pod name>-<volume name>\" must be a DNS subdomain (only in pods, not in templates)": { _, scope in
      guard scope.isPod, let pod = scope.root["metadata"]["name"].string, !pod.isEmpty, let volume = scope.base["name"].string
      else {
        return fine
      }
      let claim = "\(pod)-\(volume)"
      return DNSNames.subdomain(claim).map { CustomFinding(message: "PVC name \"\(claim)\": \($0)", value: .string(volume)) }
    },
    "core/v1.PodDNSConfig|searches|joined by blanks at most 2048": refuse { value, _ in
      (value.array ?? []).compactMap(\.string).joined(separator: " ").utf8.count > 2048
    },
    "core/v1.PodSpec|containers|hostPort (not 0) unique over all containers per protocol, hostIP, hostPort; value shown TCP//80": {
      value, _ in
      var seen: Set<String> = []
      var findings: [CustomFinding] = []
      for (i, container) in (value.array ?? []).enumerated() {
        for (j, port) in (container["ports"].array ?? []).enumerated() {
          guard let host = port["hostPort"].int, host != 0 else { continue }
          let key = "\(port["protocol"].string ?? "TCP")/\(port["hostIP"].string ?? "")/\(host)"
          if !seen.insert(key).inserted {
            findings.append(CustomFinding(value: .string(key), more: [.index(i), .field("ports"), .index(j), .field("hostPort")]))
          }
        }
      }
      return findings
    },
    "core/v1.PodSpec|resources.requests|at least the sum over containers for the same resource": { value, scope in
      (value.object?.members ?? []).compactMap { member in
        guard let amount = member.value.quantity, let total = sum(scope.base, member.key), amount < total
        else {
          return nil
        }
        return CustomFinding(
          message: "must be greater than or equal to aggregate container requests of \(total)", value: member.value,
          more: [.key(member.key)])
      }
    },
    "core/v1.Pod|spec.containers|same number; otherwise nothing more is checked": { value, scope in isSameCount(value, scope) },
    "core/v1.Pod|spec.initContainers|the same": { value, scope in isSameCount(value, scope) },
    "core/v1.Pod|spec.activeDeadlineSeconds|not raised": refuse { value, scope in
      guard let new = value.int, let old = scope.old.int else { return false }
      return new > old
    },
    "core/v1.Pod|spec.activeDeadlineSeconds|not removed": refuse { value, scope in value.isNull && scope.old.int != nil },
    "core/v1.Pod|spec.tolerations|stored tolerations stay; only their tolerationSeconds may change; new ones may be added":
      refuse { value, scope in
        guard scope.oldRoot != nil else { return false }
        let new = (value.array ?? []).map(withoutSeconds)
        return (scope.old.array ?? []).contains { !new.contains(withoutSeconds($0)) }
      },
    "core/v1.Pod|spec.schedulingGates|only removals": { value, scope in
      let stored = scope.old.array ?? []
      return (value.array ?? []).enumerated().compactMap { i, gate in
        guard scope.oldRoot != nil, !stored.contains(gate) else { return nil }
        return CustomFinding(
          message: "only deletion is allowed, but found new scheduling gate '\(gate["name"].string ?? "")'", more: [.index(i)])
      }
    },
    "core/v1.Pod|spec.nodeSelector|while gated: only additions": refuse { value, scope in
      (scope.old.object?.members ?? []).contains { value[$0.key] != $0.value }
    },
    "core/v1.Pod|status.nominatedNodeName|not set anew once the pod is bound": refuse { value, scope in
      !value.isZero && value != scope.old && !scope.root["spec"]["nodeName"].isZero
    },
    "core/v1.Pod|status.conditions[*].type|qualified name, unless PodScheduled, Ready, Initialized": { value, _ in
      LabelNames.key(value.string ?? "").map { CustomFinding(message: $0) }
    },
    "core/v1.Pod|status.containerStatuses|a terminated container stays so unless the restart policy (of pod or container) lets it run again; never with restartPolicy Always":
      { value, scope in stateStays(value, scope, restartable: true) },
    "core/v1.Pod|status.ephemeralContainerStatuses|terminated stays so": { value, scope in
      stateStays(value, scope, restartable: false)
    },
    "core/v1.Pod|status.hostIPs|first equals hostIP": refuse { value, scope in
      !value.isZero && value[0]["ip"] != scope.root["status"]["hostIP"]
    },
    "core/v1.Pod|spec.ephemeralContainers|stored ones stay": { value, scope in
      let names = (value.array ?? []).map { $0["name"] }
      return (scope.old.array ?? []).filter { !names.contains($0["name"]) }.map {
        CustomFinding(message: "existing ephemeral containers \"\($0["name"].string ?? "")\" may not be removed\n")
      }
    },
    "core/v1.Pod|spec.ephemeralContainers|and unchanged": { value, scope in
      (scope.old.array ?? []).compactMap { old in
        guard let new = (value.array ?? []).first(where: { $0["name"] == old["name"] }), !Validator.isSame(new, old) else {
          return nil
        }
        return CustomFinding(message: "existing ephemeral containers \"\(old["name"].string ?? "")\" may not be changed\n")
      }
    },
    "core/v1.Pod|spec.containers|same number": { value, scope in isSameCount(value, scope) },
    "core/v1.Pod|spec.initContainers|same number": { value, scope in isSameCount(value, scope) },
    "core/v1.Pod|spec.containers[*].name|same names in the same order": refuse { value, scope in
      scope.oldRoot != nil && value != scope.old
    },
    "core/v1.Pod||not in mirror pods (error path shown as [])": { _, _ in bad },
    "core/v1.Pod||not in windows pods (error path shown as [])": { _, _ in bad },
  ]
}

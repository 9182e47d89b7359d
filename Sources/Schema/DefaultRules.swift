import Wire

/// Defaults that need a condition or a computation. By type, in upstream's order; the rest are rows of the table.
enum DefaultRules {
  static let types: Set<String> = [
    "core/v1.ReplicationController", "core/v1.Volume", "core/v1.Container", "core/v1.EphemeralContainerCommon",
    "core/v1.EphemeralContainer",
    "core/v1.ImageVolumeSource", "core/v1.Service", "core/v1.Pod", "core/v1.PodSpec", "core/v1.Namespace", "core/v1.NodeStatus",
    "core/v1.LimitRangeItem",
    "core/v1.Endpoints", "apps/v1.Deployment", "apps/v1.DaemonSet", "apps/v1.StatefulSet", "batch/v1.Job",
    "networking/v1.NetworkPolicy",
    "networking/v1.IngressClass", "rbac/v1.Subject", "autoscaling/v2.HorizontalPodAutoscaler",
    "apiextensions/v1.CustomResourceDefinition",
    "resource/v1.ExactDeviceRequest", "resource/v1.DeviceSubRequest", "discovery/v1.EndpointSlice",
  ]

  static func apply(_ type: String, to value: inout Value, table: SchemaTable) {
    guard types.contains(type) else { return }
    switch type {
    case "core/v1.Volume":
      // The only member is the name: a volume without a source is an emptyDir.
      if (value.object?.count ?? 0) <= 1, value["emptyDir"].isNull { value["emptyDir"] = .emptyObject }
    case "core/v1.Container", "core/v1.EphemeralContainerCommon", "core/v1.EphemeralContainer":
      set(&value, "imagePullPolicy", .string(pullPolicy(value["image"].string ?? "")))
      set(&value, "terminationMessagePath", "/dev/termination-log")
      set(&value, "terminationMessagePolicy", "File")
    case "core/v1.ImageVolumeSource": set(&value, "pullPolicy", .string(pullPolicy(value["reference"].string ?? "")))
    case "core/v1.Service": service(&value)
    case "core/v1.PodSpec": set(&value, "securityContext", .emptyObject)
    case "core/v1.Pod": pod(&value)
    case "core/v1.Namespace":
      if let name = value["metadata"]["name"].string, !name.isEmpty {
        value["metadata"]["labels"]["kubernetes.io/metadata.name"] = .string(name)
      }
    case "core/v1.NodeStatus":
      if !value["capacity"].isNull { set(&value, "allocatable", value["capacity"]) }
    case "core/v1.LimitRangeItem": limitRange(&value)
    case "core/v1.Endpoints":
      each(&value["subsets"]) { subset in each(&subset["ports"]) { set(&$0, "protocol", "TCP") } }
    case "core/v1.ReplicationController":
      let labels = value["spec"]["template"]["metadata"]["labels"]
      guard labels.object?.isEmpty == false else { return }
      if value["spec"]["selector"].object?.isEmpty != false { value["spec"]["selector"] = labels }
      if value["metadata"]["labels"].object?.isEmpty != false { value["metadata"]["labels"] = labels }
    case "apps/v1.Deployment":
      guard value["spec"]["strategy"]["type"].string ?? "RollingUpdate" == "RollingUpdate" else { return }
      set(&value["spec"]["strategy"]["rollingUpdate"], "maxUnavailable", "25%")
      set(&value["spec"]["strategy"]["rollingUpdate"], "maxSurge", "25%")
    case "apps/v1.DaemonSet":
      guard value["spec"]["updateStrategy"]["type"].string ?? "RollingUpdate" == "RollingUpdate" else { return }
      set(&value["spec"]["updateStrategy"]["rollingUpdate"], "maxUnavailable", 1)
      set(&value["spec"]["updateStrategy"]["rollingUpdate"], "maxSurge", 0)
    case "apps/v1.StatefulSet": statefulSet(&value)
    case "batch/v1.Job": job(&value)
    case "networking/v1.NetworkPolicy":
      if value["spec"]["policyTypes"].array?.isEmpty != false {
        value["spec"]["policyTypes"] = value["spec"]["egress"].array?.isEmpty == false ? ["Ingress", "Egress"] : ["Ingress"]
      }
    case "networking/v1.IngressClass":
      if !value["spec"]["parameters"].isNull { set(&value["spec"]["parameters"], "scope", "Cluster") }
    case "rbac/v1.Subject":
      if ["User", "Group"].contains(value["kind"].string) { set(&value, "apiGroup", "rbac.authorization.k8s.io") }
    case "autoscaling/v2.HorizontalPodAutoscaler": autoscaler(&value)
    case "apiextensions/v1.CustomResourceDefinition":
      if let kind = value["spec"]["names"]["kind"].string {
        set(&value["spec"]["names"], "singular", .string(kind.lowercased()))
        set(&value["spec"]["names"], "listKind", .string("\(kind)List"))
      }
    case "resource/v1.ExactDeviceRequest", "resource/v1.DeviceSubRequest":
      if value["allocationMode"].string ?? "ExactCount" == "ExactCount" { set(&value, "count", 1) }
    default: break
    }
  }

  /// What depends on values that the children's own defaults have set.
  static func applyAfterChildren(_ type: String, to value: inout Value, table: SchemaTable) {
    guard type == "core/v1.Pod" else { return }
    // A pod's own defaults come after its spec's in upstream only where the host's network is concerned: ports are known now.
    if value["spec"]["hostNetwork"].bool == true {
      for list in ["containers", "initContainers"] {
        each(&value["spec"][list]) { container in
          each(&container["ports"]) { if let port = $0["containerPort"].int { set(&$0, "hostPort", .int(port)) } }
        }
      }
    }
  }

  private static func set(_ value: inout Value, _ key: String, _ new: Value) { if value[key].isNull { value[key] = new } }

  private static func each(_ value: inout Value, _ body: (inout Value) -> Void) {
    guard case .array(var elements) = value else {
      if value.isNull { value = .null }
      return
    }
    value = .null
    for i in elements.indices { body(&elements[i]) }
    value = .array(elements)
  }

  /// Always where the image's tag is latest or there is neither tag nor digest.
  static func pullPolicy(_ image: String) -> String {
    if image.contains("@") { return "IfNotPresent" }
    let name = image.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
    guard let colon = name.firstIndex(of: ":") else { return "Always" }
    return name[name.index(after: colon)...] == "latest" ? "Always" : "IfNotPresent"
  }

  private static func service(_ value: inout Value) {
    var spec = value["spec"]
    set(&spec, "sessionAffinity", "None")
    if spec["sessionAffinity"].string == "None" { spec.remove("sessionAffinityConfig") }
    if spec["sessionAffinity"].string == "ClientIP", spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].isNull {
      spec["sessionAffinityConfig"] = ["clientIP": ["timeoutSeconds": 10800]]
    }
    set(&spec, "type", "ClusterIP")
    each(&spec["ports"]) { port in
      set(&port, "protocol", "TCP")
      let target = port["targetPort"]
      if target.isNull || target.int == 0 || target.string == "", let number = port["port"].int {
        port["targetPort"] = .int(number)
      }
    }
    if spec["ports"].isNull { spec.remove("ports") }
    let type = spec["type"].string ?? ""
    let hasExternal = spec["externalIPs"].array?.isEmpty == false
    if type == "NodePort" || type == "LoadBalancer" || type == "ClusterIP" && hasExternal {
      set(&spec, "externalTrafficPolicy", "Cluster")
    }
    if ["ClusterIP", "NodePort", "LoadBalancer"].contains(type) { set(&spec, "internalTrafficPolicy", "Cluster") }
    if type == "LoadBalancer" {
      set(&spec, "allocateLoadBalancerNodePorts", true)
      if !value["status"]["loadBalancer"]["ingress"].isNull {
        each(&value["status"]["loadBalancer"]["ingress"]) { if !$0["ip"].isNull { set(&$0, "ipMode", "VIP") } }
      }
    }
    value["spec"] = spec
  }

  private static func pod(_ value: inout Value) {
    for list in ["containers", "initContainers"] where !value["spec"][list].isNull {
      each(&value["spec"][list]) { container in
        guard let limits = container["resources"]["limits"].object else { return }
        for limit in limits.members { set(&container["resources"]["requests"], limit.key, limit.value) }
      }
    }
    set(&value["spec"], "enableServiceLinks", true)
  }

  private static func limitRange(_ value: inout Value) {
    guard value["type"].string == "Container" else { return }
    for limit in value["max"].object?.members ?? [] { set(&value["default"], limit.key, limit.value) }
    for (source) in ["default", "min"] {
      for limit in value[source].object?.members ?? [] { set(&value["defaultRequest"], limit.key, limit.value) }
    }
  }

  private static func statefulSet(_ value: inout Value) {
    let strategy = value["spec"]["updateStrategy"]
    if strategy["type"].isNull {
      value["spec"]["updateStrategy"]["type"] = "RollingUpdate"
      set(&value["spec"]["updateStrategy"], "rollingUpdate", .emptyObject)
    }
    if value["spec"]["updateStrategy"]["type"].string == "RollingUpdate", !value["spec"]["updateStrategy"]["rollingUpdate"].isNull {
      set(&value["spec"]["updateStrategy"]["rollingUpdate"], "partition", 0)
    }
  }

  private static func job(_ value: inout Value) {
    let spec = value["spec"]
    if spec["completions"].isNull, spec["parallelism"].isNull { value["spec"]["completions"] = 1 }
    set(&value["spec"], "parallelism", 1)
    set(&value["spec"], "backoffLimit", spec["backoffLimitPerIndex"].isNull ? 6 : 2_147_483_647)
    let labels = spec["template"]["metadata"]["labels"]
    if value["metadata"]["labels"].object?.isEmpty != false, labels.object?.isEmpty == false {
      value["metadata"]["labels"] = labels
    }
    set(&value["spec"], "podReplacementPolicy", spec["podFailurePolicy"].isNull ? "TerminatingOrFailed" : "Failed")
  }

  private static func autoscaler(_ value: inout Value) {
    guard !value["spec"]["behavior"].isNull else { return }
    let policies: Value = [["type": "Percent", "value": 100, "periodSeconds": 15]]
    let up: [(String, Value)] = [
      ("stabilizationWindowSeconds", 0), ("selectPolicy", "Max"),
      ("policies", [["type": "Pods", "value": 4, "periodSeconds": 15], ["type": "Percent", "value": 100, "periodSeconds": 15]]),
    ]
    for (key, new) in up { set(&value["spec"]["behavior"]["scaleUp"], key, new) }
    for (key, new) in [("selectPolicy", "Max"), ("policies", policies)] as [(String, Value)] {
      set(&value["spec"]["behavior"]["scaleDown"], key, new)
    }
  }
}

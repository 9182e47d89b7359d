import Wire

/// What a service gets: most of it depends on the service's type.
enum ServiceDefaults {
  static func apply(to service: inout Object) {
    var isLoadBalancer = false
    service.modify("spec", making: true) { spec in
      spec.setDefault("sessionAffinity", "None")
      switch spec.text("sessionAffinity") {
      case "None": spec["sessionAffinityConfig"] = nil
      case "ClientIP":
        if spec.object("sessionAffinityConfig")?.object("clientIP")?.isPresent("timeoutSeconds") != true {
          spec["sessionAffinityConfig"] = ["clientIP": ["timeoutSeconds": 10800]]
        }
      default: break
      }
      spec.setDefault("type", "ClusterIP")
      spec.modifyEach("ports") { port in
        port.setDefault("protocol", "TCP")
        let target = port["targetPort"] ?? .null
        if target.isNull || target.int == 0 || target.string == "", let number = port["port"] { port["targetPort"] = number }
      }
      let type = spec.text("type")
      isLoadBalancer = type == "LoadBalancer"
      if type == "NodePort" || isLoadBalancer || type == "ClusterIP" && !spec.isEmpty("externalIPs") {
        spec.setDefault("externalTrafficPolicy", "Cluster")
      }
      if ["ClusterIP", "NodePort", "LoadBalancer"].contains(type) { spec.setDefault("internalTrafficPolicy", "Cluster") }
      if isLoadBalancer { spec.setDefault("allocateLoadBalancerNodePorts", true) }
    }
    guard isLoadBalancer else { return }
    service.modify("status") { status in
      status.modify("loadBalancer") { $0.modifyEach("ingress") { if $0.isPresent("ip") { $0.setDefault("ipMode", "VIP") } } }
    }
  }
}

import Wire

/// Rows of services, ingresses and endpoints.
enum NetworkCells {
  static func evaluate(_ rule: String, _ cell: Value, _ view: JSONView) -> String {
    let spec = view["spec"]
    switch rule {
    case "servicePorts":
      let ports = spec["ports"].map { port in
        let number = "\(port["port"].int ?? 0)"
        let proto = port["protocol"].string ?? "TCP"
        return port["nodePort"].int.map { "\(number):\($0)/\(proto)" } ?? "\(number)/\(proto)"
      }
      return ports.isEmpty ? "<none>" : ports.joined(separator: ",")
    case "serviceExternalIP":
      let external = spec["externalIPs"].compactMap(\.string)
      switch spec["type"].string {
      case "ClusterIP", "NodePort": return external.isEmpty ? "<none>" : external.joined(separator: ",")
      case "LoadBalancer":
        let all = addresses(view["status"]["loadBalancer"]["ingress"]) + external
        return all.isEmpty ? "<pending>" : all.joined(separator: ",")
      case "ExternalName": return spec["externalName"].string ?? ""
      default: return "<unknown>"
      }
    case "loadBalancer": return addresses(view.at(path: cell["path"].string ?? "")).joined(separator: ",")
    case "ingressHosts":
      let hosts = spec["rules"].compactMap { $0["host"].string }.filter { !$0.isEmpty }
      if hosts.isEmpty { return "*" }
      let rules = spec["rules"].count
      return hosts.prefix(3).joined(separator: ",") + (hosts.count >= 3 && rules > 3 ? " + \(rules - 3) more..." : "")
    case "ingressPorts": return spec["tls"].count > 0 ? "80, 443" : "80"
    case "ingressClassParameters":
      let parameters = spec["parameters"]
      guard let kind = parameters["kind"].string else { return "<none>" }
      return "\(kind)\(parameters["apiGroup"].string.map { ".\($0)" } ?? "")/\(parameters["name"].string ?? "")"
    case "endpoints": return endpoints(view)
    case "apiServiceTarget":
      let service = spec["service"]
      return service.isNull ? "Local" : "\(service["namespace"].string ?? "")/\(service["name"].string ?? "")"
    case "apiServiceAvailable":
      guard let condition = CellRules.condition(view, "Available") else { return "Unknown" }
      let status = condition["status"].string ?? "Unknown"
      guard status != "True", let reason = condition["reason"].string else { return status }
      return "\(status) (\(reason))"
    default: return ""
    }
  }

  private static func addresses(_ ingress: JSONView) -> [String] {
    Set(ingress.compactMap { $0["ip"].string.flatMap { $0.isEmpty ? nil : $0 } ?? $0["hostname"].string }).sorted()
  }

  private static func endpoints(_ view: JSONView) -> String {
    var all: [String] = []
    view["subsets"].forEach { subset in
      let ips = subset["addresses"].compactMap { $0["ip"].string }
      let ports = subset["ports"].compactMap { $0["port"].int }
      if ports.isEmpty { all += ips }
      for port in ports { all += ips.map { "\($0):\(port)" } }
    }
    if all.isEmpty { return "<none>" }
    return all.prefix(3).joined(separator: ",") + (all.count > 3 ? " + \(all.count - 3) more..." : "")
  }
}

enum NodeCells {
  static func evaluate(_ rule: String, _ cell: Value, _ view: JSONView) -> String {
    switch rule {
    case "nodeStatus":
      let ready = CellRules.condition(view, "Ready").map { $0["status"].equals("True") ? "Ready" : "NotReady" } ?? "Unknown"
      return view["spec"]["unschedulable"].bool == true ? "\(ready),SchedulingDisabled" : ready
    case "nodeRoles":
      var roles: Set<String> = []
      for (key, value) in view["metadata"]["labels"].stringMap {
        if key.hasPrefix("node-role.kubernetes.io/") {
          let role = key.dropFirst("node-role.kubernetes.io/".count)
          if !role.isEmpty { roles.insert(String(role)) }
        } else if key == "kubernetes.io/role", !value.isEmpty {
          roles.insert(value)
        }
      }
      return roles.isEmpty ? "<none>" : roles.sorted().joined(separator: ",")
    default:
      var address = "<none>"
      view["status"]["addresses"].forEach { entry in
        if address == "<none>", entry["type"].string == cell["type"].string { address = entry["address"].string ?? "<none>" }
      }
      return address
    }
  }
}

enum EventCells {
  static func evaluate(_ rule: String, _ cell: Value, _ view: JSONView, now: Timestamp) -> Value {
    func age(_ views: JSONView...) -> Value {
      for view in views {
        if let time = view.string.flatMap({ Timestamp($0) }) {
          return .string(HumanDuration.text(seconds: now.seconds - time.seconds))
        }
      }
      return "<unknown>"
    }
    let first = view["firstTimestamp"].isNull ? view["deprecatedFirstTimestamp"] : view["firstTimestamp"]
    switch rule {
    case "eventLastSeen":
      let last = view["lastTimestamp"].isNull ? view["deprecatedLastTimestamp"] : view["lastTimestamp"]
      return age(view["series"]["lastObservedTime"], last, first, view["eventTime"])
    case "eventFirstSeen": return age(first, view["eventTime"])
    case "eventCount":
      let count = view["series"]["count"].int ?? view["count"].int ?? view["deprecatedCount"].int ?? 0
      return .int(max(1, count))
    case "eventObject":
      let object = view.at(path: cell["path"].string ?? "")
      let kind = (object["kind"].string ?? "").lowercased()
      return .string(object["name"].string.map { "\(kind)/\($0)" } ?? kind)
    default:
      let source = view.at(path: cell["path"].string ?? "")
      let component = source["component"].string ?? view["reportingComponent"].string ?? view["reportingController"].string ?? ""
      let host = source["host"].string ?? view["reportingInstance"].string ?? ""
      return .string(host.isEmpty ? component : "\(component), \(host)")
    }
  }
}

enum JobCells {
  static func evaluate(_ rule: String, _ view: JSONView, now: Timestamp) -> String {
    let status = view["status"]
    switch rule {
    case "jobStatus":
      func holds(_ type: String) -> Bool { CellRules.condition(view, type)?["status"].equals("True") == true }
      if holds("Complete") { return "Complete" }
      if holds("Failed") { return "Failed" }
      if !view["metadata"]["deletionTimestamp"].isNull { return "Terminating" }
      for type in ["Suspended", "FailureTarget", "SuccessCriteriaMet"] where holds(type) { return type }
      return "Running"
    case "jobCompletions":
      let succeeded = status["succeeded"].int ?? 0
      if let completions = view["spec"]["completions"].int { return "\(succeeded)/\(completions)" }
      let parallelism = view["spec"]["parallelism"].int ?? 0
      return parallelism > 1 ? "\(succeeded)/1 of \(parallelism)" : "\(succeeded)/1"
    default:
      guard let start = status["startTime"].string.flatMap({ Timestamp($0) }) else { return "" }
      let end = status["completionTime"].string.flatMap { Timestamp($0) } ?? now
      return HumanDuration.text(seconds: end.seconds - start.seconds)
    }
  }
}

enum AutoscalerCells {
  static func targets(_ view: JSONView) -> String {
    var texts: [String] = []
    let current = view["status"]["currentMetrics"].map { $0 }
    view["spec"]["metrics"].forEach { metric in
      let status = texts.count < current.count ? current[texts.count] : nil
      texts.append(text(metric, status))
    }
    if let target = view["spec"]["targetCPUUtilizationPercentage"].int {
      let now = view["status"]["currentCPUUtilizationPercentage"].int.map { "\($0)%" } ?? "<unknown>"
      texts.append("cpu: \(now)/\(target)%")
    }
    if texts.isEmpty { return "<none>" }
    return texts.prefix(2).joined(separator: ", ") + (texts.count > 2 ? " + \(texts.count - 2) more..." : "")
  }

  private static func text(_ metric: JSONView, _ status: JSONView?) -> String {
    switch metric["type"].string {
    case "External", "Object":
      let key = metric["type"].equals("External") ? metric["external"] : metric["object"]
      let now = metric["type"].equals("External") ? status?["external"]["current"] : status?["object"]["current"]
      if let average = key["target"]["averageValue"].string {
        return "\(now?["averageValue"].string ?? "<unknown>")/\(average) (avg)"
      }
      return "\(now?["value"].string ?? "<unknown>")/\(key["target"]["value"].string ?? "<auto>")"
    case "Pods":
      return
        "\(status?["pods"]["current"]["averageValue"].string ?? "<unknown>")/\(metric["pods"]["target"]["averageValue"].string ?? "<auto>")"
    default:
      let isContainer = metric["type"].equals("ContainerResource")
      let source = isContainer ? metric["containerResource"] : metric["resource"]
      let now = isContainer ? status?["containerResource"]["current"] : status?["resource"]["current"]
      let name = source["name"].string ?? ""
      if let average = source["target"]["averageValue"].string {
        return "\(name): \(now?["averageValue"].string ?? "<unknown>")/\(average)"
      }
      let target = source["target"]["averageUtilization"].int.map { "\($0)%" } ?? "<auto>"
      return "\(name): \(now?["averageUtilization"].int.map { "\($0)%" } ?? "<unknown>")/\(target)"
    }
  }
}

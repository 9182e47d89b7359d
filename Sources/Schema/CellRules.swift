import Wire

/// Cells that need more than a path, by the names of the column table.
enum CellRules {
  static func evaluate(_ rule: String, _ cell: Value, _ view: JSONView, now: Timestamp) -> Value {
    let path = cell["path"].string ?? ""
    let at = view.at(path: path)
    switch rule {
    case "podReady": return .string(PodCells(view).ready)
    case "podStatus": return .string(PodCells(view).status)
    case "podRestarts": return .string(PodCells(view).restarts(now: now))
    case "podReadinessGates": return .string(readinessGates(view))
    case "boolText": return .string(at.bool.map { $0 ? "True" : "False" } ?? "<unset>")
    case "quantity":
      if let only = cell["onlyIf"].string, view.at(path: only).string ?? "" == "" { return "" }
      return at.isNull ? (cell["absent"].isNull ? "0" : cell["absent"]) : .string(at.string ?? "0")
    case "labelMap": return .string(labels(at.stringMap))
    case "labelSelector":
      let text = selector(at)
      return .string(text.isEmpty ? cell["empty"].string ?? "<none>" : text)
    case "containerNames": return .string(at.compactMap { $0["name"].string }.joined(separator: ","))
    case "containerImages": return .string(at.compactMap { $0["image"].string }.joined(separator: ","))
    case "ratio":
      return .string("\(view.at(path: cell["of"].string ?? "").int ?? 0)/\(view.at(path: cell["to"].string ?? "").int ?? 0)")
    case "kindName": return .string("\(at["kind"].string ?? "")/\(at["name"].string ?? "")")
    case "trimmed": return .string(String(at.string ?? "").trimmingSpace)
    case "joined": return joined(cell, view)
    case "firstThree": return firstThree(cell, view)
    case "phaseOrTerminating":
      return .string(view["metadata"]["deletionTimestamp"].isNull ? view["status"]["phase"].string ?? "" : "Terminating")
    case "condition":
      let field = cell["field"].string ?? "status"
      return condition(view, cell["type"].string ?? "").flatMap { $0[dynamic: field].string.map { .string($0) } } ?? cell["absent"]
    case "accessModes":
      if let only = cell["onlyIf"].string, view.at(path: only).string ?? "" == "" { return "" }
      let modes = Set(at.compactMap(\.string))
      let order = [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")]
      return .string(order.filter { modes.contains($0.0) }.map(\.1).joined(separator: ","))
    case "storageClass":
      return .string(
        view["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].string ?? view["spec"]["storageClassName"].string
          ?? "")
    case "storageClassName":
      let annotations = view["metadata"]["annotations"].stringMap
      let isDefault = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"].contains {
        annotations[$0] == "true"
      }
      return .string((view["metadata"]["name"].string ?? "") + (isDefault ? " (default)" : ""))
    case "pvClaim":
      let claim = view["spec"]["claimRef"]
      return .string(claim.isNull ? "" : "\(claim["namespace"].string ?? "")/\(claim["name"].string ?? "")")
    case "subjects": return .string(subjects(view, kind: cell["kind"].string ?? ""))
    case "controllerOwner": return .string(controllerOwner(view))
    default: return other(rule, cell, view, now: now)
    }
  }

  private static func other(_ rule: String, _ cell: Value, _ view: JSONView, now: Timestamp) -> Value {
    switch rule {
    case "serviceExternalIP", "servicePorts", "loadBalancer", "ingressHosts", "ingressPorts", "endpoints", "ingressClassParameters",
      "apiServiceTarget",
      "apiServiceAvailable":
      return .string(NetworkCells.evaluate(rule, cell, view))
    case "nodeStatus", "nodeRoles", "nodeAddress": return .string(NodeCells.evaluate(rule, cell, view))
    case "eventLastSeen", "eventFirstSeen", "eventCount", "eventObject", "eventSource":
      return EventCells.evaluate(rule, cell, view, now: now)
    case "jobStatus", "jobCompletions", "jobDuration": return .string(JobCells.evaluate(rule, view, now: now))
    case "quota": return .string(quota(view, limits: cell["limits"].bool ?? false))
    case "csrCondition": return .string(certificateCondition(view))
    case "hpaTargets": return .string(AutoscalerCells.targets(view))
    case "componentHealthy":
      return .string(condition(view, "Healthy").map { $0["status"].equals("True") ? "Healthy" : "Unhealthy" } ?? "Unknown")
    case "componentCondition": return .string(condition(view, "Healthy")?[dynamic: cell["path"].string ?? ""].string ?? "")
    case "paramKind":
      let kind = view["spec"]["paramKind"]
      return .string(kind.isNull ? "<unset>" : "\(kind["apiVersion"].string ?? "")/\(kind["kind"].string ?? "")")
    case "paramRef":
      let reference = view["spec"]["paramRef"]
      guard let name = reference["name"].string else { return "<unset>" }
      return .string("\(reference["namespace"].string ?? "*")/\(name)")
    case "claimState":
      var words: [String] = []
      let isDeleted = !view["metadata"]["deletionTimestamp"].isNull
      if isDeleted { words.append("deleted") }
      if view["status"]["allocation"].isNull {
        if !isDeleted { words.append("pending") }
      } else {
        words.append("allocated")
        if view["status"]["reservedFor"].count > 0 { words.append("reserved") }
      }
      return .string(words.joined(separator: ","))
    case "parentRef":
      let parent = view["spec"]["parentRef"]
      guard let resource = parent["resource"].string else { return "<none>" }
      let group = parent["group"].string ?? ""
      let parts = [
        group.isEmpty ? resource : "\(resource).\(group)", parent["namespace"].string ?? "", parent["name"].string ?? "",
      ]
      return .string(parts.filter { !$0.isEmpty }.joined(separator: "/").lowercased())
    default: return ""
    }
  }

  static func condition(_ view: JSONView, _ type: String) -> JSONView? {
    var found: JSONView?
    view["status"]["conditions"].forEach { if $0["type"].string == type { found = $0 } }
    return found
  }

  static func labels(_ map: [String: String]) -> String {
    map.isEmpty ? "<none>" : map.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
  }

  private static func selector(_ view: JSONView) -> String {
    var parts = view["matchLabels"].stringMap.map { (key: $0.key, text: "\($0.key)=\($0.value)") }
    view["matchExpressions"].forEach { expression in
      let key = expression["key"].string ?? ""
      let values = expression["values"].compactMap(\.string).sorted().joined(separator: ",")
      switch expression["operator"].string {
      case "In": parts.append((key, "\(key) in (\(values))"))
      case "NotIn": parts.append((key, "\(key) notin (\(values))"))
      case "Exists": parts.append((key, key))
      case "DoesNotExist": parts.append((key, "!\(key)"))
      default: break
      }
    }
    return parts.sorted { $0.key < $1.key }.map(\.text).joined(separator: ",")
  }

  private static func readinessGates(_ view: JSONView) -> String {
    let gates = view["spec"]["readinessGates"].compactMap { $0["conditionType"].string }
    if gates.isEmpty { return "<none>" }
    return "\(gates.filter { condition(view, $0)?["status"].equals("True") == true }.count)/\(gates.count)"
  }

  /// The strings under a path with `[*]` in it.
  private static func strings(_ view: JSONView, _ path: String) -> [String] {
    var views = [view]
    for part in path.split(separator: ".") {
      let isList = part.hasSuffix("[*]")
      let name = String(isList ? part.dropLast(3) : part)
      views = views.flatMap { view -> [JSONView] in
        let member = view[dynamic: name]
        return isList || member.isArray ? member.map { $0 } : member.isNull ? [] : [member]
      }
    }
    return views.map { $0.string ?? $0.value.json }
  }

  private static func joined(_ cell: Value, _ view: JSONView) -> Value {
    let values = (cell["of"].string ?? "").split(separator: ",").flatMap { strings(view, String($0).trimmingSpace) }.filter {
      !$0.isEmpty
    }
    return values.isEmpty && !cell["absent"].isNull ? cell["absent"] : .string(values.joined(separator: cell["sep"].string ?? ","))
  }

  private static func firstThree(_ cell: Value, _ view: JSONView) -> Value {
    let of = cell["of"].string ?? ""
    let values =
      of == "ports"
      ? view["ports"].map { port in
        port["port"].int.map { String($0) } ?? (port["name"].string.flatMap { $0.isEmpty ? nil : $0 } ?? "*")
      } : strings(view, of)
    if values.isEmpty { return "<unset>" }
    return .string(values.prefix(3).joined(separator: ",") + (values.count > 3 ? " + \(values.count - 3) more..." : ""))
  }

  private static func subjects(_ view: JSONView, kind: String) -> String {
    view["subjects"].compactMap { subject in
      guard subject["kind"].string == kind else { return nil }
      let name = subject["name"].string ?? ""
      return kind == "ServiceAccount" ? "\(subject["namespace"].string ?? "")/\(name)" : name
    }.joined(separator: ", ")
  }

  private static func controllerOwner(_ view: JSONView) -> String {
    var text = "<none>"
    view["metadata"]["ownerReferences"].forEach { owner in
      guard owner["controller"].bool == true else { return }
      let kind = (owner["kind"].string ?? "").lowercased()
      let group = (owner["apiVersion"].string ?? "").split(separator: "/")
      text = group.count == 2 ? "\(kind).\(group[0])/\(owner["name"].string ?? "")" : "\(kind)/\(owner["name"].string ?? "")"
    }
    return text
  }

  private static func quota(_ view: JSONView, limits: Bool) -> String {
    var parts: [(name: String, text: String)] = []
    view["status"]["hard"].forEachMember { key, hard in
      guard let name = key.string, name.hasPrefix("limits.") == limits else { return }
      parts.append((name, "\(name): \(view["status"]["used"][dynamic: name].string ?? "0")/\(hard.string ?? "0")"))
    }
    return parts.sorted { $0.name < $1.name }.map(\.text).joined(separator: ", ")
  }

  private static func certificateCondition(_ view: JSONView) -> String {
    var text = condition(view, "Denied") != nil ? "Denied" : condition(view, "Approved") != nil ? "Approved" : "Pending"
    if condition(view, "Failed") != nil { text += ",Failed" }
    if view["status"]["certificate"].string?.isEmpty == false { text += ",Issued" }
    return text
  }
}

extension String {
  var trimmingSpace: String {
    var text = self[...]
    while text.first?.isWhitespace == true { text.removeFirst() }
    while text.last?.isWhitespace == true { text.removeLast() }
    return String(text)
  }
}

import Wire

extension SchemaTable {
  /// Brings a value of one kind into the form of another version of it. Both Events and both autoscalers have two forms; everything
  /// else stays as it is. Nothing is lost on the way there and back.
  package func convert(_ value: inout Value, from: ResourceKind, to: ResourceKind) {
    guard from.typeName != to.typeName, case .object(var object) = value else { return }
    value = .null
    switch (from.typeName, to.typeName) {
    case ("events/v1.Event", "core/v1.Event"): EventForms.toCore(&object)
    case ("core/v1.Event", "events/v1.Event"): EventForms.fromCore(&object)
    case ("autoscaling/v1.HorizontalPodAutoscaler", "autoscaling/v2.HorizontalPodAutoscaler"):
      AutoscalerForms.toV2(&object, table: self)
    case ("autoscaling/v2.HorizontalPodAutoscaler", "autoscaling/v1.HorizontalPodAutoscaler"): AutoscalerForms.toV1(&object)
    default: break
    }
    value = .object(object)
  }
}

/// The two forms of an event differ in names alone.
private enum EventForms {
  private static let names: [(core: String, events: String)] = [
    ("involvedObject", "regarding"), ("message", "note"), ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"), ("count", "deprecatedCount"), ("reportingComponent", "reportingController"),
  ]

  static func toCore(_ object: inout Object) {
    for i in object.members.indices {
      if let pair = names.first(where: { $0.events == object.members[i].key }) { object.members[i].key = pair.core }
    }
  }

  static func fromCore(_ object: inout Object) {
    for i in object.members.indices {
      if let pair = names.first(where: { $0.core == object.members[i].key }) { object.members[i].key = pair.events }
    }
  }
}

/// autoscaling/v1 knows one metric, the processor's use; everything else that v2 says travels in annotations.
private enum AutoscalerForms {
  private static let metrics = "autoscaling.alpha.kubernetes.io/metrics"
  private static let current = "autoscaling.alpha.kubernetes.io/current-metrics"
  private static let conditions = "autoscaling.alpha.kubernetes.io/conditions"
  private static let behavior = "autoscaling.alpha.kubernetes.io/behavior"

  static func toV2(_ object: inout Object, table: SchemaTable) {
    let annotations = object.object("metadata")?.object("annotations")
    func annotated(_ key: String) -> Value? {
      annotations?[key]?.string.flatMap { try? Value(json: $0) }
    }
    object.modify("spec") { spec in
      var list = (annotated(metrics)?.array ?? []).map { Metric.modern($0, source: "target") }
      if let target = spec["targetCPUUtilizationPercentage"] {
        spec["targetCPUUtilizationPercentage"] = nil
        list.insert(
          ["type": "Resource", "resource": ["name": "cpu", "target": ["type": "Utilization", "averageUtilization": target]]], at: 0)
      }
      if !list.isEmpty { spec["metrics"] = .array(list) }
      if let rules = annotated(behavior) { spec["behavior"] = rules }
    }
    object.modify("status") { status in
      var list = (annotated(current)?.array ?? []).map { Metric.modern($0, source: "current") }
      if let now = status["currentCPUUtilizationPercentage"] {
        status["currentCPUUtilizationPercentage"] = nil
        list.insert(["type": "Resource", "resource": ["name": "cpu", "current": ["averageUtilization": now]]], at: 0)
      }
      if !list.isEmpty { status["currentMetrics"] = .array(list) }
      if let found = annotated(conditions) { status["conditions"] = found }
    }
    object.modify("metadata") { metadata in
      metadata.modify("annotations") { map in for key in [metrics, current, conditions, behavior] { map[key] = nil } }
      if metadata.isEmpty("annotations") { metadata["annotations"] = nil }
    }
    // What came out of an annotation has been checked by nobody.
    var checked = Value.object(object)
    if let type = table.type(named: "autoscaling/v2.HorizontalPodAutoscaler"), (try? table.prune(&checked, type: type)) != nil,
      case .object(let pruned) = checked
    {
      object = pruned
    }
  }

  static func toV1(_ object: inout Object) {
    var annotations: [(String, Value)] = []
    object.modify("spec") { spec in
      var list = spec["metrics"]?.array ?? []
      spec["metrics"] = nil
      if let i = list.firstIndex(where: { isProcessor($0) && !$0["resource"]["target"]["averageUtilization"].isNull }) {
        spec["targetCPUUtilizationPercentage"] = list.remove(at: i)["resource"]["target"]["averageUtilization"]
      }
      if !list.isEmpty { annotations.append((metrics, .array(list.map { Metric.old($0, source: "target") }))) }
      if let rules = spec["behavior"] {
        spec["behavior"] = nil
        annotations.append((behavior, rules))
      }
    }
    object.modify("status") { status in
      var list = status["currentMetrics"]?.array ?? []
      status["currentMetrics"] = nil
      if let i = list.firstIndex(where: { isProcessor($0) && !$0["resource"]["current"]["averageUtilization"].isNull }) {
        status["currentCPUUtilizationPercentage"] = list.remove(at: i)["resource"]["current"]["averageUtilization"]
      }
      if !list.isEmpty { annotations.append((current, .array(list.map { Metric.old($0, source: "current") }))) }
      if let found = status["conditions"] {
        status["conditions"] = nil
        annotations.append((conditions, found))
      }
    }
    guard !annotations.isEmpty else { return }
    object.modify("metadata", making: true) { metadata in
      metadata.modify("annotations", making: true) { map in for (key, value) in annotations { map[key] = .string(value.json) } }
    }
  }

  private static func isProcessor(_ metric: Value) -> Bool {
    metric["type"].string == "Resource" && metric["resource"]["name"].string == "cpu"
  }

  /// One metric in the form of v2 and in that of v1's annotations, which has flat members with other names.
  private enum Metric {
    private static func member(_ type: String) -> String { type.prefix(1).lowercased() + type.dropFirst() }

    /// - Parameter source: `target` in spec, `current` in status.
    static func old(_ metric: Value, source: String) -> Value {
      let key = member(metric["type"].string ?? "")
      guard case .object(let inner) = metric[key] else { return metric }
      var out = Object()
      let values = inner[source] ?? .null
      let isResource = key == "resource" || key == "containerResource"
      for name in ["name", "container"] where isResource { out[name] = inner[name] }
      if !isResource {
        out["metricName"] = inner["metric"]?["name"]
        let selector = inner["metric"]?["selector"] ?? .null
        if !selector.isNull { out[key == "external" ? "metricSelector" : "selector"] = selector }
        if key == "object" { out["target"] = inner["describedObject"] }
      }
      let prefix = source == "target" ? "target" : "current"
      func put(_ name: String, _ value: Value) { if !value.isNull { out[name] = value } }
      put(prefix + "AverageUtilization", values["averageUtilization"])
      put(key == "object" ? "averageValue" : prefix + "AverageValue", values["averageValue"])
      if !isResource, key != "pods" { put(prefix + "Value", values["value"]) }
      return ["type": metric["type"], key: .object(out)]
    }

    static func modern(_ metric: Value, source: String) -> Value {
      let key = member(metric["type"].string ?? "")
      guard case .object(let inner) = metric[key] else { return metric }
      let prefix = source == "target" ? "target" : "current"
      var values = Object()
      func take(_ name: String, _ from: String, type: String) {
        guard let value = inner[from], !value.isNull else { return }
        values[name] = value
        if source == "target" { values.setDefault("type", .string(type)) }
      }
      take("averageUtilization", prefix + "AverageUtilization", type: "Utilization")
      take("averageValue", key == "object" ? "averageValue" : prefix + "AverageValue", type: "AverageValue")
      take("value", prefix + "Value", type: "Value")
      var out = Object()
      if key == "resource" || key == "containerResource" {
        for name in ["name", "container"] { out[name] = inner[name] }
      } else {
        var identity = Object()
        identity["name"] = inner["metricName"]
        identity["selector"] = inner["metricSelector"] ?? inner["selector"]
        out["metric"] = .object(identity)
        if key == "object" { out["describedObject"] = inner["target"] }
      }
      out[source] = .object(values)
      return ["type": metric["type"], key: .object(out)]
    }
  }
}

import Wire

extension Validator {
  func mutableOnly(_ rule: ValidationRule, _ value: Value, _ old: Value, base: Int) {
    guard oldRoot != nil else { return }
    var (new, before) = (value, old)
    for field in rule.fields {
      if let isFree = MutableFields.isFree(kind.typeName, field.text, new: value, old: old, oldRoot: oldRoot ?? .null), !isFree {
        continue
      }
      new.remove(at: field.nodes[...])
      before.remove(at: field.nodes[...])
    }
    if kind.typeName == "core/v1.Pod" {
      if !old["schedulingGates"].isZero { MutableFields.allowDirecting(&new, &before) }
      if operation == .subresource("resize") {
        let (initNew, initOld) = (MutableFields.withoutSidecarAmounts(new), MutableFields.withoutSidecarAmounts(before))
        if MutableFields.initResources(initNew) != MutableFields.initResources(initOld) {
          return report(rule, base: base, nil, "resources for non-sidecar init containers are immutable")
        }
        (new, before) = (initNew, initOld)
      }
    }
    if !Self.isSame(new, before) { report(rule, base: base, nil) }
  }

  /// Whether the rule keeps the template of a job that is suspended and never started: where its pods go may still change.
  func isUnstartedTemplate(_ rule: ValidationRule) -> Bool {
    guard kind.typeName == "batch/v1.Job", rule.path.text == "spec.template", let oldRoot else { return false }
    return oldRoot["spec"]["suspend"].bool == true && oldRoot["status"]["startTime"].isNull
  }
}

/// Fields that may change only sometimes, of rules that name the fields that may.
enum MutableFields {
  /// - Returns: nil where the field may always change.
  static func isFree(_ type: String, _ field: String, new: Value, old: Value, oldRoot: Value) -> Bool? {
    switch (type, field) {
    case ("core/v1.Pod", "terminationGracePeriodSeconds"):
      (old["terminationGracePeriodSeconds"].int ?? 0) < 0 && new["terminationGracePeriodSeconds"].int == 1
    case ("core/v1.PersistentVolumeClaim", "volumeName"): old["volumeName"].isZero
    case ("core/v1.PersistentVolumeClaim", "storageClassName"): old["storageClassName"].isNull
    case ("core/v1.PersistentVolumeClaim", _): oldRoot["status"]["phase"].string == "Bound"
    default: nil
    }
  }

  private static let nodeSelector = RulePath("nodeSelector")
  private static let nodeAffinity = RulePath("affinity.nodeAffinity")
  private static let amounts = ["requests.cpu", "requests.memory", "limits.cpu", "limits.memory"].map {
    RulePath("resources.\($0)")
  }

  /// While a pod is gated it may be directed to nodes; other rules say how. Terms that are required may not be taken away.
  static func allowDirecting(_ new: inout Value, _ old: inout Value) {
    let terms = { (spec: Value) in
      spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    }
    if !terms(old).isZero, terms(new).isZero { return }
    for path in [nodeSelector, nodeAffinity] {
      new.remove(at: path.nodes[...])
      old.remove(at: path.nodes[...])
    }
  }

  /// Sidecars are resized as containers are.
  static func withoutSidecarAmounts(_ spec: Value) -> Value {
    guard case .array(var containers) = spec["initContainers"] else { return spec }
    for i in containers.indices where containers[i]["restartPolicy"].string == "Always" {
      for path in amounts { containers[i].remove(at: path.nodes[...]) }
    }
    var spec = spec
    spec["initContainers"] = .array(containers)
    return spec
  }

  static func initResources(_ spec: Value) -> [Value] {
    (spec["initContainers"].array ?? []).map { $0["restartPolicy"].string == "Always" ? .null : $0["resources"] }
  }
}

extension Value {
  private static let scheduling = [
    "metadata.labels", "metadata.annotations", "spec.nodeSelector", "spec.tolerations", "spec.schedulingGates",
    "spec.affinity.nodeAffinity",
  ].map { RulePath($0) }

  /// A template of pods without what says where they go.
  var withoutScheduling: Value {
    var template = self
    for path in Self.scheduling { template.remove(at: path.nodes[...]) }
    return template
  }
}

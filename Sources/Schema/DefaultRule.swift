import Wire

/// Defaults that need a condition or a computation, by the type they belong to. All others are rows of the table.
enum DefaultRule: String {
  case volume = "core/v1.Volume"
  case container = "core/v1.Container"
  case ephemeralContainer = "core/v1.EphemeralContainer"
  case imageVolume = "core/v1.ImageVolumeSource"
  case service = "core/v1.Service"
  case pod = "core/v1.Pod"
  case namespace = "core/v1.Namespace"
  case nodeStatus = "core/v1.NodeStatus"
  case limitRangeItem = "core/v1.LimitRangeItem"
  case endpoints = "core/v1.Endpoints"
  case replicationController = "core/v1.ReplicationController"
  case deployment = "apps/v1.Deployment"
  case daemonSet = "apps/v1.DaemonSet"
  case statefulSet = "apps/v1.StatefulSet"
  case job = "batch/v1.Job"
  case networkPolicy = "networking/v1.NetworkPolicy"
  case ingressClass = "networking/v1.IngressClass"
  case subject = "rbac/v1.Subject"
  case autoscaler = "autoscaling/v2.HorizontalPodAutoscaler"
  case customResourceDefinition = "apiextensions/v1.CustomResourceDefinition"
  case exactDeviceRequest = "resource/v1.ExactDeviceRequest"
  case deviceSubRequest = "resource/v1.DeviceSubRequest"
  case deviceTaint = "resource/v1.DeviceTaint"

  func apply(to object: inout Object, now: Timestamp?) {
    switch self {
    case .volume:
      // Its name alone: a volume without a source is an emptyDir.
      if !object.members.contains(where: { $0.key != "name" && !$0.value.isNull }) { object.setDefault("emptyDir", .emptyObject) }
    case .container, .ephemeralContainer:
      object.setDefault("imagePullPolicy", .string(Self.pullPolicy(object.text("image"))))
      object.setDefault("terminationMessagePath", "/dev/termination-log")
      object.setDefault("terminationMessagePolicy", "File")
    case .imageVolume: object.setDefault("pullPolicy", .string(Self.pullPolicy(object.text("reference"))))
    case .service: ServiceDefaults.apply(to: &object)
    case .pod: PodDefaults.apply(to: &object)
    case .namespace:
      let name = object.object("metadata")?.text("name") ?? ""
      guard !name.isEmpty else { return }
      object.modify("metadata") { $0.modify("labels", making: true) { $0["kubernetes.io/metadata.name"] = .string(name) } }
    case .nodeStatus: if let capacity = object["capacity"], !capacity.isNull { object.setDefault("allocatable", capacity) }
    case .limitRangeItem: Self.limitRange(&object)
    case .endpoints: object.modifyEach("subsets") { $0.modifyEach("ports") { $0.setDefault("protocol", "TCP") } }
    case .replicationController:
      guard let labels = Self.templateLabels(object) else { return }
      if object.object("spec")?.isEmpty("selector") == true { object.modify("spec") { $0["selector"] = labels } }
      Self.label(&object, labels)
    case .deployment: Self.rollingUpdate(&object, "strategy", [("maxUnavailable", "25%"), ("maxSurge", "25%")])
    case .daemonSet: Self.rollingUpdate(&object, "updateStrategy", [("maxUnavailable", 1), ("maxSurge", 0)])
    case .statefulSet: Self.statefulSet(&object)
    case .job: Self.job(&object)
    case .networkPolicy:
      object.modify("spec", making: true) { spec in
        guard spec.isEmpty("policyTypes") else { return }
        spec["policyTypes"] = spec.isEmpty("egress") ? ["Ingress"] : ["Ingress", "Egress"]
      }
    case .ingressClass: object.modify("spec") { $0.modify("parameters") { $0.setDefault("scope", "Cluster") } }
    case .subject:
      if ["User", "Group"].contains(object.text("kind")) { object.setDefault("apiGroup", "rbac.authorization.k8s.io") }
    case .autoscaler: Self.autoscaler(&object)
    case .customResourceDefinition: Self.definition(&object)
    case .exactDeviceRequest, .deviceSubRequest:
      if object.text("allocationMode") == "ExactCount" { object.setDefault("count", 1) }
    case .deviceTaint: if let now { object.setDefault("timeAdded", .string(now.description)) }
    }
  }

  /// Always where the image's tag is latest or there is neither tag nor digest.
  static func pullPolicy(_ image: String) -> String {
    if image.utf8.contains(UInt8(ascii: "@")) { return "IfNotPresent" }
    let name = image.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).last ?? image.utf8[...]
    guard let colon = name.firstIndex(of: UInt8(ascii: ":")) else { return "Always" }
    return name[name.index(after: colon)...].elementsEqual("latest".utf8) ? "Always" : "IfNotPresent"
  }

  /// The labels of `spec.template`, nil where there are none.
  private static func templateLabels(_ object: Object) -> Value? {
    let labels = object.object("spec")?.object("template")?.object("metadata")?["labels"]
    return labels.flatMap { $0.isNull || $0.isEmptyContainer ? nil : $0 }
  }

  private static func label(_ object: inout Object, _ labels: Value) {
    object.modify("metadata", making: true) { if $0.isEmpty("labels") { $0["labels"] = labels } }
  }

  private static func rollingUpdate(_ object: inout Object, _ key: String, _ defaults: [(String, Value)]) {
    object.modify("spec", making: true) { spec in
      spec.modify(key, making: true) { strategy in
        guard strategy.text("type") == "RollingUpdate" else { return }
        strategy.modify("rollingUpdate", making: true) { rolling in
          for (key, value) in defaults { rolling.setDefault(key, value) }
        }
      }
    }
  }

  private static func statefulSet(_ object: inout Object) {
    object.modify("spec", making: true) { spec in
      spec.modify("updateStrategy", making: true) { strategy in
        if strategy.text("type").isEmpty {
          strategy["type"] = "RollingUpdate"
          strategy.setDefault("rollingUpdate", .emptyObject)
        }
        guard strategy.text("type") == "RollingUpdate" else { return }
        strategy.modify("rollingUpdate") { $0.setDefault("partition", 0) }
      }
      // Upstream's conversion names the kind of every claim template.
      spec.modifyEach("volumeClaimTemplates") {
        $0["kind"] = "PersistentVolumeClaim"
        $0["apiVersion"] = "v1"
      }
    }
  }

  private static func job(_ object: inout Object) {
    object.modify("spec", making: true) { spec in
      if !spec.isPresent("completions"), !spec.isPresent("parallelism") { spec.setDefault("completions", 1) }
      spec.setDefault("parallelism", 1)
      spec.setDefault("backoffLimit", spec.isPresent("backoffLimitPerIndex") ? 2_147_483_647 : 6)
      spec.setDefault("podReplacementPolicy", spec.isPresent("podFailurePolicy") ? "Failed" : "TerminatingOrFailed")
    }
    if let labels = templateLabels(object) { label(&object, labels) }
  }

  private static func limitRange(_ object: inout Object) {
    guard object.text("type") == "Container" else { return }
    func copy(from source: String, to target: String) {
      guard let limits = object.object(source), !limits.isEmpty else { return }
      object.modify(target, making: true) { $0.fill(from: limits.members) }
    }
    copy(from: "max", to: "default")
    copy(from: "default", to: "defaultRequest")
    copy(from: "min", to: "defaultRequest")
  }

  private static func autoscaler(_ object: inout Object) {
    let percent: Value = ["type": "Percent", "value": 100, "periodSeconds": 15]
    object.modify("spec") { spec in
      spec.modify("behavior") { behavior in
        behavior.modify("scaleUp", making: true) { rules in
          rules.setDefault("stabilizationWindowSeconds", 0)
          rules.setDefault("selectPolicy", "Max")
          if rules.isEmpty("policies") { rules["policies"] = [["type": "Pods", "value": 4, "periodSeconds": 15], percent] }
        }
        behavior.modify("scaleDown", making: true) { rules in
          rules.setDefault("selectPolicy", "Max")
          if rules.isEmpty("policies") { rules["policies"] = [percent] }
        }
      }
    }
  }

  private static func definition(_ object: inout Object) {
    object.modify("spec") { spec in
      spec.modify("names") { names in
        let kind = names.text("kind")
        guard !kind.isEmpty else { return }
        names.setDefault("singular", .string(kind.lowercased()))
        names.setDefault("listKind", .string(kind + "List"))
      }
    }
    let stored = object.object("spec")?["versions"]?.array?.first { $0["storage"].bool == true }?["name"].string
    guard let stored, object.object("status")?.isEmpty("storedVersions") ?? true else { return }
    object.modify("status", making: true) { $0["storedVersions"] = [.string(stored)] }
  }
}

import Client
import Wire

/// What controllers read of a Service.
struct ServiceView: Sendable {
  struct Port: Sendable, Hashable {
    var name: String
    var transport: String
    var port: Int64
    /// A number, or the name of a container's port; `port` where neither is given.
    var targetNumber: Int64?
    var targetName: String
    var appProtocol: String
  }
  var meta: Meta
  /// nil: endpoints are somebody else's.
  var selector: LabelSelector?
  var ports: [Port]
  var isHeadless: Bool
  var isExternalName: Bool
  var publishesNotReady: Bool
  var families: [String]

  init(_ object: EncodedObject) {
    self = object.withView { view in ServiceView(object, view) }
  }

  private init(_ object: EncodedObject, _ view: JSONView) {
    meta = Meta(object, view)
    let spec = view["spec"]
    let labels = spec["selector"].stringMap
    selector = labels.isEmpty ? nil : LabelSelector(labels: labels)
    ports = spec["ports"].map { port in
      Port(
        name: port["name"].string ?? "", transport: port["protocol"].string ?? "TCP", port: port["port"].int ?? 0,
        targetNumber: port["targetPort"].int, targetName: port["targetPort"].string ?? "", appProtocol: port["appProtocol"].string ?? "")
    }
    isHeadless = spec["clusterIP"].equals("None")
    isExternalName = spec["type"].equals("ExternalName")
    publishesNotReady = spec["publishNotReadyAddresses"].bool ?? false
    families = spec["ipFamilies"].compactMap(\.string)
    if families.isEmpty { families = ["IPv4"] }
  }
}

/// What controllers read of a Namespace.
struct NamespaceView: Sendable {
  var meta: Meta
  /// `spec.finalizers`, not the metadata's.
  var finalizers: [String]
  var isTerminating: Bool

  init(_ object: EncodedObject) {
    self = object.withView { view in
      NamespaceView(
        meta: Meta(object, view), finalizers: view["spec"]["finalizers"].compactMap(\.string),
        isTerminating: view["metadata"]["deletionTimestamp"].isPresent || view["status"]["phase"].equals("Terminating"))
    }
  }

  private init(meta: Meta, finalizers: [String], isTerminating: Bool) {
    self.meta = meta
    self.finalizers = finalizers
    self.isTerminating = isTerminating
  }
}

/// What controllers read of a Node.
struct NodeView: Sendable {
  struct Taint: Sendable, Hashable {
    var key: String
    var value: String
    var effect: String
    var added: String
  }
  struct Condition: Sendable, Hashable {
    var type: String
    var status: String
    /// Seconds since 1970.
    var heartbeat: Int64
  }
  var meta: Meta
  var isUnschedulable: Bool
  var podCIDRs: [String]
  var taints: [Taint]
  var conditions: [Condition]

  init(_ object: EncodedObject) {
    self = object.withView { view in NodeView(object, view) }
  }

  private init(_ object: EncodedObject, _ view: JSONView) {
    meta = Meta(object, view)
    let spec = view["spec"]
    isUnschedulable = spec["unschedulable"].bool ?? false
    podCIDRs = spec["podCIDRs"].compactMap(\.string)
    if podCIDRs.isEmpty, let block = spec["podCIDR"].string { podCIDRs = [block] }
    taints = spec["taints"].map { taint in
      Taint(
        key: taint["key"].string ?? "", value: taint["value"].string ?? "", effect: taint["effect"].string ?? "",
        added: taint["timeAdded"].string ?? "")
    }
    conditions = view["status"]["conditions"].map { condition in
      Condition(
        type: condition["type"].string ?? "", status: condition["status"].string ?? "Unknown",
        heartbeat: condition["lastHeartbeatTime"].string.flatMap(RFC3339.seconds) ?? 0)
    }
  }

  func condition(_ type: String) -> String? { conditions.first { $0.type == type }?.status }
}

import Client
import Wire

/// What controllers read of a Service.
package struct ServiceView: ObjectView {
  package struct Port: Sendable, Hashable {
    package var name: String
    package var transport: String
    package var port: Int64
    /// A number, or the name of a container's port; `port` where neither is given.
    package var targetNumber: Int64?
    package var targetName: String
    package var appProtocol: String
  }
  package var meta: Meta
  /// nil: endpoints are somebody else's.
  package var selector: LabelSelector?
  package var ports: [Port]
  package var isHeadless: Bool
  package var isExternalName: Bool
  package var publishesNotReady: Bool
  package var families: [String]

  package init(_ object: EncodedObject, _ view: JSONView) {
    meta = Meta(object, view)
    let spec = view["spec"]
    let labels = spec["selector"].stringMap
    selector = labels.isEmpty ? nil : LabelSelector(labels: labels)
    ports = spec["ports"].map { port in
      Port(
        name: port["name"].string ?? "", transport: port["protocol"].string ?? "TCP", port: port["port"].int ?? 0,
        targetNumber: port["targetPort"].int, targetName: port["targetPort"].string ?? "",
        appProtocol: port["appProtocol"].string ?? "")
    }
    isHeadless = spec["clusterIP"].equals("None")
    isExternalName = spec["type"].equals("ExternalName")
    publishesNotReady = spec["publishNotReadyAddresses"].bool ?? false
    families = spec["ipFamilies"].compactMap(\.string)
    if families.isEmpty { families = ["IPv4"] }
  }
}

/// What controllers read of a Namespace.
package struct NamespaceView: ObjectView {
  package var meta: Meta
  /// `spec.finalizers`, not the metadata's.
  package var finalizers: [String]
  package var isTerminating: Bool
  /// By type.
  package var conditions: [String: Condition]

  package struct Condition: Sendable, Equatable {
    package var status: String
    package var reason: String
    package var message: String
  }

  package init(_ object: EncodedObject, _ view: JSONView) {
    meta = Meta(object, view)
    finalizers = view["spec"]["finalizers"].compactMap(\.string)
    isTerminating = view["metadata"]["deletionTimestamp"].isPresent || view["status"]["phase"].equals("Terminating")
    var conditions: [String: Condition] = [:]
    view["status"]["conditions"].forEach { condition in
      conditions[condition["type"].string ?? ""] = Condition(
        status: condition["status"].string ?? "", reason: condition["reason"].string ?? "",
        message: condition["message"].string ?? "")
    }
    self.conditions = conditions
  }
}

/// What controllers read of a Node.
package struct NodeView: ObjectView {
  package struct Taint: Sendable, Hashable {
    package var key: String
    package var value: String
    package var effect: String
    package var added: String
  }
  package struct Condition: Sendable, Hashable {
    package var type: String
    package var status: String
    /// Seconds since 1970.
    package var heartbeat: Int64
  }
  package var meta: Meta
  package var isUnschedulable: Bool
  package var podCIDRs: [String]
  package var taints: [Taint]
  package var conditions: [Condition]

  package init(_ object: EncodedObject, _ view: JSONView) {
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
        heartbeat: condition["lastHeartbeatTime"].string.flatMap { Timestamp($0)?.seconds } ?? 0)
    }
  }

  package func condition(_ type: String) -> String? { conditions.first { $0.type == type }?.status }
}

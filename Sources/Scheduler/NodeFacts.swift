import Wire

package struct Taint: Hashable, Sendable {
  package enum Effect: String, Sendable {
    case noSchedule = "NoSchedule"
    case preferNoSchedule = "PreferNoSchedule"
    case noExecute = "NoExecute"
  }
  package var key: String
  package var value: String
  package var effect: Effect

  package init(key: String, value: String = "", effect: Effect) {
    self.key = key
    self.value = value
    self.effect = effect
  }

  init?(_ view: JSONView) {
    guard let key = view["key"].string, let effect = view["effect"].string.flatMap(Effect.init) else { return nil }
    self.init(key: key, value: view["value"].string ?? "", effect: effect)
  }

  /// Whether the taint keeps a pod that does not tolerate it away.
  var refuses: Bool { effect != .preferNoSchedule }
}

/// What a placement reads of a Node.
package struct NodeFacts: Hashable, Sendable {
  package var name: String
  package var labels: [String: String]
  package var taints: [Taint]
  package var isUnschedulable: Bool
  package var allocatable: ResourceList

  package init(
    name: String, labels: [String: String] = [:], taints: [Taint] = [], isUnschedulable: Bool = false, allocatable: ResourceList
  ) {
    self.name = name
    self.labels = labels
    self.taints = taints
    self.isUnschedulable = isUnschedulable
    self.allocatable = allocatable
  }

  package init(_ object: EncodedObject) {
    self = object.withView { view in
      NodeFacts(
        name: object.key.name, labels: view["metadata"]["labels"].stringMap,
        taints: view["spec"]["taints"].compactMap { Taint($0) },
        isUnschedulable: view["spec"]["unschedulable"].bool ?? false,
        allocatable: ResourceList(view["status"][view["status"]["allocatable"].isPresent ? "allocatable" : "capacity"]))
    }
  }
}

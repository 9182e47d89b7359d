import Wire

/// What a whole pod gets, beyond what its parts get on their own.
enum PodDefaults {
  static func apply(to pod: inout Object) {
    pod.modify("spec", making: true) { spec in
      let isOnHostNetwork = spec["hostNetwork"]?.bool == true
      for list in ["containers", "initContainers"] {
        spec.modifyEach(list) { container in
          requestLimits(&container)
          guard isOnHostNetwork else { return }
          container.modifyEach("ports") { port in if let number = port["containerPort"] { port.setDefault("hostPort", number) } }
        }
      }
      spec.setDefault("enableServiceLinks", true)
      if spec.isPresent("resources") { podLevel(&spec) }
    }
  }

  /// A container requests at least what it is limited to, where it does not say otherwise.
  private static func requestLimits(_ container: inout Object) {
    container.modify("resources") { resources in
      guard let limits = resources.object("limits"), !limits.isEmpty else { return }
      resources.modify("requests", making: true) { $0.fill(from: limits.members) }
    }
  }

  // MARK: Resources of the pod as a whole

  private static func isPodLevel(_ resource: String) -> Bool {
    resource == "cpu" || resource == "memory" || resource.hasPrefix("hugepages-")
  }

  private static func podLevel(_ spec: inout Object) {
    guard let resources = spec.object("resources") else { return }
    let requested = total(spec, "requests")
    let limited = total(spec, "limits")
    spec.modify("resources") { own in
      if let limits = resources.object("limits"), !limits.isEmpty {
        var missing = requested.filter { isPodLevel($0.key) }
        for limit in limits.members where missing[limit.key] == nil && isPodLevel(limit.key) {
          missing[limit.key] = limit.value.quantity
        }
        fill(&own, "requests", missing)
      }
      let requests = Set(own.object("requests")?.keys ?? [])
      guard resources.isPresent("requests") || resources.isPresent("limits") else { return }
      fill(&own, "limits", limited.filter { $0.key.hasPrefix("hugepages-") && !requests.contains($0.key) })
    }
  }

  private static func fill(_ object: inout Object, _ key: String, _ missing: [String: Quantity]) {
    guard !missing.isEmpty else { return }
    object.modify(key, making: true) { map in
      map.fill(from: missing.sorted { $0.key < $1.key }.map { Object.Member(key: $0.key, value: .string($0.value.description)) })
    }
  }

  /// What the containers need together: the running ones and sidecars summed, or the largest moment of initialisation.
  private static func total(_ spec: Object, _ key: String) -> [String: Quantity] {
    func needs(_ container: Value) -> [(String, Quantity)] {
      (container["resources"][key].object?.members ?? []).compactMap { member in
        member.value.quantity.map { (member.key, $0) }
      }
    }
    var sum: [String: Quantity] = [:]
    for container in spec["containers"]?.array ?? [] {
      for (resource, quantity) in needs(container) { sum[resource] = sum[resource].map { $0 + quantity } ?? quantity }
    }
    var sidecars: [String: Quantity] = [:]
    var largest: [String: Quantity] = [:]
    for container in spec["initContainers"]?.array ?? [] {
      let isSidecar = container["restartPolicy"].string == "Always"
      for (resource, quantity) in needs(container) {
        let moment = sidecars[resource].map { $0 + quantity } ?? quantity
        if isSidecar {
          sidecars[resource] = moment
          sum[resource] = sum[resource].map { $0 + quantity } ?? quantity
        }
        largest[resource] = largest[resource].map { max($0, moment) } ?? moment
      }
    }
    for (resource, quantity) in largest { sum[resource] = sum[resource].map { max($0, quantity) } ?? quantity }
    return sum
  }
}

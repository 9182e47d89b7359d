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

  private static func podLevel(_ spec: inout Object) {
    guard let resources = spec.object("resources") else { return }
    let containers = Value.object(spec)
    let requested = PodResources.ofContainers(containers, "requests")
    let limited = PodResources.ofContainers(containers, "limits")
    spec.modify("resources") { own in
      if let limits = resources.object("limits"), !limits.isEmpty {
        var missing = requested.filter { PodResources.isPodLevel($0.key) }
        for limit in limits.members where missing[limit.key] == nil && PodResources.isPodLevel(limit.key) {
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
}

import Wire

/// What a pod asks for, or may use, as a whole. Source: upstream's component-helpers, PodRequests and PodLimits.
package enum PodResources {
  /// Resources that a pod may name for all of its containers together.
  static func isPodLevel(_ resource: String) -> Bool {
    resource == "cpu" || resource == "memory" || resource.hasPrefix("hugepages-")
  }

  /// - Parameters:
  ///   - section: `requests` or `limits`.
  ///   - overhead: whether what the pod's runtime costs counts.
  package static func total(_ spec: Value, _ section: String, overhead: Bool = true) -> [String: Quantity] {
    var total = ofContainers(spec, section)
    for (resource, quantity) in named(spec["resources"][section]) where isPodLevel(resource) { total[resource] = quantity }
    for (resource, quantity) in overhead ? named(spec["overhead"]) : [] {
      // No limit stays none.
      if let known = total[resource] {
        total[resource] = known + quantity
      } else if section == "requests" {
        total[resource] = quantity
      }
    }
    return total
  }

  /// The running ones and sidecars summed, or the largest moment of initialisation.
  package static func ofContainers(_ spec: Value, _ section: String) -> [String: Quantity] {
    var sum: [String: Quantity] = [:]
    for container in spec["containers"].array ?? [] {
      for (resource, quantity) in named(container["resources"][section]) {
        sum[resource] = sum[resource].map { $0 + quantity } ?? quantity
      }
    }
    var sidecars: [String: Quantity] = [:]
    var largest: [String: Quantity] = [:]
    for container in spec["initContainers"].array ?? [] {
      let isSidecar = container["restartPolicy"].string == "Always"
      for (resource, quantity) in named(container["resources"][section]) {
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

  private static func named(_ resources: Value) -> [(String, Quantity)] {
    (resources.object?.members ?? []).compactMap { member in member.value.quantity.map { (member.key, $0) } }
  }
}

import Cache
import Client
import Schema
import Wire

/// What a namespace's LimitRanges set and bound: containers, whole pods, and claims of storage.
///
/// Source: Kubernetes "Limit Ranges", with upstream's texts.
enum LimitRanger {
  private static let annotation = "kubernetes.io/limit-ranger"

  private static func limits(_ context: WriteContext) -> [Value] {
    var iterator = context.controlPlane.cache.resource(GroupResource(resource: "limitranges")).snapshot(revision: 0).tree.iterate(
      namespace: context.request.key.namespace)
    var limits: [Value] = []
    while let entry = iterator.next() { limits += entry.object.withView { $0["spec"]["limits"].map(\.value) } }
    return limits
  }

  // MARK: Defaults

  /// Containers without requests and limits get those of the namespace, and the pod is told which.
  static func admit(_ pod: inout Value, _ context: WriteContext) throws(APIError) {
    let limits = limits(context).filter { $0["type"] == "Container" }
    if limits.isEmpty { return }
    var notes: [String] = []
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
      guard var containers = pod["spec"][list].array else { continue }
      for i in containers.indices {
        for (kind, word, source) in [("requests", "request", "defaultRequest"), ("limits", "limit", "default")] {
          var set: [String] = []
          for limit in limits {
            for member in limit[source].object?.members ?? [] where containers[i]["resources"][kind][member.key].isNull {
              containers[i]["resources"][kind][member.key] = member.value
              set.append(member.key)
            }
          }
          if !set.isEmpty {
            notes.append("\(set.sorted().joined(separator: ", ")) \(word) for \(what) \(containers[i]["name"].string ?? "")")
          }
        }
      }
      pod["spec"][list] = .array(containers)
    }
    if !notes.isEmpty {
      pod["metadata"]["annotations"][annotation] = .string("LimitRanger plugin set: \(notes.joined(separator: "; "))")
    }
  }

  // MARK: Bounds

  static func check(_ object: Value, _ context: WriteContext) throws(APIError) {
    let faults: [String]
    switch context.kind.typeName {
    case "core/v1.Pod": faults = podFaults(object, limits(context))
    case "core/v1.PersistentVolumeClaim": faults = claimFaults(object, limits(context))
    default: return
    }
    guard !faults.isEmpty else { return }
    let resource = context.kind.gvr.groupResource
    let name = object["metadata"]["name"].string ?? ""
    let list = faults.count == 1 ? faults[0] : "[\(faults.joined(separator: ", "))]"
    throw APIError(.forbidden, resource, name, "\(resource) \"\(name)\" is forbidden: \(list)")
  }

  /// Pure: what of a pod is beyond its namespace's limits.
  static func podFaults(_ pod: Value, _ limits: [Value]) -> [String] {
    var faults: [String] = []
    let containers = pod["spec"]["containers"].array ?? []
    let initContainers = pod["spec"]["initContainers"].array ?? []
    for limit in limits {
      switch limit["type"].string {
      case "Container":
        for container in containers + initContainers {
          faults += bounds(limit, "Container", quantities(container, "requests"), quantities(container, "limits"))
        }
      case "Pod":
        faults += bounds(
          limit, "Pod", PodResources.total(pod["spec"], "requests", overhead: false),
          PodResources.total(pod["spec"], "limits", overhead: false))
      default: break
      }
    }
    var seen: Set<String> = []
    return faults.filter { seen.insert($0).inserted }
  }

  /// Pure: what of a claim is beyond its namespace's limits.
  static func claimFaults(_ claim: Value, _ limits: [Value]) -> [String] {
    let requests = quantities(claim["spec"], "requests")
    var faults: [String] = []
    for limit in limits where limit["type"] == "PersistentVolumeClaim" {
      for (name, bound) in sorted(limit["min"]) {
        guard let request = requests[name] else {
          faults.append("minimum \(name) usage per PersistentVolumeClaim is \(bound).  No request is specified")
          continue
        }
        if request < bound {
          faults.append("minimum \(name) usage per PersistentVolumeClaim is \(bound), but request is \(request)")
        }
      }
      for (name, bound) in sorted(limit["max"]) {
        guard let request = requests[name] else {
          faults.append("maximum \(name) usage per PersistentVolumeClaim is \(bound).  No request is specified")
          continue
        }
        if request > bound {
          faults.append("maximum \(name) usage per PersistentVolumeClaim is \(bound), but request is \(request)")
        }
      }
    }
    return faults
  }

  private static func bounds(_ limit: Value, _ what: String, _ requests: [String: Quantity], _ limits: [String: Quantity])
    -> [String]
  {
    var faults: [String] = []
    for (name, bound) in sorted(limit["min"]) {
      let text = "minimum \(name) usage per \(what) is \(bound)"
      guard let request = requests[name] else {
        faults.append("\(text).  No request is specified")
        continue
      }
      if request < bound {
        faults.append("\(text), but request is \(request)")
      } else if let given = limits[name], given < bound {
        faults.append("\(text), but limit is \(given)")
      }
    }
    for (name, bound) in sorted(limit["max"]) {
      let text = "maximum \(name) usage per \(what) is \(bound)"
      guard let given = limits[name] else {
        faults.append("\(text).  No limit is specified")
        continue
      }
      if given > bound {
        faults.append("\(text), but limit is \(given)")
      } else if let request = requests[name], request > bound {
        faults.append("\(text), but request is \(request)")
      }
    }
    for (name, bound) in sorted(limit["maxLimitRequestRatio"]) {
      let text = "\(name) max limit to request ratio per \(what) is \(bound)"
      guard let request = requests[name], request.nanos > 0 else {
        faults.append("\(text), but no request is specified or request is 0")
        continue
      }
      guard let given = limits[name], given.nanos > 0 else {
        faults.append("\(text), but no limit is specified or limit is 0")
        continue
      }
      let ratio = Double(given.nanos) / Double(request.nanos)
      if ratio > Double(bound.nanos) / 1e9 { faults.append("\(text), but provided ratio is \(sixDecimals(ratio))") }
    }
    return faults
  }

  /// As Go's `%f`.
  private static func sixDecimals(_ number: Double) -> String {
    let millionths = Int64(clamping: Int128((number * 1e6).rounded()))
    let fraction = String(millionths % 1_000_000)
    return "\(millionths / 1_000_000).\(String(repeating: "0", count: 6 - fraction.count))\(fraction)"
  }

  private static func quantities(_ value: Value, _ kind: String) -> [String: Quantity] {
    Dictionary(sorted(value["resources"][kind]), uniquingKeysWith: { $1 })
  }

  private static func sorted(_ resources: Value) -> [(String, Quantity)] {
    (resources.object?.members ?? []).compactMap { member in member.value.quantity.map { (member.key, $0) } }.sorted { $0.0 < $1.0 }
  }
}

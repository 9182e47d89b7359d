import Client
import Wire

/// An instant of the wall clock in nanoseconds since 1970; handed in, never read inside a decision. What lies beyond the years 1677 to 2262
/// is their end.
package struct Moment: Sendable, Hashable, Comparable {
  package var nanoseconds: Int64
  package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
  package init(seconds: Int64) {
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    nanoseconds = overflow ? (seconds < 0 ? .min : .max) : product
  }

  package static func now() -> Moment {
    let time = WallTime.now()
    return Moment(seconds: time.seconds) + Double(time.nanoseconds) / 1e9
  }

  package var text: String { Timestamp(seconds: nanoseconds / 1_000_000_000).description }
  package static func < (a: Self, b: Self) -> Bool { a.nanoseconds < b.nanoseconds }
  package static func + (a: Self, seconds: Double) -> Moment {
    let delta = Int64(exactly: (seconds * 1e9).rounded()) ?? (seconds < 0 ? .min : .max)
    let (sum, overflow) = a.nanoseconds.addingReportingOverflow(delta)
    return Moment(nanoseconds: overflow ? (delta < 0 ? .min : .max) : sum)
  }
  package static func - (a: Self, b: Self) -> Double {
    let (difference, overflow) = a.nanoseconds.subtractingReportingOverflow(b.nanoseconds)
    return overflow ? (Double(a.nanoseconds) - Double(b.nanoseconds)) / 1e9 : Double(difference) / 1e9
  }
}

package enum RestartPolicy: String, Sendable { case always = "Always", onFailure = "OnFailure", never = "Never" }

package struct ProbePlan: Sendable, Equatable {
  package enum Kind: String, Sendable, CaseIterable { case startup, liveness, readiness }
  package var initialDelay: Double
  package var period: Double
  package var timeout: Double
  package var successThreshold: Int
  package var failureThreshold: Int
  /// `terminationGracePeriodSeconds` of the probe itself.
  package var grace: Int64?
  package var action: Value

  package init?(_ value: Value) {
    guard value.object != nil else { return nil }
    initialDelay = Double(value["initialDelaySeconds"].int ?? 0)
    period = max(1, Double(value["periodSeconds"].int ?? 10))
    timeout = max(1, Double(value["timeoutSeconds"].int ?? 1))
    successThreshold = Int(max(1, value["successThreshold"].int ?? 1))
    failureThreshold = Int(max(1, value["failureThreshold"].int ?? 3))
    grace = value["terminationGracePeriodSeconds"].int.map(PodPlan.bounded)
    action = value
  }
}

package struct ContainerPlan: Sendable {
  package var name: String
  package var image: String
  package var isInit: Bool
  /// An init container that goes on beside the others.
  package var isSidecar: Bool
  package var restart: RestartPolicy
  package var probes: [ProbePlan.Kind: ProbePlan]
  package var spec: Value
}

/// What a pod's specification means to the node that runs it: containers with what starts and restarts them, checks, deadlines.
package struct PodPlan: Sendable {
  package var key: ObjectKey
  package var uid: String
  package var restart: RestartPolicy
  /// Seconds from SIGTERM to SIGKILL.
  package var grace: Int64
  package var isDeleting: Bool
  package var activeDeadline: Int64?
  package var isHostNetwork: Bool
  package var generation: Int64
  package var readinessGates: [String]
  /// Init containers first, in the order of the specification.
  package var containers: [ContainerPlan]
  package var object: Value

  package init(_ object: Value) {
    self.object = object
    let metadata = object["metadata"]
    let spec = object["spec"]
    key = ObjectKey(namespace: metadata["namespace"].string ?? "", name: metadata["name"].string ?? "")
    uid = metadata["uid"].string ?? ""
    let policy = RestartPolicy(rawValue: spec["restartPolicy"].string ?? "Always") ?? .always
    restart = policy
    isDeleting = metadata["deletionTimestamp"].string != nil
    grace = Self.bounded(metadata["deletionGracePeriodSeconds"].int ?? spec["terminationGracePeriodSeconds"].int ?? 30)
    activeDeadline = spec["activeDeadlineSeconds"].int
    isHostNetwork = spec["hostNetwork"].bool ?? false
    generation = metadata["generation"].int ?? 0
    readinessGates = (spec["readinessGates"].array ?? []).compactMap { $0["conditionType"].string }
    func plan(_ spec: Value, isInit: Bool) -> ContainerPlan {
      let sidecar = isInit && spec["restartPolicy"].string == "Always"
      var probes: [ProbePlan.Kind: ProbePlan] = [:]
      for kind in ProbePlan.Kind.allCases { probes[kind] = ProbePlan(spec["\(kind.rawValue)Probe"]) }
      return ContainerPlan(
        name: spec["name"].string ?? "", image: spec["image"].string ?? "", isInit: isInit, isSidecar: sidecar,
        restart: sidecar ? .always : isInit ? (policy == .never ? .never : .onFailure) : policy,
        probes: isInit && !sidecar ? [:] : probes, spec: spec)
    }
    containers =
      (spec["initContainers"].array ?? []).map { plan($0, isInit: true) }
      + (spec["containers"].array ?? []).map { plan($0, isInit: false) }
  }

  /// A span of time in seconds that can be reckoned with: none below 0, none beyond 68 years.
  static func bounded(_ seconds: Int64) -> Int64 { min(max(0, seconds), 1 << 31) }

  /// What the pod takes of something at most: all containers together, or an init container with the sidecars that run beside it.
  /// - Parameter amount: of one container; nil where it says nothing, and then nothing can be said of the pod.
  func total(_ amount: (Value) -> Int64?) -> Int64? {
    var running: Int64 = 0
    var most: Int64 = 0
    for container in containers {
      guard let own = amount(container.spec) else { return nil }
      let (sum, overflow) = running.addingReportingOverflow(own)
      most = max(most, overflow ? .max : sum)
      if !container.isInit || container.isSidecar { running = overflow ? .max : sum }
    }
    return most
  }

  /// Bytes; nil where a container has no limit.
  var memoryLimit: Int64? { total { $0["resources"]["limits"]["memory"].quantity?.value }.flatMap { $0 > 0 ? $0 : nil } }

  package var qosClass: String {
    var requests: [String: Quantity] = [:]
    var limits: [String: Quantity] = [:]
    var isGuaranteed = true
    for container in containers {
      for name in ["cpu", "memory"] {
        let request = container.spec["resources"]["requests"][name].quantity
        let limit = container.spec["resources"]["limits"][name].quantity
        if let request, request > .zero { requests[name] = (requests[name] ?? .zero) + request }
        if let limit, limit > .zero { limits[name] = (limits[name] ?? .zero) + limit } else { isGuaranteed = false }
      }
    }
    if requests.isEmpty && limits.isEmpty { return "BestEffort" }
    return isGuaranteed && (requests.isEmpty || requests == limits) ? "Guaranteed" : "Burstable"
  }
}

extension Value {
  /// CPU in thousandths of a core, rounded up and at most 2^40, so that sums and products of it do not overflow; nil where there is none.
  var cpuMilli: Int64? { quantity.map { min($0.milliValue, 1 << 40) } }
}

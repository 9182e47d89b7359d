import Client
import Wire

package enum DeploymentAnnotation {
  package static let revision = "deployment.kubernetes.io/revision"
  package static let revisionHistory = "deployment.kubernetes.io/revision-history"
  package static let desiredReplicas = "deployment.kubernetes.io/desired-replicas"
  package static let maxReplicas = "deployment.kubernetes.io/max-replicas"
  /// Written by clients about themselves; not handed on to ReplicaSets.
  package static let own: Set<String> = [
    revision, revisionHistory, desiredReplicas, maxReplicas, "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
  ]
  package static let hashLabel = "pod-template-hash"
}

/// What the deployment controller reads of a Deployment.
package struct DeploymentView: ObjectView {
  package struct Condition: Sendable, Equatable {
    package var type: String
    package var status: String
    package var reason: String
    package var message: String
    package var updated: String
    package var transitioned: String
  }

  /// `5` or `25%`, each within 0…2³¹−1.
  package enum Amount: Sendable, Equatable {
    case count(Int64)
    case percent(Int64)

    package init?(_ view: JSONView) {
      if let count = view.natural {
        self = .count(count)
      } else if let text = view.string, let percent = Self.percent(text) {
        self = .percent(percent)
      } else {
        return nil
      }
    }

    private static func percent(_ text: String) -> Int64? {
      let digits = text.utf8.dropLast()
      guard text.utf8.last == UInt8(ascii: "%"), !digits.isEmpty, digits.allSatisfy({ (48...57).contains($0) }) else { return nil }
      return digits.reduce(Int64(0)) { min($0 * 10 + Int64($1 - 48), Int64(Int32.max)) }
    }

    /// - Parameter total: 0…2³¹−1.
    package func resolved(of total: Int64, roundingUp: Bool) -> Int64 {
      switch self {
      case .count(let count): return count
      case .percent(let percent):
        let product = percent * total
        return min(roundingUp ? (product + 99) / 100 : product / 100, Int64(Int32.max))
      }
    }
  }

  package var meta: Meta
  package var annotations: [String: String]
  package var replicas: Int64
  package var selector: LabelSelector?
  package var minReadySeconds: Int64
  package var isPaused: Bool
  package var isRecreate: Bool
  package var maxSurge: Amount
  package var maxUnavailable: Amount
  package var revisionHistoryLimit: Int
  /// nil: no deadline.
  package var progressDeadlineSeconds: Int64?
  package var collisionCount: Int64
  package var conditions: [Condition]
  package var status: DeploymentStatus
  package var object: EncodedObject

  package init(_ object: EncodedObject, _ view: JSONView) {
    meta = Meta(object, view)
    annotations = view["metadata"]["annotations"].stringMap
    let spec = view["spec"]
    replicas = spec["replicas"].natural ?? 1
    selector = LabelSelector(spec["selector"])
    minReadySeconds = spec["minReadySeconds"].natural ?? 0
    isPaused = spec["paused"].bool ?? false
    isRecreate = spec["strategy"]["type"].equals("Recreate")
    maxSurge = Amount(spec["strategy"]["rollingUpdate"]["maxSurge"]) ?? .percent(25)
    maxUnavailable = Amount(spec["strategy"]["rollingUpdate"]["maxUnavailable"]) ?? .percent(25)
    revisionHistoryLimit = Int(spec["revisionHistoryLimit"].natural ?? 10)
    let deadline = spec["progressDeadlineSeconds"].natural ?? 600
    progressDeadlineSeconds = deadline >= Int64(Int32.max) ? nil : deadline
    let status = view["status"]
    collisionCount = status["collisionCount"].natural ?? 0
    conditions = status["conditions"].map { condition in
      Condition(
        type: condition["type"].string ?? "", status: condition["status"].string ?? "", reason: condition["reason"].string ?? "",
        message: condition["message"].string ?? "", updated: condition["lastUpdateTime"].string ?? "",
        transitioned: condition["lastTransitionTime"].string ?? "")
    }
    self.status = DeploymentStatus(status)
    self.object = object
  }

  package var template: Value { object.withView { $0["spec"]["template"].value } }
  package var selectorValue: Value { object.withView { $0["spec"]["selector"].value } }

  /// How many pods there may be beyond, and missing of, `replicas`.
  /// - Source: both zero would stop every rollout: then one may be missing.
  package var limits: (surge: Int64, unavailable: Int64) {
    guard !isRecreate else { return (0, 0) }
    let surge = maxSurge.resolved(of: replicas, roundingUp: true)
    let unavailable = min(maxUnavailable.resolved(of: replicas, roundingUp: false), replicas)
    return surge == 0 && unavailable == 0 ? (0, 1) : (surge, unavailable)
  }
}

package struct DeploymentStatus: Sendable, Equatable {
  package var observedGeneration: Int64 = 0
  package var replicas: Int64 = 0
  package var updated: Int64 = 0
  package var ready: Int64 = 0
  package var available: Int64 = 0
  package var unavailable: Int64 = 0

  package init() {}

  package init(_ view: JSONView) {
    observedGeneration = view["observedGeneration"].int ?? 0
    replicas = view["replicas"].natural ?? 0
    updated = view["updatedReplicas"].natural ?? 0
    ready = view["readyReplicas"].natural ?? 0
    available = view["availableReplicas"].natural ?? 0
    unavailable = view["unavailableReplicas"].natural ?? 0
  }

  /// As a merge patch of `status`; zeros are taken out.
  package func patch(uid: String, conditions: [DeploymentView.Condition], collisionCount: Int64) -> Value {
    var status: Value = ["observedGeneration": .int(observedGeneration)]
    let counts = [
      ("replicas", replicas), ("updatedReplicas", updated), ("readyReplicas", ready), ("availableReplicas", available),
      ("unavailableReplicas", unavailable), ("collisionCount", collisionCount),
    ]
    for (name, count) in counts { status[name] = count == 0 ? .null : .int(count) }
    status["conditions"] = .array(
      conditions.map { condition in
        [
          "type": .string(condition.type), "status": .string(condition.status), "lastUpdateTime": .string(condition.updated),
          "lastTransitionTime": .string(condition.transitioned), "reason": .string(condition.reason),
          "message": .string(condition.message),
        ]
      })
    return ["metadata": ["uid": .string(uid)], "status": status]
  }
}

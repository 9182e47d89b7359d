import Client
import Wire

/// What controllers read of a ReplicaSet.
package struct ReplicaSetView: ObjectView {
  package var meta: Meta
  package var annotations: [String: String]
  package var replicas: Int64
  package var selector: LabelSelector?
  package var minReadySeconds: Int64
  package var status: ReplicaSetStatus
  /// The whole object, for its template.
  package var object: EncodedObject

  package init(_ object: EncodedObject, _ view: JSONView) {
    meta = Meta(object, view)
    annotations = view["metadata"]["annotations"].stringMap
    let spec = view["spec"]
    replicas = spec["replicas"].natural ?? 1
    selector = LabelSelector(spec["selector"])
    minReadySeconds = spec["minReadySeconds"].natural ?? 0
    status = ReplicaSetStatus(view["status"])
    self.object = object
  }

  package var template: Value { object.withView { $0["spec"]["template"].value } }
  /// Of the rollout; 0 where the annotation is missing or no revision.
  package var revision: Int64 { annotations[DeploymentAnnotation.revision].flatMap { Int64($0) }.map { max(0, $0) } ?? 0 }
  /// Its controller has seen its size: what the status says is not older.
  package var isObserved: Bool { status.observedGeneration >= meta.generation }
}

package struct ReplicaSetStatus: Sendable, Equatable {
  package var replicas: Int64 = 0
  package var fullyLabeled: Int64 = 0
  package var ready: Int64 = 0
  package var available: Int64 = 0
  package var terminating: Int64 = 0
  package var observedGeneration: Int64 = 0
  /// Message of the ReplicaFailure condition, with its reason; nil without one.
  package var failure: Failure?

  package struct Failure: Sendable, Equatable {
    package var reason: String
    package var message: String
    package var since: String
  }

  package init() {}

  package init(_ view: JSONView) {
    replicas = view["replicas"].natural ?? 0
    fullyLabeled = view["fullyLabeledReplicas"].natural ?? 0
    ready = view["readyReplicas"].natural ?? 0
    available = view["availableReplicas"].natural ?? 0
    terminating = view["terminatingReplicas"].natural ?? 0
    observedGeneration = view["observedGeneration"].int ?? 0
    var failure: Failure?
    view["conditions"].forEach { condition in
      guard condition["type"].equals("ReplicaFailure") else { return }
      failure = Failure(
        reason: condition["reason"].string ?? "", message: condition["message"].string ?? "",
        since: condition["lastTransitionTime"].string ?? "")
    }
    self.failure = failure
  }

  /// As a merge patch of `status`, for the set with that uid only.
  package func patch(uid: String) -> Value {
    var status: Value = ["replicas": .int(replicas)]
    // A zero is not written; null takes the old one out.
    for (name, count) in [("fullyLabeledReplicas", fullyLabeled), ("readyReplicas", ready), ("availableReplicas", available)] {
      status[name] = count == 0 ? .null : .int(count)
    }
    status["observedGeneration"] = .int(observedGeneration)
    if let failure {
      status["conditions"] = [
        [
          "type": "ReplicaFailure", "status": "True", "lastTransitionTime": .string(failure.since),
          "reason": .string(failure.reason),
          "message": .string(failure.message),
        ]
      ]
    } else {
      status["conditions"] = .null
    }
    return ["metadata": ["uid": .string(uid)], "status": status]
  }
}

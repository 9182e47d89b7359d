import Client
import Wire

/// What controllers read of a ReplicaSet.
struct ReplicaSetView: Sendable {
  var meta: Meta
  var annotations: [String: String]
  var replicas: Int64
  var selector: LabelSelector?
  var minReadySeconds: Int64
  var status: ReplicaSetStatus
  /// The whole object, for its template.
  var object: EncodedObject

  init(_ object: EncodedObject) {
    self = object.withView { view in ReplicaSetView(object, view) }
  }

  private init(_ object: EncodedObject, _ view: JSONView) {
    meta = Meta(object, view)
    annotations = view["metadata"]["annotations"].stringMap
    let spec = view["spec"]
    replicas = spec["replicas"].int ?? 1
    selector = LabelSelector(spec["selector"])
    minReadySeconds = spec["minReadySeconds"].int ?? 0
    status = ReplicaSetStatus(view["status"])
    self.object = object
  }

  var template: Value { object.withView { $0["spec"]["template"].value } }
  var revision: Int64 { annotations[DeploymentAnnotation.revision].flatMap { Int64($0) } ?? 0 }
  /// Not deleted and wants pods.
  var isActive: Bool { replicas > 0 }
}

struct ReplicaSetStatus: Sendable, Equatable {
  var replicas: Int64 = 0
  var fullyLabeled: Int64 = 0
  var ready: Int64 = 0
  var available: Int64 = 0
  var terminating: Int64 = 0
  var observedGeneration: Int64 = 0
  /// Message of the ReplicaFailure condition, with its reason; nil without one.
  var failure: Failure?

  struct Failure: Sendable, Equatable {
    var reason: String
    var message: String
    var since: String
  }

  init() {}

  init(_ view: JSONView) {
    replicas = view["replicas"].int ?? 0
    fullyLabeled = view["fullyLabeledReplicas"].int ?? 0
    ready = view["readyReplicas"].int ?? 0
    available = view["availableReplicas"].int ?? 0
    terminating = view["terminatingReplicas"].int ?? 0
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

  /// As a merge patch of `status`.
  var patch: Value {
    var status: Value = ["replicas": .int(replicas)]
    // A zero is not written; null takes the old one out.
    for (name, count) in [("fullyLabeledReplicas", fullyLabeled), ("readyReplicas", ready), ("availableReplicas", available)] {
      status[name] = count == 0 ? .null : .int(count)
    }
    status["observedGeneration"] = .int(observedGeneration)
    if let failure {
      status["conditions"] = [
        [
          "type": "ReplicaFailure", "status": "True", "lastTransitionTime": .string(failure.since), "reason": .string(failure.reason),
          "message": .string(failure.message),
        ]
      ]
    } else {
      status["conditions"] = .null
    }
    return ["status": status]
  }
}

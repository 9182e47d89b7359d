import Client
import Controllers
import Wire

let noon: Int64 = 1_700_000_000

/// An object as the store holds it: metadata gets what every object has.
func stored(
  _ name: String, _ more: Value = [:], labels: Value = [:], owner: Value? = nil, created: Int64 = noon - 3600,
  deleting: Bool = false
) -> EncodedObject {
  var metadata: Value = ["name": .string(name), "namespace": "default", "uid": .string("uid-\(name)")]
  metadata["generation"] = 1
  metadata["creationTimestamp"] = .string(Timestamp(seconds: created).description)
  if deleting { metadata["deletionTimestamp"] = .string(Timestamp(seconds: noon).description) }
  metadata["labels"] = labels
  for (key, value) in more["metadata"].object?.members.map({ ($0.key, $0.value) }) ?? [] { metadata[key] = value }
  if let owner { metadata["ownerReferences"] = [owner] }
  var value: Value = ["metadata": metadata]
  for (key, member) in more.object?.members.map({ ($0.key, $0.value) }) ?? [] where key != "metadata" { value[key] = member }
  guard let object = try? EncodedObject(bytes: value.jsonBytes, revision: 7) else {
    preconditionFailure("unreadable fixture \(value.json)")
  }
  return object
}

func pod(
  _ name: String, node: String = "n1", phase: String = "Running", readySince: Int64? = noon - 600, created: Int64 = noon - 3600,
  labels: Value = ["app": "web"], address: String = "", restarts: Int64 = 0, cost: String? = nil, deleting: Bool = false,
  owner: Value? = nil, spec: Value = [:]
) -> PodView {
  var more: Value = ["spec": spec]
  if !node.isEmpty { more["spec"]["nodeName"] = .string(node) }
  var status: Value = ["phase": .string(phase)]
  if let readySince {
    status["conditions"] = [
      ["type": "Ready", "status": "True", "lastTransitionTime": .string(Timestamp(seconds: readySince).description)]
    ]
  }
  if !address.isEmpty { status["podIPs"] = .array(address.split(separator: " ").map { ["ip": .string(String($0))] }) }
  if restarts > 0 { status["containerStatuses"] = [["restartCount": .int(restarts)]] }
  more["status"] = status
  if let cost { more["metadata"]["annotations"] = ["controller.kubernetes.io/pod-deletion-cost": .string(cost)] }
  return PodView(stored(name, more, labels: labels, owner: owner, created: created, deleting: deleting))
}

func replicaSet(
  _ name: String, replicas: Int64, status: Int64? = nil, available: Int64? = nil, image: String = "web:1", annotations: Value = [:],
  created: Int64 = noon - 3600, minReadySeconds: Int64 = 0, failure: String? = nil
) -> ReplicaSetView {
  var more: Value = ["metadata": ["annotations": annotations]]
  more["spec"] = [
    "replicas": .int(replicas), "selector": ["matchLabels": ["app": "web"]], "minReadySeconds": .int(minReadySeconds),
    "template": [
      "metadata": ["labels": ["app": "web", "pod-template-hash": .string(name)]],
      "spec": ["containers": [["name": "c", "image": .string(image)]]],
    ],
  ]
  let available = available ?? status ?? replicas
  more["status"] = [
    "replicas": .int(status ?? replicas), "readyReplicas": .int(available), "availableReplicas": .int(available),
    "observedGeneration": 1,
  ]
  if let failure {
    more["status"]["conditions"] = [
      ["type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": .string(failure)]
    ]
  }
  return ReplicaSetView(stored(name, more, labels: ["app": "web"], created: created))
}

func deployment(
  replicas: Int64, surge: Value = "25%", unavailable: Value = "25%", image: String = "web:1", spec: Value = [:],
  status: Value = [:],
  annotations: Value = [:], type: String = "RollingUpdate"
) -> DeploymentView {
  var more: Value = ["metadata": ["annotations": annotations], "spec": spec]
  more["spec"]["replicas"] = .int(replicas)
  more["spec"]["selector"] = ["matchLabels": ["app": "web"]]
  more["spec"]["strategy"] = ["type": .string(type), "rollingUpdate": ["maxSurge": surge, "maxUnavailable": unavailable]]
  more["spec"]["template"] = [
    "metadata": ["labels": ["app": "web"]], "spec": ["containers": [["name": "c", "image": .string(image)]]],
  ]
  more["status"] = status
  return DeploymentView(stored("web", more))
}

extension [Action] {
  /// `spec.replicas` that sets are told, by name.
  var sizes: [String: Int64] {
    var sizes: [String: Int64] = [:]
    for case .write(.patch(.replicaSets, let key, nil, let patch)) in self {
      if let size = patch.body["spec"]["replicas"].int { sizes[key.name] = size }
    }
    return sizes
  }

  var created: [Value] {
    compactMap { if case .write(.create(_, _, let body)) = $0 { body } else { nil } }
  }

  var deleted: [String] {
    compactMap { if case .write(.delete(_, let key, _)) = $0 { key.name } else { nil } }
  }

  /// The status that is written, if one is.
  var status: Value {
    for case .write(.patch(_, _, "status", let patch)) in self where !patch.body["status"].isNull { return patch.body["status"] }
    return .null
  }

  func condition(_ type: String) -> Value { status["conditions"].array?.first { $0["type"].string == type } ?? .null }

  var notes: [String] { compactMap { if case .event(_, _, _, let note) = $0 { note } else { nil } } }
}

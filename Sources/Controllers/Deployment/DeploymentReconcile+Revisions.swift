import Client
import Wire

/// Revisions: which set is the new one, its creation, and how many old ones are kept.
extension DeploymentReconcile {
  /// Makes sure that the new set has the highest revision, and that it exists.
  /// - Returns: false where the round ends here: the set was created or its annotations were written.
  @discardableResult
  mutating func syncRevision(creates: Bool) -> Bool {
    let newest = old.map { sets[$0].revision }.max() ?? 0
    // Whoever writes the largest number there is into an annotation gets no larger one.
    let revision = newest == .max ? newest : newest + 1
    guard let newSet else {
      if creates { createSet(revision) }
      return !creates
    }
    let set = sets[newSet]
    var annotations = Value.emptyObject
    let wanted = handedOn
    for (key, value) in wanted where set.annotations[key] != value { annotations[key] = .string(value) }
    for key in set.annotations.keys where wanted[key] == nil && !DeploymentAnnotation.own.contains(key) { annotations[key] = .null }
    var own = set.revision
    if own < revision {
      annotations[DeploymentAnnotation.revision] = .string("\(revision)")
      if own > 0 {
        let history = set.annotations[DeploymentAnnotation.revisionHistory].map { "\($0),\(own)" } ?? "\(own)"
        annotations[DeploymentAnnotation.revisionHistory] = .string(history)
      }
      own = revision
    }
    noteRevision(own)
    if deployment.progressDeadlineSeconds != nil, !conditions.contains(where: { $0.type == "Progressing" }) {
      setCondition("Progressing", "True", "FoundNewReplicaSet", "Found new replica set \"\(set.meta.key.name)\"")
    }
    let hasNewAnnotations = annotations.object?.isEmpty == false
    guard hasNewAnnotations || set.minReadySeconds != deployment.minReadySeconds else { return true }
    var patch: Value = ["metadata": ["resourceVersion": .string(String(set.meta.revision))]]
    if hasNewAnnotations { patch["metadata"]["annotations"] = annotations }
    if set.minReadySeconds != deployment.minReadySeconds {
      patch["spec"] = ["minReadySeconds": deployment.minReadySeconds == 0 ? .null : .int(deployment.minReadySeconds)]
    }
    actions.append(.write(.patch(.replicaSets, set.meta.key, subresource: nil, Patch(.merge, patch))))
    return !creates
  }

  /// Annotations of the deployment that its sets carry too.
  var handedOn: [String: String] { deployment.annotations.filter { !DeploymentAnnotation.own.contains($0.key) } }

  mutating func noteRevision(_ revision: Int64) {
    guard deployment.annotations[DeploymentAnnotation.revision] != "\(revision)" else { return }
    actions.append(
      .write(
        // Through status, as upstream: the deployment's generation counts what its owner changes.
        .patch(
          .deployments, deployment.meta.key, subresource: "status",
          Patch(.merge, ["metadata": ["annotations": [DeploymentAnnotation.revision: .string("\(revision)")]]]))))
  }

  mutating func createSet(_ revision: Int64) {
    let template = deployment.template
    let hash = Self.hash(template, collisions: deployment.collisionCount)
    let name = "\(deployment.meta.key.name)-\(hash)"
    let replicas = newSetSize(0)
    var labelled = template
    labelled["metadata"]["labels"][DeploymentAnnotation.hashLabel] = .string(hash)
    var selector = deployment.selectorValue
    selector["matchLabels"][DeploymentAnnotation.hashLabel] = .string(hash)
    var annotations = handedOn
    annotations[DeploymentAnnotation.revision] = "\(revision)"
    annotations[DeploymentAnnotation.desiredReplicas] = "\(deployment.replicas)"
    annotations[DeploymentAnnotation.maxReplicas] = "\(deployment.replicas + deployment.limits.surge)"
    var spec: Value = ["replicas": .int(replicas)]
    if deployment.minReadySeconds > 0 { spec["minReadySeconds"] = .int(deployment.minReadySeconds) }
    spec["selector"] = selector
    spec["template"] = labelled
    let key = ObjectKey(namespace: deployment.meta.key.namespace, name: name)
    let body: Value = [
      "metadata": [
        "name": .string(name), "namespace": .string(key.namespace), "labels": labelled["metadata"]["labels"],
        "annotations": Value(annotations),
        "ownerReferences": [controllerReference(apiVersion: "apps/v1", kind: "Deployment", deployment.meta)],
      ], "spec": spec,
    ]
    created = (key, template)
    actions.append(.write(.create(.replicaSets, namespace: key.namespace, body: body)))
    if replicas > 0 { tellScaling(name, from: 0, to: replicas) }
    noteRevision(revision)
    if deployment.progressDeadlineSeconds != nil {
      setCondition("Progressing", "True", "NewReplicaSetCreated", "Created new replica set \"\(name)\"")
    }
  }

  /// A name for a template: ten characters at most, of the alphabet of generated names.
  package static func hash(_ template: Value, collisions: Int64) -> String {
    var hash: UInt32 = 0x811C_9DC5
    func add(_ bytes: some Sequence<UInt8>) { for byte in bytes { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 } }
    add(template.jsonBytes)
    if collisions > 0 { add(String(collisions).utf8) }
    return String(
      decoding: String(hash).utf8.map { PodTemplate.alphabet[Int($0) % PodTemplate.alphabet.count] }, as: UTF8.self)
  }

  /// Old sets beyond the limit, lowest revisions first.
  mutating func cleanUpHistory(onlyIfPaused: Bool = false) {
    if onlyIfPaused && !deployment.isPaused { return }
    let candidates = old.filter { !sets[$0].meta.isDeleting }
    let excess = candidates.count - deployment.revisionHistoryLimit
    guard excess > 0 else { return }
    for i in candidates.sorted(by: { (sets[$0].revision, $0) < (sets[$1].revision, $1) }).prefix(excess) {
      let set = sets[i]
      guard set.replicas == 0, set.status.replicas == 0, set.meta.generation <= set.status.observedGeneration else { continue }
      actions.append(
        .write(.delete(.replicaSets, set.meta.key, DeleteOptions(propagation: .background, preconditionUID: set.meta.uid))))
    }
  }
}

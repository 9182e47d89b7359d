import Client
import Wire

/// One Deployment and its ReplicaSets: what must happen next. Pure: same input, same output.
///
/// - Source: Kubernetes "Deployments" (rolling update, recreate, proportional scaling, revisions, progress deadline), with upstream's
///   reasons, messages and annotations.
package struct DeploymentReconcile {
  package let deployment: DeploymentView
  /// Every set that the deployment owns, oldest first.
  package private(set) var sets: [ReplicaSetView]
  /// Pods that are not finished, by the uid of their set; only Recreate asks.
  package let unfinishedPods: [String: Int]
  /// Seconds since 1970.
  package let now: Int64

  package private(set) var actions: [Action] = []
  private var newSet: Int?
  private var status = DeploymentStatus()
  private var conditions: [DeploymentView.Condition]
  /// The set that this round creates: its name, for a collision of names.
  package private(set) var created: (key: ObjectKey, template: Value)?

  package init(_ deployment: DeploymentView, sets: [ReplicaSetView], unfinishedPods: [String: Int], now: Int64) {
    self.deployment = deployment
    self.sets = sets.sorted { ($0.meta.created, $0.meta.key.name) < ($1.meta.created, $1.meta.key.name) }
    self.unfinishedPods = unfinishedPods
    self.now = now
    conditions = deployment.conditions
    let template = Self.comparable(deployment.template)
    newSet = self.sets.firstIndex { Self.comparable($0.template) == template }
  }

  /// A template without the hash that sets carry.
  package static func comparable(_ template: Value) -> Value {
    var template = template
    _ = template["metadata"]["labels"].remove(DeploymentAnnotation.hashLabel)
    if template["metadata"]["labels"].object?.isEmpty == true { template["metadata"].remove("labels") }
    if template["metadata"].isNull || template["metadata"].object?.isEmpty == true { template.remove("metadata") }
    // The server writes it as null and leaves it out elsewhere.
    if template["metadata"]["creationTimestamp"].isNull { _ = template["metadata"].remove("creationTimestamp") }
    if template["metadata"].object?.isEmpty == true { template.remove("metadata") }
    return template
  }

  package mutating func decide() -> [Action] {
    if deployment.meta.isDeleting {
      writeStatus()
      return actions
    }
    notePause()
    if deployment.isPaused {
      syncRevision(creates: false)
      scaleAll()
      cleanUpHistory(onlyIfPaused: true)
      writeStatus()
    } else if isScaled {
      syncRevision(creates: false)
      scaleAll()
      writeStatus()
    } else if deployment.isRecreate {
      recreate()
    } else {
      roll()
    }
    return actions
  }

  // MARK: Strategies

  private mutating func roll() {
    guard syncRevision(creates: true) else { return writeProgress() }
    if scaleNewSet() { return writeProgress() }
    if scaleOldSets() { return writeProgress() }
    if isComplete(currentStatus()) { cleanUpHistory() }
    writeProgress()
  }

  private mutating func recreate() {
    syncRevision(creates: false)
    let active = old.filter { sets[$0].replicas > 0 }
    for i in active { scale(i, to: 0) }
    if !active.isEmpty { return writeProgress() }
    let isEmpty = old.allSatisfy { i in
      sets[i].isObserved && sets[i].status.replicas == 0 && unfinishedPods[sets[i].meta.uid] ?? 0 == 0
    }
    if !isEmpty { return writeProgress() }
    guard syncRevision(creates: true) else { return writeProgress() }
    if let newSet { scale(newSet, to: deployment.replicas) }
    if isComplete(currentStatus()) { cleanUpHistory() }
    writeProgress()
  }

  private var old: [Int] { sets.indices.filter { $0 != newSet } }

  /// - Returns: whether the new set was told to change.
  private mutating func scaleNewSet() -> Bool {
    guard let newSet, sets[newSet].replicas != deployment.replicas else { return false }
    let target = sets[newSet].replicas > deployment.replicas ? deployment.replicas : newSetSize(sets[newSet].replicas)
    return scale(newSet, to: target)
  }

  /// How large the new set may be, given what exists.
  private func newSetSize(_ current: Int64) -> Int64 {
    guard !deployment.isRecreate else { return deployment.replicas }
    let limit = deployment.replicas + deployment.limits.surge
    // Pods that a set has not deleted yet are there; counting what it should have would have too many for a moment. Before it has
    // seen its size it may even be making some.
    guard sets.allSatisfy(\.isObserved) else { return current }
    let all = sets.reduce(0) { $0 + max($1.replicas, $1.status.replicas) }
    guard all < limit else { return current }
    return current + min(limit - all, deployment.replicas - current)
  }

  /// - Returns: whether an old set was told to shrink. First those pods go that do not run anyway, then as many as availability allows.
  private mutating func scaleOldSets() -> Bool {
    guard old.contains(where: { sets[$0].replicas > 0 }) else { return false }
    let minimum = deployment.replicas - deployment.limits.unavailable
    let all = sets.reduce(0) { $0 + $1.replicas }
    let newUnavailable = newSet.map { max(0, sets[$0].replicas - sets[$0].status.available) } ?? 0
    let mayGo = all - minimum - newUnavailable
    guard mayGo > 0 else { return false }
    var sizes = sets.map(\.replicas)
    // A status may be older than the size: pods that were told to go do not count as available any more.
    func available(_ i: Int) -> Int64 { min(sets[i].status.available, sizes[i]) }
    var gone: Int64 = 0
    for i in old {
      let count = min(mayGo - gone, sizes[i] - available(i))
      guard count > 0 else { continue }
      gone += count
      sizes[i] -= count
    }
    var left = min(mayGo - gone, sets.indices.reduce(0) { $0 + available($1) } - minimum)
    for i in old where left > 0 {
      let count = min(sizes[i], left)
      left -= count
      gone += count
      sizes[i] -= count
    }
    for i in old where sizes[i] != sets[i].replicas { scale(i, to: sizes[i]) }
    return gone > 0
  }

  // MARK: Scaling of a deployment that is paused, or whose replicas changed

  private var isScaled: Bool {
    sets.contains { set in
      guard set.replicas > 0, let desired = set.annotations[DeploymentAnnotation.desiredReplicas].flatMap({ Int64($0) }) else {
        return false
      }
      return desired != deployment.replicas
    }
  }

  private mutating func scaleAll() {
    let active = sets.indices.filter { sets[$0].replicas > 0 }
    if active.count <= 1, let only = active.first ?? newSet ?? sets.indices.last {
      scale(only, to: deployment.replicas)
      return
    }
    if let newSet, sets[newSet].replicas == deployment.replicas, sets[newSet].status.available == deployment.replicas,
      sets[newSet].annotations[DeploymentAnnotation.desiredReplicas] == "\(deployment.replicas)"
    {
      for i in old where sets[i].replicas > 0 { scale(i, to: 0) }
      return
    }
    guard !deployment.isRecreate else { return }
    scaleProportionally(active)
  }

  /// Every set gets its share of what is to be added or taken; what rounding leaves over goes to the largest.
  private mutating func scaleProportionally(_ active: [Int]) {
    let all = active.reduce(0) { $0 + sets[$1].replicas }
    let allowed = deployment.replicas > 0 ? deployment.replicas + deployment.limits.surge : 0
    let toAdd = allowed - all
    let ordered = active.sorted { a, b in
      if sets[a].replicas != sets[b].replicas { return sets[a].replicas > sets[b].replicas }
      // Equal sets: newer ones grow first, older ones shrink first. `sets` is in the order of age.
      return toAdd > 0 ? a > b : a < b
    }
    var sizes: [Int64] = []
    var added: Int64 = 0
    for i in ordered {
      let share = toAdd == 0 ? 0 : proportion(i, toAdd, added)
      added += share
      sizes.append(sets[i].replicas + share)
    }
    for (position, i) in ordered.enumerated() {
      var size = sizes[position]
      if position == 0, toAdd != 0 { size = max(0, size + toAdd - added) }
      scale(i, to: size)
    }
  }

  private func proportion(_ i: Int, _ toAdd: Int64, _ added: Int64) -> Int64 {
    let set = sets[i]
    guard set.replicas != 0, toAdd != added else { return 0 }
    let fraction: Int64
    if deployment.replicas == 0 {
      fraction = -set.replicas
    } else {
      let maximum = set.annotations[DeploymentAnnotation.maxReplicas].flatMap { Int64($0) } ?? deployment.status.replicas
      guard maximum > 0 else { return 0 }
      let size = Double(set.replicas) * Double(deployment.replicas + deployment.limits.surge) / Double(maximum)
      fraction = Int64(size.rounded()) - set.replicas
    }
    return toAdd > 0 ? min(fraction, toAdd - added) : max(fraction, toAdd - added)
  }

  /// - Returns: false where the set has that size and says so.
  @discardableResult
  private mutating func scale(_ i: Int, to size: Int64) -> Bool {
    let set = sets[i]
    let desired = "\(deployment.replicas)"
    let maximum = "\(deployment.replicas + deployment.limits.surge)"
    let isAnnotated =
      set.annotations[DeploymentAnnotation.desiredReplicas] == desired
      && set.annotations[DeploymentAnnotation.maxReplicas] == maximum
    guard set.replicas != size || !isAnnotated else { return false }
    let patch: Value = [
      "metadata": [
        "resourceVersion": .string(String(set.meta.revision)),
        "annotations": [
          DeploymentAnnotation.desiredReplicas: .string(desired), DeploymentAnnotation.maxReplicas: .string(maximum),
        ],
      ], "spec": ["replicas": .int(size)],
    ]
    actions.append(.write(.patch(.replicaSets, set.meta.key, subresource: nil, Patch(.merge, patch))))
    if set.replicas != size { tellScaling(set.meta.key.name, from: set.replicas, to: size) }
    sets[i].replicas = size
    return set.replicas != size
  }

  private mutating func tellScaling(_ name: String, from: Int64, to: Int64) {
    let direction = to > from ? "up" : "down"
    tell(.normal, "ScalingReplicaSet", "Scaled \(direction) replica set \(name) from \(from) to \(to)")
  }

  private mutating func tell(_ kind: EventRecorder.Kind, _ reason: String, _ note: String) {
    actions.append(
      .event(
        ObjectReference(
          apiVersion: "apps/v1", kind: "Deployment", namespace: deployment.meta.key.namespace, name: deployment.meta.key.name,
          uid: deployment.meta.uid), kind, reason: reason, note: note))
  }

  // MARK: Revisions

  /// Makes sure that the new set has the highest revision, and that it exists.
  /// - Returns: false where the round ends here: the set was created or its annotations were written.
  @discardableResult
  private mutating func syncRevision(creates: Bool) -> Bool {
    let newest = old.map { sets[$0].revision }.max() ?? 0
    let revision = newest + 1
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
  private var handedOn: [String: String] { deployment.annotations.filter { !DeploymentAnnotation.own.contains($0.key) } }

  private mutating func noteRevision(_ revision: Int64) {
    guard deployment.annotations[DeploymentAnnotation.revision] != "\(revision)" else { return }
    actions.append(
      .write(
        // Through status, as upstream: the deployment's generation counts what its owner changes.
        .patch(
          .deployments, deployment.meta.key, subresource: "status",
          Patch(.merge, ["metadata": ["annotations": [DeploymentAnnotation.revision: .string("\(revision)")]]]))))
  }

  private mutating func createSet(_ revision: Int64) {
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
  private mutating func cleanUpHistory(onlyIfPaused: Bool = false) {
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

  // MARK: Status

  private func currentStatus() -> DeploymentStatus {
    var status = DeploymentStatus()
    status.observedGeneration = deployment.meta.generation
    for set in sets {
      status.replicas += set.status.replicas
      status.ready += set.status.ready
      status.available += set.status.available
    }
    status.updated = newSet.map { sets[$0].status.replicas } ?? 0
    status.unavailable = max(0, sets.reduce(0) { $0 + $1.replicas } - status.available)
    return status
  }

  private func isComplete(_ status: DeploymentStatus) -> Bool {
    status.updated == deployment.replicas && status.replicas == deployment.replicas && status.available == deployment.replicas
      && status.observedGeneration >= deployment.meta.generation
  }

  private mutating func notePause() {
    guard deployment.progressDeadlineSeconds != nil else { return }
    let progressing = conditions.first { $0.type == "Progressing" }
    // A rollout that failed says so for good.
    if progressing?.reason == "ProgressDeadlineExceeded" { return }
    if deployment.isPaused, progressing?.reason != "DeploymentPaused" {
      setCondition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
    } else if !deployment.isPaused, progressing?.reason == "DeploymentPaused" {
      setCondition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")
    }
  }

  private mutating func writeProgress() {
    let status = currentStatus()
    let about =
      newSet.map { "ReplicaSet \"\(sets[$0].meta.key.name)\"" } ?? created.map { "ReplicaSet \"\($0.key.name)\"" }
      ?? "Deployment \"\(deployment.meta.key.name)\""
    let current = conditions.first { $0.type == "Progressing" }
    let isDone = status.replicas == status.updated && current?.reason == "NewReplicaSetAvailable"
    if let deadline = deployment.progressDeadlineSeconds {
      if !isDone {
        if isComplete(status) {
          setCondition("Progressing", "True", "NewReplicaSetAvailable", "\(about) has successfully progressed.")
        } else if hasProgressed(status) {
          // Its time starts anew with every step.
          setCondition("Progressing", "True", "ReplicaSetUpdated", "\(about) is progressing.", isForced: true)
        } else if let current, hasTimedOut(current, deadline) {
          setCondition("Progressing", "False", "ProgressDeadlineExceeded", "\(about) has timed out progressing.")
        }
      }
      if !isComplete(status), let condition = conditions.first(where: { $0.type == "Progressing" }), condition.status != "False",
        let since = Timestamp(condition.updated)?.seconds
      {
        actions.append(.requeue(max(1, since + deadline - now + 1)))
      }
    } else {
      conditions.removeAll { $0.type == "Progressing" }
    }
    let failure = newSet.flatMap { sets[$0].status.failure } ?? sets.compactMap(\.status.failure).first
    if let failure {
      setCondition("ReplicaFailure", "True", failure.reason, failure.message)
    } else {
      conditions.removeAll { $0.type == "ReplicaFailure" }
    }
    writeStatus()
  }

  private func hasProgressed(_ new: DeploymentStatus) -> Bool {
    let old = deployment.status
    return new.updated > old.updated || new.replicas - new.updated < old.replicas - old.updated || new.ready > old.ready
      || new.available > old.available
  }

  private func hasTimedOut(_ condition: DeploymentView.Condition, _ deadline: Int64) -> Bool {
    if condition.reason == "NewReplicaSetAvailable" { return false }
    if condition.reason == "ProgressDeadlineExceeded" { return true }
    return Timestamp(condition.updated).map { $0.seconds + deadline < now } ?? false
  }

  private mutating func setCondition(_ type: String, _ state: String, _ reason: String, _ message: String, isForced: Bool = false) {
    let instant = Timestamp(seconds: now).description
    let old = conditions.first { $0.type == type }
    if let old, old.status == state, old.reason == reason, !isForced { return }
    conditions.removeAll { $0.type == type }
    conditions.append(
      .init(
        type: type, status: state, reason: reason, message: message, updated: instant,
        transitioned: old?.status == state ? old?.transitioned ?? instant : instant))
  }

  private mutating func writeStatus() {
    let status = currentStatus()
    if status.available >= deployment.replicas - deployment.limits.unavailable {
      setCondition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
      setCondition("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    }
    guard status != deployment.status || conditions != deployment.conditions else { return }
    let patch = status.patch(uid: deployment.meta.uid, conditions: conditions, collisionCount: deployment.collisionCount)
    actions.append(.write(.patch(.deployments, deployment.meta.key, subresource: "status", Patch(.merge, patch))))
  }
}

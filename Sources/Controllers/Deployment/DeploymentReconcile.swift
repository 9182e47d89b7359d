import Client
import Wire

/// One Deployment and its ReplicaSets: what must happen next. Pure: same input, same output.
///
/// - Source: Kubernetes "Deployments" (rolling update, recreate, proportional scaling, revisions, progress deadline), with upstream's
///   reasons, messages and annotations.
package struct DeploymentReconcile {
  package let deployment: DeploymentView
  /// Every set that the deployment owns, oldest first.
  package internal(set) var sets: [ReplicaSetView]
  /// Pods that are not finished, by the uid of their set; only Recreate asks.
  package let unfinishedPods: [String: Int]
  /// Seconds since 1970.
  package let now: Int64

  package internal(set) var actions: [Action] = []
  var newSet: Int?
  var status = DeploymentStatus()
  var conditions: [DeploymentView.Condition]
  /// The set that this round creates: its name, for a collision of names.
  package internal(set) var created: (key: ObjectKey, template: Value)?

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

  mutating func roll() {
    guard syncRevision(creates: true) else { return writeProgress() }
    if scaleNewSet() { return writeProgress() }
    if scaleOldSets() { return writeProgress() }
    if isComplete(currentStatus()) { cleanUpHistory() }
    writeProgress()
  }

  mutating func recreate() {
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

  var old: [Int] { sets.indices.filter { $0 != newSet } }

  /// - Returns: whether the new set was told to change.
  mutating func scaleNewSet() -> Bool {
    guard let newSet, sets[newSet].replicas != deployment.replicas else { return false }
    let target = sets[newSet].replicas > deployment.replicas ? deployment.replicas : newSetSize(sets[newSet].replicas)
    return scale(newSet, to: target)
  }

  /// How large the new set may be, given what exists.
  func newSetSize(_ current: Int64) -> Int64 {
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
  mutating func scaleOldSets() -> Bool {
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

  // MARK: Events

  mutating func tellScaling(_ name: String, from: Int64, to: Int64) {
    let direction = to > from ? "up" : "down"
    tell(.normal, "ScalingReplicaSet", "Scaled \(direction) replica set \(name) from \(from) to \(to)")
  }

  mutating func tell(_ kind: EventRecorder.Kind, _ reason: String, _ note: String) {
    actions.append(
      .event(
        ObjectReference(
          apiVersion: "apps/v1", kind: "Deployment", namespace: deployment.meta.key.namespace, name: deployment.meta.key.name,
          uid: deployment.meta.uid), kind, reason: reason, note: note))
  }
}

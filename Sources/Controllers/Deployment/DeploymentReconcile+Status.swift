import Client
import Wire

/// Status and conditions: progress, its deadline, availability.
extension DeploymentReconcile {
  func currentStatus() -> DeploymentStatus {
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

  func isComplete(_ status: DeploymentStatus) -> Bool {
    status.updated == deployment.replicas && status.replicas == deployment.replicas && status.available == deployment.replicas
      && status.observedGeneration >= deployment.meta.generation
  }

  mutating func notePause() {
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

  mutating func writeProgress() {
    let status = currentStatus()
    noteAvailability(status)
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

  func hasProgressed(_ new: DeploymentStatus) -> Bool {
    let old = deployment.status
    return new.updated > old.updated || new.replicas - new.updated < old.replicas - old.updated || new.ready > old.ready
      || new.available > old.available
  }

  func hasTimedOut(_ condition: DeploymentView.Condition, _ deadline: Int64) -> Bool {
    if condition.reason == "NewReplicaSetAvailable" { return false }
    if condition.reason == "ProgressDeadlineExceeded" { return true }
    return Timestamp(condition.updated).map { $0.seconds + deadline < now } ?? false
  }

  mutating func setCondition(_ type: String, _ state: String, _ reason: String, _ message: String, isForced: Bool = false) {
    let instant = Timestamp(seconds: now).description
    let old = conditions.first { $0.type == type }
    if let old, old.status == state, old.reason == reason, !isForced { return }
    conditions.removeAll { $0.type == type }
    conditions.append(
      .init(
        type: type, status: state, reason: reason, message: message, updated: instant,
        transitioned: old?.status == state ? old?.transitioned ?? instant : instant))
  }

  mutating func writeStatus() {
    let status = currentStatus()
    noteAvailability(status)
    guard status != deployment.status || conditions != deployment.conditions else { return }
    let patch = status.patch(uid: deployment.meta.uid, conditions: conditions, collisionCount: deployment.collisionCount)
    actions.append(.write(.patch(.deployments, deployment.meta.key, subresource: "status", Patch(.merge, patch))))
  }

  /// Before progress is noted: what was written last stands last, and clients print them in that order.
  private mutating func noteAvailability(_ status: DeploymentStatus) {
    if status.available >= deployment.replicas - deployment.limits.unavailable {
      setCondition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
      setCondition("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    }
  }
}

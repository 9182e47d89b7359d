import Client
import Wire

/// What has been asked for and not been seen yet. As long as there is something, a set neither creates nor deletes: it would do
/// the same a second time because its view of the pods is behind.
struct Expectations: Sendable {
  /// Names of pods that were created.
  var creations: Set<ObjectKey> = []
  /// uids of pods that were deleted.
  var deletions: Set<String> = []
  /// Seconds since 1970.
  var since: Int64 = 0

  /// Something that never comes (a pod that was created and removed while a watch was broken) is given up.
  static let patience: Int64 = 300

  func isMet(now: Int64) -> Bool { creations.isEmpty && deletions.isEmpty || now - since > Self.patience }
}

/// One ReplicaSet and its pods: what must happen next.
struct ReplicaSetReconcile {
  var set: ReplicaSetView
  /// Every pod the set owns.
  var owned: [PodView]
  /// Pods of the namespace without a controller.
  var orphans: [PodView]
  var expectations: Expectations
  /// The last failure to create or delete, kept in the status until it is gone.
  var failure: ReplicaSetStatus.Failure?
  /// Seconds since 1970.
  var now: Int64
  /// How many pods of the owner's other sets run on a node: among equals, crowded nodes lose pods first.
  var relatedPodsByNode: [String: Int] = [:]

  struct Outcome {
    /// Pods to take over; their `ownerReferences` get the set.
    var adopts: [PodView] = []
    /// Pods that do not match any more.
    var releases: [PodView] = []
    var creates = 0
    var deletes: [PodView] = []
    var status: ReplicaSetStatus
    /// Seconds until a pod becomes available.
    var checkAgain: Int64?
  }

  /// Pods beyond this many wait for the next round.
  static let burst = 500

  func decide() -> Outcome {
    guard let selector = set.selector else { return Outcome(status: set.status) }
    var outcome = Outcome(status: ReplicaSetStatus())
    var members: [PodView] = []
    for pod in owned {
      if selector.matches(pod.meta.labels) {
        members.append(pod)
      } else if !pod.meta.isDeleting {
        outcome.releases.append(pod)
      }
    }
    if !set.meta.isDeleting {
      outcome.adopts = orphans.filter { $0.isActive && selector.matches($0.meta.labels) }
      members += outcome.adopts
    }
    let active = members.filter(\.isActive)
    if !set.meta.isDeleting, expectations.isMet(now: now) {
      let missing = Int(clamping: set.replicas) - active.count
      if missing > 0 {
        outcome.creates = min(missing, Self.burst)
      } else if missing < 0 {
        outcome.deletes = Array(leastValuableFirst(active).prefix(min(-missing, Self.burst)))
      }
    }
    outcome.status = status(active)
    if set.minReadySeconds > 0 {
      outcome.checkAgain = active.filter { $0.isReady && !$0.isAvailable(set.minReadySeconds, now: now) }
        .map { max(1, $0.readySince + set.minReadySeconds - now) }.min()
    }
    return outcome
  }

  private func status(_ active: [PodView]) -> ReplicaSetStatus {
    var status = ReplicaSetStatus()
    let template = set.object.withView { $0["spec"]["template"]["metadata"]["labels"].stringMap }
    for pod in active {
      status.replicas += 1
      if template.allSatisfy({ pod.meta.labels[$0.key] == $0.value }) { status.fullyLabeled += 1 }
      if pod.isReady { status.ready += 1 }
      if pod.isAvailable(set.minReadySeconds, now: now) { status.available += 1 }
    }
    status.observedGeneration = set.meta.generation
    status.failure = failure
    return status
  }

  /// Which pods to lose first: without a node, pending, not ready, cheap by annotation, on crowded nodes, ready for a shorter
  /// time, restarted more often, younger.
  /// - Source: Kubernetes "ReplicaSet: scaling down".
  private func leastValuableFirst(_ pods: [PodView]) -> [PodView] {
    var crowd = relatedPodsByNode
    for pod in pods where !pod.node.isEmpty { crowd[pod.node, default: 0] += 1 }
    let phases = ["Pending": 0, "Unknown": 1, "Running": 2]
    func rank(_ pod: PodView) -> [Int64] {
      [
        pod.node.isEmpty ? 0 : 1, Int64(phases[pod.phase] ?? 0), pod.isReady ? 1 : 0, pod.deletionCost, Int64(-(crowd[pod.node] ?? 0)),
        pod.isReady ? -pod.readySince : 0, -pod.restarts, -pod.meta.created,
      ]
    }
    let ranked = pods.map { (pod: $0, rank: rank($0)) }
    return ranked.sorted { a, b in
      a.rank == b.rank ? a.pod.meta.key < b.pod.meta.key : a.rank.lexicographicallyPrecedes(b.rank)
    }.map(\.pod)
  }
}

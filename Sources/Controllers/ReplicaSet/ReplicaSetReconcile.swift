import Client
import Wire

/// What has been asked for and not been seen yet. As long as there is something, a set neither creates nor deletes: it would do
/// the same a second time because its view of the pods is behind.
package struct Expectations: Sendable {
  /// Names of pods that were created.
  package var creations: Set<ObjectKey> = []
  /// uids of pods that were deleted.
  package var deletions: Set<String> = []
  /// Seconds since 1970.
  package var since: Int64 = 0

  /// Something that never comes (a pod that was created and removed while a watch was broken) is given up.
  package static let patience: Int64 = 300

  package init() {}

  package func isMet(now: Int64) -> Bool { creations.isEmpty && deletions.isEmpty || now - since > Self.patience }
}

/// One ReplicaSet and its pods: what must happen next.
package struct ReplicaSetReconcile {
  package var set: ReplicaSetView
  /// Every pod the set owns.
  package var owned: [PodView]
  /// Pods of the namespace without a controller.
  package var orphans: [PodView]
  package var expectations: Expectations
  /// The last failure to create or delete, kept in the status until it is gone.
  package var failure: ReplicaSetStatus.Failure?
  /// Seconds since 1970.
  package var now: Int64
  /// How many pods of all sets of the owner are on a node: among equals, crowded nodes lose pods first. Empty: of this set alone.
  package var relatedPodsByNode: [String: Int] = [:]

  package init(
    set: ReplicaSetView, owned: [PodView], orphans: [PodView] = [], expectations: Expectations = Expectations(),
    failure: ReplicaSetStatus.Failure? = nil, now: Int64, relatedPodsByNode: [String: Int] = [:]
  ) {
    self.set = set
    self.owned = owned
    self.orphans = orphans
    self.expectations = expectations
    self.failure = failure
    self.now = now
    self.relatedPodsByNode = relatedPodsByNode
  }

  package struct Outcome {
    /// Pods to take over; their `ownerReferences` get the set. Only after the live set has been looked at: a view that is behind would
    /// hand pods to an owner that is gone, and garbage collection would take them.
    package var adopts: [PodView] = []
    /// Pods that do not match any more.
    package var releases: [PodView] = []
    package var creates = 0
    package var deletes: [PodView] = []
    package var status: ReplicaSetStatus
    /// Seconds until a pod becomes available.
    package var checkAgain: Int64?
  }

  /// Pods beyond this many wait for the next round.
  package static let burst = 500

  package func decide() -> Outcome {
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
    // Pods that were made and not seen yet are there: whoever reads the status must not take them for missing.
    if !expectations.creations.isEmpty, !expectations.isMet(now: now) {
      let unseen = Int64(expectations.creations.count - owned.count { expectations.creations.contains($0.meta.key) })
      outcome.status.replicas += unseen
      outcome.status.fullyLabeled += unseen
    }
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
  /// time, restarted more often, younger. Ages are compared by powers of two, so that the youngest is not always the one to go.
  /// - Source: Kubernetes "ReplicaSet: scaling down".
  private func leastValuableFirst(_ pods: [PodView]) -> [PodView] {
    var crowd = relatedPodsByNode
    if crowd.isEmpty { for pod in pods where !pod.node.isEmpty { crowd[pod.node, default: 0] += 1 } }
    let phases = ["Pending": 0, "Unknown": 1, "Running": 2]
    func age(_ instant: Int64) -> Int64 {
      // An instant that is unknown counts as now.
      let seconds = instant == 0 ? 0 : max(0, now - instant)
      return Int64(Int64.bitWidth - (seconds + 1).leadingZeroBitCount)
    }
    func rank(_ pod: PodView) -> [Int64] {
      [
        pod.node.isEmpty ? 0 : 1, Int64(phases[pod.phase] ?? 0), pod.isReady ? 1 : 0, pod.deletionCost,
        Int64(-(crowd[pod.node] ?? 0)),
        pod.isReady ? age(pod.readySince) : 0, -pod.restarts, age(pod.meta.created),
      ]
    }
    let ranked = pods.map { (pod: $0, rank: rank($0)) }
    return ranked.sorted { a, b in
      a.rank == b.rank ? a.pod.meta.uid < b.pod.meta.uid : a.rank.lexicographicallyPrecedes(b.rank)
    }.map(\.pod)
  }
}

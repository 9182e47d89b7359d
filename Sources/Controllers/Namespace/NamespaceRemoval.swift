import Client
import Wire

/// One namespace on its way out: what to look at, what to delete and when it may go. Pure: told what lists and watches say.
///
/// Pods go first: what protects them (network policies) and what they use stays until they are gone. All kinds are looked at once; those
/// that something is left of are watched until they are empty, and then all are looked at once more: something may have been on its way
/// in while the namespace was closed.
package struct NamespaceRemoval: Sendable {
  package struct Thing: Sendable, Equatable {
    package var name: String
    package var uid: String
    package var isDeleting: Bool
    package var finalizers: [String]

    package init(name: String, uid: String, isDeleting: Bool = false, finalizers: [String] = []) {
      self.name = name
      self.uid = uid
      self.isDeleting = isDeleting
      self.finalizers = finalizers
    }
  }

  package struct Doomed: Sendable {
    package var kind: GroupVersionResource
    package var thing: Thing
  }

  /// What a watch says.
  package enum Change: Sendable {
    case set(Thing)
    case gone(String)
    /// What came with it in one go is all there is.
    case listed
  }

  package enum Step: Sendable {
    /// List these kinds: ``found(_:_:)`` or ``failed(_:_:)``.
    case look([GroupVersionResource])
    /// ``deleted(_:leaves:)`` or ``refused(_:_:)``.
    case delete([Doomed])
    /// Until a watch says something: ``unwatched`` kinds get one.
    case wait
    /// For ``retry()``: something was refused.
    case pause
    case finish
  }

  private let pods: [GroupVersionResource]
  private let others: [GroupVersionResource]
  /// What there is, by kind and name; kinds without anything are not in it.
  private var left: [GroupVersionResource: [String: Thing]] = [:]
  private var looked: Set<GroupVersionResource> = []
  /// By kind: a number for each watch, so that one that has ended says nothing any more.
  private var watches: [GroupVersionResource: Int] = [:]
  private var lastWatch = 0
  /// Nothing was there when all kinds were looked at.
  private var isConfirmed = true
  private var failures: [GroupVersionResource: String] = [:]
  private var refusals: [String: String] = [:]

  /// - Parameter kinds: everything namespaced.
  package init(_ kinds: [GroupVersionResource]) {
    pods = kinds.filter { $0 == .pods }
    others = kinds.filter { $0 != .pods }
  }

  package var hasFailures: Bool { !failures.isEmpty || !refusals.isEmpty }
  package var remainingKinds: Set<GroupVersionResource> { Set(left.keys) }
  /// Remaining kinds that no watch tells of.
  package var unwatched: [GroupVersionResource] { left.keys.filter { watches[$0] == nil } }

  package var remains: NamespaceRemains {
    var remains = NamespaceRemains()
    for (kind, things) in left { for thing in things.values { remains.note(kind, finalizers: thing.finalizers) } }
    remains.failures = Array(failures.values) + Array(refusals.values)
    return remains
  }

  package mutating func next() -> Step {
    for kinds in [pods, others] {
      let unseen = kinds.filter { !looked.contains($0) && failures[$0] == nil }
      if !unseen.isEmpty { return .look(unseen) }
      let doomed = kinds.flatMap { kind in
        (left[kind] ?? [:]).values.filter { !$0.isDeleting && refusals[$0.uid] == nil }.sorted { $0.name < $1.name }
          .map { Doomed(kind: kind, thing: $0) }
      }
      if !doomed.isEmpty { return .delete(doomed) }
      if hasFailures { return .pause }
      if kinds.contains(where: { left[$0] != nil }) { return .wait }
    }
    if isConfirmed { return .finish }
    isConfirmed = true
    looked = []
    return next()
  }

  /// What was refused is to be tried again.
  package mutating func retry() {
    failures = [:]
    refusals = [:]
  }

  // MARK: What is told

  package mutating func found(_ kind: GroupVersionResource, _ things: [Thing]) {
    looked.insert(kind)
    set(kind, things)
  }

  package mutating func failed(_ kind: GroupVersionResource, _ message: String) { failures[kind] = message }

  private mutating func set(_ kind: GroupVersionResource, _ things: [Thing]) {
    let old = left[kind] ?? [:]
    left[kind] = nil
    for thing in things { put(kind, thing, old[thing.name]) }
  }

  private mutating func put(_ kind: GroupVersionResource, _ thing: Thing, _ old: Thing?) {
    isConfirmed = false
    var thing = thing
    // A watch that is behind does not know yet.
    if let old, old.uid == thing.uid, old.isDeleting { thing.isDeleting = true }
    left[kind, default: [:]][thing.name] = thing
  }

  private mutating func remove(_ kind: GroupVersionResource, _ name: String) {
    left[kind]?[name] = nil
    if left[kind]?.isEmpty == true { left[kind] = nil }
    // Whoever watches it may stop; what comes later is found by the last look.
    if left[kind] == nil { watches[kind] = nil }
  }

  /// - Parameter leaves: what is there still; nil: nothing.
  package mutating func deleted(_ doomed: Doomed, leaves thing: Thing?) {
    // What a watch has told meanwhile is newer than the answer.
    guard let old = left[doomed.kind]?[doomed.thing.name], old.uid == doomed.thing.uid else { return }
    guard let thing else { return remove(doomed.kind, doomed.thing.name) }
    left[doomed.kind]?[doomed.thing.name] = Thing(name: old.name, uid: old.uid, isDeleting: true, finalizers: thing.finalizers)
  }

  package mutating func refused(_ doomed: Doomed, _ message: String) { refusals[doomed.thing.uid] = message }

  /// A watch of a kind begins; what it says comes with the number.
  package mutating func watched(_ kind: GroupVersionResource) -> Int {
    lastWatch += 1
    watches[kind] = lastWatch
    return lastWatch
  }

  package mutating func observe(_ kind: GroupVersionResource, _ watch: Int, _ changes: [Change]) {
    guard watches[kind] == watch else { return }
    if changes.contains(where: { if case .listed = $0 { true } else { false } }) {
      set(kind, changes.compactMap { if case .set(let thing) = $0 { thing } else { nil } })
      if left[kind] == nil { watches[kind] = nil }
      return
    }
    for change in changes {
      switch change {
      case .set(let thing): put(kind, thing, left[kind]?[thing.name])
      case .gone(let name): remove(kind, name)
      case .listed: break
      }
    }
  }
}

/// What is left of a namespace after a round of deletions, and how its conditions say so. Pure.
package struct NamespaceRemains: Sendable, Equatable {
  package private(set) var counts: [String: Int] = [:]
  package private(set) var finalizers: [String: Int] = [:]
  package var failures: [String] = []

  package init() {}

  package var isEmpty: Bool { counts.isEmpty && failures.isEmpty }

  package mutating func note(_ kind: GroupVersionResource, finalizers: [String]) {
    counts["\(kind.resource).\(kind.group)", default: 0] += 1
    for finalizer in finalizers { self.finalizers[finalizer, default: 0] += 1 }
  }

  /// - Source: the conditions of upstream's NamespaceStatus, with its reasons and messages.
  package var conditions: [(type: String, condition: NamespaceView.Condition)] {
    func row(_ type: String, _ bad: (reason: String, message: String)?, _ reason: String, _ message: String) -> (
      String, NamespaceView.Condition
    ) {
      (type, .init(status: bad == nil ? "False" : "True", reason: bad?.reason ?? reason, message: bad?.message ?? message))
    }
    let failed =
      failures.isEmpty
      ? nil
      : (
        "ContentDeletionFailed",
        "Failed to delete all resource types, \(failures.count) remaining: \(failures.sorted().joined(separator: ", "))"
      )
    let remaining = counts.sorted { $0.key < $1.key }.map { "\($0.key) has \($0.value) resource instances" }
    let held = finalizers.sorted { $0.key < $1.key }.map { "\($0.key) in \($0.value) resource instances" }
    return [
      row("NamespaceDeletionDiscoveryFailure", nil, "ResourcesDiscovered", "All resources successfully discovered"),
      row("NamespaceDeletionGroupVersionParsingFailure", nil, "ParsedGroupVersions", "All legacy kube types successfully parsed"),
      row(
        "NamespaceDeletionContentFailure", failed, "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization"),
      row(
        "NamespaceContentRemaining",
        remaining.isEmpty ? nil : ("SomeResourcesRemain", "Some resources are remaining: \(remaining.joined(separator: ", "))"),
        "ContentRemoved", "All content successfully removed"),
      row(
        "NamespaceFinalizersRemaining",
        held.isEmpty
          ? nil
          : ("SomeFinalizersRemain", "Some content in the namespace has finalizers remaining: \(held.joined(separator: ", "))"),
        "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    ]
  }
}

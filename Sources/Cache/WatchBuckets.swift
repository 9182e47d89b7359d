import Wire

/// What a watcher can be woken for. An event wakes its bucket, not everybody.
package enum WatchScope: Hashable, Sendable {
  case all
  case namespace(String)
  case object(ObjectKey)
  /// Objects with this value of the resource's attribute.
  case attribute(String)
}

/// The watchers of one scope, and where in the ring its events are: a watcher never looks at others' events.
struct WatchBucket {
  /// Watchers by the target that is woken for them.
  var groups: [ObjectIdentifier: WakeGroup] = [:]
  /// Sequence numbers of this scope's events, from `start` on. Unused by `.all`, to which every event belongs.
  private(set) var postings: [Int] = []
  private(set) var start = 0
  /// Events of this scope before here are gone, or have not been looked for.
  private(set) var knownFrom: Int
  /// Somebody is about to come in, and looks for events first.
  var isSearched = false

  /// Events that are looked through in one go.
  private static let step = 256

  struct WakeGroup {
    let target: any WakeTarget
    var cursors: [WatchCursor] = []
  }

  init(knownFrom: Int) { self.knownFrom = knownFrom }

  /// Nobody needs it.
  var isIdle: Bool { groups.isEmpty && !isSearched }

  /// What must be looked through next, newest first, before a watcher can go on from a position; nil where nothing is missing that the
  /// ring still has.
  func gap(of scope: WatchScope, from position: Int, ring: EventRing) -> EventRing.Part? {
    let oldest = max(position, ring.first, knownFrom - Self.step)
    guard scope != .all, position >= ring.first, oldest < knownFrom else { return nil }
    return EventRing.Part(first: oldest, events: ring.events(oldest..<knownFrom))
  }

  /// - Parameter found: sequence numbers of this scope's events among those from `first` up to `end`.
  mutating func learn(_ found: [Int], from first: Int, upTo end: Int) {
    // Somebody else was faster, or the ring has moved past it.
    guard knownFrom == end else { return }
    postings.insert(contentsOf: found, at: start)
    knownFrom = first
  }

  mutating func append(_ sequence: Int, first: Int) {
    while start < postings.count, postings[start] < first {
      knownFrom = max(knownFrom, postings[start] + 1)
      start += 1
    }
    if start > 64, start * 2 > postings.count {
      postings.removeFirst(start)
      start = 0
    }
    postings.append(sequence)
  }

  /// The index in ``postings`` of the first event at or behind a sequence number.
  func firstPosting(from sequence: Int) -> Int {
    var low = start
    var high = postings.count
    while low < high {
      let middle = (low + high) / 2
      if postings[middle] < sequence { low = middle + 1 } else { high = middle }
    }
    return low
  }

  mutating func add(_ cursor: WatchCursor) {
    let id = ObjectIdentifier(cursor.target)
    var group = groups.removeValue(forKey: id) ?? WakeGroup(target: cursor.target)
    cursor.slot = group.cursors.count
    group.cursors.append(cursor)
    groups[id] = group
  }

  mutating func remove(_ cursor: WatchCursor) {
    let id = ObjectIdentifier(cursor.target)
    guard var group = groups.removeValue(forKey: id) else { return }
    let slot = cursor.slot
    if slot < group.cursors.count, group.cursors[slot] === cursor {
      let last = group.cursors.removeLast()
      if last !== cursor {
        group.cursors[slot] = last
        last.slot = slot
      }
    }
    if !group.cursors.isEmpty { groups[id] = group }
  }
}

/// Whose watchers are to be woken after a batch of events: every bucket once, whatever the number of its events.
struct WakeList {
  private var touched: [ObjectIdentifier: (resource: ResourceCache, scopes: Set<WatchScope>)] = [:]

  mutating func add(_ resource: ResourceCache, _ scopes: [WatchScope]) {
    touched[ObjectIdentifier(resource), default: (resource, [])].scopes.formUnion(scopes)
  }

  func run() {
    var wakes: [ObjectIdentifier: (target: any WakeTarget, cursors: [WatchCursor])] = [:]
    for (resource, scopes) in touched.values {
      for group in resource.groups(of: scopes) {
        let armed = group.cursors.filter { $0.arm() }
        if !armed.isEmpty { wakes[ObjectIdentifier(group.target), default: (group.target, [])].cursors.append(contentsOf: armed) }
      }
    }
    for wake in wakes.values { wake.target.wake(wake.cursors) }
  }
}

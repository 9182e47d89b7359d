import Client
import Controllers
import Testing
import Wire

/// A server with one namespace that is being deleted, watches that lag behind it, and the controller's decisions carried out as its loop
/// does. One seeded choice decides who goes next.
private struct Closing {
  struct Thing {
    var uid: String
    var finalizers: [String] = []
    var isDeleting = false
    /// Steps that it takes to go once it is asked to.
    var grace = 0
  }
  struct Feed {
    var number: Int
    var position: Int
    var hasListed = false
  }

  static let kinds: [GroupVersionResource] = [.pods, .configMaps, .services, .deployments, .endpoints]

  var random: SplitMix
  private(set) var things: [GroupVersionResource: [String: Thing]] = [:]
  /// Every change, with what a watch says of it.
  private var log: [GroupVersionResource: [NamespaceRemoval.Change]] = [:]
  private var removal = NamespaceRemoval(kinds)
  private var feeds: [GroupVersionResource: Feed] = [:]
  private var serial = 0
  /// Writes that were under way when the namespace was closed, and come in late.
  private var late: Int
  let hasLateComers: Bool
  /// One of so many requests is refused; 0: none.
  var refusals: Int
  private(set) var isGone = false
  private(set) var faults: [String] = []
  private(set) var lists = 0
  /// The controller has been told something, or wants to try again.
  private var isDue = true

  init(seed: UInt64, late: Int, refusals: Int) {
    random = SplitMix(state: seed)
    self.late = late
    hasLateComers = late > 0
    self.refusals = refusals
    for kind in Self.kinds where !random.once(in: 3) {
      for _ in 0..<Int.random(in: 1...6, using: &random) { create(kind) }
    }
  }

  // MARK: The server

  private mutating func create(_ kind: GroupVersionResource) {
    serial += 1
    var thing = Thing(uid: "u\(serial)")
    if random.once(in: 4) { thing.finalizers = ["mine.org/hold"] }
    if kind == .pods { thing.grace = Int.random(in: 0...5, using: &random) }
    // A name may come again.
    set(kind, "o\(random.next() % 12)", thing)
  }

  private mutating func set(_ kind: GroupVersionResource, _ name: String, _ thing: Thing) {
    if let old = things[kind]?[name], old.uid != thing.uid { return }
    things[kind, default: [:]][name] = thing
    log[kind, default: []].append(.set(told(name, thing)))
  }

  private func told(_ name: String, _ thing: Thing) -> NamespaceRemoval.Thing {
    NamespaceRemoval.Thing(name: name, uid: thing.uid, isDeleting: thing.isDeleting, finalizers: thing.finalizers)
  }

  private mutating func settle(_ kind: GroupVersionResource, _ name: String) {
    guard let thing = things[kind]?[name], thing.isDeleting, thing.finalizers.isEmpty, thing.grace == 0 else { return }
    things[kind]?[name] = nil
    if things[kind]?.isEmpty == true { things[kind] = nil }
    log[kind, default: []].append(.gone(name))
  }

  // MARK: What happens

  mutating func step() {
    switch Int.random(in: 0..<6, using: &random) {
    case 0: passTime()
    case 1:
      if late > 0, let kind = Self.kinds.randomElement(using: &random) {
        late -= 1
        create(kind)
      }
    case 2, 3: deliver()
    default: if isDue { decide() }
    }
  }

  /// Pods end, others take their finalizers off.
  mutating func passTime() {
    for (kind, all) in things.sorted(by: { $0.key.resource < $1.key.resource }) {
      for (name, thing) in all.sorted(by: { $0.key < $1.key }) where thing.isDeleting {
        var thing = thing
        if thing.grace > 0 { thing.grace -= 1 }
        if !thing.finalizers.isEmpty, random.once(in: 3) {
          thing.finalizers = []
          set(kind, name, thing)
        } else {
          things[kind]?[name] = thing
        }
        settle(kind, name)
      }
    }
  }

  mutating func deliver() {
    for (kind, feed) in feeds.sorted(by: { $0.key.resource < $1.key.resource }) where !random.once(in: 3) {
      var feed = feed
      let end = log[kind]?.count ?? 0
      if !feed.hasListed {
        feed.hasListed = true
        removal.observe(kind, feed.number, (things[kind] ?? [:]).map { .set(told($0.key, $0.value)) } + [.listed])
        isDue = true
      } else if feed.position < end, let changes = log[kind]?[feed.position..<end] {
        removal.observe(kind, feed.number, Array(changes))
        isDue = true
      }
      feed.position = end
      feeds[kind] = feed
    }
  }

  mutating func decide() {
    isDue = false
    while true {
      switch removal.next() {
      case .look(let kinds):
        for kind in kinds {
          lists += 1
          if refusals > 0, random.once(in: refusals) {
            removal.failed(kind, "no")
          } else {
            removal.found(kind, (things[kind] ?? [:]).map { told($0.key, $0.value) })
          }
        }
      case .delete(let doomed):
        for one in doomed { delete(one) }
      case .pause:
        // Its back-off runs out some time later.
        if random.once(in: 2) { removal.retry() }
        isDue = true
        follow()
        return
      case .wait:
        follow()
        return
      case .finish:
        isGone = true
        return
      }
    }
  }

  private mutating func delete(_ doomed: NamespaceRemoval.Doomed) {
    if doomed.kind != .pods, things[.pods] != nil, !hasLateComers { faults.append("\(doomed.kind) went before pods") }
    if refusals > 0, random.once(in: refusals) { return removal.refused(doomed, "no") }
    guard var thing = things[doomed.kind]?[doomed.thing.name], thing.uid == doomed.thing.uid else {
      return removal.deleted(doomed, leaves: nil)
    }
    thing.isDeleting = true
    set(doomed.kind, doomed.thing.name, thing)
    settle(doomed.kind, doomed.thing.name)
    let left = things[doomed.kind]?[doomed.thing.name].map { told(doomed.thing.name, $0) }
    // The watch may be faster than the answer.
    if random.once(in: 3) { deliver() }
    removal.deleted(doomed, leaves: left)
  }

  private mutating func follow() {
    for kind in removal.unwatched {
      feeds[kind] = Feed(number: removal.watched(kind), position: log[kind]?.count ?? 0)
    }
    for kind in feeds.keys where !removal.remainingKinds.contains(kind) { feeds[kind] = nil }
  }

  var isEmpty: Bool { things.isEmpty }
}

@Suite("the end of a namespace in simulation")
struct NamespaceRemovalTests {
  @Test("it goes when nothing is left, pods first, and nobody looks again and again meanwhile", arguments: 0..<400)
  func ends(seed: Int) {
    var world = Closing(seed: UInt64(seed), late: seed % 3, refusals: seed % 2 * 10)
    var steps = 0
    while !world.isGone, steps < 20_000 {
      world.step()
      steps += 1
      // Nobody refuses for ever.
      if steps == 200 { world.refusals = 0 }
    }
    #expect(world.isGone, "seed \(seed) never ends")
    #expect(world.isEmpty, "seed \(seed) leaves something behind")
    #expect(world.faults == [], "seed \(seed)")
    if seed % 6 == 0 { #expect(world.lists <= 2 * Closing.kinds.count, "seed \(seed) looked \(world.lists) times") }
  }
}

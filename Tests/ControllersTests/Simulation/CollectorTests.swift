import Client
import Controllers
import Testing
import Wire

/// A server of three kinds whose objects own each other as the seed likes, also in circles and across namespaces; feeds that lag behind
/// it, and the collector's graph. Deletions and patches mean what they mean upstream.
private struct Collection {
  struct Thing {
    var resource: GroupVersionResource
    var key: ObjectKey
    var owners: [(uid: String, blocks: Bool)]
    var finalizers: [String] = []
    var isDeleting = false
    var revision: Int64 = 0
  }

  static let resources: [GroupVersionResource] = [.configMaps, .services, .nodes]

  var random: SplitMix
  private(set) var things: [String: Thing] = [:]
  private var revision: Int64 = 0
  private var serial = 0
  private var log: [GroupVersionResource: [Meta?]] = [:]
  private var removed: [GroupVersionResource: [Int: ObjectKey]] = [:]
  private var positions: [GroupVersionResource: Int] = [:]
  private var graph = OwnerGraph()
  /// One of so many writes is refused; 0: none.
  var refusals = 15
  /// What was taken although something that lives owns it, or too early.
  private(set) var crimes: [String] = []

  init(seed: UInt64) { random = SplitMix(state: seed) }

  // MARK: The server

  /// The owner that a reference means: in the same namespace, or of no namespace.
  func owner(_ uid: String, of thing: Thing) -> Thing? {
    guard let owner = things[uid] else { return nil }
    let (namespace, own) = (owner.key.namespace, thing.key.namespace)
    return namespace.isEmpty || own.isEmpty || namespace == own ? owner : nil
  }

  mutating func create(_ resource: GroupVersionResource, namespace: String, owners: [(uid: String, blocks: Bool)] = []) -> String {
    serial += 1
    let uid = "uid-\(serial)"
    let key = ObjectKey(namespace: resource == .nodes ? "" : namespace, name: "o\(serial)")
    commit(uid, Thing(resource: resource, key: key, owners: owners))
    return uid
  }

  mutating func own(_ uid: String, _ owners: [(uid: String, blocks: Bool)]) {
    guard var thing = things[uid] else { return }
    thing.owners = owners
    commit(uid, thing)
  }

  private mutating func commit(_ uid: String, _ thing: Thing) {
    revision += 1
    var thing = thing
    thing.revision = revision
    things[uid] = thing
    let references = thing.owners.map { owner -> Value in
      [
        "apiVersion": "v1", "kind": "ConfigMap", "name": .string("of-\(owner.uid)"), "uid": .string(owner.uid),
        "blockOwnerDeletion": .bool(owner.blocks),
      ]
    }
    var metadata: Value = [
      "name": .string(thing.key.name), "namespace": .string(thing.key.namespace), "uid": .string(uid),
      "creationTimestamp": "2026-01-01T00:00:00Z", "ownerReferences": .array(references),
      "finalizers": .array(thing.finalizers.map { .string($0) }),
    ]
    if thing.isDeleting { metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z" }
    let value: Value = ["metadata": metadata]
    guard let object = try? EncodedObject(bytes: value.jsonBytes, revision: revision) else { return }
    log[thing.resource, default: []].append(object.withView { Meta(object, $0) })
  }

  private mutating func remove(_ uid: String) {
    guard let thing = things.removeValue(forKey: uid) else { return }
    revision += 1
    removed[thing.resource, default: [:]][log[thing.resource]?.count ?? 0] = thing.key
    log[thing.resource, default: []].append(nil)
  }

  mutating func delete(_ uid: String, _ propagation: DeleteOptions.Propagation) {
    guard var thing = things[uid] else { return }
    // The last word about dependents counts.
    if propagation == .foreground { thing.finalizers.removeAll { $0 == OwnerGraph.orphan } }
    if propagation == .orphan { thing.finalizers.removeAll { $0 == OwnerGraph.foreground } }
    switch propagation {
    case .foreground where !thing.finalizers.contains(OwnerGraph.foreground): thing.finalizers.append(OwnerGraph.foreground)
    case .orphan where !thing.finalizers.contains(OwnerGraph.orphan): thing.finalizers.append(OwnerGraph.orphan)
    default: break
    }
    if thing.finalizers.isEmpty { return remove(uid) }
    thing.isDeleting = true
    commit(uid, thing)
  }

  /// - Returns: false where it must be tried again.
  private mutating func submit(_ operation: Operation) -> Bool {
    if refusals > 0, random.once(in: refusals) { return false }
    switch operation {
    case .delete(_, _, let options):
      guard let uid = options.preconditionUID, let thing = things[uid] else { return true }
      guard options.preconditionResourceVersion == String(thing.revision) else { return false }
      let solid = thing.owners.filter { owner($0.uid, of: thing).map { !$0.isDeleting } ?? false }
      if !solid.isEmpty { crimes.append("\(uid) was deleted, \(solid[0].uid) owns it") }
      delete(uid, options.propagation ?? .background)
    case .patch(_, _, _, let patch):
      let metadata = patch.body["metadata"]
      guard let uid = metadata["uid"].string, var thing = things[uid] else { return true }
      if let seen = metadata["resourceVersion"].string, seen != String(thing.revision) { return false }
      for reference in metadata["ownerReferences"].array ?? [] {
        if reference["$patch"] == "delete" {
          thing.owners.removeAll { .string($0.uid) == reference["uid"] }
        } else if let i = thing.owners.firstIndex(where: { .string($0.uid) == reference["uid"] }) {
          thing.owners[i].blocks = reference["blockOwnerDeletion"].bool ?? thing.owners[i].blocks
        }
      }
      if metadata["finalizers"].isNull, metadata.object?["finalizers"] != nil {
        thing.finalizers = []
      } else if let left = metadata["finalizers"].array {
        thing.finalizers = left.compactMap(\.string)
      }
      guard thing.isDeleting, thing.finalizers.isEmpty else {
        commit(uid, thing)
        return true
      }
      remove(uid)
    default: return false
    }
    return true
  }

  // MARK: Steps

  /// Feeds and collector take turns until nothing is left to do.
  /// - Returns: false where that did not come.
  mutating func run(limit: Int = 5000, _ check: (Collection) -> Void = { _ in }) -> Bool {
    for _ in 0..<limit {
      let waiting = Self.resources.filter { positions[$0] ?? 0 < log[$0]?.count ?? 0 }
      if waiting.isEmpty, graph.dirty.isEmpty { return true }
      if let resource = waiting.randomElement(using: &random), graph.dirty.isEmpty || random.once(in: 2) {
        let position = positions[resource] ?? 0
        positions[resource] = position + 1
        if let meta = log[resource]?[position] {
          graph.set(resource, meta)
        } else if let key = removed[resource]?[position] {
          graph.remove(resource, key)
        }
      } else {
        collect()
      }
      check(self)
    }
    return false
  }

  private mutating func collect() {
    for uid in graph.takeDirty(1 + Int.random(in: 0..<4, using: &random)).sorted() {
      var verdict = graph.judge(uid, absent: [])
      if case .verify(let owners) = verdict {
        guard let thing = things[uid] else { continue }
        // By name in the dependent's own namespace, as the server answers now.
        let absent = owners.filter { owner($0.uid, of: thing) == nil }
        if absent.count < owners.count { continue }
        verdict = graph.judge(uid, absent: Set(absent.map(\.uid)))
      }
      guard case .operations(let operations) = verdict else { continue }
      for operation in operations where !submit(operation) { graph.lookAgain(uid) }
    }
  }

  /// Objects whose owners are all gone.
  var garbage: [String] {
    things.filter { _, thing in !thing.owners.isEmpty && thing.owners.allSatisfy { owner($0.uid, of: thing) == nil } }.keys.sorted()
  }

  func reaches(_ uid: String, from start: String) -> Bool {
    var seen: Set<String> = []
    var rest = [start]
    while let next = rest.popLast() {
      if next == uid { return true }
      guard seen.insert(next).inserted else { continue }
      rest += things[next]?.owners.map(\.uid) ?? []
    }
    return false
  }
}

@Suite("the collector in simulation")
struct CollectorTests {
  /// A forest with second owners, circles, and owners in the wrong namespace.
  private func random(_ world: inout Collection, circles: Bool) -> [String] {
    var uids: [String] = []
    for _ in 0..<Int.random(in: 3...14, using: &world.random) {
      let resource = Collection.resources.randomElement(using: &world.random) ?? .nodes
      var owners: [(uid: String, blocks: Bool)] = []
      for _ in 0..<Int.random(in: 0...2, using: &world.random) {
        guard let uid = uids.randomElement(using: &world.random), !owners.contains(where: { $0.uid == uid }) else { continue }
        // A cluster-scoped object cannot be owned by one of a namespace.
        if resource == .nodes, world.things[uid]?.key.namespace.isEmpty == false { continue }
        owners.append((uid, world.random.once(in: 2)))
      }
      uids.append(world.create(resource, namespace: world.random.once(in: 4) ? "other" : "one", owners: owners))
    }
    if circles, let first = uids.first, let thing = world.things[first], !thing.key.namespace.isEmpty {
      let above = uids.filter {
        world.reaches(first, from: $0) && $0 != first && world.things[$0]?.key.namespace == thing.key.namespace
      }
      if let last = above.randomElement(using: &world.random) { world.own(first, [(last, true)]) }
    }
    return uids
  }

  @Test("what nobody owns goes, what somebody owns stays, whatever is deleted how, also in circles", arguments: 0..<400)
  func everything(seed: Int) {
    var world = Collection(seed: UInt64(seed))
    let uids = random(&world, circles: seed % 3 == 0)
    let isQuiet = world.run()
    #expect(isQuiet, "seed \(seed)")
    for _ in 0..<Int.random(in: 1...4, using: &world.random) {
      guard let victim = uids.randomElement(using: &world.random) else { continue }
      world.delete(victim, [.background, .foreground, .orphan].randomElement(using: &world.random) ?? .background)
      guard world.random.once(in: 2) else { continue }
      let isQuietAgain = world.run()
      #expect(isQuietAgain, "seed \(seed)")
    }
    let isQuietAtLast = world.run()
    #expect(isQuietAtLast, "seed \(seed)")
    #expect(world.garbage == [] && world.crimes == [], "seed \(seed)")
    #expect(world.things.values.allSatisfy { !$0.isDeleting }, "seed \(seed): something waits for ever: \(world.things)")
  }

  @Test("in the foreground an owner goes after everything that blocks it", arguments: 0..<100)
  func foreground(seed: Int) {
    var world = Collection(seed: UInt64(seed) + 10_000)
    let owner = world.create(.configMaps, namespace: "one")
    let middle = world.create(.services, namespace: "one", owners: [(owner, true)])
    let leaves = (0..<3).map { _ in world.create(.services, namespace: "one", owners: [(middle, true)]) }
    let isQuiet = world.run()
    #expect(isQuiet, "seed \(seed)")
    world.delete(owner, .foreground)
    var isOrdered = true
    let ended = world.run { world in
      if world.things[owner] == nil, world.things[middle] != nil { isOrdered = false }
      if world.things[middle] == nil, leaves.contains(where: { world.things[$0] != nil }) { isOrdered = false }
    }
    #expect(ended && isOrdered && world.things.isEmpty, "seed \(seed)")
  }

  @Test("orphans keep living, without the reference", arguments: 0..<100)
  func orphan(seed: Int) {
    var world = Collection(seed: UInt64(seed) + 20_000)
    let owner = world.create(.configMaps, namespace: "one")
    let other = world.create(.nodes, namespace: "")
    let dependents = (0..<4).map { i in
      world.create(.services, namespace: "one", owners: i < 2 ? [(owner, true)] : [(owner, true), (other, false)])
    }
    let isQuiet = world.run()
    #expect(isQuiet, "seed \(seed)")
    world.delete(owner, .orphan)
    let isQuietAgain = world.run()
    #expect(isQuietAgain && world.things[owner] == nil, "seed \(seed)")
    #expect(dependents.map { world.things[$0]?.owners.map(\.uid) } == [[], [], [other], [other]], "seed \(seed)")
  }

  @Test("an owner in another namespace owns nothing", arguments: 0..<100)
  func namespaces(seed: Int) {
    var world = Collection(seed: UInt64(seed) + 30_000)
    let owner = world.create(.configMaps, namespace: "one")
    let own = world.create(.services, namespace: "one", owners: [(owner, true)])
    let foreign = world.create(.services, namespace: "other", owners: [(owner, true)])
    let isQuiet = world.run()
    #expect(isQuiet, "seed \(seed)")
    #expect(world.things[foreign] == nil && world.things[own] != nil && world.things[owner] != nil, "seed \(seed)")
  }

  @Test("two that own each other live until one is deleted, then both go, in the foreground too", arguments: 0..<100)
  func circle(seed: Int) {
    var world = Collection(seed: UInt64(seed) + 40_000)
    let first = world.create(.configMaps, namespace: "one")
    let second = world.create(.services, namespace: "one", owners: [(first, true)])
    world.own(first, [(second, true)])
    let isQuiet = world.run()
    #expect(isQuiet && world.things.count == 2, "seed \(seed)")
    world.delete(first, seed % 2 == 0 ? .foreground : .background)
    let isQuietAgain = world.run()
    #expect(isQuietAgain && world.things.isEmpty, "seed \(seed): \(world.things)")
  }
}

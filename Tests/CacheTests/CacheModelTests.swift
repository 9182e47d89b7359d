import Cache
import Glibc
import Store
import Synchronization
import Testing
import Wire

let pods = GroupResource(resource: "pods")

/// Wakes at once, on the thread of the writer: order is then the test's own.
final class DirectTarget: WakeTarget {
  let wakes = Atomic<Int>(0)
  let batches = Atomic<Int>(0)
  func wake(_ cursors: [WatchCursor]) {
    batches.add(1, ordering: .relaxed)
    wakes.add(cursors.count, ordering: .relaxed)
    for cursor in cursors { cursor.onWake() }
  }
}

/// A cache over a real store in a directory of its own.
final class World {
  struct Model {
    var revision: Revision
    var node: String
    var step: Int
  }

  let path: String
  private(set) var store: SQLiteStore
  private(set) var cache: Cache
  let clock = Mutex<Int64>(0)
  var model: [ObjectKey: Model] = [:]
  private let ringBytes: Int
  private let keptRevisions: Int64

  init(_ directory: String, ringBytes: Int = 16 << 20, keptRevisions: Int64 = 20_000) throws {
    path = "\(directory)/state.db"
    self.ringBytes = ringBytes
    self.keptRevisions = keptRevisions
    (store, cache) = try Self.open(path, ringBytes, keptRevisions)
  }

  private static func open(_ path: String, _ ringBytes: Int, _ kept: Int64) throws -> (SQLiteStore, Cache) {
    var configuration = SQLiteStore.Configuration(path: path)
    configuration.keptRevisions = kept
    let store = try SQLiteStore(configuration)
    let cache = Cache(
      ringBytes: ringBytes, open: { _, value in Envelope.open(value).map { Array($0.1) } },
      index: { _ in { object in object.withView { $0["spec"]["nodeName"].string ?? "" } } },
      terms: { _ in
        { object in
          object.withView { view in view["metadata"]["ownerReferences"].compactMap { $0["uid"].string.map { "owner/\($0)" } } }
        }
      })
    try cache.follow(store)
    return (store, cache)
  }

  func reopen() throws {
    store.close()
    (store, cache) = try Self.open(path, ringBytes, keptRevisions)
  }

  var resource: ResourceCache { cache.resource(pods) }

  static func bytes(_ key: ObjectKey, node: String, step: Int) -> [UInt8] {
    let value: Value = [
      "metadata": [
        "name": .string(key.name), "namespace": .string(key.namespace), "uid": .string("u-\(key.name)"),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "ownerReferences": [["uid": .string("o\(step % 3)")]],
      ], "spec": ["nodeName": .string(node)], "step": .int(Int64(step)),
    ]
    return Envelope().wrap(value.jsonBytes)
  }

  func put(_ key: ObjectKey, node: String, step: Int) async throws {
    let revision = try await store.commit(
      Transaction(compares: [], writes: [.put(StoreKey(pods, key), Self.bytes(key, node: node, step: step))]))
    model[key] = Model(revision: revision, node: node, step: step)
  }

  func remove(_ key: ObjectKey) async throws {
    _ = try await store.commit(Transaction(compares: [], writes: [.delete(StoreKey(pods, key), uid: nil)]))
    model[key] = nil
  }

  /// One seeded change.
  func step(_ step: Int, _ random: inout Seeded, names: Int = 40) async throws {
    let key = ObjectKey(namespace: "ns\(random.next(3))", name: "p\(random.next(names))")
    if random.next(4) == 0, model[key] != nil { return try await remove(key) }
    try await put(key, node: random.next(5) == 0 ? "" : "n\(random.next(4))", step: step)
  }
}

struct Seeded {
  var state: UInt64
  init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }
  mutating func next(_ bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % bound
  }
}

func withWorld(ringBytes: Int = 16 << 20, keptRevisions: Int64 = 20_000, _ body: (World) async throws -> Void) async throws {
  var template = Array("/tmp/gantry-test-XXXXXX".utf8CString)
  let directory = try template.withUnsafeMutableBufferPointer { buffer in
    let start = try #require(buffer.baseAddress)
    _ = try #require(mkdtemp(start))
    return String(cString: start)
  }
  defer { _ = system("rm -rf --one-file-system '\(directory)'") }
  let world = try World(directory, ringBytes: ringBytes, keptRevisions: keptRevisions)
  defer { world.store.close() }
  try await body(world)
}

/// A watcher that keeps what it was told, as a client would.
final class Follower: Sendable {
  struct Seen: Sendable {
    var objects: [ObjectKey: Revision] = [:]
    var revisions: [Revision] = []
    var isExpired = false
  }

  let scope: WatchScope
  let seen: Mutex<Seen>
  private let cursor = Mutex<WatchCursor?>(nil)
  /// Wakes that nobody answered by draining.
  let (woken, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

  init(_ scope: WatchScope, _ objects: [ObjectKey: Revision] = [:]) {
    self.scope = scope
    seen = Mutex(Seen(objects: objects))
  }

  func watch(_ resource: ResourceCache, after revision: Revision, _ target: any WakeTarget, drains: Bool = true) -> Bool {
    let made = resource.watch(after: revision, scope: scope, target: target) { [weak self] in
      if drains { self?.drain() } else { self?.wake.yield() }
    }
    cursor.withLock { $0 = made }
    return made != nil
  }

  func drain(limit: Int = 7) {
    guard let cursor = cursor.withLock({ $0 }) else { return }
    while true {
      switch cursor.next(limit: limit) {
      case .expired: return seen.withLock { $0.isExpired = true }
      case .events(let events, let hasMore):
        seen.withLock { seen in
          for event in events {
            seen.revisions.append(event.revision)
            let key = (event.new ?? event.old)?.object.key ?? ObjectKey(name: "")
            // What stopped matching the scope is gone for this watcher.
            if let new = event.new, matches(new) { seen.objects[key] = event.revision } else { seen.objects[key] = nil }
          }
        }
        if !hasMore { return }
      }
    }
  }

  func matches(_ entry: ObjectTree.Entry) -> Bool {
    switch scope {
    case .all: true
    case .namespace(let namespace): entry.object.key.namespace == namespace
    case .object(let key): entry.object.key == key
    case .attribute(let node): entry.attribute == node
    }
  }

  func close() {
    cursor.withLock {
      $0?.close(); $0 = nil
    }
  }
}

@Suite struct CacheModelTests {
  static let scopes: [WatchScope] = [
    .all, .namespace("ns1"), .object(ObjectKey(namespace: "ns0", name: "p3")), .attribute("n2"), .attribute("n3"),
    .namespace("none"),
  ]

  static func expected(_ scope: WatchScope, _ model: [ObjectKey: World.Model]) -> [ObjectKey: Revision] {
    model.filter { key, value in
      switch scope {
      case .all: true
      case .namespace(let namespace): key.namespace == namespace
      case .object(let wanted): key == wanted
      case .attribute(let node): value.node == node
      }
    }.mapValues(\.revision)
  }

  static func revisions(_ iterator: ObjectTree.Iterator) -> [ObjectKey: Revision] {
    var iterator = iterator
    var found: [ObjectKey: Revision] = [:]
    var last: ObjectKey?
    while let entry = iterator.next() {
      if let last { #expect(last < entry.object.key) }
      last = entry.object.key
      found[entry.object.key] = entry.object.revision
    }
    return found
  }

  static func check(_ world: World) {
    let tree = world.resource.snapshot(revision: world.cache.revision).tree
    #expect(revisions(tree.iterate()) == world.model.mapValues(\.revision))
    #expect(revisions(tree.iterate(namespace: "ns1")) == expected(.namespace("ns1"), world.model))
    for node in ["n0", "n2"] { #expect(revisions(tree.iterate(term: node)) == expected(.attribute(node), world.model)) }
    #expect(revisions(tree.iterate(term: "owner/o1")) == world.model.filter { $0.value.step % 3 == 1 }.mapValues(\.revision))
    for (key, value) in world.model { #expect(world.resource.get(key)?.revision == value.revision) }
  }

  @Test("watchers of every scope end with the model's state, snapshots stay what they were", arguments: 0..<8)
  func model(seed: UInt64) async throws {
    try await withWorld { world in
      var random = Seeded(seed)
      let target = DirectTarget()
      let early = Self.scopes.map { Follower($0) }
      for follower in early { #expect(follower.watch(world.resource, after: world.cache.revision, target)) }
      var snapshots: [(Snapshot, [ObjectKey: Revision])] = []
      var late: [Follower] = []
      for step in 0..<400 {
        try await world.step(step, &random)
        if step % 50 == 0 {
          snapshots.append((world.resource.snapshot(revision: world.cache.revision), world.model.mapValues(\.revision)))
        }
        if step == 200 {
          for scope in Self.scopes {
            let follower = Follower(scope, Self.expected(scope, world.model))
            #expect(follower.watch(world.resource, after: world.cache.revision, target))
            late.append(follower)
          }
        }
      }
      Self.check(world)
      for follower in early + late {
        let seen = follower.seen.withLock { $0 }
        #expect(seen.objects == Self.expected(follower.scope, world.model), "\(follower.scope)")
        #expect(zip(seen.revisions, seen.revisions.dropFirst()).allSatisfy(<))
        follower.close()
      }
      for (snapshot, model) in snapshots {
        #expect(Self.revisions(snapshot.tree.iterate()) == model)
        // The same state again, from the newest with its changes undone.
        let kept = try #require(world.resource.kept(snapshot.revision))
        #expect(Self.revisions(kept.tree.iterate()) == model)
        #expect(Self.revisions(kept.tree.iterate(term: "n2")).allSatisfy { model[$0.key] == $0.value })
      }
      // A restart shows the same, and who watched goes on where it was.
      let before = world.cache.revision
      let resumed = Follower(.all, world.model.mapValues(\.revision))
      try world.reopen()
      Self.check(world)
      #expect(resumed.watch(world.resource, after: before, target))
      for step in 400..<450 { try await world.step(step, &random) }
      #expect(resumed.seen.withLock { $0.objects } == world.model.mapValues(\.revision))
      Self.check(world)
    }
  }

  @Test("a quiet watcher is not left behind by others' events; one that was reads on in the log", arguments: 0..<3)
  func fellOff(seed: UInt64) async throws {
    try await withWorld(ringBytes: 20_000) { world in
      var random = Seeded(seed)
      let target = DirectTarget()
      let quiet = Follower(.object(ObjectKey(namespace: "ns9", name: "quiet")))
      #expect(quiet.watch(world.resource, after: world.cache.revision, target))
      // These are woken but do not look: the ring leaves them behind.
      let slow = Self.scopes.map { Follower($0) }
      for follower in slow { #expect(follower.watch(world.resource, after: world.cache.revision, target, drains: false)) }
      for step in 0..<1500 { try await world.step(step, &random) }
      try await world.put(ObjectKey(namespace: "ns9", name: "quiet"), node: "n0", step: 0)
      #expect(quiet.seen.withLock { $0.revisions.count } == 1)
      #expect(!quiet.seen.withLock { $0.isExpired })
      for follower in slow {
        // The log is read on a thread of its own, which ends with a wake.
        let want = Self.expected(follower.scope, world.model)
        var wakes = follower.woken.makeAsyncIterator()
        follower.drain()
        while follower.seen.withLock({ $0.objects != want && !$0.isExpired }) {
          await wakes.next()
          follower.drain()
        }
        let seen = follower.seen.withLock { $0 }
        #expect(!seen.isExpired)
        #expect(seen.objects == want, "\(follower.scope)")
        #expect(zip(seen.revisions, seen.revisions.dropFirst()).allSatisfy(<))
      }
    }
  }

  @Test(
    "watchers of one scope come in at any place of the ring, while it moves, and each is told what came after it", arguments: 0..<6)
  func lateComers(seed: UInt64) async throws {
    try await withWorld(ringBytes: 600_000) { world in
      var random = Seeded(seed)
      let target = DirectTarget()
      var starts: [Revision] = []
      for step in 0..<1500 {
        if step % 100 == 0 { starts.append(world.cache.revision) }
        try await world.step(step, &random)
      }
      for scope in [WatchScope.namespace("ns1"), .attribute("n2"), .object(ObjectKey(namespace: "ns0", name: "p3"))] {
        var followers: [(Follower, start: Revision)] = []
        for step in 0..<starts.count {
          let start = starts[random.next(starts.count)]
          let follower = Follower(scope)
          // Reads nothing yet: others come in behind it, and the ring moves on.
          #expect(follower.watch(world.resource, after: start, target, drains: false))
          followers.append((follower, start))
          try await world.step(2000 + step, &random)
        }
        let want = Self.expected(scope, world.model)
        for (follower, start) in followers {
          let news = want.filter { $0.value > start }
          var wakes = follower.woken.makeAsyncIterator()
          follower.drain()
          while follower.seen.withLock({ seen in !seen.isExpired && news.contains { seen.objects[$0.key] != $0.value } }) {
            await wakes.next()
            follower.drain()
          }
          let seen = follower.seen.withLock { $0 }
          #expect(!seen.isExpired && zip(seen.revisions, seen.revisions.dropFirst()).allSatisfy(<), "\(scope), seed \(seed)")
          follower.close()
        }
      }
    }
  }

  @Test("kept roots are let go though nobody lists any more")
  func pruned() async throws {
    try await withWorld { world in
      var random = Seeded(7)
      let clock = Mutex<Int64>(1000)
      let cache = Cache(
        open: { _, value in Envelope.open(value).map { Array($0.1) } }, index: { _ in nil }, now: { clock.withLock { $0 } })
      try cache.follow(world.store)
      for step in 0..<20 { try await world.step(step, &random) }
      let resource = cache.resource(pods)
      let snapshot = resource.snapshot(revision: cache.revision)
      resource.keep(snapshot)
      #expect(resource.keptRoots == 1)
      clock.withLock { $0 += 400 }
      // Of another resource: as the leases of nodes are.
      _ = try await world.store.commit(
        Transaction(
          compares: [],
          writes: [
            .put(StoreKey(GroupResource(resource: "other"), ObjectKey(name: "x")), World.bytes(.init(name: "x"), node: "", step: 0))
          ]
        ))
      #expect(resource.keptRoots == 0)
    }
  }

  @Test("where the log is compacted too, the watcher is told to list again")
  func expired() async throws {
    try await withWorld(ringBytes: 20_000, keptRevisions: 100) { world in
      var random = Seeded(5)
      let target = DirectTarget()
      let start = world.cache.revision
      let slow = Follower(.all)
      #expect(slow.watch(world.resource, after: start, target, drains: false))
      for step in 0..<1000 { try await world.step(step, &random) }
      slow.drain()
      #expect(slow.seen.withLock { $0.isExpired })
      #expect(world.resource.watch(after: start, scope: .all, target: target, onWake: {}) == nil)
      #expect(world.resource.kept(start) == nil)
    }
  }

  @Test("an event wakes its bucket once, not everybody")
  func buckets() async throws {
    try await withWorld { world in
      let target = DirectTarget()
      let cursors =
        (0..<1000).compactMap { world.resource.watch(after: 0, scope: .attribute("n\($0)"), target: target, onWake: {}) }
        + (0..<1000).compactMap {
          world.resource.watch(after: world.cache.revision, scope: .attribute("n\($0)"), target: target, onWake: {})
        }
      #expect(cursors.count >= 1000)
      let each = cursors.count / 1000
      try await world.put(ObjectKey(namespace: "a", name: "x"), node: "n5", step: 0)
      #expect(target.wakes.load(ordering: .relaxed) == each)
      // Not drained: a second event of the same bucket finds the wake still under way.
      try await world.put(ObjectKey(namespace: "a", name: "x"), node: "n5", step: 1)
      #expect(target.wakes.load(ordering: .relaxed) == each)
      // A move wakes both sides.
      try await world.put(ObjectKey(namespace: "a", name: "x"), node: "n6", step: 2)
      #expect(target.wakes.load(ordering: .relaxed) == 2 * each)
      for cursor in cursors { cursor.close() }
      try await world.put(ObjectKey(namespace: "a", name: "x"), node: "n7", step: 3)
      #expect(target.wakes.load(ordering: .relaxed) == 2 * each)
    }
  }

  @Test("a writer reads its own write; reservations are no objects")
  func visible() async throws {
    try await withWorld { world in
      let revision = try await world.store.commit(
        Transaction(
          compares: [],
          writes: [
            .put(
              StoreKey(pods, ObjectKey(namespace: "a", name: "x")),
              World.bytes(ObjectKey(namespace: "a", name: "x"), node: "", step: 0)),
            .put(StoreKey(GroupResource(group: "~", resource: "ports"), ObjectKey(name: "30000")), [1]),
          ]))
      #expect(world.cache.revision >= revision)
      #expect(world.cache.resource(GroupResource(group: "~", resource: "ports")).count == 0)
      #expect(world.resource.count == 1)
      _ = try await world.store.commit(
        Transaction(compares: [], writes: [.delete(StoreKey(pods, ObjectKey(namespace: "a", name: "x")), uid: nil)]))
      #expect(world.resource.count == 0)
    }
  }

  @Test("leases that were volatile do not pretend to have a history")
  func volatileLog() async throws {
    try await withWorld { world in
      let lease = ObjectKey(namespace: "a", name: "lease")
      try await world.put(lease, node: "", step: 0)
      let start = world.cache.revision
      _ = try await world.store.commit(
        Transaction(compares: [], writes: [.put(StoreKey(pods, lease), World.bytes(lease, node: "", step: 1))], isVolatile: true))
      #expect(world.resource.watch(after: start, scope: .all, target: DirectTarget(), onWake: {}) != nil)
      try world.reopen()
      #expect(world.resource.watch(after: start, scope: .all, target: DirectTarget(), onWake: {}) == nil)
      #expect(world.resource.get(lease)?.withView { $0["step"].int } == 1)
    }
  }
}

import Client
import Controllers
import Schema
import Wire

struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// True once in `n` times.
  mutating func once(in n: Int) -> Bool { Int.random(in: 0..<n, using: &self) == 0 }
}

/// A server, watches that lag behind it, the pure parts of the ReplicaSet and Deployment controllers and of garbage collection, and
/// nodes that run pods, as one plain value. One seeded choice decides who goes next and which write is refused, so that a seed
/// replays a run exactly. The loops of production are not here: `Tests/ClusterTests` runs those.
struct World {
  enum Event {
    case set(EncodedObject)
    case deleted(ObjectKey)
  }

  struct Feed {
    var resource: GroupVersionResource
    var position = 0
  }

  enum Step: Equatable {
    case deliver(Int)
    case deliverToCollector(Int)
    case replicaSet(ObjectKey)
    case deployment(ObjectKey)
    case collect
    case pod(ObjectKey)
    case user
    case time
  }

  static let resources: [GroupVersionResource] = [.deployments, .replicaSets, .pods]

  // The server.
  var random: SplitMix
  var now: Int64 = 1_700_000_000
  var revision: Int64 = 0
  var serial = 0
  private(set) var objects: [GroupVersionResource: [ObjectKey: Value]] = [:]
  var log: [GroupVersionResource: [Event]] = [:]
  /// One of so many writes is refused; 0: none.
  var refusals = 30
  /// Who deleted what, while which of its owners were there.
  private(set) var crimes: [String] = []

  // What controllers see and remember.
  var feeds = resources.map { Feed(resource: $0) }
  var pods: [ObjectKey: PodView] = [:]
  var sets: [ObjectKey: ReplicaSetView] = [:]
  var deployments: [ObjectKey: DeploymentView] = [:]
  var expectations: [ObjectKey: Expectations] = [:]
  var unseen: [ObjectKey: UnseenWrites] = [:]
  var setQueue: Set<ObjectKey> = []
  var deploymentQueue: Set<ObjectKey> = []
  var timers: [(at: Int64, key: ObjectKey, isSet: Bool)] = []
  var collectorFeeds = resources.map { Feed(resource: $0) }
  var graph = OwnerGraph()

  /// What the user does, one after the other, at instants that the seed picks.
  var script: [(inout World) -> Void] = []
  /// Nodes get pods ready and end those that are going.
  var runsPods = true

  init(seed: UInt64) { random = SplitMix(state: seed) }

  // MARK: Steps

  /// Runs until nothing is left to be done.
  /// - Returns: false where that did not come within the limit.
  mutating func run(limit: Int = 20_000, _ check: (World) -> Void = { _ in }) -> Bool {
    var jumps = 0
    for _ in 0..<limit {
      let steps = possible()
      guard let step = steps.randomElement(using: &random) else {
        guard !timers.isEmpty, jumps < 200 else { return true }
        jumps += 1
        now = max(now, timers.map(\.at).min() ?? now)
        fireTimers()
        continue
      }
      take(step)
      check(self)
    }
    return false
  }

  func possible() -> [Step] {
    var steps: [Step] = []
    for (i, feed) in feeds.enumerated() where feed.position < log[feed.resource]?.count ?? 0 {
      steps += [.deliver(i), .deliver(i)]
    }
    for (i, feed) in collectorFeeds.enumerated() where feed.position < log[feed.resource]?.count ?? 0 {
      steps += [.deliverToCollector(i), .deliverToCollector(i)]
    }
    steps += setQueue.sorted().map { .replicaSet($0) }
    steps += deploymentQueue.sorted().map { .deployment($0) }
    if !graph.dirty.isEmpty { steps.append(.collect) }
    if runsPods {
      for (key, pod) in (objects[.pods] ?? [:]).sorted(by: { $0.key < $1.key }) where Self.needsNode(pod) {
        steps.append(.pod(key))
      }
    }
    if !script.isEmpty { steps.append(.user) }
    if !steps.isEmpty { steps.append(.time) }
    return steps
  }

  mutating func take(_ step: Step) {
    switch step {
    case .deliver(let i): deliver(i)
    case .deliverToCollector(let i): deliverToCollector(i)
    case .replicaSet(let key):
      setQueue.remove(key)
      if !syncSet(key) { setQueue.insert(key) }
    case .deployment(let key):
      deploymentQueue.remove(key)
      if !syncDeployment(key) { deploymentQueue.insert(key) }
    case .collect: collect()
    case .pod(let key): runPod(key)
    case .user:
      let action = script.removeFirst()
      action(&self)
    case .time:
      now += Int64.random(in: 0...1, using: &random)
      fireTimers()
    }
  }

  mutating func fireTimers() {
    for timer in timers where timer.at <= now {
      if timer.isSet { setQueue.insert(timer.key) } else { deploymentQueue.insert(timer.key) }
    }
    timers.removeAll { $0.at <= now }
  }

  // MARK: The server

  func value(_ resource: GroupVersionResource, _ key: ObjectKey) -> Value? { objects[resource]?[key] }
  func all(_ resource: GroupVersionResource) -> [Value] { (objects[resource] ?? [:]).sorted { $0.key < $1.key }.map(\.value) }

  mutating func commit(_ resource: GroupVersionResource, _ key: ObjectKey, _ new: Value?) {
    revision += 1
    guard var new else {
      objects[resource, default: [:]][key] = nil
      log[resource, default: []].append(.deleted(key))
      return
    }
    _ = new["metadata"].remove("resourceVersion")
    let object: EncodedObject
    do {
      object = try EncodedObject(bytes: new.jsonBytes, revision: revision)
    } catch {
      print("unreadable: \(error): \(new.json)")
      return
    }
    new["metadata"]["resourceVersion"] = .string(String(revision))
    objects[resource, default: [:]][key] = new
    log[resource, default: []].append(.set(object))
  }

  @discardableResult
  mutating func create(_ resource: GroupVersionResource, _ body: Value) -> APIError? {
    let key = ObjectKey(namespace: body["metadata"]["namespace"].string ?? "default", name: body["metadata"]["name"].string ?? "")
    guard value(resource, key) == nil else { return .alreadyExists(resource.groupResource, key.name) }
    serial += 1
    var metadata: Value = [
      "name": .string(key.name), "namespace": .string(key.namespace), "uid": .string("uid-\(serial)"), "generation": 1,
      "creationTimestamp": .string(Timestamp(seconds: now).description),
    ]
    for field in ["labels", "annotations", "ownerReferences", "finalizers"] where !body["metadata"][field].isNull {
      metadata[field] = body["metadata"][field]
    }
    var new: Value = ["metadata": metadata]
    new["spec"] = body["spec"]
    if resource == .pods { new["status"] = ["phase": "Pending"] }
    commit(resource, key, new)
    return nil
  }

  @discardableResult
  mutating func patch(_ resource: GroupVersionResource, _ key: ObjectKey, _ patch: Patch) -> APIError? {
    guard let old = value(resource, key) else { return .notFound(resource.groupResource, key.name) }
    var body = patch.body
    for lock in ["uid", "resourceVersion"] {
      guard !body["metadata"].isNull, let wanted = body["metadata"].remove(lock) else { continue }
      guard wanted == old["metadata"][lock] else { return .conflict(resource.groupResource, key.name, APIError.objectModified) }
    }
    var new: Value
    do {
      if patch.kind == .strategic, let type = SchemaTable.builtin.resource(resource)?.type {
        new = try SchemaTable.builtin.strategicMerge(body, into: old, type: type)
      } else {
        new = try MergePatch.apply(body, to: old)
      }
    } catch {
      return .badRequest("\(error)")
    }
    guard new != old else { return nil }
    if new["spec"] != old["spec"] { new["metadata"]["generation"] = .int((old["metadata"]["generation"].int ?? 0) + 1) }
    let isHeld = !(new["metadata"]["finalizers"].array ?? []).isEmpty
    let isGoing = !new["metadata"]["deletionTimestamp"].isNull && resource != .pods
    if isGoing && !isHeld { commit(resource, key, nil) } else { commit(resource, key, new) }
    return nil
  }

  @discardableResult
  mutating func delete(_ resource: GroupVersionResource, _ key: ObjectKey, _ options: DeleteOptions, isCollector: Bool = false)
    -> APIError?
  {
    guard var old = value(resource, key) else { return .notFound(resource.groupResource, key.name) }
    let metadata = old["metadata"]
    let hasUID = options.preconditionUID == nil || options.preconditionUID == metadata["uid"].string
    let hasRevision =
      options.preconditionResourceVersion == nil || options.preconditionResourceVersion == metadata["resourceVersion"].string
    guard hasUID, hasRevision else { return .conflict(resource.groupResource, key.name, "the precondition failed") }
    if isCollector { noteCrime(resource, key, old) }
    var finalizers = metadata["finalizers"].array ?? []
    switch options.propagation {
    case .foreground: finalizers.append(.string(OwnerGraph.foreground))
    case .orphan: finalizers.append(.string(OwnerGraph.orphan))
    default: break
    }
    let isGraceful = resource == .pods && options.gracePeriodSeconds != 0 && !old["spec"]["nodeName"].isNull
    guard !finalizers.isEmpty || isGraceful else {
      commit(resource, key, nil)
      return nil
    }
    guard metadata["deletionTimestamp"].isNull else { return nil }
    old["metadata"]["deletionTimestamp"] = .string(Timestamp(seconds: now).description)
    if !finalizers.isEmpty { old["metadata"]["finalizers"] = .array(finalizers) }
    commit(resource, key, old)
    return nil
  }

  /// An owner that is there, and does not wait for its dependents to go, protects them.
  mutating func noteCrime(_ resource: GroupVersionResource, _ key: ObjectKey, _ object: Value) {
    for reference in object["metadata"]["ownerReferences"].array ?? [] {
      for kind in Self.resources {
        for owner in all(kind) where owner["metadata"]["uid"] == reference["uid"] {
          let isWaiting = owner["metadata"]["finalizers"].array?.contains(.string(OwnerGraph.foreground)) ?? false
          if !isWaiting {
            crimes.append("\(resource.resource) \(key) was collected, its owner \(owner["metadata"]["name"].string ?? "") lives")
          }
        }
      }
    }
  }

  /// A controller's write: now and then it is refused.
  mutating func submit(_ operation: Operation, isCollector: Bool = false) -> APIError? {
    if refusals > 0, random.once(in: refusals) { return APIError(.serverTimeout, "refused by the seed") }
    switch operation {
    case .create(let resource, _, let body): return create(resource, body)
    case .patch(let resource, let key, _, let body): return patch(resource, key, body)
    case .delete(let resource, let key, let options): return delete(resource, key, options, isCollector: isCollector)
    default: return .badRequest("not simulated")
    }
  }
}

import Client
import ControlPlane
import Controllers
import Logging
import Scheduler
import Store
import Synchronization
import Testing
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// A whole cluster but for containers: the real store, cache, control plane, controllers and scheduler, and nodes that claim to run
/// what is bound to them.
final class HollowCluster: Sendable {
  let controlPlane: ControlPlane
  let admin: any Client
  private let directory: String

  private init(_ controlPlane: ControlPlane, directory: String) {
    self.controlPlane = controlPlane
    self.directory = directory
    admin = controlPlane.client(as: Identity(name: "admin", groups: ["system:masters", "system:authenticated"]))
  }

  /// Runs the body with everything running, and takes everything away after it.
  static func with(nodes: Int, cpu: String = "32", runsPods: Bool = true, _ body: (HollowCluster) async throws -> Void) async throws
  {
    var template = Array("/tmp/gantry-cluster-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw APIError.internalError("mkdtemp") }
    let directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    defer { for name in ["db", "db-wal", "db-shm", "db.lock"] { unlink("\(directory)/\(name)") }; rmdir(directory) }
    var log = Logger(label: "test")
    log.logLevel = .error
    let store = try SQLiteStore(.init(path: "\(directory)/db"), logger: log)
    let controlPlane = try ControlPlane(.init(), store: store, sealer: Sealer(token: "a-test-token-of-some-length"), logger: log)
    try await controlPlane.bootstrap()
    let cluster = HollowCluster(controlPlane, directory: directory)
    let clients: @Sendable (Identity) -> any Client = { controlPlane.client(as: $0) }
    let controllers = Controllers(.init(clusterCIDR: "10.128.0.0/9", caBundle: "PEM"), clients: clients, log: log)
    let scheduler = Scheduler(client: clients(.scheduler), seed: 1, log: log)
    let running = Task {
      await withDiscardingTaskGroup { group in
        group.addTask { await controllers.run() }
        group.addTask { await scheduler.run() }
        if runsPods { group.addTask { await cluster.runPods() } }
      }
    }
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for i in 0..<nodes { group.addTask { try await cluster.register("node-\(i)", cpu: cpu) } }
        try await group.waitForAll()
      }
      try await cluster.wait("nodes that take pods", on: .nodes, namespace: nil) { objects in
        objects.count == nodes
          && objects.values.allSatisfy { ($0["spec"]["taints"].array ?? []).isEmpty && !$0["spec"]["podCIDR"].isNull }
      }
      try await cluster.wait("the default account", on: .serviceAccounts) { !$0.isEmpty }
      try await body(cluster)
    } catch {
      running.cancel()
      await running.value
      throw error
    }
    running.cancel()
    await running.value
  }

  func register(_ name: String, cpu: String) async throws {
    let node = try await admin.create(.nodes, namespace: "", body: ["metadata": ["name": .string(name)]], WriteOptions())
    let allocatable: Value = ["cpu": .string(cpu), "memory": "64Gi", "pods": "1000"]
    let now = Timestamp(seconds: WallTime.now().seconds).description
    _ = try await admin.patch(
      .nodes, node.key, subresource: "status",
      Patch(
        .strategic,
        [
          "status": [
            "allocatable": allocatable, "capacity": allocatable,
            "conditions": [
              ["type": "Ready", "status": "True", "lastHeartbeatTime": .string(now), "lastTransitionTime": .string(now)]
            ],
          ]
        ]), WriteOptions())
  }

  /// Every bound pod is Running and Ready at once; every deleted one is gone at once.
  private func runPods() async {
    let serial = Atomic<Int>(0)
    await ObjectFeed(client: admin, resource: .pods).run { changes in
      var operations: [Operation] = []
      for case .set(let object) in changes {
        let (node, phase, isDeleting) = object.withView { view in
          (
            view["spec"]["nodeName"].string ?? "", view["status"]["phase"].string ?? "",
            view["metadata"]["deletionTimestamp"].isPresent
          )
        }
        guard !node.isEmpty else { continue }
        if isDeleting {
          operations.append(.delete(.pods, object.key, DeleteOptions(gracePeriodSeconds: 0, preconditionUID: object.uid)))
        } else if phase != "Running" {
          let number = serial.wrappingAdd(1, ordering: .relaxed).newValue
          let address = "10.42.\(number / 250 % 250).\(number % 250 + 1)"
          let now = Timestamp(seconds: WallTime.now().seconds).description
          operations.append(
            .patch(
              .pods, object.key, subresource: "status",
              Patch(
                .strategic,
                [
                  "metadata": ["uid": .string(object.uid)],
                  "status": [
                    "phase": "Running", "podIP": .string(address), "podIPs": [["ip": .string(address)]],
                    "conditions": [["type": "Ready", "status": "True", "lastTransitionTime": .string(now)]],
                  ],
                ])))
        }
      }
      if !operations.isEmpty { _ = await self.admin.submit(operations) }
    }
  }

  func apply(_ resource: GroupVersionResource, _ json: String, namespace: String = "default") async throws {
    _ = try await admin.create(resource, namespace: namespace, body: try Value(json: json), WriteOptions())
  }

  func deployment(_ name: String, replicas: Int, image: String = "web:1", more: String = "") async throws {
    try await apply(
      .deployments,
      """
      {"metadata":{"name":"\(name)"},"spec":{"replicas":\(replicas)\(more),"selector":{"matchLabels":{"app":"\(name)"}},
       "template":{"metadata":{"labels":{"app":"\(name)"}},"spec":{"containers":[{"name":"c","image":"\(image)",
       "ports":[{"name":"http","containerPort":8080}],"resources":{"requests":{"cpu":"100m","memory":"64Mi"}}}]}}}}
      """)
  }

  func patch(_ resource: GroupVersionResource, _ name: String, _ json: String, namespace: String = "default") async throws {
    _ = try await admin.patch(
      resource, ObjectKey(namespace: namespace, name: name), subresource: nil, Patch(.strategic, try Value(json: json)),
      WriteOptions())
  }

  func list(_ resource: GroupVersionResource, namespace: String? = "default") async throws -> [EncodedObject] {
    try await admin.list(resource, namespace: namespace, ListOptions()).items
  }

  /// Returns when the condition holds, checked after every change of the resource.
  /// - Throws: where it does not hold within the time.
  func wait(
    _ what: String, on resource: GroupVersionResource, namespace: String? = "default", seconds: Int64 = 240,
    _ condition: @escaping @Sendable ([ObjectKey: Value]) -> Bool
  ) async throws {
    let isDone = await withTaskGroup(of: Bool.self) { group in
      group.addTask { [admin] in
        let objects = Mutex([ObjectKey: Value]())
        let (done, signal) = AsyncStream.makeStream(of: Void.self)
        let feed = Task {
          await ObjectFeed(client: admin, resource: resource, namespace: namespace).run { changes in
            let holds = objects.withLock { objects in
              for change in changes {
                switch change {
                case .set(let object): objects[object.key] = object.value
                case .deleted(let key): objects[key] = nil
                case .synced: break
                }
              }
              return condition(objects)
            }
            if holds { signal.yield() }
          }
        }
        defer { feed.cancel() }
        for await _ in done { return true }
        return false
      }
      group.addTask {
        try? await Task.sleep(for: .seconds(seconds))
        return false
      }
      defer { group.cancelAll() }
      return await group.next() ?? false
    }
    if !isDone {
      var seen: [String] = []
      for object in (try? await list(resource, namespace: namespace)) ?? [] {
        seen.append(object.value.json.prefix(3000).description)
      }
      throw APIError(.timeout, "\(what) did not come; last seen: \(seen.prefix(4).joined(separator: "\n"))")
    }
  }

  /// Shows every state of the pods that a watcher can see from now until `body` is through, its last one included.
  func everyStateOfPods(
    namespace: String = "default", while body: () async throws -> Void, each: ([ObjectKey: Value]) -> Void
  ) async throws {
    let (changes, feed) = AsyncStream.makeStream(of: ObjectFeed.Change.self)
    let (synced, isSynced) = AsyncStream.makeStream(of: Void.self)
    let watch = Task { [admin] in
      await ObjectFeed(client: admin, resource: .pods, namespace: namespace).run { batch in
        for change in batch {
          if case .synced = change { isSynced.yield() }
          feed.yield(change)
        }
      }
      feed.finish()
    }
    defer { watch.cancel() }
    for await _ in synced { break }
    try await body()
    // The last write that the watcher must have seen.
    let last = try await admin.create(.pods, namespace: namespace, body: try Value(json: Self.mark), WriteOptions())
    var objects: [ObjectKey: Value] = [:]
    var hasListed = false
    for await change in changes {
      switch change {
      case .set(let object) where object.key == last.key: return
      case .set(let object): objects[object.key] = object.value
      case .deleted(let key): objects[key] = nil
      case .synced: hasListed = true
      }
      if hasListed { each(objects) }
    }
  }

  /// A pod that no node runs.
  private static let mark =
    #"{"metadata":{"name":"mark"},"spec":{"nodeSelector":{"no":"such"},"containers":[{"name":"c","image":"mark:1"}]}}"#

  func rolledOut(_ name: String, replicas: Int64) async throws {
    try await wait("rollout of \(name) to \(replicas)", on: .deployments) { objects in
      guard let object = objects[ObjectKey(namespace: "default", name: name)] else { return false }
      let status = object["status"]
      return status["observedGeneration"] == object["metadata"]["generation"] && status["updatedReplicas"].int ?? 0 == replicas
        && status["replicas"].int ?? 0 == replicas && status["availableReplicas"].int ?? 0 == replicas
    }
  }
}

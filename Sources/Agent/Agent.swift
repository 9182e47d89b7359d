import Client
import Logging
import RPC
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// Pods on this node.
///
/// In: the pods bound to this node, as watch events; what the container runtime tells; its own timers.
/// Out: sandboxes, containers, volumes, logs; the pods' status and events; the node's registration, status and lease; streams
/// into containers (``NodeEndpoint``).
/// Never: decides where a pod runs, changes an object beyond its status and its final deletion, polls where an event serves.
package actor Agent: NodeEndpoint {
  let configuration: AgentConfiguration
  private let client: any Client
  private let log: Logger
  nonisolated let runtime: ManagedContainerd
  private let node: NodeContext
  private let reporter: NodeReporter
  private let collector: ImageCollector
  var pods: [String: PodWorker] = [:]
  private var tasks: [Task<Void, Never>] = []
  /// Why there is no container runtime; nil: there is one.
  private var runtimeFailure: String?
  /// What the agent wrote last of its node, and what the API shows.
  private var lastNodeStatus: Value = .null
  private var shownNodeStatus: Value = .null
  private var lastNodeWrite: Moment?
  private var lastNodeRevision: Int64 = 0
  var followers: [String: [LogReader]] = [:]
  private var isSynced = false

  /// Brings the runtime up and takes this node's pods into care; pods run when this returns, or soon after.
  /// - Parameters:
  ///   - client: with the node's identity.
  ///   - drain: takes a pod's address out of the service rules (`network.drain(podAddress:)`).
  /// - Throws: one sentence with the way out.
  package static func start(
    _ configuration: AgentConfiguration, client: any Client, drain: @escaping @Sendable (String) async -> Void = { _ in },
    log: Logger = Logger(label: "gantry.agent")
  ) async throws -> Agent {
    guard geteuid() == 0 else { throw AgentFailure("a node needs root: start Gantry as root") }
    if configuration.isDefaultInstance, let kubelet = otherKubelet() {
      throw AgentFailure(
        "a kubelet runs here already (process \(kubelet)): stop it, or give Gantry another --data-dir, which relocates its pods and logs"
      )
    }
    try Files.makeDirectory(configuration.dataDirectory, mode: 0o711)
    try Files.makeDirectory(configuration.podDirectory, mode: 0o750)
    try Files.makeDirectory(configuration.podLogDirectory, mode: 0o755)
    let runtime = ManagedContainerd(configuration, log: log)
    try await runtime.start()
    let agent = Agent(configuration, client: client, runtime: runtime, drain: drain, log: log)
    try await agent.reporter.register()
    await agent.begin()
    return agent
  }

  private static func otherKubelet() -> pid_t? {
    for name in Files.entries("/proc") {
      if let pid = pid_t(name), Files.text("/proc/\(pid)/comm")?.hasPrefix("kubelet\n") == true { return pid }
    }
    return nil
  }

  private init(
    _ configuration: AgentConfiguration, client: any Client, runtime: ManagedContainerd,
    drain: @escaping @Sendable (String) async -> Void,
    log: Logger
  ) {
    self.configuration = configuration
    self.client = client
    self.runtime = runtime
    self.log = log
    reporter = NodeReporter(configuration: configuration, client: client, cri: runtime.cri, log: log)
    collector = ImageCollector(
      cri: runtime.cri, directory: configuration.dataDirectory, highThreshold: configuration.imageHighThresholdPercent,
      lowThreshold: configuration.imageLowThresholdPercent, log: log)
    node = NodeContext(
      configuration: configuration, client: client, cri: runtime.cri, sources: PodSources(client: client),
      feeds: SourceFeeds(client: client),
      events: EventRecorder(client: client, controller: "kubelet", instance: configuration.nodeName),
      images: ImagePuller(runtime.cri),
      log: log, hostResolver: Files.text("/etc/resolv.conf") ?? "", memoryCapacity: NodeReporter.memoryTotal(),
      allocatable: reporter.allocatable(), drain: drain)
  }

  private func begin() async {
    await writeNodeStatus(force: true)
    let reporter = reporter
    tasks.append(Task { await reporter.renewLease() })
    tasks.append(
      Task { [weak self, client, configuration] in
        let feed = ObjectFeed(client: client, resource: .nodes, fieldSelector: "metadata.name=\(configuration.nodeName)")
        await feed.run { [weak self] changes in await self?.takeNode(changes) }
      })
    tasks.append(Task { [weak self] in await self?.followRuntime() })
    tasks.append(
      Task { [weak self, client, configuration] in
        let feed = ObjectFeed(client: client, resource: .pods, fieldSelector: "spec.nodeName=\(configuration.nodeName)")
        await feed.run { [weak self] changes in await self?.take(changes) }
      })
    tasks.append(
      Task { [weak self] in
        // As often as the kubelet: images every five minutes, all else every ten seconds.
        var round = 0
        while !Task.isCancelled {
          try? await Task.sleep(for: .seconds(10))
          guard !Task.isCancelled, let self else { return }
          await self.writeNodeStatus(force: false)
          await self.rotateLogs()
          round += 1
          if round % 30 == 0 { await self.collectImages() }
        }
      })
    tasks.append(
      Task { [weak self] in
        while !Task.isCancelled {
          try? await Task.sleep(for: .seconds(180))
          guard !Task.isCancelled, let self else { return }
          await self.relist()
        }
      })
  }

  /// Stops caring for the pods, which run on; another agent takes them over.
  package func stop() async {
    for task in tasks { task.cancel() }
    tasks = []
    await node.feeds.stop()
    for worker in pods.values { await worker.suspend() }
  }

  /// Ends all pods of this node and its own containerd, and takes away what they had on this machine.
  package func stopEverything() async {
    await stop()
    await Self.takeAway(runtime, configuration)
  }

  /// The same for an agent that does not run any more, from its configuration alone.
  /// - Parameter purge: the logs go too.
  package static func teardown(
    _ configuration: AgentConfiguration, purge: Bool = false, log: Logger = Logger(label: "gantry.agent")
  ) async {
    await takeAway(ManagedContainerd(configuration, log: log), configuration)
    if purge { await Files.offThread { PodLogs.removeAll(keeping: [], configuration) } }
  }

  private static func takeAway(_ runtime: ManagedContainerd, _ configuration: AgentConfiguration) async {
    await runtime.stopEverything()
    for uid in Files.entries(configuration.podDirectory) { await Volumes.tearDown("\(configuration.podDirectory)/\(uid)") }
    await Files.offThread { Cgroups.removeAll(configuration) }
  }

  /// Where the container runtime looks for networks; nil: it does not say.
  package func cniConfDirectory() async -> String? { await runtime.settings().cniConfDirectory }

  // MARK: The node's own object

  private func writeNodeStatus(force: Bool) async {
    if shownNodeStatus.isNull, let object = try? await client.get(.nodes, ObjectKey(name: configuration.nodeName)) {
      shownNodeStatus = object.withView { $0["status"].value }
    }
    let now = Moment.now()
    let status = await reporter.status(previous: shownNodeStatus, notReady: runtimeFailure, now: now)
    let isStart = lastNodeWrite == nil
    // Either way round: a clock that was set back makes nobody wait.
    let isDue = lastNodeWrite.map { abs(now - $0) >= 300 } ?? true
    guard force || isDue || NodeReporter.fingerprint(status) != NodeReporter.fingerprint(lastNodeStatus) else { return }
    do throws(APIError) {
      let written = try await client.patch(
        .nodes, ObjectKey(name: configuration.nodeName), subresource: "status", Patch(.strategic, ["status": status]),
        WriteOptions(fieldManager: "kubelet"))
      lastNodeRevision = max(lastNodeRevision, written.revision)
      // As the kubelet names its node: by a uid that is the name.
      let about = ObjectReference(kind: "Node", name: configuration.nodeName, uid: configuration.nodeName)
      let news = NodeReporter.news(from: shownNodeStatus, to: status, node: configuration.nodeName, isStart: isStart)
      Task { [events = node.events] in
        for told in news { await events.record(about, told.isWarning ? .warning : .normal, reason: told.reason, told.message) }
      }
      shownNodeStatus = written.withView { $0["status"].value }
      lastNodeStatus = status
      lastNodeWrite = now
    } catch {
      if error.reason == .notFound { try? await reporter.register() }
      log.warning("node status not written", metadata: ["error": "\(error.message)"])
    }
  }

  /// Whoever says otherwise of this node than it says itself is contradicted: the node controller after a silence of the node.
  private func takeNode(_ changes: [ObjectFeed.Change]) async {
    for change in changes {
      guard case .set(let object) = change, object.revision > lastNodeRevision else { continue }
      shownNodeStatus = object.withView { $0["status"].value }
      if !NodeReporter.agrees(shownNodeStatus, with: lastNodeStatus) { await writeNodeStatus(force: true) }
    }
  }

  // MARK: Pods from the API

  private func take(_ changes: [ObjectFeed.Change]) async {
    for change in changes {
      switch change {
      case .set(let object):
        let value = object.value
        if let worker = pods[object.uid] {
          await worker.update(value, revision: object.revision)
        } else {
          // A pod of that name that went unseen has ended with its object.
          for worker in pods.values where worker.key == object.key { await worker.vanish() }
          await add(value, uid: object.uid)
        }
      case .deleted(let key):
        for worker in pods.values where worker.key == key { await worker.vanish() }
      case .synced:
        if !isSynced {
          isSynced = true
          await removeOrphans()
        }
      }
    }
  }

  private func add(_ object: Value, uid: String) async {
    let phase = object["status"]["phase"].string ?? ""
    let isOver = phase == "Succeeded" || phase == "Failed"
    // From here on it hears of exits: what ends while the runtime is asked is not missed.
    let worker = PodWorker(object, node: node) { [weak self] worker in await self?.forget(worker) }
    pods[uid] = worker
    let sandboxes = await runtime.cri.answer("ListPodSandbox", CRIClient.ofPod(uid), log: log)?["items"].array ?? []
    let containers = await runtime.cri.answer("ListContainers", CRIClient.ofPod(uid), log: log)?["containers"].array ?? []
    if Task.isCancelled { return }
    let newest = sandboxes.max { ($0["created_at"].int ?? 0) < ($1["created_at"].int ?? 0) }
    var latest: [String: Value] = [:]
    for container in containers.sorted(by: { ($0["created_at"].int ?? 0) < ($1["created_at"].int ?? 0) }) {
      latest[container["metadata"]["name"].string ?? ""] = container
    }
    let refusal = newest == nil && !isOver ? await refuse(object) : nil
    await worker.start(sandbox: newest, containers: Array(latest.values), refusal: refusal)
  }

  private func forget(_ worker: PodWorker) { pods[worker.uid] = nil }

  /// The node's own look at a pod that was bound to it: anybody may bind.
  private func refuse(_ object: Value) async -> (reason: String, message: String)? {
    let plan = PodPlan(object)
    if plan.isDeleting { return nil }
    var used: [String: Int64] = [:]
    var ports: Set<String> = []
    var count: Int64 = 0
    for worker in pods.values where worker.uid != plan.uid {
      if await worker.isComplete { continue }
      let other = await worker.plan
      count += 1
      for (name, amount) in NodeAdmission.requests(other) { used[name] = NodeAdmission.sum(used[name] ?? 0, amount) }
      ports.formUnion(NodeAdmission.hostPorts(other))
    }
    used["pods"] = count * 1000
    return NodeAdmission.refusal(
      of: plan, used: used, usedPorts: ports, allocatable: node.allocatable, hasAppArmor: NodeReporter.hasAppArmor)
  }

  /// What an earlier agent left and no pod of the API owns.
  private func removeOrphans() async {
    let sandboxes = await runtime.cri.answer("ListPodSandbox", log: log)?["items"].array ?? []
    if Task.isCancelled { return }
    var orphans = Set(sandboxes.compactMap { $0["labels"]["io.kubernetes.pod.uid"].string })
    let directories = Files.entries(configuration.podDirectory)
    // In a containerd of somebody else, what has no directory here is not ours.
    if runtime.isOwn { orphans.formUnion(directories) } else { orphans.formIntersection(directories) }
    for uid in orphans where pods[uid] == nil {
      log.info("removing what no pod owns", metadata: ["uid": "\(uid)"])
      // A sandbox that does not end keeps nobody else waiting.
      tasks.append(Task { [node] in await PodCleanup.run(uid: uid, node: node, plan: nil) })
    }
    await Files.offThread { [uids = Set(pods.keys), configuration] in PodLogs.removeAll(keeping: uids, configuration) }
  }

  // MARK: What the runtime tells

  private func followRuntime() async {
    var failures = 0
    while !Task.isCancelled {
      if failures > 0 {
        if failures > 1 { try? await Task.sleep(for: .milliseconds(100 << min(failures, 7))) }
        guard await revive() else {
          failures += 1
          continue
        }
        await relist()
      }
      // What happened before the stream was heard shows a moment later.
      Task {
        try? await Task.sleep(for: .seconds(1))
        await relist()
      }
      do {
        for try await event in runtime.containerd.events() {
          failures = 0
          switch event {
          case .exit(let container, let execID, _): if execID.isEmpty { await ended(container) }
          case .delete(let container): await ended(container)
          case .oom(let container): for worker in pods.values { await worker.runtimeOutOfMemory(container) }
          case .start: break
          }
        }
      } catch {
        log.warning("the runtime's event stream ended", metadata: ["error": "\(error)"])
      }
      failures += 1
    }
  }

  private func ended(_ container: String) async {
    for worker in pods.values { if await worker.runtimeExit(container) { break } }
    for reader in followers.removeValue(forKey: container) ?? [] { reader.ended() }
  }

  /// Sees to it that the runtime answers, and that the node says whether it does.
  private func revive() async -> Bool {
    do {
      try await runtime.start()
      if runtimeFailure != nil {
        runtimeFailure = nil
        await writeNodeStatus(force: true)
      }
      return true
    } catch {
      log.error("container runtime", metadata: ["error": "\(error)"])
      let wasUp = runtimeFailure == nil
      runtimeFailure = "container runtime is down: \(error)"
      if wasUp { await writeNodeStatus(force: true) }
      return false
    }
  }

  /// Takes unused images away where the disk is nearly full.
  package func collectImages() async { await collector.collect() }

  /// Compares with the runtime; missed events end here.
  private func relist() async {
    guard let containers = try? await runtime.cri.call("ListContainers", ["filter": ["state": ["state": "CONTAINER_RUNNING"]]]),
      let sandboxes = try? await runtime.cri.call("ListPodSandbox", ["filter": ["state": ["state": "SANDBOX_READY"]]])
    else { return }
    let running = Set((containers["containers"].array ?? []).compactMap { $0["id"].string })
    let ready = Set((sandboxes["items"].array ?? []).compactMap { $0["id"].string })
    for worker in pods.values { await worker.relist(runningContainers: running, readySandboxes: ready) }
  }

  /// Gives each container whose log has grown beyond its limit a new file; old ones are numbered, the oldest goes.
  package func rotateLogs() async {
    for worker in pods.values {
      let plan = await worker.plan
      for container in plan.containers {
        guard let state = await worker.state(container.name), let id = state.runningID else { continue }
        let path = "\(RuntimeConfiguration.logDirectory(plan, configuration))/\(container.name)/\(state.restarts).log"
        var status = stat()
        guard stat(path, &status) == 0, Int64(status.st_size) > configuration.containerLogMaximumBytes else { continue }
        for number in stride(from: configuration.containerLogMaximumFiles - 2, through: 1, by: -1) {
          rename("\(path).\(number)", "\(path).\(number + 1)")
        }
        guard rename(path, "\(path).1") == 0 else { continue }
        do throws(GRPCError) { _ = try await runtime.cri.call("ReopenContainerLog", ["container_id": .string(id)]) } catch {
          rename("\(path).1", path)
        }
      }
    }
  }
}

import CLinux
import Client
import Logging
import Network
import RPC
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// Drives one pod's machine: does its effects, answers with events, wakes it when it asks for it, writes its status.
///
/// No thread and no timer of its own while nothing is due.
actor PodWorker {
  var machine: PodMachine
  let node: NodeContext
  private let finished: @Sendable (PodWorker) async -> Void
  nonisolated let key: ObjectKey
  nonisolated let uid: String
  nonisolated let execTurns = Turns()

  /// nil: not made yet, or not since this agent took the pod over.
  var volumePaths: [String: String]?
  private var timer: Task<Void, Never>?
  private var probes: ProbeRunner
  private var refresher: Task<Void, Never>?
  private var isRefreshing = false
  private var needsRefresh = false
  /// The status as the agent wrote it last, and at which revision.
  private var written: Value = .null
  private var writtenRevision: Int64 = 0
  /// The status that the API showed last, and at which revision.
  private var shown: (status: Value, revision: Int64) = (.null, 0)
  private var isWriting = false
  private var writing: Task<Void, Never>?
  private var isFinishing = false
  private var isGoneFromAPI = false
  private var isSuspended = false
  /// What ended, as the runtime told, before the machine knew of it.
  var earlyExits: Set<String> = []
  /// Ended containers whose end the runtime's books do not show yet.
  var reporting: Set<String> = []
  private var hasStarted = false
  /// What is being done; cancelled when another agent takes over.
  private var tasks: [Int: Task<Void, Never>] = [:]
  private var lastTask = 0
  var containerIDs: [String: String] = [:]

  init(_ object: Value, node: NodeContext, finished: @escaping @Sendable (PodWorker) async -> Void) {
    let machine = PodMachine(object, now: .now())
    self.machine = machine
    self.node = node
    probes = ProbeRunner(version: node.configuration.version)
    self.finished = finished
    key = machine.plan.key
    uid = machine.plan.uid
  }

  // MARK: What others tell

  /// - Parameter adopted: sandbox and containers that an earlier agent left running.
  func start(sandbox: Value?, containers: [Value], refusal: (reason: String, message: String)?) async {
    if let sandbox, let id = sandbox["id"].string {
      let isReady = sandbox["state"].string == nil || sandbox["state"].string == "SANDBOX_READY"
      if isReady, let status = await node.cri.answer("PodSandboxStatus", ["pod_sandbox_id": .string(id)], log: node.log) {
        machine.adopt(
          sandboxID: id, attempt: Int(clamping: sandbox["metadata"]["attempt"].int ?? 0), addresses: Self.addresses(status))
        volumePaths = try? await volumes.prepare(addresses: machine.addresses)
        startRefreshing()
      } else {
        machine.adoptDeadSandbox(attempt: Int(clamping: sandbox["metadata"]["attempt"].int ?? 0))
      }
    }
    for container in containers {
      guard let name = container["metadata"]["name"].string, let id = container["id"].string,
        let answer = await node.cri.answer("ContainerStatus", ["container_id": .string(id)], log: node.log)
      else { continue }
      let status = answer["status"]
      containerIDs[id] = name
      let image = status["image"]["image"].string ?? ""
      let reference = status["image_ref"].string ?? ""
      let attempt = Int(clamping: container["metadata"]["attempt"].int ?? 0)
      switch status["state"].string ?? "CONTAINER_CREATED" {
      case "CONTAINER_RUNNING":
        let hasStartup = machine.plan.containers.first { $0.name == name }?.probes[.startup] != nil
        let hasReadiness = machine.plan.containers.first { $0.name == name }?.probes[.readiness] != nil
        let shown = machine.plan.object["status"]
        let before = ((shown["initContainerStatuses"].array ?? []) + (shown["containerStatuses"].array ?? [])).first {
          $0["name"].string == name && $0["containerID"].string == "containerd://\(id)"
        }
        // As it was told: the runtime's own time may be a second beside it.
        let told = before?["state"]["running"]["startedAt"].string.flatMap { Timestamp($0)?.seconds }
        let running = PodMachine.Running(
          id: id, startedAt: told.map { Moment(seconds: $0) } ?? Moment(nanoseconds: status["started_at"].int ?? 0),
          isStarted: before?["started"].bool ?? !hasStartup,
          isReady: before?["ready"].bool ?? !(hasStartup || hasReadiness))
        machine.adopt(container: name, attempt: attempt, state: .running(running), image: image, imageID: reference)
      case "CONTAINER_EXITED", "CONTAINER_UNKNOWN":
        machine.adopt(container: name, attempt: attempt, state: .exited(await exit(name, status)), image: image, imageID: reference)
      default:
        _ = await node.cri.answer("RemoveContainer", ["container_id": .string(id)], log: node.log)
      }
    }
    if isSuspended || Task.isCancelled { return }
    for container in machine.containers where !containerIDs.values.contains(container.plan.name) {
      let logs = "\(RuntimeConfiguration.logDirectory(machine.plan, node.configuration))/\(container.plan.name)"
      machine.resume(container: container.plan.name, next: PodLogs.next(in: logs), now: .now())
    }
    hasStarted = true
    if let refusal { return handle(.fail(reason: refusal.reason, message: refusal.message)) }
    handle(.wake)
    for id in earlyExits { runtimeExit(id) }
    earlyExits = []
    guard !machine.isComplete else { return }
    let sources = PodSource.named(by: machine.plan.object, namespace: key.namespace)
    await node.feeds.follow(sources, pod: uid) { [weak self] in await self?.sourcesChanged() }
  }

  /// The pod as the API has it now. A change that is not the agent's own status is also a chance to look at its volumes again.
  func update(_ object: Value, revision: Int64) {
    shown = (object["status"], revision)
    let before = machine.plan.object["metadata"]
    let after = object["metadata"]
    handle(.specChanged(object))
    guard volumes.hasContent, before["labels"] != after["labels"] || before["annotations"] != after["annotations"] else { return }
    run { await $0.refreshVolumes() }
  }

  /// The object is gone although the pod may still run: it ends without grace.
  func vanish() {
    isGoneFromAPI = true
    var object = machine.plan.object
    object["metadata"]["deletionTimestamp"] = .string(Moment.now().text)
    object["metadata"]["deletionGracePeriodSeconds"] = .int(min(2, machine.plan.grace))
    handle(.specChanged(object))
  }

  /// Does nothing more: another agent takes the pod over as it is.
  func suspend() {
    isSuspended = true
    for task in tasks.values { task.cancel() }
    timer?.cancel()
    refresher?.cancel()
    probes.stop()
  }

  /// - Returns: false where the container is none of this pod's.
  @discardableResult
  func runtimeExit(_ id: String) -> Bool {
    if case .ready(id, _) = machine.sandbox {
      handle(.sandboxDied)
      return true
    }
    guard hasStarted, let name = containerIDs[id] else {
      if !hasStarted { earlyExits.insert(id) }
      return false
    }
    switch state(name)?.state {
    case .starting: earlyExits.insert(id)
    case .running(let running) where running.id == id, .stopping(let running) where running.id == id:
      // Not waited for: the runtime's books may be late, and others end meanwhile.
      run { await $0.reportExit(name, id) }
    default: break
    }
    return true
  }

  func runtimeOutOfMemory(_ id: String) { if let name = containerIDs[id] { handle(.outOfMemory(container: name)) } }

  /// Compares what is believed with what the runtime says; for the slow relist.
  func relist(runningContainers: Set<String>, readySandboxes: Set<String>) {
    for container in machine.containers {
      if let id = container.runningID, !runningContainers.contains(id) { run { await $0.reportIfEnded(container.plan.name, id) } }
    }
    if case .ready(let id, _) = machine.sandbox, !readySandboxes.contains(id) { handle(.sandboxDied) }
  }

  var plan: PodPlan { machine.plan }
  var isComplete: Bool { machine.isComplete }

  func state(_ name: String) -> PodMachine.Container? { machine.containers.first { $0.plan.name == name } }

  // MARK: The loop

  func handle(_ event: PodMachine.Event) {
    guard !isSuspended else { return }
    let effects = machine.handle(event, now: .now())
    for effect in effects { perform(effect) }
    timer?.cancel()
    timer = nil
    if let wake = machine.wakeAt {
      let delay = max(0.01, wake - Moment.now())
      timer = Task { [weak self] in
        try? await Task.sleep(for: .seconds(delay))
        if !Task.isCancelled { await self?.handle(.wake) }
      }
    }
    probes.follow(machine, cri: node.cri) { [weak self] outcome in
      await self?.handle(outcome)
      return self != nil
    }
    writeStatus()
  }

  private func perform(_ effect: PodMachine.Effect) {
    switch effect {
    case .tell(let warning, let reason, let message, let container): tell(warning, reason, message, container)
    case .createSandbox(let attempt): run { await $0.createSandbox(attempt) }
    case .stopSandbox(let id): run { await $0.stopSandbox(id) }
    case .start(let container, let attempt): run { await $0.startContainer(container, attempt) }
    case .stop(let container, let id, let grace): run { await $0.stopContainer(container, id, grace) }
    case .finish: run { await $0.finish() }
    }
  }

  private func run(_ body: @escaping @Sendable (PodWorker) async -> Void) {
    if isSuspended { return }
    lastTask += 1
    let number = lastTask
    tasks[number] = Task {
      await body(self)
      tasks[number] = nil
    }
  }

  func tell(_ warning: Bool, _ reason: String, _ message: String, _ container: String?) {
    let isInit = container.map { name in machine.plan.containers.contains { $0.name == name && $0.isInit } } ?? false
    var about = ObjectReference.pod(key, uid: uid, container: container)
    if isInit, let container { about.fieldPath = "spec.initContainers{\(container)}" }
    Task { [node, about] in await node.events.record(about, warning ? .warning : .normal, reason: reason, message) }
  }

  // MARK: Sandbox

  var volumes: Volumes {
    Volumes(
      plan: machine.plan, configuration: node.configuration, sources: node.sources, hostAddress: node.configuration.nodeAddress,
      allocatable: node.allocatable)
  }

  static func addresses(_ answer: Value) -> [String] {
    let network = answer["status"]["network"]
    guard let first = network["ip"].string, !first.isEmpty else { return [] }
    return [first] + (network["additional_ips"].array ?? []).compactMap { $0["ip"].string }
  }

  private func createSandbox(_ attempt: Int) async {
    if let reason = RuntimeConfiguration.unsupported(machine.plan) {
      return handle(.sandboxFailed(reason: "FailedCreatePodSandBox", message: "Failed to create pod sandbox: \(reason)"))
    }
    do throws(AgentFailure) {
      volumePaths = try await volumes.prepare(addresses: machine.addresses)
    } catch {
      return handle(.sandboxFailed(reason: "FailedMount", message: error.description))
    }
    let plan = machine.plan
    let config = RuntimeConfiguration.sandbox(plan, attempt: attempt, node.configuration, hostResolver: node.hostResolver)
    do {
      try Files.makeDirectory(RuntimeConfiguration.logDirectory(plan, node.configuration), mode: 0o755)
      let answer = try await node.cri.call("RunPodSandbox", ["config": config], deadline: .seconds(240))
      let id = answer["pod_sandbox_id"].string ?? ""
      let status = try await node.cri.call("PodSandboxStatus", ["pod_sandbox_id": .string(id)])
      let addresses = plan.isHostNetwork ? [] : Self.addresses(status)
      try Files.replace(
        Array(
          RuntimeConfiguration.hostsFile(
            plan, addresses: plan.isHostNetwork ? [node.configuration.nodeAddress] : addresses,
            domain: node.configuration.clusterDomain
          ).utf8),
        at: "\(volumes.podDirectory)/etc-hosts", mode: 0o644)
      Cgroups.apply(plan, node.configuration)
      handle(.sandboxCreated(id: id, addresses: addresses))
      startRefreshing()
      if needsRefresh { await refreshVolumes() }
      await node.cri.removeSandboxes(of: uid, except: id, log: node.log)
    } catch {
      let message = (error as? GRPCError)?.message ?? "\(error)"
      handle(.sandboxFailed(reason: "FailedCreatePodSandBox", message: "Failed to create pod sandbox: \(message)"))
    }
  }

  private func stopSandbox(_ id: String) async {
    var delay = 0.5
    while !Task.isCancelled {
      do throws(GRPCError) {
        _ = try await node.cri.call("StopPodSandbox", ["pod_sandbox_id": .string(id)])
        break
      } catch {
        if error.status == .notFound { break }
        node.log.warning("sandbox not stopped", metadata: ["pod": "\(key)", "error": "\(error)"])
        try? await Task.sleep(for: .seconds(delay))
        delay = min(30, delay * 2)
      }
    }
    handle(.sandboxStopped)
  }

  /// What the pod is made from has changed, or is there at last.
  private func sourcesChanged() async {
    await refreshVolumes()
    handle(.sourcesChanged)
  }

  /// One at a time: what comes meanwhile is one more round. Before there is a sandbox, volumes are still being made.
  private func refreshVolumes() async {
    needsRefresh = true
    guard !isRefreshing, case .ready = machine.sandbox else { return }
    isRefreshing = true
    while needsRefresh {
      needsRefresh = false
      await volumes.refresh(addresses: machine.addresses)
    }
    isRefreshing = false
  }

  /// Tokens are renewed before they end; all else in volumes follows its watch.
  private func startRefreshing() {
    guard refresher == nil, volumes.hasContent else { return }
    refresher = Task { [weak self, uid] in
      while !Task.isCancelled {
        guard let due = await TokenCache.shared.renewal(pod: uid) else { return }
        try? await Task.sleep(for: .seconds(max(10, due - Moment.now())))
        guard !Task.isCancelled, let self else { return }
        await self.refreshVolumes()
      }
    }
  }

  // MARK: Status

  private func writeStatus() {
    guard !isWriting, !isGoneFromAPI, !isFinishing, !isSuspended else { return }
    let status = machine.status(hostAddress: node.configuration.nodeAddress, now: .now())
    guard status != written || isOverwritten(status) else { return }
    isWriting = true
    writing = Task { await self.write(status) }
  }

  /// Somebody else has written another status since: the node's own is put back, as the kubelet does.
  private func isOverwritten(_ status: Value) -> Bool {
    shown.revision > writtenRevision && !PodMachine.shows(status, in: shown.status)
  }

  private func write(_ status: Value) async {
    var delay = 0.0
    do throws(APIError) {
      let object = try await node.client.patch(
        .pods, key, subresource: "status", Patch(.merge, ["metadata": ["uid": .string(uid)], "status": status]),
        WriteOptions(fieldManager: "kubelet"))
      written = status
      writtenRevision = object.revision
    } catch {
      if error.reason == .notFound || error.reason == .conflict || error.reason == .invalid {
        if error.reason == .invalid {
          node.log.error("status refused", metadata: ["pod": "\(key)", "error": "\(error.message)"])
        }
        written = status
        writtenRevision = .max
      } else {
        delay = 2
      }
    }
    if delay > 0 { try? await Task.sleep(for: .seconds(delay)) }
    isWriting = false
    if !machine.hasFinished { writeStatus() }
  }

  // MARK: The end

  private func finish() async {
    timer?.cancel()
    await node.feeds.forget(pod: uid)
    refresher?.cancel()
    probes.stop()
    while isWriting { await writing?.value }
    if !isGoneFromAPI {
      let status = machine.status(hostAddress: node.configuration.nodeAddress, now: .now())
      if status != written { await write(status) }
    }
    isFinishing = true
    await PodCleanup.run(uid: uid, node: node, plan: machine.plan)
    var delay = 0.2
    while !isGoneFromAPI, !Task.isCancelled {
      do throws(APIError) {
        _ = try await node.client.delete(.pods, key, DeleteOptions(gracePeriodSeconds: 0, preconditionUID: uid))
        break
      } catch {
        if error.reason == .notFound || error.reason == .conflict { break }
        try? await Task.sleep(for: .seconds(delay))
        delay = min(30, delay * 2)
      }
    }
    if !Task.isCancelled { await finished(self) }
  }
}

import CLinux
import Client
import Logging
import Network
import RPC
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// What all pods of a node share.
struct NodeContext: Sendable {
  let configuration: AgentConfiguration
  let client: any Client
  let cri: CRIClient
  let sources: PodSources
  let events: EventRecorder
  let images: ImagePuller
  let log: Logger
  let hostResolver: String
  let memoryCapacity: Int64
  let allocatable: [String: Int64]
  /// Takes a pod's address out of the node's service rules before its containers are told to stop.
  let drain: @Sendable (String) async -> Void
}

/// Drives one pod's machine: does its effects, answers with events, wakes it when it asks for it, writes its status.
///
/// No thread and no timer of its own while nothing is due.
actor PodWorker {
  private var machine: PodMachine
  private let node: NodeContext
  private let finished: @Sendable (PodWorker) async -> Void
  nonisolated let key: ObjectKey
  nonisolated let uid: String

  private var volumePaths: [String: String] = [:]
  private var timer: Task<Void, Never>?
  private var probes: [String: Task<Void, Never>] = [:]
  private var refresher: Task<Void, Never>?
  private var written: Value = .null
  private var isWriting = false
  private var isFinishing = false
  private var isGoneFromAPI = false
  /// Exits told by the runtime before the machine knew the container.
  private var earlyExits: Set<String> = []
  private var containerIDs: [String: String] = [:]

  init(_ object: Value, node: NodeContext, finished: @escaping @Sendable (PodWorker) async -> Void) {
    let machine = PodMachine(object, now: .now())
    self.machine = machine
    self.node = node
    self.finished = finished
    key = machine.plan.key
    uid = machine.plan.uid
  }

  // MARK: What others tell

  /// - Parameter adopted: sandbox and containers that an earlier agent left running.
  func start(sandbox: Value?, containers: [Value], refusal: (reason: String, message: String)?) async {
    if let sandbox, let id = sandbox["id"].string {
      let isReady = sandbox["state"].string == nil || sandbox["state"].string == "SANDBOX_READY"
      if isReady {
        let status = try? await node.cri.call("PodSandboxStatus", ["pod_sandbox_id": .string(id)])
        machine.adopt(
          sandboxID: id, attempt: Int(clamping: sandbox["metadata"]["attempt"].int ?? 0), addresses: Self.addresses(status ?? .null)
        )
        volumePaths = (try? await volumes.prepare(addresses: machine.addresses)) ?? [:]
        startRefreshing()
      } else {
        machine.adoptDeadSandbox(attempt: Int(clamping: sandbox["metadata"]["attempt"].int ?? 0))
      }
    }
    for container in containers {
      guard let name = container["metadata"]["name"].string, let id = container["id"].string,
        let answer = try? await node.cri.call("ContainerStatus", ["container_id": .string(id)])
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
        let before = (machine.plan.object["status"]["containerStatuses"].array ?? []).first { $0["name"].string == name }
        let running = PodMachine.Running(
          id: id, startedAt: Moment(nanoseconds: status["started_at"].int ?? 0), isStarted: before?["started"].bool ?? !hasStartup,
          isReady: before?["ready"].bool ?? !(hasStartup || hasReadiness))
        machine.adopt(container: name, attempt: attempt, state: .running(running), image: image, imageID: reference)
      case "CONTAINER_EXITED":
        machine.adopt(container: name, attempt: attempt, state: .exited(await exit(name, status)), image: image, imageID: reference)
      default:
        _ = try? await node.cri.call("RemoveContainer", ["container_id": .string(id)])
      }
    }
    if let refusal {
      handle(.fail(reason: refusal.reason, message: refusal.message))
    } else {
      handle(.wake)
    }
  }

  func update(_ object: Value) { handle(.specChanged(object)) }

  /// The object is gone although the pod may still run: it ends without grace.
  func vanish() {
    isGoneFromAPI = true
    var object = machine.plan.object
    object["metadata"]["deletionTimestamp"] = .string(Moment.now().text)
    object["metadata"]["deletionGracePeriodSeconds"] = .int(min(2, machine.plan.grace))
    handle(.specChanged(object))
  }

  /// - Returns: false where the container is none of this pod's.
  func runtimeExit(_ id: String) async -> Bool {
    if case .ready(id, _) = machine.sandbox {
      handle(.sandboxDied)
      return true
    }
    guard let name = containerIDs[id] else { return false }
    guard machine.containers.contains(where: { $0.runningID == id }) else {
      earlyExits.insert(id)
      return true
    }
    await reportExit(name, id)
    return true
  }

  func runtimeOutOfMemory(_ id: String) { if let name = containerIDs[id] { handle(.outOfMemory(container: name)) } }

  /// Compares what is believed with what the runtime says; for the slow relist.
  func relist(runningContainers: Set<String>, readySandboxes: Set<String>) async {
    for container in machine.containers {
      if case .running(let running) = container.state, !runningContainers.contains(running.id) {
        await reportExit(container.plan.name, running.id)
      }
    }
    if case .ready(let id, _) = machine.sandbox, !readySandboxes.contains(id) { handle(.sandboxDied) }
  }

  func fail(reason: String, message: String) { handle(.fail(reason: reason, message: message)) }

  var plan: PodPlan { machine.plan }
  var isComplete: Bool { machine.isComplete }
  var addresses: [String] { machine.addresses }
  var sandboxID: String? { if case .ready(let id, _) = machine.sandbox { id } else { nil } }

  /// The container's present run, or the one before it.
  func containerID(_ name: String, previous: Bool = false) -> String? {
    guard let container = machine.containers.first(where: { $0.plan.name == name }) else { return nil }
    if previous { return container.last?.id }
    switch container.state {
    case .running(let running), .stopping(let running): return running.id
    case .exited(let exit): return exit.id
    case .waiting, .starting: return container.last?.id
    }
  }

  func attempt(_ name: String) -> Int? { machine.containers.first { $0.plan.name == name }?.restarts }
  func state(_ name: String) -> PodMachine.Container? { machine.containers.first { $0.plan.name == name } }
  var phase: String { machine.phase }

  // MARK: The loop

  private func handle(_ event: PodMachine.Event) {
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
    followProbes()
    writeStatus()
  }

  private func perform(_ effect: PodMachine.Effect) {
    switch effect {
    case .tell(let warning, let reason, let message, let container): tell(warning, reason, message, container)
    case .createSandbox(let attempt): Task { await self.createSandbox(attempt) }
    case .stopSandbox(let id): Task { await self.stopSandbox(id) }
    case .start(let container, let attempt): Task { await self.startContainer(container, attempt) }
    case .stop(let container, let id, let grace): Task { await self.stopContainer(container, id, grace) }
    case .finish: Task { await self.finish() }
    }
  }

  private func tell(_ warning: Bool, _ reason: String, _ message: String, _ container: String?) {
    let isInit = container.map { name in machine.plan.containers.contains { $0.name == name && $0.isInit } } ?? false
    var about = ObjectReference.pod(key, uid: uid, container: container)
    if isInit, let container { about.fieldPath = "spec.initContainers{\(container)}" }
    Task { [node, about] in await node.events.record(about, warning ? .warning : .normal, reason: reason, message) }
  }

  // MARK: Sandbox

  private var volumes: Volumes {
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
      await removeOldSandboxes(keep: id)
    } catch {
      let message = (error as? GRPCError)?.message ?? "\(error)"
      handle(.sandboxFailed(reason: "FailedCreatePodSandBox", message: "Failed to create pod sandbox: \(message)"))
    }
  }

  private func removeOldSandboxes(keep: String) async {
    let filter: Value = ["filter": ["label_selector": ["io.kubernetes.pod.uid": .string(uid)]]]
    guard let list = try? await node.cri.call("ListPodSandbox", filter) else { return }
    for sandbox in list["items"].array ?? [] where sandbox["id"].string != keep {
      _ = try? await node.cri.call("StopPodSandbox", ["pod_sandbox_id": sandbox["id"]])
      _ = try? await node.cri.call("RemovePodSandbox", ["pod_sandbox_id": sandbox["id"]])
    }
  }

  private func stopSandbox(_ id: String) async {
    var delay = 0.5
    while true {
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

  /// Content of volumes follows the API once a minute, as the kubelet's does.
  private func startRefreshing() {
    guard refresher == nil, volumes.hasContent else { return }
    refresher = Task { [weak self] in
      while !Task.isCancelled {
        try? await Task.sleep(for: .seconds(60))
        guard !Task.isCancelled, let self else { return }
        await self.volumes.refresh(addresses: self.machine.addresses)
      }
    }
  }

  // MARK: Containers

  private struct StartFailure: Error {
    var reason: String
    var message: String
  }

  private func startContainer(_ name: String, _ attempt: Int) async {
    let plan = machine.plan
    guard let container = plan.containers.first(where: { $0.name == name }),
      case .ready(let sandboxID, let addresses) = machine.sandbox
    else {
      return handle(.startFailed(container: name, reason: "CreateContainerError", message: "the pod has no sandbox"))
    }
    do throws(StartFailure) {
      let sandboxConfig = RuntimeConfiguration.sandbox(plan, attempt: 0, node.configuration, hostResolver: node.hostResolver)
      let image: Value
      do throws(ImagePuller.Failure) {
        image = try await node.images.ensure(
          container, plan: plan, sandbox: sandboxConfig, sources: node.sources
        ) { [self] warning, reason, message in
          await self.tell(warning, reason, message, name)
        }
      } catch {
        throw StartFailure(reason: error.reason, message: error.message)
      }
      let config: Value
      do throws(AgentFailure) {
        config = try await configuration(container, plan, attempt, addresses, image)
      } catch {
        throw StartFailure(reason: "CreateContainerConfigError", message: error.description)
      }
      let id: String
      do throws(GRPCError) {
        let answer = try await node.cri.call(
          "CreateContainer", ["pod_sandbox_id": .string(sandboxID), "config": config, "sandbox_config": sandboxConfig])
        id = answer["container_id"].string ?? ""
      } catch {
        throw StartFailure(reason: "CreateContainerError", message: error.message)
      }
      tell(false, "Created", "Created container: \(name)", name)
      containerIDs[id] = name
      do throws(GRPCError) {
        _ = try await node.cri.call("StartContainer", ["container_id": .string(id)])
      } catch {
        _ = try? await node.cri.call("RemoveContainer", ["container_id": .string(id)])
        throw StartFailure(reason: "RunContainerError", message: error.message)
      }
      tell(false, "Started", "Started container \(name)", name)
      linkLog(plan, name, id, attempt)
      let tags = (image["repo_digests"].array ?? []).first?.string
      handle(.started(container: name, id: id, image: container.image, imageID: tags ?? image["id"].string ?? ""))
      removeOldContainers(name, keep: id)
      if earlyExits.remove(id) != nil { await reportExit(name, id) }
    } catch {
      handle(.startFailed(container: name, reason: error.reason, message: error.message))
    }
  }

  /// The CRI configuration of one container, with what it needs on disk made ready.
  private func configuration(
    _ container: ContainerPlan, _ plan: PodPlan, _ attempt: Int, _ addresses: [String], _ image: Value
  ) async throws(AgentFailure) -> Value {
    let spec = container.spec
    let variables = try await ContainerEnvironment.variables(
      plan, spec, sources: node.sources, addresses: addresses, hostAddress: node.configuration.nodeAddress,
      allocatable: node.allocatable)
    let known = Dictionary(variables, uniquingKeysWith: { $1 })
    let podDirectory = volumes.podDirectory
    var mounts: [Value] = []
    // What the agent keeps up to date is nobody else's to write.
    let contentVolumes = Set(
      (plan.object["spec"]["volumes"].array ?? []).filter { volume in Volumes.contentKinds.contains { !volume[$0.key].isNull } }
        .compactMap { $0["name"].string })
    for (index, mount) in (spec["volumeMounts"].array ?? []).enumerated() {
      let volume = mount["name"].string ?? ""
      guard var path = volumePaths[volume] else { throw AgentFailure("volume \"\(volume)\" is not mounted") }
      var target = mount["mountPath"].string ?? ""
      if !target.hasPrefix("/") { target = "/\(target)" }
      let subPath = mount["subPathExpr"].string.map { ContainerEnvironment.expand($0, known) } ?? mount["subPath"].string ?? ""
      if !subPath.isEmpty {
        let bound = "\(podDirectory)/volume-subpaths/\(volume)/\(container.name)/\(index)"
        try SubPath.bind(volume: path, path: subPath, target: bound)
        path = bound
      }
      let propagation =
        switch mount["mountPropagation"].string {
        case "Bidirectional": "PROPAGATION_BIDIRECTIONAL"
        case "HostToContainer": "PROPAGATION_HOST_TO_CONTAINER"
        default: "PROPAGATION_PRIVATE"
        }
      mounts.append([
        "container_path": .string(target), "host_path": .string(path),
        "readonly": .bool(mount["readOnly"].bool == true || contentVolumes.contains(volume)),
        "propagation": .string(propagation),
      ])
    }
    func isMounted(_ target: String) -> Bool { mounts.contains { $0["container_path"].string == target } }
    if !isMounted("/etc/hosts"), !plan.isHostNetwork || !(plan.object["spec"]["hostAliases"].array ?? []).isEmpty {
      let file = "\(podDirectory)/etc-hosts"
      if !Files.exists(file) {
        let text = RuntimeConfiguration.hostsFile(plan, addresses: addresses, domain: node.configuration.clusterDomain)
        try Files.write(Array(text.utf8), to: file, mode: 0o644)
      }
      mounts.append(["container_path": "/etc/hosts", "host_path": .string(file)])
    }
    let messagePath = spec["terminationMessagePath"].string ?? "/dev/termination-log"
    let messageFile = "\(podDirectory)/containers/\(container.name)/\(attempt)"
    try Files.makeDirectory("\(podDirectory)/containers/\(container.name)", mode: 0o755)
    try Files.write([], to: messageFile, mode: 0o666)
    if !messagePath.isEmpty, !isMounted(messagePath) {
      mounts.append(["container_path": .string(messagePath), "host_path": .string(messageFile)])
    }
    let userName = image["username"].string ?? ""
    let security = try RuntimeConfiguration.security(
      plan, container, imageUID: image["uid"]["value"].int ?? (image["uid"].object != nil ? 0 : nil), imageUserName: userName)
    func words(_ name: String) -> Value {
      .array((spec[name].array ?? []).compactMap(\.string).map { .string(ContainerEnvironment.expand($0, known)) })
    }
    var labels = RuntimeConfiguration.labels(plan)
    labels["io.kubernetes.container.name"] = .string(container.name)
    return [
      "metadata": ["name": .string(container.name), "attempt": .int(Int64(attempt))],
      "image": ["image": .string(image["id"].string ?? container.image), "user_specified_image": .string(container.image)],
      "command": words("command"), "args": words("args"),
      "working_dir": .string(ContainerEnvironment.expand(spec["workingDir"].string ?? "", known)),
      "envs": .array(variables.map { ["key": .string($0.0), "value": .string($0.1)] }), "mounts": .array(mounts),
      "labels": labels,
      "annotations": [
        "io.kubernetes.container.restartCount": .string("\(attempt)"),
        "io.kubernetes.container.terminationMessagePath": .string(messagePath),
        "io.kubernetes.container.terminationMessagePolicy": .string(spec["terminationMessagePolicy"].string ?? "File"),
        "io.kubernetes.pod.terminationGracePeriod": .string("\(plan.grace)"),
      ],
      "log_path": .string("\(container.name)/\(attempt).log"), "stdin": .bool(spec["stdin"].bool ?? false),
      "stdin_once": .bool(spec["stdinOnce"].bool ?? false), "tty": .bool(spec["tty"].bool ?? false),
      "linux": [
        "resources": RuntimeConfiguration.resources(plan, spec, memoryCapacity: node.memoryCapacity), "security_context": security,
      ],
    ]
  }

  private func linkLog(_ plan: PodPlan, _ name: String, _ id: String, _ attempt: Int) {
    let directory = node.configuration.containerLogDirectory
    do throws(AgentFailure) { try Files.makeDirectory(directory, mode: 0o755) } catch { return }
    let link = "\(directory)/\(key.name)_\(key.namespace)_\(name)-\(id).log"
    unlink(link)
    symlink("\(RuntimeConfiguration.logDirectory(plan, node.configuration))/\(name)/\(attempt).log", link)
  }

  /// The last dead container stays for its log and its state; older ones go.
  private func removeOldContainers(_ name: String, keep: String) {
    let last = machine.containers.first { $0.plan.name == name }?.last?.id
    let old = containerIDs.filter { $0.value == name && $0.key != keep && $0.key != last }.map(\.key)
    for id in old { containerIDs[id] = nil }
    let attempt = machine.containers.first { $0.plan.name == name }?.restarts ?? 0
    let directory = "\(RuntimeConfiguration.logDirectory(machine.plan, node.configuration))/\(name)"
    let pattern = "\(key.name)_\(key.namespace)_\(name)-"
    Task { [node] in
      for id in old {
        _ = try? await node.cri.call("RemoveContainer", ["container_id": .string(id)])
        unlink("\(node.configuration.containerLogDirectory)/\(pattern)\(id).log")
      }
      for file in Files.entries(directory) {
        if let number = Int(file.prefix { $0.isNumber }), number < attempt - 1 { unlink("\(directory)/\(file)") }
      }
    }
  }

  private func stopContainer(_ name: String, _ id: String, _ grace: Int64) async {
    for address in machine.addresses where machine.isTerminating { await node.drain(address) }
    do throws(GRPCError) {
      _ = try await node.cri.call(
        "StopContainer", ["container_id": .string(id), "timeout": .int(max(0, grace))], deadline: .seconds(grace + 120))
    } catch {
      if error.status != .notFound {
        node.log.warning("container not stopped", metadata: ["pod": "\(key)", "container": "\(name)", "error": "\(error)"])
      }
    }
    await reportExit(name, id)
  }

  /// Asks the runtime how a container ended and tells the machine.
  private func reportExit(_ name: String, _ id: String) async {
    // The event may come before the runtime's own books are up to date.
    for attempt in 0..<50 {
      do throws(GRPCError) {
        let answer = try await node.cri.call("ContainerStatus", ["container_id": .string(id)])
        let status = answer["status"]
        if status["state"].string == "CONTAINER_EXITED" {
          guard machine.containers.contains(where: { $0.runningID == id }) else { return }
          let exit = await exit(name, status)
          return handle(.exited(container: name, exit))
        }
      } catch {
        if error.status == .notFound {
          let now = Moment.now()
          return handle(
            .exited(
              container: name,
              .init(
                id: id, code: 137, reason: "ContainerStatusUnknown",
                message: "The container could not be located when the pod was terminated", startedAt: now, finishedAt: now)))
        }
      }
      try? await Task.sleep(for: .milliseconds(attempt < 10 ? 10 : 100))
    }
    node.log.warning("container does not end", metadata: ["pod": "\(key)", "container": "\(name)", "id": "\(id)"])
  }

  private func exit(_ name: String, _ status: Value) async -> PodMachine.Exit {
    let code = status["exit_code"].int ?? 0
    var reason = status["reason"].string ?? ""
    if reason.isEmpty { reason = code == 0 ? "Completed" : "Error" }
    let attempt = status["metadata"]["attempt"].int ?? 0
    let plan = machine.plan
    let spec = plan.containers.first { $0.name == name }?.spec ?? .null
    var message = status["message"].string ?? ""
    let file = "\(volumes.podDirectory)/containers/\(name)/\(attempt)"
    if let bytes = Files.read(file, limit: 1 << 20), !bytes.isEmpty {
      message = String(decoding: bytes.suffix(4096), as: UTF8.self)
    } else if spec["terminationMessagePolicy"].string == "FallbackToLogsOnError", code != 0 {
      let log = "\(RuntimeConfiguration.logDirectory(plan, node.configuration))/\(name)/\(attempt).log"
      message = LogFile.tail(log, lines: 80, bytes: 2048)
    }
    return PodMachine.Exit(
      id: status["id"].string ?? "", code: code, reason: reason, message: message,
      startedAt: Moment(nanoseconds: status["started_at"].int ?? 0), finishedAt: Moment(nanoseconds: status["finished_at"].int ?? 0)
    )
  }

  // MARK: Probes

  private func followProbes() {
    var wanted: [String: (ContainerPlan, PodMachine.Running, ProbePlan.Kind, ProbePlan)] = [:]
    for container in machine.containers {
      guard case .running(let running) = container.state else { continue }
      for (kind, probe) in container.plan.probes where kind == .startup ? !running.isStarted : running.isStarted {
        if machine.isTerminating && kind != .readiness { continue }
        wanted["\(container.plan.name)/\(running.id)/\(kind.rawValue)"] = (container.plan, running, kind, probe)
      }
    }
    for (name, task) in probes where wanted[name] == nil {
      task.cancel()
      probes[name] = nil
    }
    let addresses = machine.plan.isHostNetwork ? ["127.0.0.1"] : machine.addresses
    for (name, entry) in wanted where probes[name] == nil {
      let (container, running, kind, probe) = entry
      let prober = Prober(
        cri: node.cri, container: container.spec, containerID: running.id, address: addresses.first ?? "127.0.0.1")
      probes[name] = Task { [weak self] in
        let age = Moment.now() - running.startedAt
        if probe.initialDelay > age { try? await Task.sleep(for: .seconds(probe.initialDelay - age)) }
        while !Task.isCancelled {
          let (succeeded, message) = await prober.run(probe)
          guard !Task.isCancelled, let self else { return }
          await self.handle(.probed(container: container.name, id: running.id, kind, succeeded: succeeded, message: message))
          try? await Task.sleep(for: .seconds(probe.period))
        }
      }
    }
  }

  // MARK: Status

  private func writeStatus() {
    guard !isWriting, !isGoneFromAPI, !isFinishing else { return }
    let status = machine.status(hostAddress: node.configuration.nodeAddress, now: .now())
    guard status != written else { return }
    isWriting = true
    Task { await self.write(status) }
  }

  private func write(_ status: Value) async {
    var delay = 0.2
    do throws(APIError) {
      _ = try await node.client.patch(
        .pods, key, subresource: "status", Patch(.merge, ["metadata": ["uid": .string(uid)], "status": status]),
        WriteOptions(fieldManager: "kubelet"))
      written = status
      delay = 0
    } catch {
      if error.reason == .notFound || error.reason == .conflict || error.reason == .invalid {
        if error.reason == .invalid {
          node.log.error("status refused", metadata: ["pod": "\(key)", "error": "\(error.message)"])
        }
        written = status
        delay = 0
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
    refresher?.cancel()
    for task in probes.values { task.cancel() }
    probes = [:]
    while isWriting { try? await Task.sleep(for: .milliseconds(5)) }
    if !isGoneFromAPI {
      let status = machine.status(hostAddress: node.configuration.nodeAddress, now: .now())
      if status != written { await write(status) }
    }
    isFinishing = true
    await PodCleanup.run(uid: uid, key: key, node: node, plan: machine.plan)
    var delay = 0.2
    while !isGoneFromAPI {
      do throws(APIError) {
        _ = try await node.client.delete(.pods, key, DeleteOptions(gracePeriodSeconds: 0, preconditionUID: uid))
        break
      } catch {
        if error.reason == .notFound || error.reason == .conflict { break }
        try? await Task.sleep(for: .seconds(delay))
        delay = min(30, delay * 2)
      }
    }
    await finished(self)
  }
}

/// Takes away all that a pod had on this node.
enum PodCleanup {
  static func run(uid: String, key: ObjectKey?, node: NodeContext, plan: PodPlan?) async {
    let filter: Value = ["filter": ["label_selector": ["io.kubernetes.pod.uid": .string(uid)]]]
    if let list = try? await node.cri.call("ListPodSandbox", filter) {
      for sandbox in list["items"].array ?? [] {
        let id: Value = ["pod_sandbox_id": sandbox["id"]]
        _ = try? await node.cri.call("StopPodSandbox", id)
        _ = try? await node.cri.call("RemovePodSandbox", id)
      }
    }
    Volumes.tearDown("\(node.configuration.podDirectory)/\(uid)")
    await TokenCache.shared.forget(pod: uid)
    if let plan {
      Files.remove(RuntimeConfiguration.logDirectory(plan, node.configuration))
      Cgroups.remove(plan, node.configuration)
      for name in Files.entries(node.configuration.containerLogDirectory)
      where name.hasPrefix("\(plan.key.name)_\(plan.key.namespace)_") {
        // Only links that lead nowhere any more: another pod may have had the name before.
        if access("\(node.configuration.containerLogDirectory)/\(name)", F_OK) != 0 {
          unlink("\(node.configuration.containerLogDirectory)/\(name)")
        }
      }
    }
  }
}

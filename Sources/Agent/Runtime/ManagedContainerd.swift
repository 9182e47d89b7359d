import CLinux
import Logging
import NIOPosix
import Network
import RPC
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// The containerd of this agent: its own where it is given none.
///
/// In: a directory. Out: a socket that answers. A containerd of ours outlives the agent, which finds it again by its socket;
/// one that died is started again by ``start()``. Never: touches a containerd that others run.
package actor ManagedContainerd {
  package nonisolated let socket: String
  package nonisolated let isOwn: Bool
  package nonisolated let cri: CRIClient
  package nonisolated let containerd: ContainerdClient
  private nonisolated let directory: String
  private let configuration: AgentConfiguration
  private let log: Logger

  package init(_ configuration: AgentConfiguration, log: Logger) {
    self.configuration = configuration
    self.log = log
    directory = "\(configuration.dataDirectory)/containerd"
    isOwn = configuration.containerdSocket == nil
    socket = configuration.containerdSocket ?? "\(configuration.dataDirectory)/containerd/containerd.sock"
    let connection = GRPCClient(.unix(socket))
    cri = CRIClient(connection)
    containerd = ContainerdClient(connection)
  }

  /// Sees to it that a runtime answers on the socket: the one that runs, or a new one.
  /// - Throws: one sentence with the way out.
  package func start() async throws {
    var isThere = await answers()
    if !isThere, isOwn { isThere = await awaitRunning() }
    if isThere {
      if isOwn { try await importPauseImage() } else { try await settle(in: await settings()) }
      return
    }
    guard isOwn else {
      throw AgentFailure("no container runtime answers on \(socket): start it, or leave --containerd out and Gantry runs its own")
    }
    guard let program = Command.find("containerd") else {
      throw AgentFailure("containerd is not installed: apt-get install containerd runc (or give --containerd SOCKET)")
    }
    guard let runc = Command.find("runc") else { throw AgentFailure("runc is not installed: apt-get install runc") }
    // The socket's path is limited by the kernel (108 bytes with the zero); containerd makes further ones beside it.
    guard socket.utf8.count < 100 else {
      throw AgentFailure("\(socket) is too long for a socket: give a --data-dir of at most 70 characters")
    }
    try Files.makeDirectory(directory, mode: 0o711)
    try Files.makeDirectory(ownRegistryDirectory, mode: 0o755)
    try writeRegistries(in: ownRegistryDirectory)
    try Files.replace(Array(configurationText(runc: runc).utf8), at: "\(directory)/config.toml")
    let words = [program, "--config", "\(directory)/config.toml"]
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var variables = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR=\(directory)"]
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"] {
      if let value = getenv(name) { variables.append("\(name)=\(String(cString: value))") }
    }
    var environment: [UnsafeMutablePointer<CChar>?] = variables.map { strdup($0) } + [nil]
    defer { for variable in environment { free(variable) } }
    let pid = gantry_spawn_daemon(program, &arguments, &environment, "\(directory)/containerd.log")
    guard pid > 0 else { throw Files.failure("cannot start", program) }
    try Files.replace(Array("\(pid)\n".utf8), at: "\(directory)/containerd.pid")
    leaveCgroup(pid)
    if await answers(while: pid) { return try await importPauseImage() }
    let last = Files.text("\(directory)/containerd.log")?.split(separator: "\n").last.map(String.init) ?? "it wrote nothing"
    throw AgentFailure("containerd does not answer; the last line of \(directory)/containerd.log: \(last)")
  }

  /// Whether the runtime answers. Where nothing listens that is known at once; whoever listens has a minute for it.
  private func answers() async -> Bool {
    guard let version = try? await cri.call("Version", ["version": "0.1.0"], deadline: .seconds(60)) else { return false }
    log.info("container runtime", metadata: ["socket": "\(socket)", "version": "\(version["runtime_version"].string ?? "")"])
    return true
  }

  /// The same for as long as a process lives, up to two minutes: it may still be starting. Asked less and less often; its end is noticed at
  /// once.
  private func answers(while pid: pid_t) async -> Bool {
    let began = ContinuousClock.now
    var delay = Duration.milliseconds(20)
    while began.duration(to: .now) < .seconds(120), !Task.isCancelled {
      if await answers() { return true }
      if await Self.hasEnded(pid, within: delay) { return false }
      delay = min(.seconds(5), delay * 1.5)
    }
    return false
  }

  /// Waits for a containerd of ours that runs already. One that does not answer in minutes is ended: another can only take its place after it.
  private func awaitRunning() async -> Bool {
    guard let pid = runningProcess else { return false }
    if await answers(while: pid) { return true }
    guard !Task.isCancelled, runningProcess == pid else { return false }
    log.error("containerd runs and does not answer: ended", metadata: ["pid": "\(pid)"])
    kill(pid, SIGKILL)
    await Self.hasEnded(pid, within: .seconds(30))
    return false
  }

  /// Where a containerd looks for networks and registries, as it says itself.
  package struct Settings: Sendable {
    /// nil: it does not say.
    package var cniConfDirectory: String?
    /// `config_path` of its registries; nil: it has none.
    package var registryDirectory: String?
    /// What its sandboxes are made of.
    package var sandboxImage = PauseImage.name
  }

  package func settings() async -> Settings {
    guard !isOwn else { return Settings(cniConfDirectory: configuration.cniConfDirectory, registryDirectory: ownRegistryDirectory) }
    let status = try? await cri.call("Status", ["verbose": true])
    guard let text = status?["info"]["config"].string, let config = try? Value(json: Array(text.utf8)) else { return Settings() }
    func path(_ value: Value) -> String? { value.string.flatMap { $0.isEmpty ? nil : $0 } }
    return Settings(
      cniConfDirectory: path(config["cni"]["confDir"]), registryDirectory: path(config["registry"]["configPath"]),
      sandboxImage: path(config["sandboxImage"]) ?? PauseImage.name)
  }

  /// Makes a containerd of somebody else fit to run pods: it trusts the cluster's registry, by the directory that it offers for that, and
  /// has an image for sandboxes, which it would else fetch from the internet.
  private func settle(in settings: Settings) async throws {
    try await importPauseImage(as: settings.sandboxImage)
    if let directory = settings.registryDirectory { return try writeRegistries(in: directory) }
    log.warning(
      "this containerd has no config_path for registries: images of the built-in registry cannot be pulled; set plugins.\"io.containerd.grpc.v1.cri\".registry.config_path",
      metadata: ["socket": "\(socket)"])
  }

  /// The process that the pid file names, if it is a containerd of this directory.
  private var runningProcess: pid_t? {
    guard let text = Files.text("\(directory)/containerd.pid"), let pid = pid_t(text.prefix { $0.isNumber }), pid > 1,
      let command = Files.read("/proc/\(pid)/cmdline"),
      String(decoding: command, as: UTF8.self).contains("\(directory)/config.toml")
    else { return nil }
    return pid
  }

  private static let cgroupRoots = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"]

  /// A service manager that ends the agent's cgroup must not end the containers.
  private func leaveCgroup(_ pid: pid_t) {
    for root in Self.cgroupRoots {
      guard Files.exists("\(root)/cgroup.procs") else { continue }
      let own = "\(root)/gantry-containerd"
      guard mkdir(own, 0o755) == 0 || errno == EEXIST else { continue }
      try? Files.write(Array("\(pid)".utf8), to: "\(own)/cgroup.procs")
    }
  }

  private func hasImage(_ name: String) async throws -> Bool {
    try await cri.call("ImageStatus", ["image": ["image": .string(name)]])["image"]["id"].string != nil
  }

  /// - Parameter name: what this containerd makes sandboxes of.
  private func importPauseImage(as name: String = PauseImage.name) async throws {
    if try await hasImage(name) { return }
    guard let ctr = Command.find("ctr") else {
      throw AgentFailure("ctr is not installed: it comes with containerd (apt-get install containerd)")
    }
    try Files.makeDirectory(directory, mode: 0o711)
    let file = "\(directory)/pause.tar"
    try Files.replace(PauseImage.archive, at: file)
    defer { unlink(file) }
    let images = ["--address", socket, "--namespace", ContainerdClient.namespace, "images"]
    try await Command().run([ctr] + images + ["import", file])
    if name != PauseImage.name { try await Command().run([ctr] + images + ["tag", "--force", PauseImage.name, name]) }
    // The CRI plugin learns of an import through an event of its own: it is asked less and less often.
    var delay = 0.005
    while delay < 60 {
      if try await hasImage(name) { return }
      try await Task.sleep(for: .seconds(delay))
      delay *= 2
    }
    throw AgentFailure(
      "containerd does not show \(name) after its import; see \(isOwn ? "\(directory)/containerd.log" : "its log")")
  }

  private func quoted(_ text: String) -> String { Value.string(text).json }

  private var ownRegistryDirectory: String { "\(directory)/certs.d" }

  /// - Parameter parent: what containerd calls `config_path`: it looks there at every pull.
  private func writeRegistries(in parent: String) throws(AgentFailure) {
    for registry in configuration.registries {
      for name in registry.names {
        let directory = "\(parent)/\(name)"
        try Files.makeDirectory(directory, mode: 0o755)
        var rows = "capabilities = [\"pull\", \"resolve\"]\n"
        if !registry.caPath.isEmpty { rows += "ca = \(quoted(registry.caPath))\n" }
        if !registry.clientCertificatePath.isEmpty {
          rows += "client = [[\(quoted(registry.clientCertificatePath)), \(quoted(registry.clientKeyPath))]]\n"
        }
        // Twice: the host is what containerd 1.6 asks; after a 404 it asks the server, which would else have no CA.
        let text = "server = \(quoted(registry.endpoint))\n\(rows)\n[host.\(quoted(registry.endpoint))]\n\(rows)"
        try Files.replace(Array(text.utf8), at: "\(directory)/hosts.toml")
      }
    }
  }

  /// Bit 24 of the effective set. Without it runc cannot lower a process's OOM score.
  private var hasSysResource: Bool {
    let line = (Files.text("/proc/self/status") ?? "").split(separator: "\n").first { $0.hasPrefix("CapEff:") }
    let mask = line.flatMap { UInt64($0.dropFirst(7).drop { $0 == "\t" || $0 == " " }, radix: 16) } ?? 0
    return mask & 1 << 24 != 0
  }

  func configurationText(runc: String) -> String {
    """
    version = 2
    root = \(quoted("\(directory)/root"))
    state = \(quoted("\(directory)/state"))
    oom_score = \(hasSysResource ? -999 : 0)
    disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]

    [grpc]
      address = \(quoted(socket))
      max_recv_message_size = 16777216
      max_send_message_size = 16777216

    [plugins."io.containerd.grpc.v1.cri"]
      sandbox_image = \(quoted(PauseImage.name))
      restrict_oom_score_adj = \(!hasSysResource)
      max_container_log_line_size = 16384
      stream_server_address = "127.0.0.1"
      stream_server_port = "0"
      enable_unprivileged_ports = true
      enable_unprivileged_icmp = true
      [plugins."io.containerd.grpc.v1.cri".cni]
        bin_dir = \(quoted(configuration.cniBinDirectory))
        conf_dir = \(quoted(configuration.cniConfDirectory))
        max_conf_num = 1
      [plugins."io.containerd.grpc.v1.cri".registry]
        config_path = \(quoted(ownRegistryDirectory))
      [plugins."io.containerd.grpc.v1.cri".containerd]
        snapshotter = "overlayfs"
        default_runtime_name = "runc"
        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
          runtime_type = "io.containerd.runc.v2"
          [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
            BinaryName = \(quoted(runc))
            SystemdCgroup = false

    """
  }

  /// Waits on a thread that may block; the kernel wakes it.
  @discardableResult
  private static func hasEnded(_ pid: pid_t, within limit: Duration) async -> Bool {
    let milliseconds = Int32(clamping: limit.components.seconds * 1000 + limit.components.attoseconds / 1_000_000_000_000_000)
    return (try? await NIOThreadPool.singleton.runIfActive { gantry_wait_for_exit(pid, milliseconds) == 0 }) ?? false
  }

  /// Ends everything of this agent: pods, shims, containerd, mounts. Leaves nothing that runs.
  package func stopEverything() async {
    // A containerd that has died comes back once more, so that networks are given back the way they were taken.
    if isOwn, Files.exists("\(directory)/config.toml") { try? await start() }
    let ownPods = Set(Files.entries(configuration.podDirectory))
    if let sandboxes = try? await cri.call("ListPodSandbox") {
      await withTaskGroup(of: Void.self) { group in
        // In a containerd of somebody else only the pods whose directories are here are ours.
        for sandbox in sandboxes["items"].array ?? []
        where isOwn || ownPods.contains(sandbox["labels"]["io.kubernetes.pod.uid"].string ?? "") {
          group.addTask { [cri] in
            let id: Value = ["pod_sandbox_id": sandbox["id"]]
            _ = try? await cri.call("StopPodSandbox", id)
            _ = try? await cri.call("RemovePodSandbox", id)
          }
        }
      }
    }
    if !isOwn, let registries = await settings().registryDirectory {
      for name in configuration.registries.flatMap(\.names) {
        unlink("\(registries)/\(name)/hosts.toml")
        rmdir("\(registries)/\(name)")
      }
    }
    cri.connection.close()
    guard isOwn else { return }
    if let pid = runningProcess {
      kill(pid, SIGTERM)
      if !(await Self.hasEnded(pid, within: .seconds(5))) {
        kill(pid, SIGKILL)
        await Self.hasEnded(pid, within: .seconds(5))
      }
    }
    // A shim that is killed leaves its socket, whose name stands in its bundle.
    let bundles = "\(directory)/state/io.containerd.runtime.v2.task/\(ContainerdClient.namespace)"
    let sockets = Files.entries(bundles).compactMap { Files.text("\(bundles)/\($0)/address") }
    // A shim that is left names our socket on its command line.
    for name in Files.entries("/proc") {
      guard let pid = pid_t(name), let command = Files.read("/proc/\(pid)/cmdline") else { continue }
      let words = command.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
      if words.first?.hasSuffix("containerd-shim-runc-v2") == true, words.contains(socket) { kill(pid, SIGKILL) }
    }
    for address in sockets where address.hasPrefix("unix://") { unlink(String(address.dropFirst("unix://".count))) }
    Files.unmountAll(beneath: directory)
    unlink("\(directory)/containerd.pid")
    unlink(socket)
    unlink("\(socket).ttrpc")
    // Other instances share it; the kernel refuses while one is in it.
    for root in Self.cgroupRoots { rmdir("\(root)/gantry-containerd") }
  }
}

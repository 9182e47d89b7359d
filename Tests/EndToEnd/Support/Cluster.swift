import Foundation
import Synchronization

/// A real `gantry up` in a network namespace of its own, with its own data directory, and real kubectl beside it in that namespace.
/// So several run at once and nothing touches the host's network.
final class Cluster: Sendable {
  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
    .deletingLastPathComponent().path
  static let gantry = "\(root)/.build/release/gantry"
  static let port = 6443

  let name: String
  let dataDirectory: String
  private let server: Mutex<Running?>
  private let extraArguments: [String]
  private let environment: [String: String]

  private init(name: String, dataDirectory: String, extraArguments: [String], environment: [String: String]) {
    self.name = name
    self.dataDirectory = dataDirectory
    self.extraArguments = extraArguments
    self.environment = environment
    server = Mutex(nil)
  }

  /// Starts a cluster, hands it to `body` and takes everything away again, however `body` ends.
  /// - Parameters:
  ///   - isShared: many tests wait for it, so it does not wait for a place itself.
  ///   - before: runs when the namespace is there and the server is not.
  static func with<R>(
    _ arguments: [String] = [], environment: [String: String] = [:], images: [String] = ["busybox"],
    isShared: Bool = false,
    before: (Cluster) async throws -> Void = { _ in },
    _ body: (Cluster) async throws -> R
  ) async throws -> R {
    let id = String(UInt32.random(in: .min ... .max), radix: 36)
    let cluster = Cluster(
      name: "gt-\(id)", dataDirectory: "/tmp/gantry-e2e-\(id)", extraArguments: arguments, environment: environment)
    if !isShared { await Patience.places.take() }
    let result: Result<R, any Error>
    do {
      try await Command.run(["ip", "netns", "add", cluster.name])
      try await Command.run(cluster.inside(["ip", "link", "set", "lo", "up"]))
      try await before(cluster)
      try await cluster.start()
      if !images.isEmpty { try await cluster.push(images) }
      let value = try await body(cluster)
      try await cluster.remove()
      result = .success(value)
    } catch {
      print(await cluster.diagnosis())
      try? await cluster.remove()
      result = .failure(error)
    }
    if !isShared { await Patience.places.giveBack() }
    return try result.get()
  }

  // Not `ip netns exec`: that mounts a /sys of its own, in which no cgroup is.
  func inside(_ arguments: [String]) -> [String] { ["nsenter", "--net=/run/netns/\(name)"] + arguments }

  var pid: Int32? { server.withLock { $0?.pid } }

  /// `gantry up` (or `server`: the same without its node), until it says that it is ready.
  func start(_ command: String = "up") async throws {
    let node = command == "up" ? ["--node-name", name] + extraArguments : []
    // Under the strictest of masks: what containers read must not depend on who started the server.
    let strict = ["sh", "-c", "umask 077; exec \"$@\"", "sh"]
    let running = try Running(
      inside(strict + [Self.gantry, command, "--data-dir", dataDirectory, "--listen", "127.0.0.1:\(Self.port)"] + node),
      environment: environment)
    server.withLock { $0 = running }
    guard await running.waits(for: { $0.contains("ready") }) else {
      throw Command.Failure(command: "gantry up", outcome: await running.outcome())
    }
  }

  /// Ends the server as a crash would; its containers stay.
  func kill9() async {
    guard let running = server.withLock({ $0 }) else { return }
    running.signal(SIGKILL)
    _ = await running.outcome()
  }

  func terminate() async -> Command.Outcome? {
    guard let running = server.withLock({ $0 }) else { return nil }
    running.signal(SIGTERM)
    return await running.outcome()
  }

  private func remove() async throws {
    try await Command.run(inside([Self.gantry, "down", "--data-dir", dataDirectory, "--purge"]))
    _ = await terminate()
    try await Command.run(["ip", "netns", "del", name])
  }

  private func diagnosis() async -> String {
    guard let running = server.withLock({ $0 }) else { return "no server" }
    let pods = try? await tryKubectl("describe", "pods", "--request-timeout=20s")
    return "---- gantry up in \(name), its last lines:\n" + (running.output + running.errors).suffix(6000)
      + "---- its pods in the namespace default:\n" + (pods?.output ?? "") + (pods?.errors ?? "")
  }

  // MARK: Clients

  static func kubectlPath(_ minor: Int) -> String { "\(root)/.build/clients/kubectl-1.\(minor)" }

  func kubectlWords(_ arguments: [String], minor: Int) -> [String] {
    // Its cache of what a server serves goes by address and port, which all clusters of the tests share.
    inside(
      [
        Self.kubectlPath(minor), "--kubeconfig", "\(dataDirectory)/admin.kubeconfig", "--cache-dir",
        "\(dataDirectory)/kubectl-1.\(minor)",
      ] + arguments)
  }

  @discardableResult
  func kubectl(
    _ arguments: [String], input: String? = nil, minor: Int = 37, timeout: TimeInterval = Patience.seconds
  ) async throws -> String {
    try await Command.run(kubectlWords(arguments, minor: minor), input: input, timeout: timeout).output
  }

  @discardableResult
  func kubectl(
    _ arguments: String..., input: String? = nil, minor: Int = 37, timeout: TimeInterval = Patience.seconds
  ) async throws -> String {
    try await kubectl(arguments, input: input, minor: minor, timeout: timeout)
  }

  /// Waits until a deployment's rollout is through and the pods it replaced are gone, so that every answer is the new ones'.
  func rolledOut(_ deployment: String, namespace: String = "default", minor: Int = 37) async throws {
    let space = ["--namespace", namespace]
    try await kubectl(space + ["rollout", "status", "deployment/\(deployment)", Patience.kubectl], minor: minor)
    let query = "jsonpath={range .items[*]}{.metadata.name} {.metadata.deletionTimestamp}{\"\\n\"}{end}"
    let leaving = try await kubectl(space + ["get", "pods", "-l", "app=\(deployment)", "-o", query], minor: minor)
      .split(separator: "\n").map { $0.split(separator: " ") }.filter { $0.count == 2 }.map { "pod/\($0[0])" }
    if !leaving.isEmpty { try await kubectl(space + ["wait", "--for=delete", Patience.kubectl] + leaving, minor: minor) }
  }

  /// What kubectl says where a refusal is expected or possible.
  func tryKubectl(_ arguments: [String], input: String? = nil, minor: Int = 37) async throws -> Command.Outcome {
    try await Command.run(kubectlWords(arguments, minor: minor), input: input, mayFail: true)
  }

  func tryKubectl(_ arguments: String..., input: String? = nil, minor: Int = 37) async throws -> Command.Outcome {
    try await tryKubectl(arguments, input: input, minor: minor)
  }

  /// kubectl that stays: `logs -f`, `get -w`, `exec -i`.
  func kubectlRunning(_ arguments: [String], input: String? = nil, minor: Int = 37) throws -> Running {
    try Running(kubectlWords(arguments, minor: minor), input: input)
  }

  func kubectlRunning(_ arguments: String..., minor: Int = 37) throws -> Running { try kubectlRunning(arguments, minor: minor) }

  @discardableResult
  func apply(_ manifest: String, minor: Int = 37) async throws -> String {
    try await kubectl("apply", "-f", "-", input: manifest, minor: minor)
  }

  /// Builds the images once (scripts/test has done so) and pushes them to the cluster's own registry.
  func push(_ images: [String]) async throws {
    let certificates = "\(dataDirectory)/test-certs"
    try FileManager.default.createDirectory(
      atPath: certificates, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    for (path, file) in [
      (".clusters[0].cluster.certificate-authority-data", "ca.crt"), (".users[0].user.client-certificate-data", "client.cert"),
      (".users[0].user.client-key-data", "client.key"),
    ] {
      let encoded = try await kubectl("config", "view", "--raw", "-o", "jsonpath={\(path)}")
      guard let data = Data(base64Encoded: encoded) else {
        throw Command.Failure(command: "kubeconfig \(path)", outcome: .init(status: 1, output: encoded, errors: ""))
      }
      try data.write(to: URL(fileURLWithPath: "\(certificates)/\(file)"))
    }
    try await Command.run(
      inside(
        ["python3", "\(Self.root)/examples/images/build", "--push", "127.0.0.1:\(Self.port)", "--certs", certificates] + images))
  }
}

import Agent
import Client
import ControlPlane
import Controllers
import Crypto
import FoundationEssentials
import Glibc
import HTTP
import KubernetesAPI
import Logging
import NIOCore
import NIOPosix
import Network
import Registry
import Schema
import Scheduler
import Store
import Synchronization

/// One running instance: opens what a command asked for, in order, and closes it in the opposite one.
struct Instance {
  let common: CommonOptions
  let server: ServerOptions
  /// nil: a control plane alone.
  let node: NodeOptions?

  private var logger: Logger { Logger(label: "gantry") }

  func run() async throws {
    if node != nil, geteuid() != 0 {
      throw StartFailure(
        "containers, networks and mounts need root: run it with sudo, or run a control plane alone with gantry server")
    }
    if let node { try Programs.check(node) }
    let directory = DataDirectory(path: common.dataDir)
    try directory.prepare()
    try directory.lock()
    let (host, port) = try server.address()
    let store = try openStore(directory)
    defer { store.close() }
    let identity = try ServerIdentity(store: store, sealer: Sealer(token: try directory.serverToken()))
    let plane = try await controlPlane(store, identity, host: host, port: port)
    let names = servingNames(plane, host: host)
    let serving = try identity.server.server("gantry", names: names)
    let listener = try await listen(plane, directory, identity, serving, host: host, port: port)
    let reachable = host == "0.0.0.0" || host == "::" ? "127.0.0.1" : host
    let url = "https://\(reachable.contains(":") ? "[\(reachable)]" : reachable):\(port)"
    try writeCredentials(directory, identity, url: url)

    let components = Task { try await runComponents(plane, directory, identity, url: url, port: port) }
    try announce("gantry is ready: Kubernetes API and image registry on \(url); export KUBECONFIG=\(common.kubeconfigPath)")
    // Whoever ends first: a signal, or a component that cannot go on.
    let (endings, ending) = AsyncStream.makeStream(of: String.self)
    Task {
      _ = await Signals.termination()
      ending.yield("")
    }
    Task {
      do { try await components.value } catch { ending.yield("\((error as? StartFailure)?.message ?? "\(error)")") }
    }
    var reason = ""
    for await first in endings {
      reason = first
      break
    }
    logger.info("stopping", metadata: ["reason": "\(reason.isEmpty ? "signal" : reason)"])
    components.cancel()
    await listener.shutdown(within: .seconds(5))
    if !reason.isEmpty { throw StartFailure(sentence: reason) }
  }

  private func openStore(_ directory: DataDirectory) throws -> SQLiteStore {
    let path = server.datastore.map { String($0.dropFirst("sqlite://".count)) } ?? "\(directory.path)/state.db"
    do throws(StoreError) { return try SQLiteStore(.init(path: path)) } catch { throw StartFailure("\(error)") }
  }

  private func controlPlane(_ store: SQLiteStore, _ identity: ServerIdentity, host: String, port: Int) async throws -> ControlPlane
  {
    var configuration = ControlPlane.Configuration()
    configuration.serviceCIDR = server.serviceCidr
    configuration.clusterDomain = server.clusterDomain
    configuration.advertiseAddress = server.advertiseAddress ?? (host == "0.0.0.0" ? "127.0.0.1" : host)
    configuration.advertisePort = port
    configuration.issuer = "https://kubernetes.default.svc.\(server.clusterDomain)"
    do {
      let plane = try ControlPlane(configuration, store: store, sealer: identity.sealer)
      try await plane.bootstrap()
      do throws(AuditLog.Failure) { plane.setAuditLog(try AuditLog(.init(directory: "\(common.dataDir)/audit"))) } catch {
        throw StartFailure(error.description)
      }
      return plane
    } catch let error as APIError { throw StartFailure(error.message) }
  }

  private func servingNames(_ plane: ControlPlane, host: String) -> [String] {
    var names = [
      "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.\(server.clusterDomain)",
    ]
    names += ["registry.gantry.internal", "127.0.0.1", "::1", plane.kubernetesServiceAddress]
    if host != "0.0.0.0", host != "::", !names.contains(host) { names.append(host) }
    if let advertised = server.advertiseAddress, !names.contains(advertised) { names.append(advertised) }
    if let name = NodeOptions.hostName, !names.contains(name) { names.append(name) }
    return names + server.tlsSan.filter { !names.contains($0) }
  }

  private func listen(
    _ plane: ControlPlane, _ directory: DataDirectory, _ identity: ServerIdentity, _ serving: CertificateAuthority.Pair,
    host: String, port: Int
  ) async throws -> HTTPServer {
    let registry: RegistryHandler
    do throws(RegistryError) { registry = try RegistryHandler(controlPlane: plane, directory: "\(directory.path)/registry") } catch
    {
      throw StartFailure(error.message)
    }
    let router = Router([.prefix("/v2/", registry)], otherwise: kubernetes(plane, host: host, port: port))
    let tls = ServerTLS(
      certificateChain: Array((serving.certificatePEM + identity.server.certificatePEM).utf8),
      privateKey: Array(serving.keyPEM.utf8),
      clientCAs: Array(identity.client.certificatePEM.utf8))
    do {
      return try await HTTPServer.start(
        .init(host: host, port: port, tls: tls), handler: router, group: NIOSingletons.posixEventLoopGroup)
    } catch let error as HTTPServerError { throw StartFailure(error.description) }
  }

  private func kubernetes(_ plane: ControlPlane, host: String, port: Int) -> KubernetesAPI {
    var configuration = KubernetesAPI.Configuration()
    configuration.serverAddress = "\(server.advertiseAddress ?? host):\(port)"
    return KubernetesAPI(plane, configuration)
  }

  private func writeCredentials(_ directory: DataDirectory, _ identity: ServerIdentity, url: String) throws {
    let admin = try identity.client.client("kubernetes-admin", groups: ["system:masters"])
    try directory.write(Kubeconfig.text(server: url, caPEM: identity.server.certificatePEM, client: admin), to: "admin.kubeconfig")
    try directory.write(identity.server.certificatePEM, to: "ca.crt", mode: 0o644)
  }

  private func announce(_ line: String) throws {
    GantryCommand.write(line, to: STDOUT_FILENO)
    guard let path = server.readyFile else { return }
    let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw StartFailure("cannot write --ready-file \(path): \(String(cString: strerror(errno)))") }
    GantryCommand.write(line, to: file)
    close(file)
  }

  // MARK: What runs on the control plane

  private func runComponents(
    _ plane: ControlPlane, _ directory: DataDirectory, _ identity: ServerIdentity, url: String, port: Int
  ) async throws {
    let clients: @Sendable (Identity) -> any Client = { plane.client(as: $0) }
    let controllers = Controllers(
      .init(clusterCIDR: server.clusterCidr, caBundle: identity.server.certificatePEM), clients: clients,
      log: Logger(label: "gantry.controllers"))
    let scheduler = Scheduler(client: clients(.scheduler))
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await plane.run() }
      group.addTask { await controllers.run() }
      group.addTask { await scheduler.run() }
      if let node {
        group.addTask {
          try await NodeInstance(common: common, server: server, options: node).run(
            plane, directory, identity, url: url, port: port)
        }
      }
      // A node that cannot work ends the instance; the others end only when they are cancelled.
      while let _ = try await group.next() {}
    }
  }
}

/// The authorities and the key that seals them, from the datastore.
struct ServerIdentity {
  let sealer: Sealer
  let server, client, frontProxy: CertificateAuthority

  init(store: any StoreEngine, sealer: Sealer) throws {
    self.sealer = sealer
    do {
      server = try CertificateAuthority(.server, store: store, sealer: sealer)
      client = try CertificateAuthority(.client, store: store, sealer: sealer)
      frontProxy = try CertificateAuthority(.frontProxy, store: store, sealer: sealer)
    } catch { throw StartFailure("\(error)") }
  }
}

extension DataDirectory {
  /// The secret that servers share: made on first start, kept beside the data, never in it.
  func serverToken() throws -> String {
    if let token = read("\(path)/server-token")?.prefix(while: { !$0.isWhitespace }), token.count >= 16 { return String(token) }
    var random = SystemRandomNumberGenerator()
    let digits = Array("0123456789abcdefghijklmnopqrstuvwxyz")
    let token = String((0..<40).map { _ in digits[Int(random.next(upperBound: UInt(digits.count)))] })
    try write(token + "\n", to: "server-token")
    return token
  }
}

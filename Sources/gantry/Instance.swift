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
    let lock = try directory.lock()
    defer { lock.release() }
    let (host, port) = try server.address()
    let datastore = DatastoreOption.path(server.datastore, in: directory.path)
    if access(datastore, F_OK) != 0 { try directory.makeServerToken() }
    let store = try openStore(datastore, directory)
    defer { store.close() }
    let identity = try ServerIdentity(store: store, sealer: Sealer(token: try directory.serverToken(of: datastore)))
    let plane = try await controlPlane(store, identity, host: host, port: port)
    let reachable = host == "0.0.0.0" || host == "::" ? "127.0.0.1" : host
    let url = "https://\(reachable.contains(":") ? "[\(reachable)]" : reachable):\(port)"
    let credentials = Credentials(
      directory: directory, identity: identity, names: servingNames(plane, host: host), url: url, nodeName: try node?.name(),
      lifetime: server.certificateLifetime * 3600)
    try await credentials.claimNode(plane)
    let health = Health(store: store)
    let registry: RegistryHandler
    do throws(RegistryError) { registry = try RegistryHandler(controlPlane: plane, directory: "\(directory.path)/registry") } catch
    {
      throw StartFailure(error.message)
    }
    let router = Router([.prefix("/v2/", registry)], otherwise: kubernetes(plane, health, host: host, port: port))
    let listener = try await listen(router, try credentials.renew(), host: host, port: port)

    let (moments, feed) = AsyncStream.makeStream(of: Moment.self)
    let components = Task {
      do {
        try await runComponents(plane, directory, identity, credentials, listener, registry, port: port) { feed.yield(.nodeReady) }
      } catch { feed.yield(.ended("\((error as? StartFailure)?.message ?? "\(error)")")) }
      feed.yield(.componentsEnded)
    }
    let signals = try Signals.termination()
    Task { for await _ in signals { feed.yield(.ended("")) } }
    if node == nil { feed.yield(.nodeReady) }
    let reason = try await untilTheEnd(moments, ready: "Kubernetes API and image registry on \(url)")
    logger.info("stopping", metadata: ["reason": "\(reason.isEmpty ? "signal" : reason)"])
    health.isStopping.store(true, ordering: .relaxed)
    components.cancel()
    await listener.shutdown(within: .seconds(5))
    // The node lets go of its pods before the store closes under it; what hangs is left to the next start, as after a crash.
    let patience = Task {
      try await Task.sleep(for: .seconds(5))
      feed.yield(.componentsEnded)
    }
    for await moment in moments { if case .componentsEnded = moment { break } }
    patience.cancel()
    if !reason.isEmpty { throw StartFailure(sentence: reason) }
  }

  private enum Moment: Sendable {
    /// Pods can run here; never told where there is no node.
    case nodeReady
    /// A signal (the reason is empty), or a component that cannot go on.
    case ended(String)
    /// Nothing runs any more, or it takes too long.
    case componentsEnded
  }

  /// Says once that everything is ready, and waits for the reason to stop.
  private func untilTheEnd(_ moments: AsyncStream<Moment>, ready: String) async throws -> String {
    for await moment in moments {
      switch moment {
      case .nodeReady: try announce("gantry is ready: \(ready); export KUBECONFIG=\(common.kubeconfigPath)")
      case .ended(let reason): return reason
      case .componentsEnded: continue
      }
    }
    return ""
  }

  /// Nodes end what their cluster does not name: a datastore of another cluster, or a new one where the old has gone, would cost all pods.
  private func openStore(_ path: String, _ directory: DataDirectory) throws -> SQLiteStore {
    var configuration = SQLiteStore.Configuration(path: path)
    configuration.expectedClusterID = directory.clusterID
    if let clusterID = directory.clusterID, access(path, F_OK) != 0 {
      throw StartFailure(
        "\(path), the datastore of cluster \(clusterID), is gone: bring it back (gantry restore), or begin a new cluster with another --data-dir"
      )
    }
    let store: SQLiteStore
    do throws(StoreError) { store = try SQLiteStore(configuration) } catch { throw StartFailure("\(error)") }
    if configuration.expectedClusterID == nil { try directory.write("\(store.clusterID)\n", to: DataDirectory.clusterFile) }
    return store
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

  private func listen(_ router: Router, _ tls: ServerTLS, host: String, port: Int) async throws -> HTTPServer {
    do throws(HTTPServerError) {
      return try await HTTPServer.start(
        .init(host: host, port: port, tls: tls), handler: router, group: NIOSingletons.posixEventLoopGroup)
    } catch { throw StartFailure(error.description) }
  }

  private func kubernetes(_ plane: ControlPlane, _ health: Health, host: String, port: Int) -> KubernetesAPI {
    var configuration = KubernetesAPI.Configuration()
    configuration.serverAddress = "\(server.advertiseAddress ?? host):\(port)"
    return KubernetesAPI(plane, configuration, healthChecks: health.checks)
  }

  private func announce(_ line: String) throws {
    GantryCommand.write(line, to: STDOUT_FILENO)
    ServiceManager.ready()
    guard let path = server.readyFile else { return }
    let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw StartFailure("cannot write --ready-file \(path): \(String(cString: strerror(errno)))") }
    GantryCommand.write(line, to: file)
    close(file)
  }

  // MARK: What runs on the control plane

  private func runComponents(
    _ plane: ControlPlane, _ directory: DataDirectory, _ identity: ServerIdentity, _ credentials: Credentials,
    _ listener: HTTPServer, _ registry: RegistryHandler, port: Int, nodeReady: @escaping @Sendable () -> Void
  ) async throws {
    let clients: @Sendable (Identity) -> any Client = { plane.client(as: $0) }
    let controllers = Controllers(
      .init(clusterCIDR: server.clusterCidr, caBundle: identity.server.certificatePEM), clients: clients,
      log: Logger(label: "gantry.controllers"))
    let scheduler = Scheduler(client: clients(.scheduler))
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await plane.run(clientAuthority: identity.client, serverAuthority: identity.server.certificatePEM) }
      group.addTask { await controllers.run() }
      group.addTask { await scheduler.run() }
      group.addTask { await registry.run() }
      group.addTask { await credentials.keepFresh(logger) { tls throws(HTTPServerError) in try listener.reload(tls) } }
      if let node {
        group.addTask {
          try await NodeInstance(common: common, server: server, options: node).run(
            plane, directory, url: credentials.url, port: port, ready: nodeReady)
        }
      }
      // A node that cannot work ends the instance; the others end only when they are cancelled.
      while let _ = try await group.next() {}
    }
  }
}

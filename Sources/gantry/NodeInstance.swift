import Agent
import Client
import ControlPlane
import Controllers
import FoundationEssentials
import Glibc
import Logging
import NIOCore
import NIOPosix
import Network
import Synchronization

/// The node of `gantry up`: network, names and agent, each as the node's own identity.
struct NodeInstance {
  let common: CommonOptions
  let server: ServerOptions
  let options: NodeOptions

  /// What `gantry down` must know of a node that it did not start.
  struct Runtime {
    /// nil: Gantry's own.
    var containerd: String?
    var cniConfDirectory: String

    private static let file = "node-runtime"

    init(containerd: String?, cniConfDirectory: String) {
      (self.containerd, self.cniConfDirectory) = (containerd, cniConfDirectory)
    }

    init?(_ directory: DataDirectory) {
      guard let lines = directory.contents(Self.file)?.split(separator: "\n", omittingEmptySubsequences: false), lines.count >= 2
      else {
        return nil
      }
      self.init(containerd: lines[0].isEmpty ? nil : String(lines[0]), cniConfDirectory: String(lines[1]))
    }

    func write(_ directory: DataDirectory) throws {
      try directory.write("\(containerd ?? "")\n\(cniConfDirectory)\n", to: Self.file)
    }
  }

  /// Runs until the task is cancelled.
  /// - Parameter ready: called once, when pods can run here.
  /// - Throws: ``StartFailure`` where the node cannot work.
  func run(
    _ plane: ControlPlane, _ directory: DataDirectory, url: String, port: Int, ready: @escaping @Sendable () -> Void
  ) async throws {
    let name = try options.name()
    let client = plane.client(as: .node(name))
    var (networkConfiguration, agentConfiguration) = try configurations(name, directory, url: url, port: port)
    let box = DrainBox()
    let agent: Agent
    do { agent = try await Agent.start(agentConfiguration, client: client, drain: { await box.drain($0) }) } catch {
      throw StartFailure("the node does not start: \((error as? APIError)?.message ?? "\(error)")")
    }
    if let cni = await agent.cniConfDirectory() { networkConfiguration.cniConfDirectory = cni }
    try Runtime(containerd: options.containerd, cniConfDirectory: networkConfiguration.cniConfDirectory).write(directory)
    plane.setDialer(SingleNodeDialer(name: name, agent: agent))
    do {
      try await runNetwork(networkConfiguration, client: client, box, ready)
    } catch {
      await agent.stop()
      throw error
    }
    await agent.stop()
  }

  /// Services and names, until the task is cancelled. Needs the node's pod addresses, so the agent has registered it before.
  private func runNetwork(
    _ configuration: Network.Configuration, client: any Client, _ box: DrainBox, _ ready: @escaping @Sendable () -> Void
  )
    async throws
  {
    let network: Network
    do { network = try await Network.start(configuration, client: client) } catch is CancellationError { return } catch {
      throw StartFailure("\(error)")
    }
    box.set(network)
    await network.run(ready: ready)
    await network.stop()
  }

  func configurations(_ name: String, _ directory: DataDirectory, url: String, port: Int) throws -> (
    Network.Configuration, AgentConfiguration
  ) {
    guard
      var network = Network.Configuration(
        node: name, clusterCIDR: server.clusterCidr, serviceCIDR: server.serviceCidr,
        apiServers: [.init(host: "127.0.0.1", port: port)])
    else {
      throw StartFailure(
        "--service-cidr \(server.serviceCidr): the block must hold at least sixteen addresses, such as 10.96.0.0/12 does")
    }
    network.clusterDomain = server.clusterDomain
    network.writesCNI = options.network == .gantry
    network.proxiesServices = options.serviceProxy == .gantry
    var agent = AgentConfiguration(
      nodeName: name, nodeAddress: options.nodeIp ?? NodeAddress.own() ?? "127.0.0.1", dataDirectory: directory.path)
    agent.containerdSocket = options.containerd
    agent.nodeLabels = options.labels
    agent.version = Version.kubernetes
    if !agent.isDefaultInstance {
      network.cniConfDirectory = "\(directory.path)/cni/net.d"
      network.cniStateDirectory = "\(directory.path)/cni/networks"
      network.instance =
        "gantry-\(String(directory.path.utf8.reduce(5381 as UInt32) { ($0 &* 33) ^ UInt32($1) }, radix: 36).suffix(4))"
    }
    network.cniBinDirectories = Programs.pluginDirectories
    agent.cniConfDirectory = network.cniConfDirectory
    if let directory = Programs.pluginDirectory { agent.cniBinDirectory = directory }
    agent.clusterDNS = ["\(network.dnsAddress)"]
    agent.clusterDomain = server.clusterDomain
    agent.registries = [
      .init(
        names: ["registry.gantry.internal", "localhost:\(port)", "127.0.0.1:\(port)"], endpoint: url,
        caPath: "\(directory.path)/ca.crt",
        clientCertificatePath: "\(directory.path)/node.crt", clientKeyPath: "\(directory.path)/node.key")
    ]
    return (network, agent)
  }
}

/// The way from the agent to a network that comes up after it.
private final class DrainBox: Sendable {
  private let network = Mutex<Network?>(nil)
  func set(_ new: Network) { network.withLock { $0 = new } }
  func drain(_ address: String) async { await network.withLock { $0 }?.drain(podAddress: address) }
}

/// One process, one node.
private struct SingleNodeDialer: Dialer {
  let name: String
  let agent: Agent

  func node(_ name: String) throws(APIError) -> any NodeEndpoint {
    guard name == self.name else { throw APIError(.serviceUnavailable, "node \(name) is not connected to this server") }
    return agent
  }
}

enum NodeAddress {
  /// The source address of the default route: no packet is sent to find it.
  static func own() -> String? {
    let socket = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    guard socket >= 0 else { return nil }
    defer { close(socket) }
    var target = sockaddr_in()
    target.sin_family = sa_family_t(AF_INET)
    target.sin_port = UInt16(53).bigEndian
    inet_pton(AF_INET, "198.51.100.1", &target.sin_addr)
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let connected = withUnsafePointer(to: &target) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, size) }
    }
    guard connected == 0 else { return nil }
    var own = sockaddr_in()
    var length = size
    let named = withUnsafeMutablePointer(to: &own) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket, $0, &length) }
    }
    guard named == 0 else { return nil }
    var text = [CChar](repeating: 0, count: 46)
    guard inet_ntop(AF_INET, &own.sin_addr, &text, 46) != nil else { return nil }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

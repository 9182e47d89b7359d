import Client
import Logging
import NIOPosix
import Synchronization
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// The network of one node: addresses for pods (CNI), services (nftables), names (DNS), and the way to the API server.
///
/// In: a configuration; services, endpoint slices and this node's own object through ``Client``, as the node's identity.
/// Out: a CNI configuration that the runtime picks up, two nftables tables per family, one interface that carries the addresses
/// which the node answers itself (DNS, the `kubernetes` service), and the answers there. Never: starts a pod, changes an object, touches a table, route or file that is not its own.
package final class Network: Sendable {
  package struct Configuration: Sendable {
    package var node: String
    /// Names the nftables table and the interface; several instances on one machine need several (at most 12 characters).
    package var instance = "gantry"
    /// The node's address towards other nodes; nil: that of the default route.
    package var nodeAddress: IPAddress?
    /// Where pods of the whole cluster live.
    package var clusterCIDRs: [CIDR]
    /// This node's share; empty: waits for `spec.podCIDRs` of the Node.
    package var podCIDRs: [CIDR] = []
    package var serviceCIDRs: [CIDR]
    /// ClusterIP and port of the `kubernetes` service; the node carries them to a server.
    package var kubernetesAddress: IPAddress
    package var kubernetesPort = 443
    package var apiServers: [APIForwarder.Server]
    package var dnsAddress: IPAddress
    package var clusterDomain = "cluster.local"
    package var cniConfDirectory = "/etc/cni/net.d"
    package var cniBinDirectories = ["/opt/cni/bin", "/usr/lib/cni"]
    package var cniStateDirectory = "/var/lib/cni/networks"
    /// False with `--network=external`: another CNI provider writes its own configuration.
    package var writesCNI = true
    /// False with `--service-proxy=off`.
    package var proxiesServices = true

    /// Takes the second and the eleventh address of the service range for the API server and DNS, as upstream's tools do:
    /// `10.96.0.1` and `10.96.0.10`.
    /// - Returns: nil where a block cannot be read or the service range is smaller than sixteen addresses.
    package init?(node: String, clusterCIDR: String, serviceCIDR: String, apiServers: [APIForwarder.Server]) {
      guard let cluster = CIDR(clusterCIDR), let services = CIDR(serviceCIDR), case .v4(let first) = services.address,
        services.prefix <= 28
      else { return nil }
      self.node = node
      self.apiServers = apiServers
      clusterCIDRs = [cluster]
      serviceCIDRs = [services]
      kubernetesAddress = .v4(first + 1)
      dnsAddress = .v4(first + 10)
    }

    package var interface: String { "\(instance.prefix(12))-s" }
  }

  package struct Failure: Error, CustomStringConvertible {
    package var description: String
  }

  package let configuration: Configuration
  /// What this node's pods get their addresses from.
  package let podCIDRs: [CIDR]
  package let uplink: NodeUplink?
  private let proxy: ServiceProxy
  private let interface: ServiceInterface
  private let cni: CNIConfiguration
  private let client: any Client
  private let forwarder: APIForwarder?
  private let zone: DNSZoneStore
  private let dns: DNSServer
  private let table: NodeTable

  /// Brings everything up, the CNI configuration last, so that no pod starts into a half-made network.
  /// - Throws: one sentence with the way out; `CancellationError`.
  package static func start(
    _ configuration: Configuration, client: any Client, log: Logger = Logger(label: "gantry.network")
  ) async throws -> Network {
    guard geteuid() == 0 else { throw Failure(description: "the network of a node needs root: start Gantry as root") }
    for program in ["nft", "ip"] where Command.find(program) == nil {
      throw Failure(description: "\(program) is not installed; install nftables and iproute2 (scripts/install-deps does)")
    }
    var podCIDRs = configuration.podCIDRs
    if podCIDRs.isEmpty {
      podCIDRs = try await PodAddresses(
        node: configuration.node, client: client, clusterCIDRs: configuration.clusterCIDRs, log: log
      ).wait()
    }
    try allowForwarding(podCIDRs)
    let command = Command()
    let uplink = await NodeUplink.detect(.v4, command)
    let interface = ServiceInterface(
      name: configuration.interface, addresses: [configuration.kubernetesAddress, configuration.dnsAddress],
      serviceCIDRs: configuration.serviceCIDRs, source: configuration.nodeAddress ?? uplink?.address, command: command)
    try await interface.create()

    var proxyConfiguration = ServiceProxy.Configuration(node: configuration.node)
    proxyConfiguration.table = configuration.instance
    proxyConfiguration.families = Set(podCIDRs.map(\.family)).union([.v4]).sorted { $0.rawValue < $1.rawValue }
    proxyConfiguration.clusterCIDRs = configuration.clusterCIDRs
    proxyConfiguration.podCIDRs = podCIDRs
    proxyConfiguration.serviceCIDRs = configuration.serviceCIDRs
    proxyConfiguration.terminated = interface.addresses
    let proxy = ServiceProxy(proxyConfiguration, log: log)
    if configuration.proxiesServices { try await proxy.check() }
    let zone = DNSZoneStore(domain: configuration.clusterDomain, nameServer: configuration.dnsAddress, isComplete: false)
    let (forwarder, dns) = try await listen(configuration, zone, log)
    func entry(_ address: IPAddress, _ transport: Transport, _ port: Int, _ listener: Int?) -> NodeTable.Entry {
      NodeTable.Entry(
        address: address, transport: transport, port: UInt16(clamping: port), listener: UInt16(clamping: listener ?? 0))
    }
    let dnsEntries = [
      entry(configuration.dnsAddress, .udp, 53, dns.port), entry(configuration.dnsAddress, .tcp, 53, dns.tcpPort),
    ]
    let apiEntries = forwarder.map { [entry(configuration.kubernetesAddress, .tcp, configuration.kubernetesPort, $0.port)] } ?? []
    let table = NodeTable(instance: configuration.instance, dnsEntries + apiEntries, log: log)
    try await table.create()

    let cni = CNIConfiguration(
      confDirectory: configuration.cniConfDirectory, binDirectories: configuration.cniBinDirectories,
      stateDirectory: configuration.cniStateDirectory, podCIDRs: podCIDRs, mtu: uplink?.mtu)
    if configuration.writesCNI { try cni.write() }
    log.info(
      "network up", metadata: ["pods": "\(podCIDRs)", "interface": "\(interface.name)", "table": "\(configuration.instance)"])
    return Network(
      configuration: configuration, podCIDRs: podCIDRs, uplink: uplink, proxy: proxy, interface: interface, cni: cni,
      client: client, forwarder: forwarder, zone: zone, dns: dns, table: table)
  }

  /// The listeners of the node's own addresses, on free ports of theirs.
  private static func listen(
    _ configuration: Configuration, _ zone: DNSZoneStore, _ log: Logger
  ) async throws -> (APIForwarder?, DNSServer) {
    func failure(_ what: String, _ address: IPAddress, _ error: any Error) -> Failure {
      Failure(
        description: "cannot listen on \(address) for \(what) (\(error)); is the address still on \(configuration.interface)? "
          + "--service-cidr chooses another range")
    }
    var forwarder: APIForwarder?
    if !configuration.apiServers.isEmpty {
      do {
        forwarder = try await APIForwarder.start(
          address: configuration.kubernetesAddress, servers: configuration.apiServers, log: log)
      } catch { throw failure("the kubernetes service", configuration.kubernetesAddress, error) }
    }
    do {
      let address = configuration.dnsAddress.description
      let upstreams = DNSServer.resolvers(inResolvConf: read("/etc/resolv.conf"), excluding: [address])
      return (
        forwarder,
        try await DNSServer.start(
          address: address, zone: zone, upstreams: upstreams, group: MultiThreadedEventLoopGroup.singleton, logger: log)
      )
    } catch {
      await forwarder?.stop()
      throw failure("DNS", configuration.dnsAddress, error)
    }
  }

  private init(
    configuration: Configuration, podCIDRs: [CIDR], uplink: NodeUplink?, proxy: ServiceProxy, interface: ServiceInterface,
    cni: CNIConfiguration, client: any Client, forwarder: APIForwarder?, zone: DNSZoneStore, dns: DNSServer, table: NodeTable
  ) {
    self.configuration = configuration
    self.podCIDRs = podCIDRs
    self.uplink = uplink
    self.proxy = proxy
    self.interface = interface
    self.cni = cni
    self.client = client
    self.forwarder = forwarder
    self.zone = zone
    self.dns = dns
    self.table = table
  }

  /// Follows services and endpoint slices until the task is cancelled. What is in force stays in force after it, until the next run has
  /// seen all of them.
  /// - Parameter ready: called once, when the services that exist are in force.
  package func run(ready: @escaping @Sendable () -> Void = {}) async {
    await withDiscardingTaskGroup { group in
      group.addTask { [configuration, table, proxy] in
        for await _ in TableWatch.losses(of: [table.name, configuration.instance]) {
          await table.restore()
          await proxy.restore()
        }
      }
      group.addTask { [client, zone] in await DNSDriver(client: client, zone: zone).run() }
      guard configuration.proxiesServices else { return ready() }
      group.addTask { [client, proxy] in
        await ObjectFeeds(client: client, .services, .endpointSlices).run {
          await proxy.begin()
          ready()
        } _: { resource, changes in
          for change in changes {
            switch (change, resource == .services) {
            case (.set(let object), true): await proxy.setService(object.key, ServiceFacts(object))
            case (.deleted(let key), true): await proxy.setService(key, nil)
            case (.set(let object), false): await proxy.setSlice(object.key, SliceFacts(object))
            case (.deleted(let key), false): await proxy.setSlice(key, nil)
            case (.synced, _): break
            }
          }
        }
      }
    }
  }

  /// Takes a pod out of every service of this node. Returns when no new connection can reach it; those that exist go on.
  /// The agent awaits it before it tells a pod's containers to stop.
  package func drain(podAddress: String) async {
    guard configuration.proxiesServices, let address = IPAddress(podAddress) else { return }
    await proxy.drain(address)
  }

  /// Ends the listeners; pods and services go on as they are. For a restart.
  package func stop() async {
    await forwarder?.stop()
    await dns.stop()
  }

  /// Takes away everything that ``start(_:client:log:)`` made. For `make stop`, after the last pod is gone.
  package func cleanup() async {
    await stop()
    if configuration.writesCNI { cni.remove() }
    await HostPortChains.remove(Command())
    await proxy.cleanup()
    await table.remove()
    await interface.remove()
  }

  /// The same for an instance that does not run any more.
  package static func cleanup(_ configuration: Configuration) async {
    var proxyConfiguration = ServiceProxy.Configuration(node: configuration.node)
    proxyConfiguration.table = configuration.instance
    proxyConfiguration.families = [.v4, .v6]
    await HostPortChains.remove(Command())
    await ServiceProxy(proxyConfiguration).cleanup()
    await NodeTable(instance: configuration.instance, []).remove()
    await ServiceInterface(name: configuration.interface, addresses: [], serviceCIDRs: [], source: nil).remove()
    CNIConfiguration(
      confDirectory: configuration.cniConfDirectory, binDirectories: [], stateDirectory: configuration.cniStateDirectory,
      podCIDRs: []
    ).remove()
  }

  /// Routing between pods and, for node ports on 127.0.0.1, of loopback addresses (which the table guards from outside).
  private static func allowForwarding(_ podCIDRs: [CIDR]) throws {
    try set("net/ipv4/ip_forward", to: "1")
    try set("net/ipv4/conf/all/route_localnet", to: "1")
    if podCIDRs.contains(where: { $0.family == .v6 }) { try set("net/ipv6/conf/all/forwarding", to: "1") }
  }

  private static func read(_ path: String) -> String {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return "" }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 65536)
    let count = Glibc.read(file, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
  }

  private static func set(_ name: String, to value: String) throws {
    let file = open("/proc/sys/\(name)", O_WRONLY | O_CLOEXEC)
    defer { if file >= 0 { close(file) } }
    guard file >= 0, write(file, value, value.utf8.count) == value.utf8.count else {
      throw Failure(description: "cannot set \(name) to \(value): \(String(cString: strerror(errno)))")
    }
  }
}

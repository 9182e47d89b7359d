import NIOCore
import NIOPosix
import Network
import Testing
import Wire

#if canImport(Glibc)
  import Glibc
#endif

private let plugins = ["/opt/cni/bin", "/usr/lib/cni"]
private let hasPlugins = geteuid() == 0 && access("/usr/lib/cni/ptp", X_OK) == 0

@Suite("node")
struct NodeTests {
  @Test("addresses and blocks are read strictly and written canonically")
  func addresses() throws {
    for text in ["0.0.0.0", "10.96.0.1", "255.255.255.255", "::1", "fd00::a", "2001:db8::1:0:0:1"] {
      #expect(IPAddress(text)?.description == text)
    }
    for text in ["", "10.1", "10.0.0.256", "010.0.0.1", "1.2.3.4 ", "fe80::1%eth0", "a"] {
      #expect(IPAddress(text) == nil, "\(text)")
    }
    #expect(CIDR("10.244.3.7/16")?.description == "10.244.0.0/16")
    #expect(CIDR("fd00:1:2:3::9/48")?.description == "fd00:1:2::/48")
    for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "/8", "10.0.0.0/8/8"] { #expect(CIDR(text) == nil, "\(text)") }
    let block = try #require(CIDR("10.244.0.0/24"))
    #expect(block.contains(.v4(0x0AF4_00FF)) && !block.contains(.v4(0x0AF4_0100)))
    #expect(try #require(CIDR("0.0.0.0/0")).contains(.v4(7)))
  }

  @Test("a configuration names the API server's and the DNS address by the service range")
  func configuration() throws {
    let configuration = try #require(
      Network.Configuration(node: "n", clusterCIDR: "10.42.0.0/16", serviceCIDR: "10.96.0.0/12", apiServers: []))
    #expect(configuration.kubernetesAddress.description == "10.96.0.1" && configuration.dnsAddress.description == "10.96.0.10")
    #expect(Network.Configuration(node: "n", clusterCIDR: "10.42.0.0/16", serviceCIDR: "10.96.0.0/30", apiServers: []) == nil)
    #expect(Network.Configuration(node: "n", clusterCIDR: "x", serviceCIDR: "10.96.0.0/12", apiServers: []) == nil)
  }

  @Test("a program that fails says why; one that is missing says what installs it")
  func commands() async throws {
    #expect(try await Command().run("cat", input: "in\nout") == "in\nout")
    let failure = await #expect(throws: Command.Failure.self) { try await Command().run("sh", "-c", "echo reason >&2; exit 3") }
    #expect(failure?.description == "sh: reason")
    let missing = await #expect(throws: Command.Failure.self) { try await Command().run("gantry-no-such-program") }
    #expect(missing?.description.contains("install-deps") == true)
  }

  @Test("a program that hangs is killed with its children, when its time is over or its caller goes")
  func hanging() async throws {
    let late = await #expect(throws: Command.Failure.self) {
      try await Command(timeLimit: .milliseconds(100)).run("sh", "-c", "sleep 1000; true")
    }
    #expect(late?.description.contains("did not end within") == true)
    let (up, held) = ("/tmp/gt\(getpid())-up", "/tmp/gt\(getpid())-held")
    let patient = Command(timeLimit: .seconds(300))
    try await patient.run("mkfifo", up, held)
    // Ends when nobody holds the pipe any more: neither the shell nor its child.
    async let end = patient.run("cat", held)
    let task = Task {
      try await Command(timeLimit: .seconds(600)).run("sh", "-c", "exec 3>\(held); echo > \(up); sleep 1000; true")
    }
    try await patient.run("cat", up)
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(try await end == "")
    try await patient.run("rm", up, held)
  }

  @Test("a program starts as from a shell: no signal ignored or blocked, no descriptor but its three")
  func cleanStart() async throws {
    signal(SIGPIPE, SIG_IGN)
    let (leaked, other) = (dup(0), dup(0))
    defer { [leaked, other].forEach { _ = close($0) } }
    let text = try await Command().run("sh", "-c", "grep -E '^Sig(Ign|Blk)' /proc/self/status; echo /proc/$$/fd/*")
    let lines = text.split(separator: "\n")
    // Signals 1 to 31: the two behind them are glibc's own, which it has every child ignore.
    let masks = lines.prefix(2).map { UInt64($0.suffix(16), radix: 16).map { $0 & 0x7fff_ffff } }
    #expect(lines.count == 3 && masks == [0, 0], "\(text)")
    // The shell reads the directory by a descriptor of its own.
    #expect(lines.last.map { $0.split(separator: " ").count <= 4 } == true, "\(text)")
  }

  @Test("missing plugins are named before anything is written")
  func missingPlugins() throws {
    let directory = "/tmp/gt\(getpid())-none"
    let cni = CNIConfiguration(confDirectory: directory, binDirectories: ["/nonexistent"], stateDirectory: directory, podCIDRs: [])
    let failure = #expect(throws: CNIConfiguration.Failure.self) { try cni.write() }
    #expect(failure?.description.hasPrefix("CNI plugins ptp, host-local, loopback are in none of /nonexistent") == true)
    #expect(access(directory, F_OK) != 0)
  }

  @Test(
    "the real plugins make a pod's network from the file that was written, and unmake it",
    .enabled(if: hasPlugins, "needs root and CNI plugins"))
  func realPlugins() async throws {
    let name = "gt\(getpid())-cni"
    let host = Command()
    let inNode = Command(prefix: ["ip", "netns", "exec", name])
    let directory = "/tmp/\(name)"
    let cni = CNIConfiguration(
      confDirectory: "\(directory)/net.d", binDirectories: plugins, stateDirectory: "\(directory)/state",
      podCIDRs: [try #require(CIDR("10.244.7.0/24"))], mtu: 1400)
    try cni.write()
    try cni.write()
    let list = try Value(json: try await host.run("cat", cni.path))
    #expect(list["name"] == "gantry" && list["cniVersion"] == "1.0.0")
    var ptp = list["plugins"][0]
    #expect(ptp["type"] == "ptp" && ptp["ipMasq"] == false && ptp["mtu"] == 1400)
    ptp["cniVersion"] = list["cniVersion"]
    ptp["name"] = list["name"]

    for namespace in [name, "\(name)-pod"] { try await host.run("ip", "netns", "add", namespace) }
    let environment = ["env", "CNI_CONTAINERID=c1", "CNI_NETNS=/run/netns/\(name)-pod", "CNI_IFNAME=eth0", "CNI_PATH=/usr/lib/cni"]
    let result = try Value(json: try await inNode.run(environment + ["CNI_COMMAND=ADD", "/usr/lib/cni/ptp"], input: ptp.json))
    #expect(result["ips"][0]["address"].string?.hasPrefix("10.244.7.") == true)
    let link = try await host.run("ip", "-n", "\(name)-pod", "link", "show", "eth0")
    #expect(link.contains("mtu 1400"))
    #expect(try await inNode.run("ip", "link", "show", "type", "bridge").trimmed == "", "no bridge")
    let routes = try await inNode.run("ip", "route")
    #expect(routes.contains("10.244.7.2 dev veth"), "\(routes)")
    try await inNode.run(environment + ["CNI_COMMAND=DEL", "/usr/lib/cni/ptp"], input: ptp.json)
    #expect(try await inNode.run("ip", "route").trimmed == "")
    for namespace in [name, "\(name)-pod"] { try await host.run("ip", "netns", "delete", namespace) }
    cni.remove()
    #expect(access(cni.path, F_OK) != 0 && access("\(directory)/state", F_OK) != 0)
    try await host.run("rm", "-r", directory)
  }

  @Test(
    "the service interface carries its addresses, the host reaches the range by it, and a second start finds it",
    .enabled(if: hasPlugins))
  func serviceInterface() async throws {
    let name = "gt\(getpid())-if"
    let host = Command()
    try await host.run("ip", "netns", "add", name)
    let inNode = Command(prefix: ["ip", "netns", "exec", name])
    try await inNode.run("ip", "link", "set", "lo", "up")
    let interface = ServiceInterface(
      name: "gt-s", addresses: [.v4(0x0A60_0001), .v4(0x0A60_000A)], serviceCIDRs: [try #require(CIDR("10.96.0.0/12"))],
      source: nil,
      command: inNode)
    try await interface.create()
    try await interface.create()
    let addresses = try await inNode.run("ip", "-br", "address", "show", "dev", "gt-s")
    #expect(addresses.contains("10.96.0.1/32") && addresses.contains("10.96.0.10/32"), "\(addresses)")
    #expect(try await inNode.run("ip", "route", "get", "10.100.1.1").contains("dev gt-s"))
    #expect(try await inNode.run("ip", "route", "get", "10.96.0.10").contains("local"))
    let same = ServiceInterface(
      name: "gt-2", addresses: [.v4(0x0A60_000A)], serviceCIDRs: interface.serviceCIDRs, source: nil, command: inNode)
    let taken = await #expect(throws: ServiceInterface.Failure.self) { try await same.create() }
    #expect(taken?.description.hasPrefix("10.96.0.10 is on the interface gt-s already") == true)
    await interface.remove()
    #expect(try await inNode.run("ip", "-br", "link").split(separator: "\n").allSatisfy { !$0.hasPrefix("gt-s") })
    try await host.run("ip", "netns", "delete", name)
  }
}

@Suite("host ports", .enabled(if: hasPlugins && access("/usr/lib/cni/portmap", X_OK) == 0 && Command.find("iptables") != nil))
struct HostPortTests {
  private static let arguments = """
    {"cniVersion":"1.0.0","name":"gantry","type":"portmap","capabilities":{"portMappings":true},
     "runtimeConfig":{"portMappings":[{"hostPort":8089,"containerPort":80,"protocol":"tcp"}]},
     "prevResult":{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/run/netns/none"}],
      "ips":[{"address":"10.244.7.2/24","interface":0}]}}
    """

  @Test("the chains of host ports go with the last pod that has one, and rules of others stay")
  func chains() async throws {
    let name = "gt\(getpid())-hostports"
    let host = Command()
    try await host.run("ip", "netns", "add", name)
    let inNode = Command(prefix: ["ip", "netns", "exec", name])
    func portmap(_ command: String) async throws {
      let words = ["env", "CNI_COMMAND=\(command)", "CNI_CONTAINERID=c1", "CNI_NETNS=/run/netns/\(name)", "CNI_IFNAME=eth0"]
      try await inNode.run(words + ["CNI_PATH=/usr/lib/cni", "/usr/lib/cni/portmap"], input: Self.arguments)
    }
    func ruleset() async throws -> String { try await inNode.run("nft", "list", "ruleset").trimmed }
    try await inNode.run("ip", "link", "set", "lo", "up")
    try await portmap("ADD")
    #expect(try await ruleset().contains("8089"))
    await HostPortChains.remove(inNode)
    #expect(try await ruleset().contains("8089"), "a pod still has its port")
    try await portmap("DEL")
    #expect(try await ruleset().contains("CNI-HOSTPORT-DNAT"))
    try await inNode.run("iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "7", "-j", "ACCEPT")
    await HostPortChains.remove(inNode)
    let left = try await ruleset()
    #expect(!left.contains("CNI-") && left.contains("dport 7"), "\(left)")
    try await inNode.run("iptables", "-t", "nat", "-F", "OUTPUT")
    try await portmap("ADD")
    try await portmap("DEL")
    await HostPortChains.remove(inNode)
    #expect(try await ruleset() == "")
    try await host.run("ip", "netns", "delete", name)
  }
}

@Suite("API forwarder")
struct APIForwarderTests {
  private let group = MultiThreadedEventLoopGroup.singleton

  /// A server that sends everything back, in a few pieces, and closes when the client has ended.
  private func echoServer() async throws -> any Channel {
    try await ServerBootstrap(group: group).serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Echo()) }
      }
      .bind(host: "127.0.0.1", port: 0).get()
  }

  private func exchange(port: Int, bytes: Int) async throws -> Int {
    let client = try await ClientBootstrap(group: group).channelOption(.allowRemoteHalfClosure, value: true)
      .connect(host: "127.0.0.1", port: port) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
            wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
        }
      }
    return try await client.executeThenClose { inbound, outbound in
      async let received = inbound.reduce(0) { $0 + $1.readableBytes }
      for start in stride(from: 0, to: bytes, by: 65536) {
        try await outbound.write(ByteBuffer(repeating: 7, count: min(65536, bytes - start)))
      }
      outbound.finish()
      return try await received
    }
  }

  @Test("carries megabytes both ways and each side's end to the other")
  func carries() async throws {
    let server = try await echoServer()
    let forwarder = try await APIForwarder.start(
      address: .v4(0x7F00_0001), port: 0, servers: [.init(host: "127.0.0.1", port: try #require(server.localAddress?.port))])
    let port = try #require(forwarder.port)
    #expect(try await exchange(port: port, bytes: 5 << 20) == 5 << 20)
    #expect(try await exchange(port: port, bytes: 0) == 0)
    await forwarder.stop()
    try await server.close().get()
  }

  @Test("a server that is gone is passed over; with none left the connection is closed")
  func failover() async throws {
    let server = try await echoServer()
    // Bound and not listening: it refuses, and nobody else is given its port meanwhile.
    let gone = try ReservedPort()
    defer { gone.release() }
    let gonePort = gone.port
    let forwarder = try await APIForwarder.start(
      address: .v4(0x7F00_0001), port: 0,
      servers: [.init(host: "127.0.0.1", port: gonePort), .init(host: "127.0.0.1", port: try #require(server.localAddress?.port))])
    let port = try #require(forwarder.port)
    for _ in 0..<3 { #expect(try await exchange(port: port, bytes: 1000) == 1000) }
    try await server.close().get()
    let left = try? await exchange(port: port, bytes: 0)
    #expect(left == nil || left == 0)
    await forwarder.stop()
  }

  /// A connection on which the server has answered; nil where it was closed instead.
  private func held(port: Int, from address: String = "127.0.0.1") async throws -> (any Channel)? {
    let loop = group.next()
    let answered = loop.makePromise(of: Bool.self)
    let channel = try await ClientBootstrap(group: loop).bind(to: SocketAddress(ipAddress: address, port: 0))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(FirstAnswer(answered)) }
      }.connect(host: "127.0.0.1", port: port).get()
    channel.writeAndFlush(ByteBuffer(bytes: [1]), promise: nil)
    return try await answered.futureResult.get() ? channel : nil
  }

  @Test("one client has no more connections than it may, nor have all together; a place that is left is another's")
  func limited() async throws {
    let server = try await echoServer()
    let forwarder = try await APIForwarder.start(
      address: .v4(0x7F00_0001), servers: [.init(host: "127.0.0.1", port: try #require(server.localAddress?.port))],
      connections: (perClient: 2, total: 3))
    let port = try #require(forwarder.port)
    let first = try #require(try await held(port: port))
    let second = try #require(try await held(port: port))
    #expect(try await held(port: port) == nil)
    let other = try #require(try await held(port: port, from: "127.0.0.2"))
    #expect(try await held(port: port, from: "127.0.0.2") == nil)
    try await first.close().get()
    // The forwarder sees that when it comes to it.
    var third: (any Channel)?
    while third == nil { third = try await held(port: port) }
    for channel in [second, other, third] { try await channel?.close().get() }
    await forwarder.stop()
    try await server.close().get()
  }
}

/// Tells whether anything came before the end.
private final class FirstAnswer: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private var promise: EventLoopPromise<Bool>?
  init(_ promise: EventLoopPromise<Bool>) { self.promise = promise }

  private func tell(_ came: Bool) {
    promise?.succeed(came)
    promise = nil
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) { tell(true) }
  func channelInactive(context: ChannelHandlerContext) { tell(false) }
  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// A port of the loopback interface that is taken and refuses connections.
private struct ReservedPort {
  let port: Int
  private let descriptor: Int32

  init() throws {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
      }
    }
    try #require(bound)
    self.descriptor = descriptor
    port = Int(UInt16(bigEndian: address.sin_port))
  }

  func release() { close(descriptor) }
}

private final class Echo: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    context.channel.writeAndFlush(unwrapInboundIn(data), promise: nil)
  }
  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard case ChannelEvent.inputClosed? = event as? ChannelEvent else { return }
    let channel = context.channel
    channel.writeAndFlush(ByteBuffer()).whenComplete { _ in channel.close(promise: nil) }
  }
}

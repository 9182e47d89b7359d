import Logging
import NIOCore
import NIOPosix
import Synchronization
import Wire

/// Accepts TCP on the `kubernetes` service's address and carries it to a server: TLS passes through untouched, so the server's
/// certificate must carry the service's address and names.
///
/// Servers are tried in turn, the one that answered last first. A connection that no server takes is closed, and so are those of one client,
/// or of all, beyond a number: each costs the node's process two descriptors.
package final class APIForwarder: Sendable {
  package struct Server: Sendable, Hashable {
    package var host: String
    package var port: Int

    package init(host: String, port: Int) {
      self.host = host
      self.port = port
    }
  }

  private let listener: any Channel
  private let group: any EventLoopGroup

  private init(listener: any Channel, group: any EventLoopGroup) {
    self.listener = listener
    self.group = group
  }

  /// - Parameters:
  ///   - port: 0 for any that is free.
  ///   - connections: how many of one client's address, and of all.
  /// - Throws: where the address cannot be bound.
  package static func start(
    address: IPAddress, port: Int = 0, servers: [Server], connections: (perClient: Int, total: Int) = (256, 4096),
    group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
    log: Logger = Logger(label: "gantry.api-forwarder")
  ) async throws -> APIForwarder {
    let preference = ServerPreference(servers, log: log)
    let budget = ClientBudget(perClient: connections.perClient, total: connections.total)
    let listener = try await ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 256)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      // Nothing is read before there is somewhere to write it.
      .childChannelOption(.autoRead, value: false)
      .childChannelInitializer { client in
        client.eventLoop.makeCompletedFuture {
          // Not before the connection is active: a server that answers at once would meet a client that seems closed.
          let pipe = Pipe { pipe, client in
            let address = client.remoteAddress
            guard budget.take(address) else { return client.close(promise: nil) }
            client.closeFuture.whenComplete { _ in budget.give(address) }
            connect(client: client, pipe: NIOLoopBound(pipe, eventLoop: client.eventLoop), preference.order(), preference)
          }
          try client.pipeline.syncOperations.addHandler(pipe)
        }
      }
      .bind(host: address.description, port: port).get()
    return APIForwarder(listener: listener, group: group)
  }

  package var port: Int? { listener.localAddress?.port }

  package func stop() async { try? await listener.close().get() }

  private static func connect(
    client: any Channel, pipe: NIOLoopBound<Pipe>, _ servers: ArraySlice<Server>, _ preference: ServerPreference,
    failures: [String] = []
  ) {
    guard let server = servers.first else {
      preference.complain(failures)
      client.close(promise: nil)
      return
    }
    let loop = client.eventLoop
    ClientBootstrap(group: loop)
      .connectTimeout(.seconds(3))
      .channelOption(.allowRemoteHalfClosure, value: true)
      .channelOption(.autoRead, value: false)
      .connect(host: server.host, port: server.port)
      .hop(to: loop)
      .assumeIsolated()
      .whenComplete { result in
        switch result {
        case .failure(let error):
          let failure = "\(server.host):\(server.port): \(error)"
          connect(client: client, pipe: pipe, servers.dropFirst(), preference, failures: failures + [failure])
        case .success(let channel):
          preference.prefer(server)
          let other = Pipe()
          guard client.isActive, (try? channel.pipeline.syncOperations.addHandler(other)) != nil else {
            client.close(promise: nil)
            return channel.close(promise: nil)
          }
          other.attach(client)
          pipe.value.attach(channel)
          channel.read()
          client.read()
        }
      }
  }
}

/// Which server to try first.
private final class ServerPreference: Sendable {
  private let servers: Mutex<[APIForwarder.Server]>
  private let log: Logger
  /// When the next line may be written, and how many have not been since the last.
  private let complaints = Mutex<(next: NIODeadline, unsaid: Int)>((.uptimeNanoseconds(0), 0))

  init(_ servers: [APIForwarder.Server], log: Logger) {
    self.servers = Mutex(servers)
    self.log = log
  }

  /// No server took a connection. Every client of the cluster tries again and again: one line in 10 s says it.
  func complain(_ failures: [String]) {
    let unsaid = complaints.withLock { complaints -> Int? in
      let now = NIODeadline.now()
      guard now >= complaints.next else {
        complaints.unsaid += 1
        return nil
      }
      defer { complaints = (now + .seconds(10), 0) }
      return complaints.unsaid
    }
    guard let unsaid else { return }
    log.warning("no API server takes connections", metadata: ["tried": "\(failures)", "unsaid": "\(unsaid)"])
  }

  func order() -> ArraySlice<APIForwarder.Server> { servers.withLock { $0[...] } }

  func prefer(_ server: APIForwarder.Server) {
    servers.withLock { servers in
      guard servers.first != server, let i = servers.firstIndex(of: server) else { return }
      servers.remove(at: i)
      servers.insert(server, at: 0)
    }
  }
}

/// One direction of a forwarded connection: reads the next piece when the partner has taken the last one, so that a slow reader
/// slows the writer and nothing piles up. Both ends share one event loop.
private final class Pipe: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private let whenActive: ((Pipe, any Channel) -> Void)?
  private var partner: (any Channel)?
  /// A peer that ends early is read to its end whatever was asked for: what came before there was a partner. As much as the socket's buffer holds.
  private var early: [ByteBuffer] = []
  private var hasEnded = false

  init(whenActive: ((Pipe, any Channel) -> Void)? = nil) { self.whenActive = whenActive }

  func channelActive(context: ChannelHandlerContext) {
    whenActive?(self, context.channel)
    context.fireChannelActive()
  }

  func attach(_ partner: any Channel) {
    self.partner = partner
    for buffer in early { partner.writeAndFlush(buffer, promise: nil) }
    early = []
    if hasEnded { Self.close(partner, .output) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard let partner else { return early.append(unwrapInboundIn(data)) }
    let channel = context.channel
    partner.writeAndFlush(unwrapInboundIn(data)).whenComplete { result in
      switch result {
      case .success: channel.read()
      case .failure: channel.close(promise: nil)
      }
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case ChannelEvent.inputClosed? = event as? ChannelEvent {
      hasEnded = true
      if let partner { Self.close(partner, .output) }
    } else {
      context.fireUserInboundEventTriggered(event)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    if let partner { Self.close(partner, .all) }
    partner = nil
  }

  /// After everything that is being written to it.
  private static func close(_ channel: any Channel, _ mode: CloseMode) {
    channel.writeAndFlush(ByteBuffer()).whenComplete { _ in channel.close(mode: mode, promise: nil) }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if let partner { Self.close(partner, .all) }
    context.close(promise: nil)
  }
}

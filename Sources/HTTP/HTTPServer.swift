import Glibc
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTP2
import NIOPosix
import NIOSSL
import NIOTLS
import Synchronization

/// Why a server cannot serve: one sentence with the way out.
package enum HTTPServerError: Error, CustomStringConvertible, Equatable {
  case portInUse(host: String, port: Int)
  case noPermission(host: String, port: Int)
  case addressUnavailable(host: String)
  case listen(host: String, port: Int, why: String)
  case certificate(String)

  package var description: String {
    switch self {
    case .portInUse(let host, let port):
      "port \(port) on \(host) is in use by another program: stop it (`ss -ltnp 'sport = :\(port)'` shows it) or choose another port with --listen"
    case .noPermission(let host, let port):
      "no permission to listen on \(host):\(port): ports below 1024 need root; choose another port with --listen"
    case .addressUnavailable(let host):
      "no interface of this machine has the address \(host): choose one of `ip address`, or 0.0.0.0, with --listen"
    case .listen(let host, let port, let why): "cannot listen on \(host):\(port): \(why)"
    case .certificate(let why): "the serving certificate or its key cannot be used: \(why)"
    }
  }
}

/// What all connections of a server share.
final class ServerState: Sendable {
  let handler: any HTTPHandler
  let limits: HTTPLimits
  let exchanges = Atomic<Int>(0)
  let longLived = Atomic<Int>(0)
  let connectionCount = Atomic<Int>(0)
  private let bufferedBytes = Atomic<Int>(0)
  private let draining = Atomic<Bool>(false)
  /// Connections, to tell them that the server ends; and their exchanges, by loop. Touched once a connection or long-lived exchange.
  private let channels = Mutex<[ObjectIdentifier: any Channel]>([:])
  private let addresses = Mutex<[String: Int]>([:])
  private let tracked = Mutex<[ObjectIdentifier: WeakExchange]>([:])

  private struct WeakExchange { weak var exchange: Exchange? }

  init(handler: any HTTPHandler, limits: HTTPLimits) {
    self.handler = handler
    self.limits = limits
  }

  var isDraining: Bool { draining.load(ordering: .relaxed) }

  func admit(isLongLived: Bool) -> Bool {
    let count = isLongLived ? longLived.add(1, ordering: .relaxed).newValue : exchanges.add(1, ordering: .relaxed).newValue
    if count <= (isLongLived ? limits.longLivedExchanges : limits.exchanges) { return true }
    leave(isLongLived: isLongLived)
    return false
  }

  func leave(isLongLived: Bool) {
    if isLongLived { longLived.subtract(1, ordering: .relaxed) } else { exchanges.subtract(1, ordering: .relaxed) }
  }

  /// Bytes of a body whose end is still to come.
  func admit(bytes: Int, from connection: Connection) -> Bool {
    let own = connection.bufferedBytes.add(bytes, ordering: .relaxed).newValue
    let all = bufferedBytes.add(bytes, ordering: .relaxed).newValue
    if all <= (own <= limits.smallBodyBytes ? limits.bufferedBytes : limits.bufferedBytes / 4 * 3) { return true }
    leave(bytes: bytes, from: connection)
    return false
  }

  func leave(bytes: Int, from connection: Connection) {
    connection.bufferedBytes.subtract(bytes, ordering: .relaxed)
    bufferedBytes.subtract(bytes, ordering: .relaxed)
  }

  /// Remembers an exchange that only a drain would end.
  func track(_ exchange: Exchange) {
    guard exchange.isLongLived else { return }
    let id = ObjectIdentifier(exchange)
    tracked.withLock { $0[id] = WeakExchange(exchange: exchange) }
    exchange.onClose { [weak self] in self?.tracked.withLock { _ = $0.removeValue(forKey: id) } }
  }

  func add(_ channel: any Channel) -> Bool {
    guard connectionCount.add(1, ordering: .relaxed).newValue <= limits.connections else {
      connectionCount.subtract(1, ordering: .relaxed)
      return false
    }
    let id = ObjectIdentifier(channel)
    channels.withLock { $0[id] = channel }
    channel.closeFuture.whenComplete { [self] _ in
      connectionCount.subtract(1, ordering: .relaxed)
      channels.withLock { _ = $0.removeValue(forKey: id) }
    }
    return true
  }

  /// Counts a connection from an address until it closes.
  /// - Returns: false where that address has as many as it may.
  func add(_ channel: any Channel, from address: String) -> Bool {
    let limit = limits.connectionsPerAddress
    let isIn = addresses.withLock { addresses in
      guard addresses[address, default: 0] < limit else { return false }
      addresses[address, default: 0] += 1
      return true
    }
    guard isIn else { return false }
    channel.closeFuture.whenComplete { [self] _ in
      addresses.withLock { addresses in addresses[address] = addresses[address].flatMap { $0 > 1 ? $0 - 1 : nil } }
    }
    return true
  }

  /// Asks every connection to finish: GOAWAY or `Connection: close`; ends what is long-lived.
  func drain() {
    draining.store(true, ordering: .relaxed)
    for exchange in tracked.withLock({ $0.values.compactMap(\.exchange) }) { exchange.eventLoop.execute { exchange.drain() } }
    for channel in channels.withLock({ Array($0.values) }) {
      channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
    }
  }

  func allChannels() -> [any Channel] { channels.withLock { Array($0.values) } }
}

/// Listens, and turns connections into exchanges.
package final class HTTPServer: Sendable {
  package struct Configuration: Sendable {
    package var host: String
    /// 0: any free one; see ``HTTPServer/port``.
    package var port: Int
    /// nil: no TLS (tests and benchmarks), HTTP/1.1, or HTTP/2 where `assumesHTTP2`.
    package var tls: ServerTLS?
    package var assumesHTTP2 = false
    package var limits = HTTPLimits()

    package init(host: String, port: Int, tls: ServerTLS? = nil) {
      self.host = host
      self.port = port
      self.tls = tls
    }
  }

  private let state: ServerState
  private let listener: any Channel
  private let contextBox: TLSBox
  package let host: String
  /// The port that the server listens on.
  package let port: Int

  private init(state: ServerState, listener: any Channel, contextBox: TLSBox, host: String) {
    self.state = state
    self.listener = listener
    self.contextBox = contextBox
    self.host = host
    port = listener.localAddress?.port ?? 0
  }

  /// Binds and serves from then on.
  package static func start(
    _ configuration: Configuration, handler: any HTTPHandler, group: any EventLoopGroup,
    logger: Logger = Logger(label: "http")
  ) async throws(HTTPServerError) -> HTTPServer {
    let state = ServerState(handler: handler, limits: configuration.limits)
    let box = TLSBox(try configuration.tls?.context())
    let assumesHTTP2 = configuration.assumesHTTP2
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 4096)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.socketOption(.so_keepalive), value: 1)
      .childChannelOption(.writeBufferWaterMark, value: .init(low: 128 << 10, high: 512 << 10))
      .childChannelOption(.recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 2048, maximum: 65536))
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try initialize(channel, state: state, tls: box.context, assumesHTTP2: assumesHTTP2, logger: logger)
        }
      }
    do {
      let listener = try await bootstrap.bind(host: configuration.host, port: configuration.port).get()
      return HTTPServer(state: state, listener: listener, contextBox: box, host: configuration.host)
    } catch let error as IOError {
      switch error.errnoCode {
      case EADDRINUSE: throw .portInUse(host: configuration.host, port: configuration.port)
      case EACCES, EPERM: throw .noPermission(host: configuration.host, port: configuration.port)
      case EADDRNOTAVAIL: throw .addressUnavailable(host: configuration.host)
      default: throw .listen(host: configuration.host, port: configuration.port, why: String(cString: strerror(error.errnoCode)))
      }
    } catch {
      throw .listen(host: configuration.host, port: configuration.port, why: "\(error)")
    }
  }

  /// New connections are served with this certificate; the old ones live on.
  package func reload(_ tls: ServerTLS) throws(HTTPServerError) { contextBox.set(try tls.context()) }

  /// Exchanges in progress and connections open, for metrics.
  package var statistics: (exchanges: Int, longLived: Int, connections: Int) {
    (
      state.exchanges.load(ordering: .relaxed), state.longLived.load(ordering: .relaxed),
      state.connectionCount.load(ordering: .relaxed)
    )
  }

  /// Stops listening, lets what runs finish until the deadline, then closes everything.
  package func shutdown(within deadline: Duration = .seconds(10)) async {
    try? await listener.close().get()
    state.drain()
    let channels = state.allChannels()
    let seconds = max(0, deadline.components.seconds)
    let milliseconds = seconds * 1000 + deadline.components.attoseconds / 1_000_000_000_000_000
    for channel in channels {
      let timer = channel.eventLoop.scheduleTask(in: .milliseconds(milliseconds)) { channel.close(promise: nil) }
      channel.closeFuture.whenComplete { _ in timer.cancel() }
    }
    for channel in channels { try? await channel.closeFuture.get() }
  }

  // MARK: Connections

  private static func initialize(
    _ channel: any Channel, state: ServerState, tls: NIOSSLContext?, assumesHTTP2: Bool, logger: Logger
  ) throws {
    guard state.add(channel) else { return channel.close(promise: nil) }
    let pipeline = channel.pipeline.syncOperations
    try pipeline.addHandler(AddressLimit(state: state))
    guard let tls else {
      let connection = Connection(remoteAddress: channel.remoteAddress?.description ?? "", isTLS: false, peerCertificate: nil)
      if assumesHTTP2 {
        try configureHTTP2(channel, connection, state)
      } else {
        try configureHTTP1(channel, connection, state)
      }
      return
    }
    try pipeline.addHandler(PlainHTTPRefusal(lingerSeconds: state.limits.lingerSeconds))
    try pipeline.addHandler(NIOSSLServerHandler(context: tls))
    let deadline = channel.eventLoop.scheduleTask(in: .seconds(Int64(state.limits.handshakeSeconds))) {
      channel.close(promise: nil)
    }
    let negotiation = ApplicationProtocolNegotiationHandler { result, channel in
      deadline.cancel()
      return channel.eventLoop.makeCompletedFuture {
        let peer = try channel.pipeline.syncOperations.nioSSL_peerCertificate()?.toDERBytes()
        let connection = Connection(remoteAddress: channel.remoteAddress?.description ?? "", isTLS: true, peerCertificate: peer)
        switch result {
        case .negotiated("h2"): try configureHTTP2(channel, connection, state)
        default: try configureHTTP1(channel, connection, state)
        }
      }
    }
    try pipeline.addHandler(negotiation)
    try pipeline.addHandler(CloseOnError())
    channel.closeFuture.whenComplete { _ in deadline.cancel() }
  }

  private static func configureHTTP1(_ channel: any Channel, _ connection: Connection, _ state: ServerState) throws {
    let pipeline = channel.pipeline.syncOperations
    let encoder = HTTPResponseEncoder()
    var limits = NIOHTTPDecoderLimitConfiguration()
    limits.maxHeaderListSize = state.limits.headerBytes
    let decoder = ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits))
    let pipelining = HTTPServerPipelineHandler()
    let handler = HTTP1Handler(connection: connection, server: state)
    try pipeline.addHandlers([encoder, decoder, pipelining, handler])
    handler.remove = { pipeline in
      // The decoder goes last: what it holds belongs to the new protocol.
      _ = pipeline.removeHandler(pipelining)
      _ = pipeline.removeHandler(encoder)
      _ = pipeline.removeHandler(decoder)
    }
  }

  private static func configureHTTP2(_ channel: any Channel, _ connection: Connection, _ state: ServerState) throws {
    var configuration = NIOHTTP2Handler.ConnectionConfiguration()
    configuration.initialSettings = [
      HTTP2Setting(parameter: .maxConcurrentStreams, value: state.limits.streamsPerConnection),
      HTTP2Setting(parameter: .maxHeaderListSize, value: state.limits.headerBytes),
    ]
    configuration.controlFrameRateLimit.maximumCount = state.limits.framesPer30Seconds
    configuration.targetWindowSize = 1 << 20
    var streams = NIOHTTP2Handler.StreamConfiguration()
    streams.streamResetFrameRateLimit.maximumCount = state.limits.framesPer30Seconds
    streams.streamErrorRateLimit.maximumCount = state.limits.framesPer30Seconds
    streams.outboundBufferSizeHighWatermark = 512 << 10
    streams.outboundBufferSizeLowWatermark = 128 << 10
    streams.targetWindowSize = 512 << 10
    let management = NIOHTTP2ServerConnectionManagementHandler(
      eventLoop: channel.eventLoop,
      configuration: .init(maxIdleTime: .seconds(Int64(state.limits.idleSeconds)), maxAge: nil, maxGraceTime: nil, keepalive: nil))
    _ = try channel.pipeline.syncOperations.configureHTTP2Pipeline(
      mode: .server, connectionConfiguration: configuration, streamConfiguration: streams,
      streamDelegate: management.http2StreamDelegate
    ) { stream in
      stream.eventLoop.makeCompletedFuture {
        try stream.pipeline.syncOperations.addHandler(HTTP2Handler(connection: connection, server: state))
      }
    }
    try channel.pipeline.syncOperations.addHandler(management)
    try channel.pipeline.syncOperations.addHandler(CloseOnError())
  }
}

/// Closes a connection of an address that has too many; the address is known once the connection is active.
private final class AddressLimit: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = Any
  private let state: ServerState
  init(state: ServerState) { self.state = state }

  func channelActive(context: ChannelHandlerContext) {
    guard state.add(context.channel, from: context.channel.remoteAddress?.ipAddress ?? "") else {
      return context.close(promise: nil)
    }
    context.fireChannelActive()
    context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
  }
}

/// The TLS context for new connections.
private final class TLSBox: Sendable {
  private let box: Mutex<NIOSSLContext?>
  init(_ context: NIOSSLContext?) { box = Mutex(context) }
  var context: NIOSSLContext? { box.withLock { $0 } }
  func set(_ context: NIOSSLContext) { box.withLock { $0 = context } }
}

/// NIO reports an error of a connection and leaves the socket open: somebody has to close it. A stream's own error stays with it.
final class CloseOnError: ChannelInboundHandler {
  typealias InboundIn = Any
  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if error is NIOHTTP2Errors.StreamError { return }
    context.close(promise: nil)
  }
}

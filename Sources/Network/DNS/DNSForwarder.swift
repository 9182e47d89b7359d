import NIOCore
import NIOPosix

/// Asks the host's resolvers on behalf of the cluster's clients.
///
/// UDP queries share one socket and get a random id of their own, so that an answer cannot be guessed from the client's; TCP
/// queries get a connection each. An upstream that does not answer in ``timeout``, or that cannot be reached at all, is followed by
/// the next. A socket that the kernel's errors closed is opened again with the next query.
final class DNSForwarder: Sendable {
  struct NoAnswer: Error {}

  static let timeout = TimeAmount.seconds(2)
  /// Queries under way at once; more are answered with SERVFAIL.
  static let maximumPending = 4096

  private let upstreams: [SocketAddress]
  private let socket: NIOLoopBound<UpstreamSocket>

  private init(upstreams: [SocketAddress], socket: NIOLoopBound<UpstreamSocket>) {
    self.upstreams = upstreams
    self.socket = socket
  }

  static func start(upstreams: [SocketAddress], group: any EventLoopGroup) async throws -> DNSForwarder {
    let loop = group.next()
    let family = upstreams.first?.protocol
    let socket = try await loop.submit {
      NIOLoopBound(UpstreamSocket(host: family == .inet6 ? "::" : "0.0.0.0", loop: loop), eventLoop: loop)
    }.get()
    return DNSForwarder(upstreams: upstreams.filter { $0.protocol == family }, socket: socket)
  }

  func stop() async {
    _ = try? await socket.eventLoop.flatSubmit { [socket] in socket.value.close() }.get()
  }

  /// - Returns: the answer with the id of the query.
  func ask(_ query: [UInt8], overTCP: Bool, on loop: any EventLoop) -> EventLoopFuture<[UInt8]> {
    let promise = loop.makePromise(of: [UInt8].self)
    next(query, overTCP: overTCP, upstream: 0, promise)
    return promise.futureResult
  }

  private func next(_ query: [UInt8], overTCP: Bool, upstream: Int, _ promise: EventLoopPromise<[UInt8]>) {
    guard upstream < upstreams.count, query.count > 2 else { return promise.fail(NoAnswer()) }
    let address = upstreams[upstream]
    let attempt = overTCP ? askTCP(query, address, on: promise.futureResult.eventLoop) : askUDP(query, address)
    attempt.whenComplete { result in
      switch result {
      case .success(let answer): promise.succeed(answer)
      case .failure: self.next(query, overTCP: overTCP, upstream: upstream + 1, promise)
      }
    }
  }

  private func askUDP(_ query: [UInt8], _ upstream: SocketAddress) -> EventLoopFuture<[UInt8]> {
    socket.eventLoop.flatSubmit { [socket] in
      socket.value.open().flatMap { handler in handler.value.ask(query, upstream) }
    }
  }

  private func askTCP(_ query: [UInt8], _ upstream: SocketAddress, on loop: any EventLoop) -> EventLoopFuture<[UInt8]> {
    let promise = loop.makePromise(of: [UInt8].self)
    ClientBootstrap(group: loop)
      .connectTimeout(Self.timeout)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandlers([ByteToMessageHandler(DNSFrameDecoder()), OneAnswer(promise)])
        }
      }
      .connect(to: upstream)
      .whenComplete { result in
        switch result {
        case .success(let channel):
          channel.eventLoop.scheduleTask(in: Self.timeout) { channel.close(promise: nil) }
          channel.writeAndFlush(DNSFrameDecoder.frame(query), promise: nil)
        case .failure(let error): promise.fail(error)
        }
      }
    return promise.futureResult
  }

  private final class OneAnswer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let promise: EventLoopPromise<[UInt8]>

    init(_ promise: EventLoopPromise<[UInt8]>) { self.promise = promise }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      promise.succeed(Array(buffer: unwrapInboundIn(data)))
      context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { promise.fail(NoAnswer()) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }

  /// Opens the one UDP socket towards the upstreams when it is needed. Everything happens on its event loop.
  private final class UpstreamSocket {
    private let host: String
    private let loop: any EventLoop
    private var opened: (channel: EventLoopFuture<any Channel>, handler: EventLoopFuture<NIOLoopBound<UpstreamHandler>>)?
    private var isStopped = false

    init(host: String, loop: any EventLoop) {
      self.host = host
      self.loop = loop
    }

    func open() -> EventLoopFuture<NIOLoopBound<UpstreamHandler>> {
      if let opened { return opened.handler }
      guard !isStopped else { return loop.makeFailedFuture(NoAnswer()) }
      let loop = loop
      let channel = DatagramBootstrap(group: loop).channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(UpstreamHandler(channel)) }
      }.bind(host: host, port: 0)
      let handler = channel.flatMapThrowing { channel in
        NIOLoopBound(try channel.pipeline.syncOperations.handler(type: UpstreamHandler.self), eventLoop: loop)
      }
      opened = (channel, handler)
      let own = NIOLoopBound(self, eventLoop: loop)
      channel.flatMap(\.closeFuture).whenComplete { _ in own.value.opened = nil }
      return handler
    }

    func close() -> EventLoopFuture<Void> {
      isStopped = true
      guard let opened else { return loop.makeSucceededVoidFuture() }
      return opened.channel.flatMap { $0.close() }
    }
  }

  private final class UpstreamHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    private let channel: any Channel

    init(_ channel: any Channel) { self.channel = channel }

    private struct Pending {
      var upstream: SocketAddress
      var clientID: (UInt8, UInt8)
      var promise: EventLoopPromise<[UInt8]>
      var timeout: Scheduled<Void>
    }
    private var pending: [UInt16: Pending] = [:]

    func ask(_ query: [UInt8], _ upstream: SocketAddress) -> EventLoopFuture<[UInt8]> {
      guard pending.count < DNSForwarder.maximumPending else { return channel.eventLoop.makeFailedFuture(NoAnswer()) }
      var id = UInt16.random(in: .min ... .max)
      while pending[id] != nil { id &+= 1 }
      let promise = channel.eventLoop.makePromise(of: [UInt8].self)
      let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
      let timeout = channel.eventLoop.scheduleTask(in: DNSForwarder.timeout) { [id] () -> Void in
        bound.value.pending.removeValue(forKey: id)?.promise.fail(NoAnswer())
      }
      pending[id] = Pending(upstream: upstream, clientID: (query[0], query[1]), promise: promise, timeout: timeout)
      var changed = query
      changed[0] = UInt8(id >> 8)
      changed[1] = UInt8(truncatingIfNeeded: id)
      // No route, or a firewall that says so: there is nothing to wait for.
      channel.writeAndFlush(AddressedEnvelope(remoteAddress: upstream, data: ByteBuffer(bytes: changed))).whenFailure {
        [id] error in
        guard let waiting = bound.value.pending.removeValue(forKey: id) else { return }
        waiting.timeout.cancel()
        waiting.promise.fail(error)
      }
      return promise.futureResult
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let envelope = unwrapInboundIn(data)
      var answer = Array(buffer: envelope.data)
      guard answer.count >= 12 else { return }
      let id = UInt16(answer[0]) << 8 | UInt16(answer[1])
      guard let waiting = pending[id], waiting.upstream == envelope.remoteAddress else { return }
      pending[id] = nil
      waiting.timeout.cancel()
      (answer[0], answer[1]) = waiting.clientID
      waiting.promise.succeed(answer)
    }

    func channelInactive(context: ChannelHandlerContext) {
      for waiting in pending.values {
        waiting.timeout.cancel()
        waiting.promise.fail(NoAnswer())
      }
      pending = [:]
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
  }
}

import NIOCore
import NIOPosix

/// Asks the host's resolvers on behalf of the cluster's clients.
///
/// UDP queries share one socket and get a random id of their own, so that an answer cannot be guessed from the client's; TCP
/// queries get a connection each. An upstream that does not answer in ``timeout`` is followed by the next.
final class DNSForwarder: Sendable {
  struct NoAnswer: Error {}

  static let timeout = TimeAmount.seconds(2)
  /// Queries under way at once; more are answered with SERVFAIL.
  static let maximumPending = 4096

  private let upstreams: [SocketAddress]
  private let group: any EventLoopGroup
  private let channel: any Channel
  private let handler: NIOLoopBound<UpstreamHandler>

  private init(upstreams: [SocketAddress], group: any EventLoopGroup, channel: any Channel, handler: NIOLoopBound<UpstreamHandler>)
  {
    self.upstreams = upstreams
    self.group = group
    self.channel = channel
    self.handler = handler
  }

  static func start(upstreams: [SocketAddress], group: any EventLoopGroup) async throws -> DNSForwarder {
    let loop = group.next()
    let family = upstreams.first?.protocol == .inet6 ? "::" : "0.0.0.0"
    let bound = try await DatagramBootstrap(group: loop)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(UpstreamHandler()) }
      }
      .bind(host: family, port: 0).get()
    let handler = try await loop.submit {
      NIOLoopBound(try bound.pipeline.syncOperations.handler(type: UpstreamHandler.self), eventLoop: loop)
    }.get()
    return DNSForwarder(
      upstreams: upstreams.filter { $0.protocol == upstreams.first?.protocol }, group: group, channel: bound, handler: handler)
  }

  func stop() async { try? await channel.close() }

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
    channel.eventLoop.flatSubmit { self.handler.value.ask(query, upstream, on: self.channel) }
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

  /// The one UDP socket towards the upstreams. Everything happens on its event loop.
  private final class UpstreamHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    private struct Pending {
      var upstream: SocketAddress
      var clientID: (UInt8, UInt8)
      var promise: EventLoopPromise<[UInt8]>
      var timeout: Scheduled<Void>
    }
    private var pending: [UInt16: Pending] = [:]

    func ask(_ query: [UInt8], _ upstream: SocketAddress, on channel: any Channel) -> EventLoopFuture<[UInt8]> {
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
      channel.writeAndFlush(AddressedEnvelope(remoteAddress: upstream, data: ByteBuffer(bytes: changed)), promise: nil)
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

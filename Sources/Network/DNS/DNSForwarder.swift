import NIOCore
import NIOPosix
import Synchronization

/// Asks the host's resolvers on behalf of the cluster's clients.
///
/// UDP queries share one socket (one a family) and get a random id of their own, so that an answer cannot be guessed from the client's; TCP
/// queries get a connection each. An upstream that does not answer in time, or that cannot be reached at all, is followed by
/// the next; the one that answered last is asked first.
final class DNSForwarder: Sendable {
  struct NoAnswer: Error {}

  /// Queries under way at once, of one client and in all; more are answered with SERVFAIL. Over TCP each costs a descriptor.
  static let queries = (perClient: 1024, total: 4096)
  static let queriesOverTCP = (perClient: 16, total: 128)

  private let upstreams: [SocketAddress]
  private let timeout: TimeAmount
  private let datagrams: UpstreamDatagrams
  private let budget = ClientBudget(perClient: queries.perClient, total: queries.total)
  private let budgetOverTCP = ClientBudget(perClient: queriesOverTCP.perClient, total: queriesOverTCP.total)
  /// Which upstream answered last.
  private let preferred = Atomic<Int>(0)

  init(upstreams: [SocketAddress], timeout: TimeAmount) {
    self.upstreams = upstreams
    self.timeout = timeout
    datagrams = UpstreamDatagrams(timeout: timeout)
  }

  func stop() { datagrams.stop() }

  /// - Returns: the answer with the id of the query.
  func ask(_ query: [UInt8], for client: SocketAddress?, overTCP: Bool, on loop: any EventLoop) -> EventLoopFuture<[UInt8]> {
    let promise = loop.makePromise(of: [UInt8].self)
    let budget = overTCP ? budgetOverTCP : self.budget
    guard budget.take(client) else { return loop.makeFailedFuture(NoAnswer()) }
    next(query, overTCP: overTCP, first: preferred.load(ordering: .relaxed), tried: 0, promise)
    promise.futureResult.whenComplete { _ in budget.give(client) }
    return promise.futureResult
  }

  private func next(_ query: [UInt8], overTCP: Bool, first: Int, tried: Int, _ promise: EventLoopPromise<[UInt8]>) {
    guard tried < upstreams.count, query.count > 2 else { return promise.fail(NoAnswer()) }
    let index = (first + tried) % upstreams.count
    let address = upstreams[index]
    let loop = promise.futureResult.eventLoop
    let attempt = overTCP ? askTCP(query, address, on: loop) : datagrams.ask(query, address, on: loop)
    attempt.whenComplete { result in
      switch result {
      case .success(let answer) where DNSMessage.isAnswer(answer, to: query):
        if tried > 0 { self.preferred.store(index, ordering: .relaxed) }
        promise.succeed(answer)
      case .success, .failure: self.next(query, overTCP: overTCP, first: first, tried: tried + 1, promise)
      }
    }
  }

  private func askTCP(_ query: [UInt8], _ upstream: SocketAddress, on loop: any EventLoop) -> EventLoopFuture<[UInt8]> {
    let promise = loop.makePromise(of: [UInt8].self)
    ClientBootstrap(group: loop)
      .connectTimeout(timeout)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandlers([ByteToMessageHandler(DNSFrameDecoder()), OneAnswer(promise)])
        }
      }
      .connect(to: upstream)
      .whenComplete { [timeout] result in
        switch result {
        case .success(let channel):
          let timeout = channel.eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
          channel.closeFuture.whenComplete { _ in timeout.cancel() }
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
}

/// The queries that upstreams are being asked over UDP, from one socket a family.
private final class UpstreamDatagrams: Sendable {
  private struct Pending {
    var upstream: SocketAddress
    var query: [UInt8]
    var promise: EventLoopPromise<[UInt8]>
    var timeout: Scheduled<Void>
  }
  private struct State {
    var pending: [UInt16: Pending] = [:]
    /// By whether it is IPv6; opened with the first query.
    var sockets: [Bool: DatagramSocket] = [:]
    var isStopped = false
  }
  private let state = Mutex(State())
  private let timeout: TimeAmount

  init(timeout: TimeAmount) { self.timeout = timeout }

  /// At most ``DNSForwarder/queries`` are pending: a free id is found.
  func ask(_ query: [UInt8], _ upstream: SocketAddress, on loop: any EventLoop) -> EventLoopFuture<[UInt8]> {
    let promise = loop.makePromise(of: [UInt8].self)
    let opened = state.withLock { state -> (socket: DatagramSocket, id: UInt16)? in
      guard !state.isStopped, let socket = socket(for: upstream, &state) else { return nil }
      var id = UInt16.random(in: .min ... .max)
      while state.pending[id] != nil { id &+= 1 }
      let timeout = loop.scheduleTask(in: timeout) { [id] in self.end(id, .failure(DNSForwarder.NoAnswer())) }
      state.pending[id] = Pending(upstream: upstream, query: query, promise: promise, timeout: timeout)
      return (socket, id)
    }
    guard let (socket, id) = opened else {
      promise.fail(DNSForwarder.NoAnswer())
      return promise.futureResult
    }
    var changed = query
    changed[0] = UInt8(id >> 8)
    changed[1] = UInt8(truncatingIfNeeded: id)
    // No route, or a firewall that says so: there is nothing to wait for.
    if !socket.sender.send(changed, to: .init(upstream)) { end(id, .failure(DNSForwarder.NoAnswer())) }
    return promise.futureResult
  }

  func stop() {
    let left = state.withLock { state in
      defer { state = State(isStopped: true) }
      for socket in state.sockets.values { socket.stop() }
      return Array(state.pending.values)
    }
    for waiting in left {
      waiting.timeout.cancel()
      waiting.promise.fail(DNSForwarder.NoAnswer())
    }
  }

  private func socket(for upstream: SocketAddress, _ state: inout State) -> DatagramSocket? {
    let isIPv6 = upstream.protocol == .inet6
    if let socket = state.sockets[isIPv6] { return socket }
    guard let any = try? SocketAddress(ipAddress: isIPv6 ? "::" : "0.0.0.0", port: 0) else { return nil }
    state.sockets[isIPv6] = try? DatagramSocket(bind: any) { [weak self] _, answer, upstream in
      guard answer.count >= 12, let address = upstream.address else { return }
      self?.end(UInt16(answer[0]) << 8 | UInt16(answer[1]), from: address, .success(answer))
    }
    return state.sockets[isIPv6]
  }

  /// - Parameter upstream: nil: whichever was asked.
  private func end(_ id: UInt16, from upstream: SocketAddress? = nil, _ result: Result<[UInt8], any Error>) {
    let waiting = state.withLock { state -> Pending? in
      guard let waiting = state.pending[id], upstream == nil || waiting.upstream == upstream else { return nil }
      // What answers another question is somebody's guess: the true answer may be on its way.
      if case .success(let answer) = result, !DNSMessage.isAnswer(answer, to: waiting.query) { return nil }
      state.pending[id] = nil
      return waiting
    }
    guard let waiting else { return }
    waiting.timeout.cancel()
    waiting.promise.completeWith(
      result.map { answer in
        var answer = answer
        (answer[0], answer[1]) = (waiting.query[0], waiting.query[1])
        return answer
      })
  }
}

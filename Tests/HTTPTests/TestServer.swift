import HTTP
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// Routes that show what the server does; nothing of any API.
final class TestHandler: HTTPHandler {
  let cancelled = Atomic<Int>(0)
  /// Set: what `/laborious` makes ends.
  let isEnough = Flag()
  let held = Mutex<[Exchange]>([])
  /// Paths of exchanges that have ended, of those that tell it.
  let ended: AsyncStream<String>
  private let end: AsyncStream<String>.Continuation

  init() { (ended, end) = AsyncStream.makeStream() }

  func policy(for head: RequestHead) -> RequestPolicy {
    switch head.path {
    case "/echo":
      return RequestPolicy(body: .buffered(limit: 100_000)) { $0.respond(HTTPResponse(200, body: .bytes($0.body))) }
    case "/count":
      return RequestPolicy(body: .streamed(limit: 64 << 20)) { exchange in
        guard let body = exchange.bodyStream else { return exchange.respond(.text(500, "no stream")) }
        Task {
          do {
            var count = 0
            for try await piece in body { count += piece.readableBytes }
            exchange.respond(.text(200, "\(count)"))
          } catch { exchange.respond(.text(500, "\(error)")) }
        }
      }
    case "/big":
      let total = Int(head.query) ?? 0
      return RequestPolicy { [end] exchange in
        exchange.onClose { end.yield("/big") }
        exchange.respond(HTTPResponse(200, body: .producer(Filler(total))))
      }
    case "/laborious":
      return RequestPolicy { [isEnough] exchange in exchange.respond(HTTPResponse(200, body: .producer(Laborious(until: isEnough))))
      }
    case "/alive":
      var policy = RequestPolicy { $0.respond(.text(200, "ok")) }
      policy.isExempt = true
      return policy
    case "/flood":
      return RequestPolicy(isLongLived: true) { [end] exchange in
        exchange.onClose { end.yield("/flood") }
        var limits = WebSocketLimits()
        limits.closeSeconds = 1
        guard let socket = try? exchange.upgradeToWebSocket(subprotocol: nil, limits: limits) else { return }
        Task {
          // Up to the moment in which it waits for the socket.
          Task.immediate { try? await socket.send([UInt8](repeating: 1, count: 64 << 20)) }
          socket.close()
        }
      }
    case "/compressible":
      let bytes = ByteBuffer(repeating: 7, count: Int(head.query) ?? 0)
      return RequestPolicy { $0.respond(HTTPResponse(200, body: .bytes(bytes)).compressing(from: 1000)) }
    case "/compressible-stream":
      let total = Int(head.query) ?? 0
      return RequestPolicy { $0.respond(HTTPResponse(200, body: .producer(Filler(total))).compressing(from: 1000)) }
    case "/writer":
      return RequestPolicy { exchange in
        let writer = exchange.respond(status: 200, headers: [])
        Task {
          for i in 0..<100 { try? await writer.write([UInt8](repeating: UInt8(i), count: 10_000)) }
          writer.finish()
        }
      }
    case "/hold":
      return RequestPolicy { exchange in self.held.withLock { $0.append(exchange) } }
    case "/quiet":
      return RequestPolicy(isLongLived: true) { exchange in
        exchange.onClose { self.cancelled.add(1, ordering: .relaxed) }
        exchange.respond(HTTPResponse(200, body: .producer(Quiet())))
      }
    case "/peer":
      return RequestPolicy { $0.respond(.text(200, "\($0.head.connection.peerCertificate?.count ?? 0)")) }
    case "/socket":
      return RequestPolicy(isLongLived: true) { exchange in
        guard let socket = try? exchange.upgradeToWebSocket(subprotocol: "echo.v1") else {
          return exchange.respond(.text(400, "no socket"))
        }
        Task {
          do {
            for try await message in socket.messages {
              if message.readableBytes == 3 { return socket.close(code: 1001, reason: "three") }
              try await socket.send(message)
            }
          } catch { socket.close(code: 1011) }
        }
      }
    default: return RequestPolicy { $0.respond(.text(404, "nothing at \($0.head.target)")) }
    }
  }

  /// Lets everything that `/hold` holds go.
  func release() {
    for exchange in held.withLock({ exchanges in
      defer { exchanges = [] }; return exchanges
    }) { exchange.respond(.text(200, "released")) }
  }
}

/// So many bytes, in pieces.
private final class Filler: BodyProducer, @unchecked Sendable {
  private var left: Int
  init(_ total: Int) { left = total }
  func produce(into buffer: inout ByteBuffer, limit: Int) -> BodyProgress {
    let count = min(left, limit)
    buffer.writeRepeatingByte(7, count: count)
    left -= count
    return left > 0 ? .more : .end
  }
  func cancel() {}
}

final class Flag: Sendable {
  private let value = Atomic<Bool>(false)
  var isSet: Bool { value.load(ordering: .relaxed) }
  func set() { value.store(true, ordering: .relaxed) }
}

/// A byte for each millisecond of work: the client always takes it at once.
private final class Laborious: BodyProducer {
  private let end: Flag
  init(until end: Flag) { self.end = end }
  func produce(into buffer: inout ByteBuffer, limit: Int) -> BodyProgress {
    let start = NIODeadline.now()
    while NIODeadline.now() - start < .milliseconds(1) {}
    buffer.writeInteger(UInt8(7))
    return end.isSet ? .end : .more
  }
  func cancel() {}
}

private final class Quiet: BodyProducer {
  func produce(into buffer: inout ByteBuffer, limit: Int) -> BodyProgress { .idle }
  func cancel() {}
}

struct Server {
  let handler: TestHandler
  let server: HTTPServer
  let group: any EventLoopGroup
  let isTLS: Bool

  static func with(
    tls: Bool = false, http2: Bool = false, limits: HTTPLimits = HTTPLimits(), _ body: (Server) async throws -> Void
  ) async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    let handler = TestHandler()
    var configuration = HTTPServer.Configuration(host: "127.0.0.1", port: 0)
    configuration.limits = limits
    configuration.assumesHTTP2 = http2
    if tls {
      configuration.tls = ServerTLS(
        certificateChain: Array(TestPKI.server.utf8), privateKey: Array(TestPKI.serverKey.utf8), clientCAs: Array(TestPKI.ca.utf8))
    }
    let server = try await HTTPServer.start(configuration, handler: handler, group: group)
    var failure: (any Error)?
    do { try await body(Server(handler: handler, server: server, group: group, isTLS: tls)) } catch { failure = error }
    await server.shutdown(within: .milliseconds(200))
    try await group.shutdownGracefully()
    if let failure { throw failure }
  }

  func client(_ version: HTTPClient.Version = .automatic, certificate: (String, String)? = nil) -> HTTPClient {
    var tls: ClientTLS?
    if isTLS {
      tls = ClientTLS(trustRoots: Array(TestPKI.ca.utf8))
      if let (chain, key) = certificate {
        tls?.certificateChain = Array(chain.utf8)
        tls?.privateKey = Array(key.utf8)
      }
    }
    return HTTPClient(group: group, host: "127.0.0.1", port: server.port, tls: tls, version: version)
  }

  /// A bare socket, on which these bytes have been sent.
  func open(_ text: String, reads: Bool = true) async throws -> RawConnection { try await open(Array(text.utf8), reads: reads) }

  func open(_ bytes: [UInt8], reads: Bool = true) async throws -> RawConnection {
    let (pieces, continuation) = AsyncStream.makeStream(of: [UInt8].self)
    let channel = try await ClientBootstrap(group: group).channelOption(.autoRead, value: reads)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Pieces(continuation)) }
      }.connect(host: "127.0.0.1", port: server.port).get()
    let connection = RawConnection(channel: channel, pieces: pieces.makeAsyncIterator())
    try await connection.write(bytes)
    return connection
  }

  /// Sends bytes over a bare socket and gives what comes until the server ends its side.
  /// - Parameter thenSend: sent after that; that it cannot be sent is an error.
  func raw(_ text: String, thenSend: [UInt8] = []) async throws -> String {
    let promise = group.next().makePromise(of: String.self)
    let channel = try await ClientBootstrap(group: group).channelOption(.allowRemoteHalfClosure, value: true)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Collector(promise)) }
      }.connect(host: "127.0.0.1", port: server.port).get()
    if !text.isEmpty { try await channel.writeAndFlush(ByteBuffer(string: text)) }
    let answer = try await promise.futureResult.get()
    if !thenSend.isEmpty { try await channel.writeAndFlush(ByteBuffer(bytes: thenSend)) }
    try? await channel.close()
    return answer
  }
}

/// A bare socket. Used by one task.
final class RawConnection {
  private let channel: any Channel
  private var pieces: AsyncStream<[UInt8]>.AsyncIterator
  private var all: [UInt8] = []

  init(channel: any Channel, pieces: AsyncStream<[UInt8]>.AsyncIterator) {
    self.channel = channel
    self.pieces = pieces
  }

  /// Returns when the socket has taken them.
  func write(_ bytes: [UInt8]) async throws { try await channel.writeAndFlush(ByteBuffer(bytes: bytes)) }
  func resume() { channel.setOption(.autoRead, value: true).whenComplete { [channel] _ in channel.read() } }
  func close() { channel.close(promise: nil) }

  func next() async throws -> [UInt8] {
    guard let piece = await pieces.next() else { throw ChannelError.eof }
    return piece
  }

  /// Returns when everything that has come fulfils a condition.
  func waits(_ isEnough: ([UInt8]) -> Bool) async throws { while !isEnough(all) { all += try await next() } }
  func waits(_ isEnough: (String) -> Bool) async throws { try await waits { isEnough(String(decoding: $0, as: UTF8.self)) } }
}

private final class Pieces: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private let continuation: AsyncStream<[UInt8]>.Continuation
  init(_ continuation: AsyncStream<[UInt8]>.Continuation) { self.continuation = continuation }
  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    continuation.yield(Array(unwrapInboundIn(data).readableBytesView))
  }
  func channelInactive(context: ChannelHandlerContext) { continuation.finish() }
  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

private final class Collector: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private let promise: EventLoopPromise<String>
  private var all = ""
  init(_ promise: EventLoopPromise<String>) { self.promise = promise }
  func channelRead(context: ChannelHandlerContext, data: NIOAny) { all += String(buffer: unwrapInboundIn(data)) }
  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case ChannelEvent.inputClosed = event { promise.succeed(all) }
  }
  func channelInactive(context: ChannelHandlerContext) { promise.succeed(all) }
  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

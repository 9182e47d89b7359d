import NIOCore
import NIOHPACK
import NIOHTTP2
import NIOPosix
import Synchronization

/// A gRPC client for one server: one HTTP/2 connection, opened by the first call and again by the first call after it broke.
///
/// 128 µs a unary call to containerd on a unix socket, 36,000/s with 16 in flight (spikes/net).
package final class GRPCClient: Sendable {
  package enum Target: Sendable, CustomStringConvertible {
    case unix(String)
    case tcp(host: String, port: Int)

    package var description: String {
      switch self {
      case .unix(let path): path
      case .tcp(let host, let port): "\(host):\(port)"
      }
    }
  }

  private struct Connection: Sendable {
    let channel: any Channel
    let multiplexer: NIOHTTP2Handler.StreamMultiplexer
  }

  private struct State {
    var connection: EventLoopFuture<Connection>?
    var generation = 0
    var isClosed = false
  }

  package let target: Target
  private let loop: any EventLoop
  private let state = Mutex(State())

  package init(_ target: Target, group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton) {
    self.target = target
    loop = group.next()
  }

  /// One request, one answer.
  /// - Parameters:
  ///   - path: `/package.Service/Method`.
  ///   - metadata: further headers, for example `containerd-namespace`.
  ///   - deadline: nil: no limit but the task's cancellation.
  package func unary(
    _ path: String, _ body: [UInt8], metadata: [(String, String)] = [], deadline: Duration? = .seconds(120)
  ) async throws(GRPCError) -> [UInt8] {
    let answer = loop.makePromise(of: [UInt8].self)
    let first = Mutex<[UInt8]?>(nil)
    let handle = StreamHandle()
    open(
      path, body, metadata, deadline, handle,
      onMessage: { message in first.withLock { if $0 == nil { $0 = message } } },
      onEnd: { error in
        if let error {
          answer.fail(error)
        } else if let message = first.withLock({ $0 }) {
          answer.succeed(message)
        } else {
          answer.fail(GRPCError(.internalError, "the server answered \(path) with nothing"))
        }
      })
    do {
      return try await withTaskCancellationHandler {
        try await answer.futureResult.get()
      } onCancel: {
        handle.cancel()
      }
    } catch let error as GRPCError {
      throw error
    } catch {
      throw GRPCError(.unavailable, "\(target): \(error)")
    }
  }

  /// One request, a stream of answers that ends with the server's status; cancelling its reader ends the call.
  package func serverStream(
    _ path: String, _ body: [UInt8], metadata: [(String, String)] = []
  ) -> AsyncThrowingStream<[UInt8], any Error> {
    let handle = StreamHandle()
    return AsyncThrowingStream(bufferingPolicy: .bufferingNewest(65_536)) { continuation in
      continuation.onTermination = { _ in handle.cancel() }
      open(
        path, body, metadata, nil, handle,
        onMessage: { continuation.yield($0) },
        onEnd: { error in if let error { continuation.finish(throwing: error) } else { continuation.finish() } })
    }
  }

  package func close() {
    let connection = state.withLock { state in
      state.isClosed = true
      defer { state.connection = nil }
      return state.connection
    }
    connection?.whenSuccess { $0.channel.close(promise: nil) }
  }

  private func open(
    _ path: String, _ body: [UInt8], _ metadata: [(String, String)], _ deadline: Duration?, _ handle: StreamHandle,
    onMessage: @escaping @Sendable ([UInt8]) -> Void, onEnd: @escaping @Sendable (GRPCError?) -> Void
  ) {
    let target = target
    guard body.count <= RPC.maximumMessage else {
      return onEnd(GRPCError(.resourceExhausted, "a request of \(body.count) bytes is over the limit of \(RPC.maximumMessage)"))
    }
    let once = Mutex(false)
    let end: @Sendable (GRPCError?) -> Void = { error in
      let isFirst = once.withLock { done in
        defer { done = true }
        return !done
      }
      if isFirst { onEnd(error) }
    }
    guard let connection = connect() else { return end(GRPCError(.cancelled, "the client is closed")) }
    connection.whenFailure { error in end(GRPCError(.unavailable, "cannot connect to \(target): \(error)")) }
    connection.whenSuccess { connection in
      let opened = connection.channel.eventLoop.makePromise(of: (any Channel).self)
      // A connection that is already closed never runs the initializer.
      opened.futureResult.whenFailure { end(GRPCError(.unavailable, "\(target): \($0)")) }
      opened.futureResult.whenSuccess { handle.set($0) }
      connection.multiplexer.createStreamChannel(promise: opened) { stream in
        stream.eventLoop.makeCompletedFuture {
          try stream.pipeline.syncOperations.addHandler(
            CallHandler(path: path, body: body, metadata: metadata, deadline: deadline, onMessage: onMessage, onEnd: end))
        }
      }
    }
  }

  private func connect() -> EventLoopFuture<Connection>? {
    let promise = loop.makePromise(of: Connection.self)
    let (known, generation): (EventLoopFuture<Connection>?, Int) = state.withLock { state in
      if state.isClosed { return (nil, -1) }
      if let connection = state.connection { return (connection, -1) }
      state.generation += 1
      state.connection = promise.futureResult
      return (nil, state.generation)
    }
    guard generation >= 0 else {
      promise.fail(GRPCError(.cancelled, "not used"))
      return known
    }
    let multiplexer = loop.makePromise(of: NIOHTTP2Handler.StreamMultiplexer.self)
    let bootstrap = ClientBootstrap(group: loop).connectTimeout(.seconds(10)).channelInitializer { channel in
      var configuration = NIOHTTP2Handler.ConnectionConfiguration()
      configuration.initialSettings = [
        HTTP2Setting(parameter: .enablePush, value: 0), HTTP2Setting(parameter: .initialWindowSize, value: 8 << 20),
      ]
      // grpc-go sends a PING around every response; the default of 200 in 30 s would end the connection.
      configuration.controlFrameRateLimit.maximumCount = 1_000_000
      // Calls that are given up all at once: with the default of 32 the 33rd answer that was on its way would end the connection.
      configuration.maximumRecentlyResetStreams = 4096
      var stream = NIOHTTP2Handler.StreamConfiguration()
      stream.streamResetFrameRateLimit.maximumCount = 1_000_000
      return channel.configureHTTP2Pipeline(
        mode: .client, connectionConfiguration: configuration, streamConfiguration: stream,
        inboundStreamInitializer: { $0.close() }
      ).flatMapThrowing {
        multiplexer.succeed($0)
        try channel.pipeline.syncOperations.addHandler(CloseOnError())
      }
    }
    let channel: EventLoopFuture<any Channel> =
      switch target {
      case .unix(let path): bootstrap.connect(unixDomainSocketPath: path)
      case .tcp(let host, let port): bootstrap.connect(host: host, port: port)
      }
    channel.whenComplete { result in
      switch result {
      case .success(let channel):
        multiplexer.futureResult.map { Connection(channel: channel, multiplexer: $0) }.cascade(to: promise)
        channel.closeFuture.whenComplete { _ in self.forget(generation) }
      case .failure(let error):
        multiplexer.fail(error)
        self.forget(generation)
        promise.fail(error)
      }
    }
    return promise.futureResult
  }

  private func forget(_ generation: Int) {
    state.withLock { state in if state.generation == generation { state.connection = nil } }
  }
}

/// Ends a call from outside its event loop.
private final class StreamHandle: Sendable {
  private let state = Mutex<(channel: (any Channel)?, isCancelled: Bool)>((nil, false))

  func set(_ channel: any Channel) {
    let cancelled = state.withLock { state in
      state.channel = channel
      return state.isCancelled
    }
    if cancelled { channel.close(promise: nil) }
  }

  func cancel() {
    let channel = state.withLock { state in
      state.isCancelled = true
      return state.channel
    }
    channel?.close(promise: nil)
  }
}

/// NIOHTTP2 reports a connection error and leaves the socket open: somebody has to close it. A stream's own error stays with it.
private final class CloseOnError: ChannelInboundHandler {
  typealias InboundIn = Any
  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if error is NIOHTTP2Errors.StreamError { return }
    context.close(promise: nil)
  }
}

/// How long a call may take, in what its protocol can say: eight digits.
package enum GRPCDeadline {
  /// Three years; what is longer is as good as for ever.
  private static let longest: Int64 = 99_999_999_000

  package static func milliseconds(_ limit: Duration) -> Int64 {
    guard limit.components.seconds < longest / 1000 else { return longest }
    return max(1, max(0, limit.components.seconds) * 1000 + limit.components.attoseconds / 1_000_000_000_000_000)
  }

  package static func header(_ milliseconds: Int64) -> String {
    milliseconds < 100_000_000 ? "\(milliseconds)m" : "\(milliseconds / 1000)S"
  }
}

/// One call on its HTTP/2 stream.
private final class CallHandler: ChannelInboundHandler {
  typealias InboundIn = HTTP2Frame.FramePayload
  typealias OutboundOut = HTTP2Frame.FramePayload

  private let path: String
  private let body: [UInt8]
  private let metadata: [(String, String)]
  private let deadline: Duration?
  private let onMessage: @Sendable ([UInt8]) -> Void
  private let onEnd: @Sendable (GRPCError?) -> Void
  private var received = ByteBuffer()
  private var status: (code: Int, message: String)?
  private var httpStatus = ""
  private var timer: Scheduled<Void>?

  init(
    path: String, body: [UInt8], metadata: [(String, String)], deadline: Duration?,
    onMessage: @escaping @Sendable ([UInt8]) -> Void, onEnd: @escaping @Sendable (GRPCError?) -> Void
  ) {
    self.path = path
    self.body = body
    self.metadata = metadata
    self.deadline = deadline
    self.onMessage = onMessage
    self.onEnd = onEnd
  }

  func channelActive(context: ChannelHandlerContext) {
    var headers: HPACKHeaders = [
      ":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost", "content-type": "application/grpc",
      "te": "trailers", "user-agent": "gantry",
    ]
    for (name, value) in metadata { headers.add(name: name, value: value) }
    if let deadline {
      let milliseconds = GRPCDeadline.milliseconds(deadline)
      headers.add(name: "grpc-timeout", value: GRPCDeadline.header(milliseconds))
      let onEnd = onEnd
      let path = path
      let channel = context.channel
      timer = context.eventLoop.scheduleTask(in: .milliseconds(milliseconds + 250)) {
        onEnd(GRPCError(.deadlineExceeded, "no answer to \(path) within \(milliseconds) ms"))
        channel.close(promise: nil)
      }
    }
    context.write(wrapOutboundOut(.headers(.init(headers: headers))), promise: nil)
    var buffer = context.channel.allocator.buffer(capacity: 5 + body.count)
    buffer.writeInteger(UInt8(0))
    buffer.writeInteger(UInt32(clamping: body.count))
    buffer.writeBytes(body)
    context.writeAndFlush(wrapOutboundOut(.data(.init(data: .byteBuffer(buffer), endStream: true))), promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .headers(let frame):
      if let code = frame.headers.first(name: ":status") { httpStatus = code }
      if let code = frame.headers.first(name: "grpc-status") {
        status = (Int(code) ?? 2, unescape(frame.headers.first(name: "grpc-message") ?? ""))
      }
      if frame.endStream { finish() }
    case .data(let frame):
      if case .byteBuffer(var bytes) = frame.data { received.writeBuffer(&bytes) }
      guard takeMessages() else {
        finish(GRPCError(.resourceExhausted, "an answer to \(path) is malformed or over the limit of \(RPC.maximumMessage) bytes"))
        context.close(promise: nil)
        return
      }
      if frame.endStream { finish() }
    default: break
    }
  }

  /// - Returns: false where a message is compressed (nobody asked for that) or too long.
  private func takeMessages() -> Bool {
    while let flag = received.getInteger(at: received.readerIndex, as: UInt8.self),
      let length = received.getInteger(at: received.readerIndex + 1, as: UInt32.self)
    {
      guard flag == 0, Int(length) <= RPC.maximumMessage else { return false }
      guard received.readableBytes >= 5 + Int(length) else { break }
      received.moveReaderIndex(forwardBy: 5)
      onMessage(received.readBytes(length: Int(length)) ?? [])
    }
    received.discardReadBytes()
    return true
  }

  private func finish(_ error: GRPCError? = nil) {
    timer?.cancel()
    if let error { return onEnd(error) }
    guard let status else {
      return onEnd(
        GRPCError(.unavailable, "\(path): the answer has no status (HTTP \(httpStatus.isEmpty ? "closed" : httpStatus))"))
    }
    onEnd(status.code == 0 ? nil : GRPCError(.init(rawValue: status.code) ?? .unknown, status.message))
  }

  func channelInactive(context: ChannelHandlerContext) {
    finish(GRPCError(.unavailable, "\(path): the connection was closed"))
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    finish(GRPCError(.unavailable, "\(path): \(error)"))
    context.close(promise: nil)
  }

  /// `grpc-message` is percent-encoded.
  private func unescape(_ text: String) -> String {
    guard text.utf8.contains(UInt8(ascii: "%")) else { return text }
    var out: [UInt8] = []
    var bytes = Array(text.utf8)[...]
    while let byte = bytes.popFirst() {
      if byte == UInt8(ascii: "%"), bytes.count >= 2, let code = UInt8(String(decoding: bytes.prefix(2), as: UTF8.self), radix: 16)
      {
        out.append(code)
        bytes = bytes.dropFirst(2)
      } else {
        out.append(byte)
      }
    }
    return String(decoding: out, as: UTF8.self)
  }
}

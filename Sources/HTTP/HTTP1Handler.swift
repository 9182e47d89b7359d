import NIOCore
import NIOHTTP1

/// Server side of one HTTP/1.1 connection: exchanges one after another (NIO's pipeline handler queues what a client sends ahead).
final class HTTP1Handler: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundIn = Never
  typealias OutboundOut = HTTPServerResponsePart

  private let connection: Connection
  private let server: ServerState
  /// Takes HTTP's own handlers out of the pipeline when the connection leaves HTTP.
  var remove: (ChannelPipeline.SynchronousOperations) -> Void = { _ in }
  private var context: ChannelHandlerContext?
  private var exchange: Exchange?
  private var version = HTTPVersion.http1_1
  private var isKeptAlive = true
  private var isResponseDone = true
  private var isRequestDone = true
  private var holdsReads = false
  private var isReadPending = false
  /// When the connection is closed unless something comes; nil while there is an exchange.
  private var deadline: NIODeadline?
  /// One for many requests, looked at when it is due: to cancel a timer costs a walk over all of the loop's.
  private var timer: (task: Scheduled<Void>, due: NIODeadline)?
  private var isSwitching = false
  /// Set once the connection only drops what still comes; see ``linger()``.
  private var isLingering = false
  private var droppedBytes = 0

  init(connection: Connection, server: ServerState) {
    self.connection = connection
    self.server = server
  }

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    startTimer(seconds: server.limits.headSeconds)
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    timer?.task.cancel()
    self.context = nil
  }

  /// A connection that sends no whole head in time, or nothing after an answer, is closed.
  private func startTimer(seconds: Int) {
    let deadline = NIODeadline.now() + .seconds(Int64(seconds))
    self.deadline = deadline
    if let timer, timer.due <= deadline { return }
    timer?.task.cancel()
    setTimer(deadline)
  }

  private func setTimer(_ due: NIODeadline) {
    let task = context?.eventLoop.assumeIsolated().scheduleTask(deadline: due) { [weak self] in
      guard let self else { return }
      timer = nil
      guard let deadline else { return }
      if deadline > .now() { setTimer(deadline) } else { self.context?.close(promise: nil) }
    }
    timer = task.map { ($0, due) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      deadline = nil
      version = head.version
      isKeptAlive = head.isKeepAlive
      isResponseDone = false
      isRequestDone = false
      let request = RequestHead(
        method: head.method.rawValue, target: head.uri, fields: HTTPFields(head.headers), version: .http1, connection: connection)
      let exchange = Exchange(head: request, eventLoop: context.eventLoop, transport: self, server: server)
      self.exchange = exchange
      server.track(exchange)
      exchange.begin()
    case .body(let piece):
      if isLingering { drop(piece) } else { exchange?.receive(piece) }
    case .end:
      isRequestDone = true
      exchange?.receiveEnd()
      finishIfDone()
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    exchange?.awaitRest()
    context.fireChannelReadComplete()
  }

  private func finishIfDone() {
    guard isResponseDone, isRequestDone, !isSwitching else { return }
    exchange = nil
    // Everything was read: closing resets nothing any more.
    if isLingering { return context.map { $0.close(promise: nil) } ?? () }
    if isKeptAlive, !server.isDraining { startTimer(seconds: server.limits.idleSeconds) } else { closeAfterFlush() }
  }

  private func closeAfterFlush() {
    guard let context else { return }
    // NIO writes what is queued before it closes the output.
    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer())))).assumeIsolated().whenComplete { _ in
      context.close(promise: nil)
    }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    exchange?.writabilityChanged()
    context.fireChannelWritabilityChanged()
  }

  func read(context: ChannelHandlerContext) { if holdsReads { isReadPending = true } else { context.read() } }

  func channelInactive(context: ChannelHandlerContext) {
    exchange?.closed()
    exchange = nil
    timer?.task.cancel()
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // A head that cannot be read is answered once; everything else ends the connection.
    if error is HTTPParserError, exchange == nil {
      let head = RequestHead(method: "GET", target: "/", fields: HTTPFields(), version: .http1, connection: connection)
      let refusal: HTTPRefusal =
        switch error as? HTTPParserError {
        case .headerOverflow: .headTooLarge
        case .invalidContentLength: .malformed("invalid Content-Length")
        case .unexpectedContentLength: .malformed("more than one Content-Length, or one beside Transfer-Encoding")
        default: .malformed("not HTTP")
        }
      let response = server.handler.refusal(refusal, for: head)
      isKeptAlive = false
      var headers = response.headers
      var body = ByteBuffer()
      if case .bytes(let bytes) = response.body { body = bytes }
      headers.append(("content-length", String(body.readableBytes)))
      headers.append(("connection", "close"))
      context.write(
        wrapOutboundOut(.head(.init(version: .http1_1, status: .init(statusCode: response.status), headers: HTTPHeaders(headers)))),
        promise: nil)
      context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
      return linger()
    }
    context.close(promise: nil)
  }
}

extension HTTP1Handler: ExchangeTransport {
  var isWritable: Bool { context?.channel.isWritable ?? false }

  func sendHead(status: Int, headers: [(String, String)], isEnd: Bool) {
    guard let context else { return }
    var fields = HTTPHeaders(headers)
    if status >= 200 {
      // An answer that overtakes its request ends the connection, and says so: what follows would be taken for the next request.
      if !isKeptAlive || server.isDraining || !isRequestDone {
        isKeptAlive = false
        fields.add(name: "connection", value: "close")
      } else if version == .http1_0 {
        fields.add(name: "connection", value: "keep-alive")
      }
      if version == .http1_0, fields["content-length"].isEmpty, isKeptAlive {
        isKeptAlive = false
        fields.replaceOrAdd(name: "connection", value: "close")
      }
    }
    let head = HTTPResponseHead(version: version, status: .init(statusCode: status), headers: fields)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    if status < 200 {
      context.flush()
    } else if isEnd {
      sendEnd()
    }
  }

  func sendBody(_ buffer: ByteBuffer, isEnd: Bool, promise: EventLoopPromise<Void>?) {
    guard let context else { return }
    if isEnd {
      context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: promise)
      sendEnd()
    } else {
      context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: promise)
    }
  }

  func sendEnd() {
    guard let context else { return }
    isResponseDone = true
    holdsReads = false
    if !isRequestDone { isKeptAlive = false }
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    if isRequestDone { finishIfDone() } else { discardRest() }
  }

  func flush() { context?.flush() }

  func abort() { context?.close(promise: nil) }

  func discardRest() {
    isKeptAlive = false
    if isResponseDone, !isRequestDone { linger() }
  }

  /// Ends a connection whose client may still be sending. Closing at once would reset it, and a reset destroys the answer on its way: the
  /// output is closed, and what comes is dropped until the client ends, for a while and up to a limit.
  private func linger() {
    guard let context, !isLingering else { return }
    isLingering = true
    holdsReads = false
    startTimer(seconds: server.limits.lingerSeconds)
    // NIO writes what is queued before it closes the output.
    context.close(mode: .output, promise: nil)
    setReading(true)
  }

  private func drop(_ piece: ByteBuffer) {
    droppedBytes += piece.readableBytes
    // Unread, the client's window closes; the timer ends the rest.
    if droppedBytes > server.limits.lingerBytes { holdsReads = true }
  }

  func setReading(_ isReading: Bool) {
    holdsReads = !isReading
    if isReading, isReadPending {
      isReadPending = false
      context?.read()
    }
  }

  func switchProtocol(headers: [(String, String)], _ install: @escaping (any Channel) throws -> Void) -> Bool {
    guard let context, isRequestDone, !isResponseDone, !isSwitching else { return false }
    isSwitching = true
    timer?.task.cancel()
    let channel = context.channel
    context.writeAndFlush(
      wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .switchingProtocols, headers: HTTPHeaders(headers)))),
      promise: nil)
    // The new protocol's handlers go in first, so that bytes which came with the handshake find them.
    do {
      try install(channel)
      let pipeline = context.pipeline.syncOperations
      remove(pipeline)
      _ = pipeline.removeHandler(context: context)
    } catch {
      context.close(promise: nil)
    }
    return true
  }
}

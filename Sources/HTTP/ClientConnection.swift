import NIOCore
import NIOHPACK
import NIOHTTP1
import NIOHTTP2

/// One connection of a client.
final class ClientConnection: Sendable {
  let channel: any Channel
  private let multiplexer: NIOHTTP2Handler.StreamMultiplexer?
  var isHTTP2: Bool { multiplexer != nil }

  private init(channel: any Channel, multiplexer: NIOHTTP2Handler.StreamMultiplexer?) {
    self.channel = channel
    self.multiplexer = multiplexer
  }

  static func configure(_ channel: any Channel, isHTTP2: Bool) throws -> ClientConnection {
    let pipeline = channel.pipeline.syncOperations
    guard isHTTP2 else {
      let encoder = HTTPRequestEncoder()
      let decoder = ByteToMessageHandler(HTTPResponseDecoder(leftOverBytesStrategy: .forwardBytes))
      let handler = HTTP1ClientHandler()
      try pipeline.addHandlers([encoder, decoder, handler])
      handler.remove = { pipeline in
        _ = pipeline.removeHandler(encoder)
        _ = pipeline.removeHandler(decoder)
      }
      return ClientConnection(channel: channel, multiplexer: nil)
    }
    var configuration = NIOHTTP2Handler.ConnectionConfiguration()
    configuration.initialSettings = [
      HTTP2Setting(parameter: .enablePush, value: 0), HTTP2Setting(parameter: .maxHeaderListSize, value: 64 << 10),
    ]
    configuration.targetWindowSize = 4 << 20
    configuration.controlFrameRateLimit.maximumCount = 1_000_000
    var streams = NIOHTTP2Handler.StreamConfiguration()
    streams.targetWindowSize = 1 << 20
    streams.streamResetFrameRateLimit.maximumCount = 1_000_000
    let multiplexer = try pipeline.configureHTTP2Pipeline(
      mode: .client, connectionConfiguration: configuration, streamConfiguration: streams
    ) { $0.close() }
    try pipeline.addHandler(CloseOnError())
    return ClientConnection(channel: channel, multiplexer: multiplexer)
  }

  func send(
    _ method: String, _ target: String, headers: [(String, String)], body: [UInt8]?, authority: String,
    whenFree: @escaping @Sendable () -> Void
  ) async throws -> HTTPClient.Response {
    let promise = channel.eventLoop.makePromise(of: HTTPClient.Response.self)
    let stream = channel.eventLoop.makePromise(of: (any Channel).self)
    if let multiplexer {
      var fields: HPACKHeaders = [":method": method, ":scheme": "https", ":authority": authority, ":path": target]
      for (name, value) in headers { fields.add(name: name.lowercased(), value: value) }
      if let body { fields.add(name: "content-length", value: String(body.count)) }
      let sent = fields
      stream.futureResult.whenFailure { promise.fail($0) }
      multiplexer.createStreamChannel(promise: stream) { stream in
        stream.eventLoop.makeCompletedFuture {
          try stream.pipeline.syncOperations.addHandler(HTTP2ClientHandler(headers: sent, body: body, promise: promise))
        }
      }
    } else {
      var fields = HTTPHeaders(headers)
      fields.add(name: "host", value: authority)
      if let body { fields.add(name: "content-length", value: String(body.count)) }
      let head = HTTPRequestHead(version: .http1_1, method: HTTPMethod(rawValue: method), uri: target, headers: fields)
      let channel = channel
      stream.succeed(channel)
      channel.eventLoop.execute {
        do {
          let handler = try channel.pipeline.syncOperations.handler(type: HTTP1ClientHandler.self)
          handler.start(head, body: body, promise: promise, whenFree: whenFree)
        } catch {
          promise.fail(error)
        }
      }
    }
    return try await withTaskCancellationHandler {
      try await promise.futureResult.get()
    } onCancel: {
      stream.futureResult.whenSuccess { $0.close(promise: nil) }
    }
  }

  func openWebSocket(
    _ target: String, headers: [(String, String)], subprotocols: [String], authority: String
  ) async throws -> WebSocket {
    let promise = channel.eventLoop.makePromise(of: WebSocket.self)
    var fields = HTTPHeaders(headers)
    fields.add(name: "host", value: authority)
    fields.add(name: "upgrade", value: "websocket")
    fields.add(name: "connection", value: "Upgrade")
    fields.add(name: "sec-websocket-version", value: "13")
    fields.add(name: "sec-websocket-key", value: WebSocketHandshake.base64((0..<16).map { _ in UInt8.random(in: 0...255) }))
    if !subprotocols.isEmpty { fields.add(name: "sec-websocket-protocol", value: subprotocols.joined(separator: ", ")) }
    let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: target, headers: fields)
    let channel = channel
    channel.eventLoop.execute {
      do {
        let handler = try channel.pipeline.syncOperations.handler(type: HTTP1ClientHandler.self)
        handler.upgrade(head, promise: promise)
      } catch {
        promise.fail(error)
      }
    }
    return try await promise.futureResult.get()
  }
}

/// Client side of an HTTP/1.1 connection: one exchange at a time.
final class HTTP1ClientHandler: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundIn = Never
  typealias OutboundOut = HTTPClientRequestPart

  var remove: (ChannelPipeline.SynchronousOperations) -> Void = { _ in }
  private var context: ChannelHandlerContext?
  private var promise: EventLoopPromise<HTTPClient.Response>?
  private var socketPromise: EventLoopPromise<WebSocket>?
  private var subprotocol: String?
  private var whenFree: (@Sendable () -> Void)?
  private var body: InboundBytes?
  private var isKeptAlive = true
  private var reading = ReadGate()

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }
  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  func start(
    _ head: HTTPRequestHead, body: [UInt8]?, promise: EventLoopPromise<HTTPClient.Response>,
    whenFree: @escaping @Sendable () -> Void
  ) {
    guard let context, context.channel.isActive, self.promise == nil, self.body == nil else {
      return promise.fail(HTTPClientError.closed)
    }
    self.promise = promise
    self.whenFree = whenFree
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    if let body { context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil) }
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }

  func upgrade(_ head: HTTPRequestHead, promise: EventLoopPromise<WebSocket>) {
    guard let context, context.channel.isActive else { return promise.fail(HTTPClientError.closed) }
    socketPromise = promise
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }

  func read(context: ChannelHandlerContext) { reading.read(context) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      if let socketPromise {
        guard head.status == .switchingProtocols else {
          self.socketPromise = nil
          socketPromise.fail(HTTPClientError.noUpgrade(status: Int(head.status.code)))
          return context.close(promise: nil)
        }
        // The decoder still tells the end of the answer: only then is the connection a socket's.
        subprotocol = head.headers.first(name: "sec-websocket-protocol")
        return
      }
      isKeptAlive = head.isKeepAlive
      let gate = reading
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      let body = InboundBytes(
        eventLoop: context.eventLoop, setReading: { gate.set($0) },
        terminated: { if gate.isBusy { bound.value.close(promise: nil) } })
      gate.isBusy = true
      self.body = body
      promise?.succeed(
        .init(status: Int(head.status.code), headers: head.headers.map { (name: $0.name, value: $0.value) }, body: body))
      promise = nil
    case .body(let piece): body?.yield(piece)
    case .end:
      if let socketPromise {
        self.socketPromise = nil
        return becomeSocket(context, socketPromise)
      }
      reading.isBusy = false
      body?.finish(nil)
      body = nil
      let whenFree = whenFree
      self.whenFree = nil
      if isKeptAlive { whenFree?() } else { context.close(promise: nil) }
    }
  }

  private func becomeSocket(_ context: ChannelHandlerContext, _ promise: EventLoopPromise<WebSocket>) {
    let socket = WebSocket(eventLoop: context.eventLoop, isClient: true, subprotocol: subprotocol, limits: WebSocketLimits())
    do {
      try socket.install(on: context.channel)
      let pipeline = context.pipeline.syncOperations
      remove(pipeline)
      _ = pipeline.removeHandler(context: context)
      promise.succeed(socket)
    } catch {
      promise.fail(error)
      context.close(promise: nil)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    reading.isBusy = false
    promise?.fail(HTTPClientError.closed)
    promise = nil
    socketPromise?.fail(HTTPClientError.closed)
    socketPromise = nil
    body?.finish(HTTPBodyError.closed)
    body = nil
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    promise?.fail(error)
    promise = nil
    context.close(promise: nil)
  }
}

/// Client side of one HTTP/2 stream.
final class HTTP2ClientHandler: ChannelDuplexHandler {
  typealias InboundIn = HTTP2Frame.FramePayload
  typealias OutboundIn = Never
  typealias OutboundOut = HTTP2Frame.FramePayload

  private let headers: HPACKHeaders
  private let requestBody: [UInt8]?
  private var promise: EventLoopPromise<HTTPClient.Response>?
  private var body: InboundBytes?
  private let reading = ReadGate()

  init(headers: HPACKHeaders, body: [UInt8]?, promise: EventLoopPromise<HTTPClient.Response>) {
    self.headers = headers
    requestBody = body
    self.promise = promise
  }

  func channelActive(context: ChannelHandlerContext) {
    context.write(wrapOutboundOut(.headers(.init(headers: headers, endStream: requestBody == nil))), promise: nil)
    if let requestBody {
      context.write(
        wrapOutboundOut(.data(.init(data: .byteBuffer(ByteBuffer(bytes: requestBody)), endStream: true))), promise: nil)
    }
    context.flush()
    context.fireChannelActive()
  }

  func read(context: ChannelHandlerContext) { reading.read(context) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .headers(let frame):
      if let promise {
        let status = frame.headers.first(name: ":status").flatMap(Int.init) ?? 0
        guard status >= 200 else { return }
        let gate = reading
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        let body = InboundBytes(
          eventLoop: context.eventLoop, setReading: { gate.set($0) },
          terminated: { if gate.isBusy { bound.value.close(promise: nil) } })
        gate.isBusy = true
        self.body = body
        self.promise = nil
        promise.succeed(
          .init(
            status: status,
            headers: frame.headers.compactMap { $0.name.hasPrefix(":") ? nil : (name: $0.name, value: $0.value) }, body: body))
      }
      if frame.endStream { end() }
    case .data(let frame):
      if case .byteBuffer(let buffer) = frame.data, buffer.readableBytes > 0 { body?.yield(buffer) }
      if frame.endStream { end() }
    default: break
    }
  }

  private func end() {
    reading.isBusy = false
    body?.finish(nil)
    body = nil
  }

  func channelInactive(context: ChannelHandlerContext) {
    reading.isBusy = false
    promise?.fail(HTTPClientError.closed)
    promise = nil
    body?.finish(HTTPBodyError.closed)
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    promise?.fail(error)
    promise = nil
    context.close(promise: nil)
  }
}

/// Holds a channel's reads back while its consumer is behind. On the loop only.
final class ReadGate: @unchecked Sendable {
  private var isHeld = false
  private var pending: ChannelHandlerContext?
  /// A body is coming in: dropping it unread means closing.
  var isBusy = false

  func read(_ context: ChannelHandlerContext) { if isHeld { pending = context } else { context.read() } }

  func set(_ isReading: Bool) {
    isHeld = !isReading
    guard isReading, let context = pending else { return }
    pending = nil
    context.read()
  }
}

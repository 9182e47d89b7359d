import NIOCore
import NIOHPACK
import NIOHTTP2

/// Server side of one HTTP/2 stream: one exchange.
final class HTTP2Handler: ChannelDuplexHandler {
  typealias InboundIn = HTTP2Frame.FramePayload
  typealias OutboundIn = Never
  typealias OutboundOut = HTTP2Frame.FramePayload

  private let connection: Connection
  private let server: ServerState
  private var context: ChannelHandlerContext?
  private var exchange: Exchange?
  private var holdsReads = false
  private var isReadPending = false
  private var isResponseDone = false
  private var isRequestDone = false

  init(connection: Connection, server: ServerState) {
    self.connection = connection
    self.server = server
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }
  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .headers(let frame):
      if exchange == nil {
        guard let method = frame.headers.first(name: ":method"), let path = frame.headers.first(name: ":path") else {
          return context.close(promise: nil)
        }
        let head = RequestHead(
          method: method, target: path, fields: HTTPFields(frame.headers), version: .http2, connection: connection)
        let exchange = Exchange(head: head, eventLoop: context.eventLoop, transport: self, server: server)
        self.exchange = exchange
        server.track(exchange)
        exchange.begin()
        if !frame.endStream { exchange.awaitRest() }
      }
      if frame.endStream { end() }
    case .data(let frame):
      if case .byteBuffer(let buffer) = frame.data, buffer.readableBytes > 0 { exchange?.receive(buffer) }
      if frame.endStream { end() }
    default: break
    }
  }

  private func end() {
    isRequestDone = true
    exchange?.receiveEnd()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    exchange?.writabilityChanged()
    context.fireChannelWritabilityChanged()
  }

  func read(context: ChannelHandlerContext) { if holdsReads { isReadPending = true } else { context.read() } }

  func channelInactive(context: ChannelHandlerContext) {
    exchange?.closed()
    exchange = nil
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

extension HTTP2Handler: ExchangeTransport {
  var isWritable: Bool { context?.channel.isWritable ?? false }

  func sendHead(status: Int, headers: [(String, String)], isEnd: Bool) {
    guard let context else { return }
    var fields = HPACKHeaders()
    fields.reserveCapacity(headers.count + 1)
    fields.add(name: ":status", value: String(status))
    for (name, value) in headers { fields.add(name: name, value: value) }
    isResponseDone = isEnd
    let payload = HTTP2Frame.FramePayload.headers(.init(headers: fields, endStream: isEnd))
    if isEnd {
      context.writeAndFlush(wrapOutboundOut(payload), promise: nil)
    } else {
      context.write(wrapOutboundOut(payload), promise: nil)
    }
  }

  func sendBody(_ buffer: ByteBuffer, isEnd: Bool, promise: EventLoopPromise<Void>?) {
    isResponseDone = isEnd
    context?.writeAndFlush(
      wrapOutboundOut(.data(.init(data: .byteBuffer(buffer), endStream: isEnd))), promise: promise)
  }

  func sendEnd() { sendBody(ByteBuffer(), isEnd: true, promise: nil) }

  func flush() { context?.flush() }

  func abort() { reset(.internalError) }

  func discardRest() {
    setReading(true)
    guard let context, isResponseDone, !isRequestDone else { return }
    // A reset at once would overtake the answer's last bytes, so the rest of the body is dropped for a while first.
    context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(2)) { [weak self] in
      guard let self, !isRequestDone else { return }
      reset(.noError)
    }
  }

  private func reset(_ code: HTTP2ErrorCode) { context?.writeAndFlush(wrapOutboundOut(.rstStream(code)), promise: nil) }

  func setReading(_ isReading: Bool) {
    holdsReads = !isReading
    if isReading, isReadPending {
      isReadPending = false
      context?.read()
    }
  }

  func switchProtocol(headers: [(String, String)], _ install: @escaping (any Channel) throws -> Void) -> Bool { false }
}

import NIOCore

/// Tells a client that speaks plain HTTP to a TLS listener what is wrong, before TLS would only hang up.
///
/// Source: Go's net/http, which answers the same five beginnings with the same words.
final class PlainHTTPRefusal: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private static let beginnings = ["GET /", "HEAD ", "POST ", "PUT /", "OPTIO"].map { Array($0.utf8) }
  private static let answer =
    "HTTP/1.0 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\r\n"
    + "Client sent an HTTP request to an HTTPS server.\n"

  private let lingerSeconds: Int
  private var received = ByteBuffer()
  private var isRefused = false

  init(lingerSeconds: Int) { self.lingerSeconds = lingerSeconds }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isRefused else { return }
    received.writeImmutableBuffer(unwrapInboundIn(data))
    let start = received.readableBytesView.prefix(5)
    if Self.beginnings.contains(where: { $0.elementsEqual(start) }) { return refuse(context) }
    // A beginning may come byte by byte; TLS never begins like one.
    if Self.beginnings.contains(where: { $0.starts(with: start) }) { return }
    context.fireChannelRead(wrapInboundOut(received))
    received = ByteBuffer()
    _ = context.pipeline.syncOperations.removeHandler(context: context)
  }

  private func refuse(_ context: ChannelHandlerContext) {
    isRefused = true
    received = ByteBuffer()
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: Self.answer)), promise: nil)
    // The rest of the request is dropped for a while: closing at once would reset the answer away.
    context.close(mode: .output, promise: nil)
    context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(Int64(lingerSeconds))) { context.close(promise: nil) }
  }
}

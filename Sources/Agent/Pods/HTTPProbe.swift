import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// One GET and the beginning of its answer. Follows no redirect by itself.
enum HTTPProbe {
  struct TimedOut: Error {}
  struct Closed: Error, CustomStringConvertible {
    var description: String { "EOF" }
  }

  struct Answer: Sendable {
    var status: Int
    /// Of a redirect; nil where it says none.
    var location: String?
    /// The beginning of what a redirect says; of other answers only the status matters.
    var body: String
  }

  /// Bytes of a body that are kept.
  private static let longestBody = 10_240

  static func get(_ url: ProbeURL, headers: HTTPHeaders, timeout: TimeAmount) async throws -> Answer {
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let answer = loop.makePromise(of: Answer.self)
    let timer = loop.scheduleTask(in: timeout) { answer.fail(TimedOut()) }
    // Upstream does not check the certificate of a probed container either.
    let context: NIOSSLContext? =
      if url.isTLS {
        try {
          var configuration = TLSConfiguration.makeClientConfiguration()
          configuration.certificateVerification = .none
          return try NIOSSLContext(configuration: configuration)
        }()
      } else {
        nil
      }
    let connecting = ClientBootstrap(group: loop).connectTimeout(timeout).channelInitializer { channel in
      channel.eventLoop.makeCompletedFuture {
        if let context {
          try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil))
        }
        try channel.pipeline.syncOperations.addHTTPClientHandlers()
        try channel.pipeline.syncOperations.addHandler(Reader(answer))
      }
    }.connect(host: url.host, port: url.port)
    connecting.whenFailure { answer.fail($0) }
    connecting.whenSuccess { channel in
      let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: url.path, headers: headers)
      channel.write(HTTPClientRequestPart.head(head), promise: nil)
      channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
      answer.futureResult.whenComplete { _ in channel.close(promise: nil) }
    }
    defer { timer.cancel() }
    return try await answer.futureResult.get()
  }

  private final class Reader: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    private let promise: EventLoopPromise<Answer>
    /// A redirect, until its body has come.
    private var answer: Answer?

    init(_ promise: EventLoopPromise<Answer>) { self.promise = promise }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head(let head) where head.status.code >= 200:
        let answer = Answer(status: Int(head.status.code), location: head.headers.first(name: "Location"), body: "")
        if (300..<400).contains(answer.status) { self.answer = answer } else { promise.succeed(answer) }
      case .head: break
      case .body(let bytes):
        guard let room = answer.map({ HTTPProbe.longestBody - $0.body.utf8.count }) else { return }
        answer?.body += String(decoding: bytes.readableBytesView.prefix(room), as: UTF8.self)
        if bytes.readableBytes >= room { finish() }
      case .end: finish()
      }
    }

    private func finish() {
      if let answer { promise.succeed(answer) }
    }

    func channelInactive(context: ChannelHandlerContext) {
      finish()
      promise.fail(Closed())
      context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      promise.fail(error)
      context.close(promise: nil)
    }
  }
}

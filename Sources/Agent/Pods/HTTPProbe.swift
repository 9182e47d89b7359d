import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// One GET whose status is all that matters. A redirect is an answer and is not followed.
enum HTTPProbe {
  struct TimedOut: Error {}
  struct Closed: Error, CustomStringConvertible {
    var description: String { "EOF" }
  }

  static func get(host: String, port: Int, isTLS: Bool, path: String, headers: HTTPHeaders, timeout: Double) async throws -> Int {
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let answer = loop.makePromise(of: Int.self)
    let milliseconds = Int64(timeout * 1000)
    let timer = loop.scheduleTask(in: .milliseconds(milliseconds)) { answer.fail(TimedOut()) }
    // Upstream does not check the certificate of a probed container either.
    let context: NIOSSLContext? =
      if isTLS {
        try {
          var configuration = TLSConfiguration.makeClientConfiguration()
          configuration.certificateVerification = .none
          return try NIOSSLContext(configuration: configuration)
        }()
      } else {
        nil
      }
    let connecting = ClientBootstrap(group: loop).connectTimeout(.milliseconds(milliseconds)).channelInitializer { channel in
      channel.eventLoop.makeCompletedFuture {
        if let context {
          try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil))
        }
        try channel.pipeline.syncOperations.addHTTPClientHandlers()
        try channel.pipeline.syncOperations.addHandler(Reader(answer))
      }
    }.connect(host: host, port: port)
    connecting.whenFailure { answer.fail($0) }
    connecting.whenSuccess { channel in
      let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: path, headers: headers)
      channel.write(HTTPClientRequestPart.head(head), promise: nil)
      channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
      answer.futureResult.whenComplete { _ in channel.close(promise: nil) }
    }
    defer { timer.cancel() }
    return try await answer.futureResult.get()
  }

  private final class Reader: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    let answer: EventLoopPromise<Int>
    init(_ answer: EventLoopPromise<Int>) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      if case .head(let head) = unwrapInboundIn(data), head.status.code >= 200 { answer.succeed(Int(head.status.code)) }
    }

    func channelInactive(context: ChannelHandlerContext) {
      answer.fail(Closed())
      context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      answer.fail(error)
      context.close(promise: nil)
    }
  }
}

import Agent
import NIOCore
import NIOHTTP1
import NIOPosix
import RPC
import Testing
import Wire

/// Requests of probes, against a server that answers by path.
@Suite("Probes by request", .timeLimit(.minutes(5)))
struct ProbeTests {
  @Test(
    "what a redirect leads to",
    arguments: [
      ("/b?x=1#f", "http://h:80/b?x=1"), ("b", "http://h:80/d/b"), ("../b/./c", "http://h:80/b/c"), ("..", "http://h:80/"),
      ("?q", "http://h:80/d/a?q"), ("http://h:81/x", "http://h:81/x"), ("https://other", "https://other:443/"),
      ("//o:1/p?q", "http://o:1/p?q"), ("http://[::1]:8080/x", "http://[::1]:8080/x"), ("http://u:p@h?q", "http://h:80/?q"),
      ("ftp://h/", nil), ("http://h:99999/", nil), ("http:///x", nil), ("", "http://h:80/d/a?old"),
    ] as [(String, String?)])
  func redirects(location: String, expected: String?) {
    let url = ProbeURL(isTLS: false, host: "h", port: 80, path: "/d/a?old")
    #expect(url.redirected(to: location)?.text == expected)
  }

  /// Answers `/STATUS` with it, `/to?X` with a redirect to X, `/hop/N` with one to `/hop/N+1`.
  private final class Server: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard case .head(let head) = unwrapInboundIn(data) else { return }
      let words = head.uri.split(separator: "/")
      var status = HTTPResponseStatus(statusCode: words.first.flatMap { Int($0) } ?? 302)
      var headers: HTTPHeaders = ["Connection": "close"]
      if head.uri.hasPrefix("/to?") { headers.add(name: "Location", value: String(head.uri.dropFirst(4))) }
      if words.first == "hop", let n = words.last.flatMap({ Int($0) }) { headers.add(name: "Location", value: "/hop/\(n + 1)") }
      if head.uri == "/hop/10" { status = .ok }
      context.write(wrapOutboundOut(.head(.init(version: .http1_1, status: status, headers: headers))), promise: nil)
      context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: "body")))), promise: nil)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
      context.close(promise: nil)
    }
  }

  @Test("redirects of one host are followed, ten requests at most; to another host they are an answer with a warning")
  func requests() async throws {
    let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).childChannelInitializer { channel in
      channel.eventLoop.makeCompletedFuture {
        try channel.pipeline.syncOperations.configureHTTPServerPipeline()
        try channel.pipeline.syncOperations.addHandler(Server())
      }
    }.bind(host: "127.0.0.1", port: 0).get()
    let port = try #require(server.localAddress?.port)
    let prober = Prober(
      cri: CRIClient(GRPCClient(.unix("/nonexistent"))), container: .emptyObject, containerID: "c", address: "127.0.0.1",
      release: "1.36")
    func ask(_ path: String, scheme: String = "HTTP", port: Int = port) async throws -> (succeeded: Bool, message: String) {
      let action: Value = [
        "httpGet": ["path": .string(path), "port": .int(Int64(port)), "scheme": .string(scheme)], "timeoutSeconds": 60,
      ]
      return await prober.run(try #require(ProbePlan(action)))
    }
    let base = "http://127.0.0.1:\(port)"
    for (path, expected) in [
      ("/200", (true, "")), ("/204", (true, "")), ("/500", (false, "HTTP probe failed with statuscode: 500")),
      ("/to?/200", (true, "")), ("/to?/500", (false, "HTTP probe failed with statuscode: 500")), ("/to?\(base)/to?200", (true, "")),
      ("/to?http://other.example/500", (true, "Probe terminated redirects, Response body: body")),
      ("/302", (true, "Probe terminated redirects, Response body: body")),
      ("/304", (true, "Probe terminated redirects, Response body: ")), ("/hop/1", (true, "")),
      ("/hop/0", (false, "Get \"\(base)/hop/10\": stopped after 10 redirects")),
      ("/to?ftp://x/", (false, "Get \"\(base)/to?ftp://x/\": failed to parse Location header \"ftp://x/\"")),
    ] {
      let outcome = try await ask(path)
      #expect(outcome == expected, "\(path)")
    }
    let mistaken = try await ask("/200", scheme: "HTTPS")
    #expect(
      mistaken == (false, "Get \"https://127.0.0.1:\(port)/200\": http: server gave HTTP response to HTTPS client"), "\(mistaken)")
    try await server.close()
    let refused = try await ask("/200", port: 1)
    #expect(refused == (false, "Get \"http://127.0.0.1:1/200\": dial tcp 127.0.0.1:1: connect: connection refused"), "\(refused)")
  }
}

import HTTP
import NIOCore
import NIOPosix
import Testing

@Suite(.timeLimit(.minutes(5))) struct ConnectionTests {
  @Test("requests sent ahead are answered in order on one connection")
  func pipelining() async throws {
    try await Server.with { server in
      let text =
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\noneGET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
      let answer = try await server.raw(text)
      #expect(answer.split(separator: "HTTP/1.1 ").map { $0.prefix(3) } == ["200", "404"])
      #expect(answer.contains("\r\n\r\noneHTTP/1.1 404"))
    }
  }

  @Test(
    "what is not HTTP is answered once and closed",
    arguments: ["hello\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /\u{1} HTTP/1.1\r\n\r\n"])
  func garbage(text: String) async throws {
    try await Server.with { server in
      let answer = try await server.raw(text)
      #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 400"), "\(answer)")
    }
  }

  @Test(
    "a length that makes no sense is refused in words",
    arguments: [
      ("content-length: -1", "invalid Content-Length"), ("content-length: 1\r\ncontent-length: 2", "more than one Content-Length"),
    ])
  func contentLength(header: String, why: String) async throws {
    try await Server.with { server in
      let answer = try await server.raw("POST /echo HTTP/1.1\r\nhost: x\r\n\(header)\r\n\r\nab")
      #expect(answer.hasPrefix("HTTP/1.1 400") && answer.contains(why), "\(answer)")
    }
  }

  @Test("a body that is refused is answered before it is sent, says that the connection ends, and does not reset it")
  func refusedBody() async throws {
    try await Server.with { server in
      // The whole answer is there, and the server has ended its side, while not a byte of the body was sent; then the body is taken.
      let answer = try await server.raw(
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 8000000\r\n\r\n", thenSend: [UInt8](repeating: 1, count: 8_000_000))
      #expect(answer.hasPrefix("HTTP/1.1 413") && answer.hasSuffix("bytes\n"), "\(answer)")
      #expect(answer.contains("connection: close"), "\(answer)")
    }
  }

  @Test("plain HTTP to the TLS port is told so", arguments: ["GET / HTTP/1.1\r\nhost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\n"])
  func plainHTTP(text: String) async throws {
    try await Server.with(tls: true) { server in
      let answer = try await server.raw(text)
      #expect(answer.hasPrefix("HTTP/1.0 400 Bad Request\r\n"), "\(answer)")
      #expect(answer.hasSuffix("\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"), "\(answer)")
    }
  }

  @Test("a target in absolute form is taken", arguments: ["http://x/echo", "HTTPS://x:1/echo", "http://x/echo?y"])
  func absoluteForm(target: String) async throws {
    try await Server.with { server in
      let answer = try await server.raw("POST \(target) HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nab")
      #expect(answer.hasPrefix("HTTP/1.1 200") && answer.hasSuffix("ab"), "\(answer)")
    }
  }

  @Test("a head that is too large is refused")
  func largeHead() async throws {
    try await Server.with { server in
      let answer = try await server.raw("GET / HTTP/1.1\r\nx: \(String(repeating: "y", count: 70_000))\r\n\r\n")
      #expect(answer.hasPrefix("HTTP/1.1 431"), "\(answer.prefix(80))")
    }
  }

  @Test("a client that does not finish its head, or says nothing, is left", arguments: ["", "GET / HTTP/1.1\r\nhost:"])
  func slow(text: String) async throws {
    var limits = HTTPLimits()
    limits.headSeconds = 1
    try await Server.with(limits: limits) { server in
      let answer = try await server.raw(text)
      #expect(answer == "")
    }
  }

  @Test("a client's certificate reaches the handler; one of a stranger does not get in")
  func certificates() async throws {
    try await Server.with(tls: true) { server in
      let alice = server.client(certificate: (TestPKI.client, TestPKI.clientKey))
      let nobody = server.client()
      let stranger = server.client(certificate: (TestPKI.stranger, TestPKI.strangerKey))
      defer { for client in [alice, nobody, stranger] { client.close() } }
      let (known, unknown) = (try await alice.request("GET", "/peer").text(), try await nobody.request("GET", "/peer").text())
      #expect(known != "0\n" && unknown == "0\n")
      await #expect(throws: (any Error).self) { try await stranger.request("GET", "/peer") }
    }
  }

  @Test("a new certificate serves new connections, the old ones live on")
  func reload() async throws {
    try await Server.with(tls: true) { server in
      let client = server.client(.http2)
      defer { client.close() }
      #expect(try await client.request("GET", "/peer").status == 200)
      try server.server.reload(ServerTLS(certificateChain: Array(TestPKI.second.utf8), privateKey: Array(TestPKI.secondKey.utf8)))
      #expect(try await client.request("GET", "/peer").status == 200)
      let other = server.client(.http2)
      defer { other.close() }
      #expect(try await other.request("GET", "/peer").status == 200)
      #expect(throws: HTTPServerError.self) {
        try server.server.reload(
          ServerTLS(certificateChain: Array(TestPKI.second.utf8), privateKey: Array(TestPKI.serverKey.utf8.dropLast(60))))
      }
    }
  }

  @Test("one address has no more connections than it may; a place that is left is another's", arguments: [false, true])
  func perAddress(tls: Bool) async throws {
    var limits = HTTPLimits()
    limits.connectionsPerAddress = 2
    try await Server.with(tls: tls, limits: limits) { server in
      let clients = (0..<3).map { _ in server.client() }
      defer { for client in clients { client.close() } }
      for client in clients[..<2] {
        let status = try await client.request("GET", "/peer").status
        #expect(status == 200)
      }
      await #expect(throws: (any Error).self) { try await clients[2].request("GET", "/peer") }
      clients[0].close()
      // The server sees that when it comes to it.
      while (try? await clients[2].request("GET", "/peer").status) != 200 {}
      let kept = try await clients[1].request("GET", "/peer").status
      #expect(kept == 200)
    }
  }

  @Test("a port in use is told with the way out")
  func portInUse() async throws {
    try await Server.with { server in
      let error = await #expect(throws: HTTPServerError.self) {
        _ = try await HTTPServer.start(
          .init(host: "127.0.0.1", port: server.server.port), handler: server.handler, group: server.group)
      }
      #expect(error == .portInUse(host: "127.0.0.1", port: server.server.port))
      #expect(error?.description.contains("--listen") == true)
    }
  }

  @Test("a WebSocket carries messages of any size both ways and says why it closes", arguments: [false, true])
  func webSocket(tls: Bool) async throws {
    try await Server.with(tls: tls) { server in
      let client = server.client(.http1)
      defer { client.close() }
      let socket = try await client.webSocket("/socket", subprotocols: ["other", "echo.v1"])
      #expect(socket.subprotocol == "echo.v1")
      var messages = socket.messages.makeAsyncIterator()
      for size in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
        try await socket.send([UInt8](repeating: 5, count: size))
        #expect(try await messages.next()?.readableBytes == size)
      }
      try await socket.send([1, 2, 3])
      #expect(try await messages.next() == nil)
      await #expect(throws: HTTPClientError.noUpgrade(status: 404)) { try await client.webSocket("/nothing") }
    }
  }
}

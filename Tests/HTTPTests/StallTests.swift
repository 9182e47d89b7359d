import HTTP
import NIOCore
import NIOPosix
import Testing

/// Clients that begin and do not go on: they cost themselves time, and nobody else a place.
@Suite(.timeLimit(.minutes(5))) struct StallTests {
  private static let post = "POST /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n"

  @Test("requests that never end take nobody's place")
  func places() async throws {
    var limits = HTTPLimits()
    limits.exchanges = 2
    try await Server.with(limits: limits) { server in
      var stalled: [RawConnection] = []
      for _ in 0..<5 {
        let connection = try await server.open(Self.post)
        // The server has seen the head.
        try await connection.waits { $0.contains("100 Continue") }
        stalled.append(connection)
      }
      let client = server.client()
      defer { client.close() }
      #expect(try await client.request("GET", "/peer").status == 200)
      for connection in stalled { connection.close() }
    }
    try await Server.with(http2: true, limits: limits) { server in
      let stalled = try await server.open(HTTP2Bytes.opening + (0..<5).flatMap { HTTP2Bytes.headers(stream: 2 * $0 + 1) })
      // Its answer says that everything before it was read.
      try await stalled.write(HTTP2Bytes.ping)
      try await stalled.waits { HTTP2Bytes.frames($0).contains { $0.type == 6 && $0.flags == 1 } }
      let client = server.client(.http2)
      defer { client.close() }
      #expect(try await client.request("GET", "/peer").status == 200)
      stalled.close()
    }
  }

  @Test(
    "a request that does not end in time is told so, whatever its route wants of a body",
    arguments: ["GET /nothing", "POST /echo", "PUT /count"])
  func rest(line: String) async throws {
    var limits = HTTPLimits()
    limits.bodySeconds = 1
    try await Server.with(limits: limits) { server in
      let answer = try await server.raw("\(line) HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc")
      #expect(answer.hasPrefix("HTTP/1.1 504"), "\(answer)")
    }
    try await Server.with(http2: true, limits: limits) { server in
      let connection = try await server.open(HTTP2Bytes.opening + HTTP2Bytes.headers(stream: 1))
      try await connection.waits { HTTP2Bytes.frames($0).contains { $0.type == 1 && $0.stream == 1 } }
      connection.close()
    }
  }

  @Test("an answer that its client does not take is given up", arguments: [HTTPClient.Version.http1, .http2])
  func unread(version: HTTPClient.Version) async throws {
    var limits = HTTPLimits()
    limits.writeSeconds = 1
    limits.exchanges = 1
    try await Server.with(tls: true, limits: limits) { server in
      var ended = server.handler.ended.makeAsyncIterator()
      let client = server.client(version)
      let other = server.client(version)
      defer { for client in [client, other] { client.close() } }
      let big = try await client.request("GET", "/big?100000000")
      #expect(await ended.next() == "/big")
      #expect(try await other.request("GET", "/peer").status == 200)
      await #expect(throws: (any Error).self) { for try await _ in big.body {} }
    }
  }

  @Test("large bodies that do not end leave room for small ones")
  func buffered() async throws {
    var limits = HTTPLimits()
    limits.bufferedBytes = 40_000
    limits.smallBodyBytes = 1_000
    try await Server.with(limits: limits) { server in
      let large = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 50000\r\n\r\n" + String(repeating: "x", count: 35_000)
      let refused = try await server.raw(large)
      #expect(refused.hasPrefix("HTTP/1.1 429"))
      let client = server.client()
      defer { client.close() }
      // What was refused, and what is whole, is given back.
      for size in [900, 25_000, 25_000] {
        let taken = try await client.request("POST", "/echo", body: [UInt8](repeating: 1, count: size))
        #expect(taken.status == 200)
      }
    }
  }

  @Test("health is told by a server that has all it can take")
  func health() async throws {
    var limits = HTTPLimits()
    limits.exchanges = 0
    try await Server.with(limits: limits) { server in
      let client = server.client()
      defer { client.close() }
      let (other, health) = (try await client.request("GET", "/peer"), try await client.request("GET", "/alive"))
      #expect(other.status == 429 && health.status == 200)
    }
  }

  @Test("pings whose pongs are not read cost one pong, not one each")
  func pings() async throws {
    try await Server.with { server in
      let connection = try await server.open(WebSocketBytes.opening("/socket"), reads: false)
      let count = 200_000
      var bytes: [UInt8] = []
      for i in 0..<count { bytes += WebSocketBytes.ping(i, of: 100) }
      // Taken by the server although nothing of its answers is.
      try await connection.write(bytes)
      let last = WebSocketBytes.ping(count - 1, of: 100).suffix(100)
      var received = 0
      var tail: [UInt8] = []
      connection.resume()
      while tail.suffix(100) != last {
        let piece = try await connection.next()
        received += piece.count
        tail = Array((tail + piece).suffix(100))
      }
      #expect(received < count * 102)
      connection.close()
    }
  }

  @Test("a WebSocket that is closed while its client reads nothing ends all the same")
  func closing() async throws {
    try await Server.with { server in
      var ended = server.handler.ended.makeAsyncIterator()
      let connection = try await server.open(WebSocketBytes.opening("/flood"), reads: false)
      #expect(await ended.next() == "/flood")
      connection.close()
    }
  }
}

/// Frames of HTTP/2 by hand, for what no client does.
private enum HTTP2Bytes {
  static let opening = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(type: 4, flags: 0, stream: 0, [])
  static let ping = frame(type: 6, flags: 0, stream: 0, [1, 2, 3, 4, 5, 6, 7, 8])

  /// `GET /` whose end is still to come.
  static func headers(stream: Int) -> [UInt8] { frame(type: 1, flags: 4, stream: stream, [0x82, 0x86, 0x84, 0x41, 1, 0x78]) }

  static func frame(type: UInt8, flags: UInt8, stream: Int, _ payload: [UInt8]) -> [UInt8] {
    [0, 0, UInt8(payload.count), type, flags, 0, 0, 0, UInt8(stream)] + payload
  }

  static func frames(_ bytes: [UInt8]) -> [(type: UInt8, flags: UInt8, stream: Int)] {
    var frames: [(type: UInt8, flags: UInt8, stream: Int)] = []
    var rest = bytes[...]
    while rest.count >= 9 {
      let head = Array(rest.prefix(9))
      frames.append((head[3], head[4], Int(head[8])))
      rest = rest.dropFirst(9 + Int(head[0]) << 16 + Int(head[1]) << 8 + Int(head[2]))
    }
    return frames
  }
}

private enum WebSocketBytes {
  static func opening(_ path: String) -> String {
    "GET \(path) HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
      + "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
  }

  /// A masked ping (by zeros) with a number in its payload.
  static func ping(_ number: Int, of size: Int) -> [UInt8] {
    let text = Array(String(number).utf8)
    return [0x89, 0x80 | UInt8(size), 0, 0, 0, 0] + [UInt8](repeating: 0x20, count: size - text.count) + text
  }
}

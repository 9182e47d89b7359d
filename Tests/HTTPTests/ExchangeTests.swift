import HTTP
import NIOCore
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(5))) struct ExchangeTests {
  static let versions: [(Bool, HTTPClient.Version)] = [(false, .http1), (true, .http1), (true, .http2)]

  @Test("bodies come back whole, in either version, with and without TLS", arguments: versions)
  func echo(tls: Bool, version: HTTPClient.Version) async throws {
    try await Server.with(tls: tls) { server in
      let client = server.client(version)
      defer { client.close() }
      for size in [0, 1, 4_000, 99_999] {
        let response = try await client.request("POST", "/echo", body: [UInt8](repeating: 9, count: size))
        #expect(response.status == 200)
        #expect(try await response.bytes().count == size)
      }
      #expect(server.server.statistics.connections == 1)
    }
  }

  @Test("one byte beyond the limit is refused, and the next request served", arguments: versions)
  func limit(tls: Bool, version: HTTPClient.Version) async throws {
    try await Server.with(tls: tls) { server in
      let client = server.client(version)
      defer { client.close() }
      let refused = try await client.request("POST", "/echo", body: [UInt8](repeating: 1, count: 100_001))
      let text = try await refused.text()
      #expect(refused.status == 413 && text.hasSuffix("bytes\n"))
      let taken = try await client.request("POST", "/echo", body: [UInt8](repeating: 1, count: 100_000))
      #expect(taken.status == 200)
    }
  }

  @Test("a streamed body and a streamed answer, larger than any buffer", arguments: versions)
  func streams(tls: Bool, version: HTTPClient.Version) async throws {
    try await Server.with(tls: tls) { server in
      let client = server.client(version)
      defer { client.close() }
      let counted = try await client.request("PUT", "/count", body: [UInt8](repeating: 1, count: 8 << 20))
      #expect(try await counted.text() == "\(8 << 20)\n")
      let big = try await client.request("GET", "/big?20000000")
      var count = 0
      for try await piece in big.body { count += piece.readableBytes }
      #expect(count == 20_000_000)
      #expect(try await client.request("GET", "/writer").bytes().count == 1_000_000)
      let head = try await client.request("HEAD", "/big?20000000")
      #expect(try await head.bytes().isEmpty)
    }
  }

  @Test("answers that are hard to make keep no other connection waiting, however fast they are taken", arguments: versions)
  func laborious(tls: Bool, version: HTTPClient.Version) async throws {
    try await Server.with(tls: tls) { server in
      // More than there are event loops, and new connections beside them.
      let busy = (0..<4).map { _ in server.client(version) }
      defer { for client in busy { client.close() } }
      var answers: [HTTPClient.Response] = []
      for client in busy { answers.append(try await client.request("GET", "/laborious")) }
      for _ in 0..<4 {
        let other = server.client(version)
        #expect(try await other.request("GET", "/alive").status == 200)
        other.close()
      }
      server.handler.isEnough.set()
      for answer in answers { #expect(!(try await answer.bytes().isEmpty)) }
    }
  }

  @Test("a stream without a byte is seen to have begun; leaving it ends it alone")
  func quiet() async throws {
    try await Server.with(tls: true) { server in
      let client = server.client(.http2)
      defer { client.close() }
      let kept = try await client.request("GET", "/quiet")
      for _ in 0..<600 { #expect(try await client.request("GET", "/quiet").status == 200) }
      #expect(try await client.request("POST", "/echo", body: [1]).status == 200)
      #expect(server.server.statistics.connections == 1)
      withExtendedLifetime(kept) {}
    }
  }

  @Test("requests beyond the limit are told to come back; long-lived ones do not count")
  func concurrency() async throws {
    var limits = HTTPLimits()
    limits.exchanges = 2
    try await Server.with(tls: true, limits: limits) { server in
      let client = server.client(.http2)
      defer { client.close() }
      let quiet = try await client.request("GET", "/quiet")
      try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 0..<3 { group.addTask { try await client.request("GET", "/hold").status } }
        // Two are held, so the first answer is the third's refusal.
        let first = try await group.next()
        #expect(first == 429)
        server.handler.release()
        for try await status in group { #expect(status == 200) }
      }
      withExtendedLifetime(quiet) {}
    }
  }

  @Test("a request that is not answered in time is told so")
  func answerDeadline() async throws {
    var limits = HTTPLimits()
    limits.answerSeconds = 1
    try await Server.with(limits: limits) { server in
      let client = server.client()
      defer { client.close() }
      let late = try await client.request("GET", "/hold")
      #expect(late.status == 504)
    }
  }

  @Test("a shutdown lets what runs finish")
  func drain() async throws {
    try await Server.with(tls: true) { server in
      let client = server.client(.http2)
      defer { client.close() }
      async let held = client.request("GET", "/hold")
      let quiet = try await client.request("GET", "/quiet")
      while server.handler.held.withLock({ $0.isEmpty }) { await Task.yield() }
      async let end: Void = server.server.shutdown(within: .seconds(5))
      // The long-lived one is ended properly.
      for try await _ in quiet.body {}
      server.handler.release()
      #expect(try await held.text() == "released\n")
      await end
      await #expect(throws: (any Error).self) { try await client.request("GET", "/echo") }
    }
  }
}

import Glibc
import Logging
import NIOCore
import NIOPosix
import Testing

import Network

/// The server on real sockets of the loopback interface, and the codec against hostile bytes.
@Suite struct DNSServerTests {
  static func query(_ name: String, type: DNSMessage.RecordType, id: UInt16 = 0x1234, edns: UInt16? = nil) -> [UInt8] {
    var bytes: [UInt8] = [UInt8(id >> 8), UInt8(truncatingIfNeeded: id), 1, 0, 0, 1, 0, 0, 0, 0, 0, edns == nil ? 0 : 1]
    for label in name.split(separator: ".") { bytes += [UInt8(label.utf8.count)] + Array(label.utf8) }
    bytes += [0, 0, UInt8(type.rawValue), 0, 1]
    if let edns { bytes += [0, 0, 41, UInt8(edns >> 8), UInt8(truncatingIfNeeded: edns), 0, 0, 0, 0, 0, 0] }
    return bytes
  }

  /// Asks over UDP with a plain blocking socket, as a resolver in a container does.
  static func ask(_ query: [UInt8], port: Int) async -> [UInt8] {
    await withCheckedContinuation { continuation in
      NIOSingletons.posixBlockingThreadPool.submit { _ in
        let socket = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(socket) }
        var timeout = timeval()
        timeout.tv_sec = 5
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
        _ = withUnsafePointer(to: &address) {
          $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            sendto(socket, query, query.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
          }
        }
        var answer = [UInt8](repeating: 0, count: 4096)
        let count = recv(socket, &answer, answer.count, 0)
        continuation.resume(returning: Array(answer.prefix(max(0, count))))
      }
    }
  }

  /// - Parameters:
  ///   - ports: of the upstreams, where they are not at 53.
  ///   - patient: nobody is given up within an hour.
  static func withServer(
    upstreams: [String] = [], ports: [Int] = [], zone: DNSZone = DNSZoneTests.zone(), patient: Bool = false,
    _ body: (DNSServer) async throws -> Void
  ) async throws {
    let store = DNSZoneStore(domain: "cluster.local")
    store.update { $0 = zone }
    let targets = try upstreams.enumerated().map {
      try SocketAddress(ipAddress: $0.element, port: ports.isEmpty ? 53 : ports[$0.offset])
    }
    var limits = DNSServer.Limits()
    if patient { (limits.tcpIdle, limits.upstream) = (.hours(1), .hours(1)) }
    let server = try await DNSServer.start(
      address: "127.0.0.1", zone: store, upstreams: targets, limits: limits, group: NIOSingletons.posixEventLoopGroup,
      logger: Logger(label: "test"))
    do { try await body(server) } catch {
      await server.stop()
      throw error
    }
    await server.stop()
  }

  @Test("UDP: an address, with the query's id and question")
  func overUDP() async throws {
    try await Self.withServer { server in
      let port = try #require(server.port)
      let answer = await Self.ask(Self.query("web.default.svc.cluster.local", type: .a, edns: 1232), port: port)
      #expect(answer.prefix(4) == [0x12, 0x34, 0x85, 0x80])
      #expect(Array(answer[4..<12]) == [0, 1, 0, 1, 0, 0, 0, 1], "one question, one answer, the OPT record")
      #expect(answer.dropLast(11).suffix(4) == [10, 96, 0, 20])
    }
  }

  @Test("a name of nobody's, without upstreams, is a server failure and not silence")
  func noUpstream() async throws {
    try await Self.withServer { server in
      let port = try #require(server.port)
      let answer = await Self.ask(Self.query("example.org", type: .a), port: port)
      #expect(answer.count > 12)
      #expect(answer[3] & 15 == DNSMessage.ResponseCode.serverFailure.rawValue)
    }
  }

  /// A zone with a headless service `many` of two hundred endpoints.
  static func large() -> DNSZone {
    var zone = DNSZone(domain: "cluster.local")
    zone.set(.init(namespace: "default", name: "many", clusterIPs: [], ports: []))
    let endpoints = (0..<200).map { DNSZone.Endpoint(address: "10.42.\($0 / 100).\($0 % 100 + 1)", isReady: true, ports: []) }
    zone.set(endpoints, ofService: "many", namespace: "default", slice: "s")
    return zone
  }

  @Test(
    "an answer that cannot be sent is lost alone: others are answered after it", .enabled(if: geteuid() == 0, "needs raw sockets"))
  func undeliverable() async throws {
    try await Self.withServer { server in
      let port = try #require(server.port)
      let query = Self.query("web.default.svc.cluster.local", type: .a)
      // From port 0: the kernel refuses to answer there.
      let raw = socket(AF_INET, Int32(SOCK_RAW.rawValue), Int32(IPPROTO_UDP))
      try #require(raw >= 0)
      defer { close(raw) }
      let length = UInt16(8 + query.count)
      let datagram =
        [0, 0, UInt8(port >> 8), UInt8(truncatingIfNeeded: port), UInt8(length >> 8), UInt8(truncatingIfNeeded: length), 0, 0]
        + query
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
      for _ in 0..<3 {
        let sent = withUnsafePointer(to: &address) {
          $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            sendto(raw, datagram, datagram.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
          }
        }
        try #require(sent == datagram.count)
        #expect(await Self.ask(query, port: port).suffix(4) == [10, 96, 0, 20])
      }
    }
  }

  @Test("TCP: a few connections of a client are served, one more is closed; one that ends makes room")
  func connections() async throws {
    try await Self.withServer(patient: true) { server in
      let port = try #require(server.tcpPort)
      let query = Self.query("web.default.svc.cluster.local", type: .a)
      var clients: [TCPClient] = []
      for _ in 0..<32 {
        clients.append(try await TCPClient(port: port))
        #expect(try await clients.last?.ask([query], answers: 1).first?.suffix(4) == [10, 96, 0, 20])
      }
      let surplus = try await TCPClient(port: port)
      #expect(try await surplus.ask([query], answers: 1) == [])
      clients.removeLast().close()
      // The server hears of the end when it hears of it.
      var answers: [[UInt8]] = []
      while answers.isEmpty {
        let again = try await TCPClient(port: port)
        answers = try await again.ask([query], answers: 1)
        again.close()
      }
      for client in clients { client.close() }
      surplus.close()
    }
  }

  @Test("TCP: a client that asks and does not read is not read either, and gets every answer when it does")
  func slowReader() async throws {
    try await Self.withServer { server in
      let client = try await TCPClient(port: try #require(server.tcpPort))
      defer { client.close() }
      let query = Self.query("web.default.svc.cluster.local", type: .a)
      let framed = [0, UInt8(query.count)] + query
      let most = 64 << 20
      let sent = try await client.send(Array(repeatElement(framed, count: 1000).joined()), upTo: most)
      #expect(sent < most, "the server took everything in")
      let answers = try await client.read(sent / framed.count)
      #expect(answers.count == sent / framed.count && answers.allSatisfy { $0.suffix(4) == [10, 96, 0, 20] })
    }
  }

  @Test("a truncated answer says so and leads to TCP; many endpoints fit there")
  func truncation() throws {
    let zone = Self.large()
    let query = try DNSMessage(Self.query("many.default.svc.cluster.local", type: .a))
    let question = try #require(query.question)
    let response = try #require(zone.answer(question))
    let small = response.encode(for: query, limit: query.udpSize)
    #expect(small.count <= 512)
    #expect(small[2] & 2 == 2)
    let few = try DNSMessage.answers(in: small)
    #expect(few.records == Array(response.answers.prefix(few.records.count)) && few.records.count == 29, "as many as fit")
    let withEDNS = try DNSMessage(Self.query("many.default.svc.cluster.local", type: .a, edns: 1232))
    let more = response.encode(for: withEDNS, limit: withEDNS.udpSize)
    #expect(more.count <= 1232 && more.suffix(11).starts(with: [0, 0, 41]))
    #expect(try DNSMessage.answers(in: more).records.count == 73)
    let large = response.encode(for: query, limit: 65535)
    #expect(large[2] & 2 == 0)
    #expect(Int(large[6]) << 8 | Int(large[7]) == 200)
  }

  @Test("hostile packets end in an error, never in a trap", arguments: 0..<200)
  func fuzz(seed: UInt64) {
    var random = SplitMix(state: seed)
    let valid = Self.query("web.default.svc.cluster.local", type: .srv, edns: 4096)
    for _ in 0..<200 {
      var bytes = valid
      for _ in 0..<Int.random(in: 1...8, using: &random) {
        switch Int.random(in: 0..<3, using: &random) {
        case 0: bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: .min ... .max, using: &random)
        case 1 where bytes.count > 1: bytes.removeLast(Int.random(in: 1..<bytes.count, using: &random))
        default: bytes += (0..<Int.random(in: 1..<20, using: &random)).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        }
      }
      _ = try? DNSMessage.answers(in: bytes)
      if let query = try? DNSMessage(bytes), let question = query.question {
        let response = DNSZoneTests.zone().answer(question) ?? DNSResponse(code: .serverFailure)
        #expect(response.encode(for: query, limit: query.udpSize).count <= max(512, query.udpSize))
      }
    }
  }

  @Test("a pointer that leads forward or to itself is refused")
  func pointerLoops() {
    let header: [UInt8] = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    #expect(throws: DNSMessage.Malformed.self) { try DNSMessage(header + [0xc0, 12, 0, 1, 0, 1]) }
    #expect(throws: DNSMessage.Malformed.self) { try DNSMessage(header + [0xc0, 40, 0, 1, 0, 1]) }
  }

  @Test("the host's resolvers, without the address that leads back here")
  func resolvConf() {
    let text = "# comment\nsearch example.org\nnameserver 10.96.0.10\nnameserver\t9.9.9.9\noptions ndots:5\n"
    #expect(DNSServer.resolvers(inResolvConf: text, excluding: ["10.96.0.10"]).map(\.ipAddress) == ["9.9.9.9"])
  }
}

/// A DNS client over TCP, on a blocking socket as resolvers in containers have it.
struct TCPClient: Sendable {
  private let socket: Int32

  init(port: Int) async throws {
    socket = try await NIOSingletons.posixBlockingThreadPool.runIfActive {
      let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = UInt16(port).bigEndian
      inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
      let connected = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
      try #require(connected == 0)
      return socket
    }
  }

  /// Sends queries in one go, and reads so many answers, fewer where the server closes.
  func ask(_ queries: [[UInt8]], answers: Int) async throws -> [[UInt8]] {
    let bytes = queries.flatMap { [UInt8($0.count >> 8), UInt8(truncatingIfNeeded: $0.count)] + $0 }
    _ = try await send(bytes, upTo: bytes.count)
    return try await read(answers)
  }

  /// Repeats these bytes until so many are sent or the server has taken none for a second.
  /// - Returns: how many were sent.
  func send(_ bytes: [UInt8], upTo count: Int) async throws -> Int {
    try await NIOSingletons.posixBlockingThreadPool.runIfActive {
      var timeout = timeval(tv_sec: 1, tv_usec: 0)
      setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
      var sent = 0
      while sent < count {
        let start = sent % bytes.count
        let written = bytes.withUnsafeBytes {
          Glibc.send(socket, $0.baseAddress.map { $0 + start }, bytes.count - start, Int32(MSG_NOSIGNAL))
        }
        guard written > 0 else { break }
        sent += written
      }
      return sent
    }
  }

  func read(_ count: Int) async throws -> [[UInt8]] {
    try await NIOSingletons.posixBlockingThreadPool.runIfActive {
      var (buffer, answers, start) = ([UInt8](), [[UInt8]](), 0)
      var chunk = [UInt8](repeating: 0, count: 65536)
      while answers.count < count {
        let received = recv(socket, &chunk, chunk.count, 0)
        guard received > 0 else { break }
        buffer += chunk[..<received]
        while buffer.count - start >= 2 {
          let length = Int(buffer[start]) << 8 | Int(buffer[start + 1])
          guard buffer.count - start >= 2 + length else { break }
          answers.append(Array(buffer[(start + 2)..<(start + 2 + length)]))
          start += 2 + length
        }
        buffer.removeFirst(start)
        start = 0
      }
      return answers
    }
  }

  func close() { Glibc.close(socket) }
}

struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

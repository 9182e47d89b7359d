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

  static func withServer(upstreams: [String] = [], _ body: (DNSServer, Int) async throws -> Void) async throws {
    let store = DNSZoneStore(domain: "cluster.local")
    store.update { $0 = DNSZoneTests.zone() }
    let server = try await DNSServer.start(
      addresses: ["127.0.0.1"], port: 0, zone: store, upstreams: upstreams, group: NIOSingletons.posixEventLoopGroup,
      logger: Logger(label: "test"))
    do { try await body(server, try #require(server.port)) } catch {
      await server.stop()
      throw error
    }
    await server.stop()
  }

  @Test("UDP: an address, with the query's id and question")
  func overUDP() async throws {
    try await Self.withServer { _, port in
      let answer = await Self.ask(Self.query("web.default.svc.cluster.local", type: .a, edns: 1232), port: port)
      #expect(answer.prefix(4) == [0x12, 0x34, 0x85, 0x80])
      #expect(Array(answer[4..<12]) == [0, 1, 0, 1, 0, 0, 0, 1], "one question, one answer, the OPT record")
      #expect(answer.dropLast(11).suffix(4) == [10, 96, 0, 20])
    }
  }

  @Test("a name of nobody's, without upstreams, is a server failure and not silence")
  func noUpstream() async throws {
    try await Self.withServer { _, port in
      let answer = await Self.ask(Self.query("example.org", type: .a), port: port)
      #expect(answer.count > 12)
      #expect(answer[3] & 15 == DNSMessage.ResponseCode.serverFailure.rawValue)
    }
  }

  @Test("a truncated answer says so and leads to TCP; many endpoints fit there")
  func truncation() throws {
    var zone = DNSZone(domain: "cluster.local")
    zone.set(.init(namespace: "default", name: "many", clusterIPs: [], ports: []))
    let endpoints = (0..<200).map { DNSZone.Endpoint(address: "10.42.\($0 / 100).\($0 % 100 + 1)", isReady: true, ports: []) }
    zone.set(endpoints, ofService: "many", namespace: "default", slice: "s")
    let query = try DNSMessage(Self.query("many.default.svc.cluster.local", type: .a))
    let question = try #require(query.question)
    let response = try #require(zone.answer(question))
    let small = response.encode(for: query, limit: query.udpSize)
    #expect(small.count <= 512)
    #expect(small[2] & 2 == 2)
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
    #expect(DNSServer.resolvers(inResolvConf: text, excluding: ["10.96.0.10"]) == ["9.9.9.9"])
  }
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

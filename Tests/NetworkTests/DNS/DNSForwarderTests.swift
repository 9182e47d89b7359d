import Logging
import NIOPosix
import Network
import Testing

#if canImport(Glibc)
  import Glibc
#endif

@Suite("DNS forwarding", .enabled(if: Command.find("busybox") != nil, "needs busybox"))
struct DNSForwarderTests {
  /// The kernel refuses at once to send to the broadcast address, as it does where there is no route.
  @Test("an upstream that cannot be reached is a quick refusal, not silence, every time")
  func unreachable() async throws {
    let server = try await DNSServer.start(
      addresses: ["127.0.0.1"], port: 0, zone: DNSZoneStore(domain: "cluster.local"), upstreams: ["255.255.255.255"],
      group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "test"))
    let port = try #require(server.port)
    for _ in 0..<3 {
      let start = ContinuousClock.now
      // The answer's third and fourth byte: a response, code 2 (SERVFAIL).
      let query =
        #"printf '\013\064\001\000\000\001\000\000\000\000\000\000\007example\003org\000\000\001\000\001' >&3; head -c 4 <&3 | od -An -tx1"#
      let answer = try await Command().run("timeout", "5", "bash", "-c", "exec 3<>/dev/udp/127.0.0.1/\(port); \(query)")
      #expect(answer.trimmed.hasPrefix("0b 34 8") && answer.trimmed.hasSuffix("2"), "\(answer)")
      #expect(ContinuousClock.now - start < .seconds(4), "it waited for a server that cannot be reached")
    }
    await server.stop()
  }
}

import Logging
import NIOCore
import NIOPosix
import Network
import Synchronization
import Testing

/// Names of others: the server on real sockets, and upstreams that are made here.
@Suite("DNS forwarding") struct DNSForwarderTests {
  /// The kernel refuses at once to send to the broadcast address, as it does where there is no route.
  @Test("an upstream that cannot be reached is a refusal, not silence, every time")
  func unreachable() async throws {
    try await DNSServerTests.withServer(upstreams: ["255.255.255.255"]) { server in
      for _ in 0..<3 {
        let answer = await DNSServerTests.ask(DNSServerTests.query("example.org", type: .a), port: try #require(server.port))
        #expect(answer.prefix(2) == [0x12, 0x34] && answer[3] & 15 == DNSMessage.ResponseCode.serverFailure.rawValue, "\(answer)")
      }
    }
  }

  @Test("the upstream that answered last is asked first: one that is silent delays one query, not all")
  func preference() async throws {
    let (silent, answering) = (try await UDPUpstream(answers: false), try await UDPUpstream(answers: true))
    try await DNSServerTests.withServer(upstreams: ["127.0.0.1", "127.0.0.1"], ports: [silent.port, answering.port]) { server in
      for _ in 0..<4 {
        let answer = await DNSServerTests.ask(DNSServerTests.query("example.org", type: .a), port: try #require(server.port))
        #expect(answer.count > 12 && answer[3] & 15 == 0, "\(answer)")
      }
    }
    #expect(silent.asked == 1 && answering.asked == 4)
    for upstream in [silent, answering] { try await upstream.close() }
  }

  @Test("however much one client asks over TCP, few connections to upstreams are open; every query is answered")
  func limits() async throws {
    let upstream = try await TCPUpstream()
    try await DNSServerTests.withServer(upstreams: ["127.0.0.1"], ports: [upstream.port], patient: true) { server in
      let port = try #require(server.tcpPort)
      let queries = (0..<8).flatMap { id in
        let query = DNSServerTests.query("example.org", type: .a, id: UInt16(id))
        return [0, UInt8(query.count)] + query
      }
      func client() async throws -> TCPClient {
        let client = try await TCPClient(port: port)
        _ = try await client.send(queries, upTo: queries.count)
        return client
      }
      func isRefused(_ client: TCPClient) async throws -> Bool {
        let answers = try await client.read(8)
        client.close()
        return answers.count == 8 && answers.allSatisfy { $0.count >= 12 && $0[3] & 15 == 2 }
      }
      // Two connections of the client have all that it may have; a third and a fourth are told at once.
      let (first, second) = (try await client(), try await client())
      await upstream.waits(for: 16)
      for _ in 0..<2 { #expect(try await isRefused(try await client())) }
      #expect(upstream.opened == 16)
      upstream.hangUp()
      for client in [first, second] { #expect(try await isRefused(client)) }
    }
    try await upstream.close()
  }
}

/// An upstream over UDP that says "no such data" to everything, or nothing.
private final class UDPUpstream: Sendable {
  private let channel: any Channel
  private let counter: Counter

  var port: Int { channel.localAddress?.port ?? 0 }
  var asked: Int { counter.value }

  init(answers: Bool) async throws {
    let counter = Counter()
    self.counter = counter
    channel = try await DatagramBootstrap(group: NIOSingletons.posixEventLoopGroup)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Handler(counter, answers: answers))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
  }

  func close() async throws { try await channel.close() }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>
    private let counter: Counter
    private let answers: Bool

    init(_ counter: Counter, answers: Bool) {
      self.counter = counter
      self.answers = answers
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      var envelope = unwrapInboundIn(data)
      counter.add(1)
      guard answers else { return }
      envelope.data.setInteger(UInt8(0x81), at: envelope.data.readerIndex + 2)
      context.writeAndFlush(wrapOutboundOut(envelope), promise: nil)
    }
  }
}

/// An upstream over TCP that takes connections and says nothing.
private final class TCPUpstream: Sendable {
  private final class Taken: Sendable {
    private let channels = Mutex<[any Channel]>([])
    private let (counts, change) = AsyncStream.makeStream(of: Int.self)

    var all: [any Channel] { channels.withLock { $0 } }

    func add(_ channel: any Channel) {
      change.yield(
        channels.withLock {
          $0.append(channel)
          return $0.count
        })
    }

    func waits(for count: Int) async { for await now in counts where now >= count { return } }
  }

  private let listener: any Channel
  private let taken: Taken

  var port: Int { listener.localAddress?.port ?? 0 }
  var opened: Int { taken.all.count }

  init() async throws {
    let taken = Taken()
    self.taken = taken
    listener = try await ServerBootstrap(group: NIOSingletons.posixEventLoopGroup)
      .childChannelInitializer { channel in
        taken.add(channel)
        return channel.eventLoop.makeSucceededVoidFuture()
      }
      .bind(host: "127.0.0.1", port: 0).get()
  }

  func waits(for count: Int) async { await taken.waits(for: count) }
  func hangUp() { for channel in taken.all { channel.close(promise: nil) } }
  func close() async throws { try await listener.close() }
}

private final class Counter: Sendable {
  private let state = Mutex(0)
  var value: Int { state.withLock { $0 } }
  func add(_ count: Int) { state.withLock { $0 += count } }
}

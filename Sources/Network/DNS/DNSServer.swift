import Logging
import NIOCore
import NIOPosix

/// Answers DNS on a node: the cluster's names from a ``DNSZoneStore``, everything else by asking the host's resolvers.
///
/// In: UDP and TCP queries.
/// Out: answers, at once where the query was received (a queue for UDP, event loops for TCP).
/// Never: recurses itself, keeps a cache, waits without a limit, or lets one client have all there is.
package final class DNSServer: Sendable {
  /// How long a TCP connection may say and be told nothing, and how long an upstream may think.
  package struct Limits: Sendable {
    package var tcpIdle = TimeAmount.seconds(30)
    package var upstream = TimeAmount.seconds(2)
    package init() {}
  }

  /// TCP connections: more are closed at once.
  static let connectionsPerClient = 32
  static let connections = 256

  private let udp: DatagramSocket
  private let tcp: any Channel
  private let forwarder: DNSForwarder

  private init(udp: DatagramSocket, tcp: any Channel, forwarder: DNSForwarder) {
    self.udp = udp
    self.tcp = tcp
    self.forwarder = forwarder
  }

  /// Binds UDP and TCP of an address, each on a free port: what leads port 53 to them is others' (``NodeTable``).
  /// - Parameters:
  ///   - upstreams: resolvers for names outside of the cluster, in the order in which they are asked; see ``resolvers(inResolvConf:excluding:)``.
  /// - Throws: the bind's error where the address is not on this machine.
  package static func start(
    address: String, zone: DNSZoneStore, upstreams: [SocketAddress], limits: Limits = Limits(), group: any EventLoopGroup,
    logger: Logger
  ) async throws -> DNSServer {
    let forwarder = DNSForwarder(upstreams: upstreams, timeout: limits.upstream)
    let budget = ClientBudget(perClient: connectionsPerClient, total: connections)
    let udp = try DatagramSocket(bind: SocketAddress(ipAddress: address, port: 0)) { socket, bytes, client in
      switch DNSAction(bytes, zone: zone, limit: \.udpSize) {
      case .ignore: break
      case .answer(let answer): socket.send(answer, to: client)
      case .forward(let query, let finish):
        forwarder.ask(query, for: client.address, overTCP: false, on: group.any()).whenComplete { result in
          socket.send(finish(try? result.get()), to: client)
        }
      }
    }
    do {
      let tcp = try await ServerBootstrap(group: group)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandlers([
              IdleStateHandler(allTimeout: limits.tcpIdle), ByteToMessageHandler(DNSFrameDecoder()),
              StreamHandler(zone: zone, forwarder: forwarder, budget: budget),
            ])
          }
        }
        .bind(host: address, port: 0).get()
      logger.info(
        "dns serving",
        metadata: [
          "address": "\(address)", "udp": "\(udp.localAddress?.port ?? 0)", "tcp": "\(tcp.localAddress?.port ?? 0)",
          "upstreams": "\(upstreams.compactMap(\.ipAddress))",
        ])
      return DNSServer(udp: udp, tcp: tcp, forwarder: forwarder)
    } catch {
      udp.stop()
      forwarder.stop()
      throw error
    }
  }

  /// The ports that were free.
  package var port: Int? { udp.localAddress?.port }
  package var tcpPort: Int? { tcp.localAddress?.port }

  package func stop() async {
    udp.stop()
    try? await tcp.close()
    forwarder.stop()
  }

  /// The `nameserver` lines of the host's resolv.conf, without those that lead back here and those that are no addresses.
  package static func resolvers(inResolvConf text: String, excluding own: [String]) -> [SocketAddress] {
    text.split(separator: "\n").compactMap { line in
      let words = line.split(whereSeparator: \.isWhitespace)
      guard words.count >= 2, words[0] == "nameserver", !own.contains(String(words[1])) else { return nil }
      return try? SocketAddress(ipAddress: String(words[1]), port: 53)
    }
  }
}

/// What is to be done with one query: answer now, or ask an upstream.
enum DNSAction {
  case answer([UInt8])
  /// - Parameters:
  ///   - query: what the upstream is asked.
  ///   - finish: what is sent back; its parameter is the upstream's answer, nil where none came.
  case forward(query: [UInt8], finish: @Sendable ([UInt8]?) -> [UInt8])
  case ignore

  init(_ bytes: [UInt8], zone: DNSZoneStore, limit: (DNSMessage) -> Int) {
    guard let query = try? DNSMessage(bytes) else {
      self = .ignore
      return
    }
    guard !query.isResponse else {
      self = .ignore
      return
    }
    let limit = limit(query)
    guard query.operation == 0 else {
      self = .answer(DNSResponse(code: .notImplemented, isAuthoritative: false).encode(for: query, limit: limit))
      return
    }
    guard let question = query.question, question.recordClass == 1 || question.recordClass == 255 else {
      self = .answer(
        DNSResponse(code: query.question == nil ? .formatError : .refused, isAuthoritative: false).encode(for: query, limit: limit))
      return
    }
    guard var response = zone.answer(question) else {
      self = .forward(query: bytes) {
        $0 ?? DNSResponse(code: .serverFailure, isAuthoritative: false).encode(for: query, limit: 512)
      }
      return
    }
    guard let continuation = response.continuation else {
      response.rotate(by: Int(query.id))
      self = .answer(response.encode(for: query, limit: limit))
      return
    }
    self = .forward(query: DNSMessage.query(continuation, id: query.id)) { [response] answer in
      var response = response
      if let answer, let rest = try? DNSMessage.answers(in: answer) {
        response.answers += rest.records
        response.isTruncated = rest.isTruncated
        response.code = DNSMessage.ResponseCode(rawValue: rest.code) ?? .serverFailure
      } else {
        response.code = .serverFailure
      }
      return response.encode(for: query, limit: limit)
    }
  }
}

/// Messages over TCP: two bytes of length, then the message.
struct DNSFrameDecoder: ByteToMessageDecoder {
  typealias InboundOut = ByteBuffer

  mutating func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
    guard let frame = buffer.readLengthPrefixedSlice(as: UInt16.self) else { return .needMoreData }
    context.fireChannelRead(wrapInboundOut(frame))
    return .continue
  }

  mutating func decodeLast(context: ChannelHandlerContext, buffer: inout ByteBuffer, seenEOF: Bool) throws -> DecodingState {
    try decode(context: context, buffer: &buffer)
  }

  static func frame(_ message: [UInt8]) -> ByteBuffer {
    var buffer = ByteBuffer()
    buffer.writeInteger(UInt16(truncatingIfNeeded: message.count))
    buffer.writeBytes(message)
    return buffer
  }
}

/// One TCP connection. It is read no faster than it is answered: a client that asks and does not read what it is told, or asks much
/// that others must be asked, waits.
private final class StreamHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// Queries of one connection that upstreams are being asked.
  private static let maximumUnderWay = 8

  private let zone: DNSZoneStore
  private let forwarder: DNSForwarder
  private let budget: ClientBudget
  private var client: SocketAddress?
  private var isCounted = false
  /// Read and not yet looked at: what came in one piece.
  private var waiting = CircularBuffer<ByteBuffer>()
  private var underWay = 0
  private var isWorking = false
  private var wantsRead = false

  init(zone: DNSZoneStore, forwarder: DNSForwarder, budget: ClientBudget) {
    self.zone = zone
    self.forwarder = forwarder
    self.budget = budget
  }

  func channelActive(context: ChannelHandlerContext) {
    client = context.remoteAddress
    isCounted = budget.take(client)
    if !isCounted { context.close(promise: nil) }
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    if isCounted { budget.give(client) }
    isCounted = false
    waiting.removeAll()
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard isCounted else { return }
    waiting.append(unwrapInboundIn(data))
    work(context)
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    work(context)
    context.fireChannelWritabilityChanged()
  }

  func read(context: ChannelHandlerContext) {
    if waiting.isEmpty, mayAnswer(context) { context.read() } else { wantsRead = true }
  }

  private func mayAnswer(_ context: ChannelHandlerContext) -> Bool {
    underWay < Self.maximumUnderWay && context.channel.isWritable
  }

  private func work(_ context: ChannelHandlerContext) {
    // Flushing tells of writability, which comes back here: the loop sees it, and nothing nests.
    guard !isWorking else { return }
    isWorking = true
    defer { isWorking = false }
    repeat {
      while mayAnswer(context), let next = waiting.popFirst() { answer(Array(buffer: next), context) }
      context.flush()
    } while !waiting.isEmpty && mayAnswer(context)
    if waiting.isEmpty, wantsRead, mayAnswer(context) {
      wantsRead = false
      context.read()
    }
  }

  private func answer(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
    switch DNSAction(bytes, zone: zone, limit: { _ in Int(UInt16.max) }) {
    case .ignore: context.close(promise: nil)
    case .answer(let answer): context.write(wrapOutboundOut(DNSFrameDecoder.frame(answer)), promise: nil)
    case .forward(let query, let finish):
      underWay += 1
      let own = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
      forwarder.ask(query, for: client, overTCP: true, on: context.eventLoop).whenComplete { result in
        let (handler, context) = own.value
        handler.underWay -= 1
        context.write(handler.wrapOutboundOut(DNSFrameDecoder.frame(finish(try? result.get()))), promise: nil)
        handler.work(context)
      }
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is IdleStateHandler.IdleStateEvent {
      context.close(promise: nil)
    } else {
      context.fireUserInboundEventTriggered(event)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

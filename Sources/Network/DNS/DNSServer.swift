import Logging
import NIOCore
import NIOPosix

/// Answers DNS on a node: the cluster's names from a ``DNSZoneStore``, everything else by asking the host's resolvers.
///
/// In: UDP and TCP queries on the cluster's DNS address.
/// Out: answers, inside the event loop that received the query.
/// Never: recurses itself, keeps a cache, or waits without a limit.
package final class DNSServer: Sendable {
  /// Messages over TCP that one connection may have under way, and seconds that it may be idle.
  static let tcpIdle = TimeAmount.seconds(30)

  private let channels: [any Channel]
  private let forwarder: DNSForwarder

  private init(channels: [any Channel], forwarder: DNSForwarder) {
    self.channels = channels
    self.forwarder = forwarder
  }

  /// Binds UDP and TCP on every address.
  /// - Parameters:
  ///   - upstreams: resolvers for names outside of the cluster, in the order in which they are asked; see ``hostResolvers(excluding:)``.
  /// - Throws: the bind's error where an address is not on this machine or the port is taken.
  package static func start(
    addresses: [String], port: Int = 53, zone: DNSZoneStore, upstreams: [String], group: any EventLoopGroup, logger: Logger
  ) async throws -> DNSServer {
    var channels: [any Channel] = []
    let targets = upstreams.compactMap { try? SocketAddress(ipAddress: $0, port: 53) }
    let forwarder = try await DNSForwarder.start(upstreams: targets, group: group)
    do {
      for address in addresses {
        let udp = DatagramBootstrap(group: group)
          .channelOption(.socketOption(.so_reuseaddr), value: 1)
          .channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
              try channel.pipeline.syncOperations.addHandler(DatagramHandler(zone: zone, forwarder: forwarder))
            }
          }
        channels.append(try await udp.bind(host: address, port: port).get())
        let tcp = ServerBootstrap(group: group)
          .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
          .childChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
              try channel.pipeline.syncOperations.addHandlers([
                IdleStateHandler(allTimeout: tcpIdle), ByteToMessageHandler(DNSFrameDecoder()),
                StreamHandler(zone: zone, forwarder: forwarder),
              ])
            }
          }
        channels.append(try await tcp.bind(host: address, port: channels.last?.localAddress?.port ?? port).get())
      }
    } catch {
      for channel in channels { try? await channel.close() }
      await forwarder.stop()
      throw error
    }
    logger.info("dns serving", metadata: ["addresses": "\(addresses)", "upstreams": "\(upstreams)"])
    return DNSServer(channels: channels, forwarder: forwarder)
  }

  /// The port that UDP is bound to, for tests that ask for any.
  package var port: Int? { channels.first?.localAddress?.port }

  package func stop() async {
    for channel in channels { try? await channel.close() }
    await forwarder.stop()
  }

  /// The `nameserver` lines of the host's resolv.conf, without those that lead back here.
  package static func resolvers(inResolvConf text: String, excluding own: [String]) -> [String] {
    text.split(separator: "\n").compactMap { line in
      let words = line.split(whereSeparator: \.isWhitespace)
      guard words.count >= 2, words[0] == "nameserver", !own.contains(String(words[1])) else { return nil }
      return String(words[1])
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
        response.code = DNSMessage.ResponseCode(rawValue: rest.code) ?? .serverFailure
      } else {
        response.code = .serverFailure
      }
      return response.encode(for: query, limit: limit)
    }
  }
}

private final class DatagramHandler: ChannelInboundHandler {
  typealias InboundIn = AddressedEnvelope<ByteBuffer>
  typealias OutboundOut = AddressedEnvelope<ByteBuffer>

  private let zone: DNSZoneStore
  private let forwarder: DNSForwarder

  init(zone: DNSZoneStore, forwarder: DNSForwarder) {
    self.zone = zone
    self.forwarder = forwarder
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let envelope = unwrapInboundIn(data)
    let bytes = Array(buffer: envelope.data)
    switch DNSAction(bytes, zone: zone, limit: \.udpSize) {
    case .ignore: break
    case .answer(let answer): send(answer, to: envelope.remoteAddress, on: context.channel)
    case .forward(let query, let finish):
      let channel = context.channel
      let sender = envelope.remoteAddress
      forwarder.ask(query, overTCP: false, on: context.eventLoop).whenComplete { result in
        let answer = finish(try? result.get())
        channel.writeAndFlush(AddressedEnvelope(remoteAddress: sender, data: ByteBuffer(bytes: answer)), promise: nil)
      }
    }
  }

  private func send(_ answer: [UInt8], to address: SocketAddress, on channel: any Channel) {
    channel.write(AddressedEnvelope(remoteAddress: address, data: ByteBuffer(bytes: answer)), promise: nil)
  }

  func channelReadComplete(context: ChannelHandlerContext) { context.flush() }

  // An ICMP error for one asker must not close the socket of all.
  func errorCaught(context: ChannelHandlerContext, error: any Error) {}
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

private final class StreamHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let zone: DNSZoneStore
  private let forwarder: DNSForwarder

  init(zone: DNSZoneStore, forwarder: DNSForwarder) {
    self.zone = zone
    self.forwarder = forwarder
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let bytes = Array(buffer: unwrapInboundIn(data))
    switch DNSAction(bytes, zone: zone, limit: { _ in Int(UInt16.max) }) {
    case .ignore: context.close(promise: nil)
    case .answer(let answer): context.writeAndFlush(wrapOutboundOut(DNSFrameDecoder.frame(answer)), promise: nil)
    case .forward(let query, let finish):
      let channel = context.channel
      forwarder.ask(query, overTCP: true, on: context.eventLoop).whenComplete { result in
        channel.writeAndFlush(DNSFrameDecoder.frame(finish(try? result.get())), promise: nil)
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

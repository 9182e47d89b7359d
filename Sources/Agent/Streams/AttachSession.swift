import Client
import NIOCore
import NIOPosix
import RPC
import Wire

/// A container's own streams, through the runtime's streaming server: WebSocket with the protocol `v4.channel.k8s.io`.
///
/// That protocol cannot say that stdin has ended. So input has a connection of its own, whose end says it: the runtime then closes
/// the container's stdin where that is `stdinOnce`, and output goes on. (On a terminal the end of input is a character.)
enum AttachSession {
  struct Streams {
    var input = false
    var output = false
    var error = false
    var isTerminal = false
  }

  static func open(cri: CRIClient, containerID: String, _ streams: Streams) async throws(APIError) -> any ByteStream {
    let pipe = FramePipe()
    let hasOwnInput = streams.input && !streams.isTerminal && (streams.output || streams.error)
    do {
      // containerd takes a connection without input for one whose input has ended, and then ends its output: so this one has it,
      // and nothing comes there.
      var main = streams
      main.input = true
      let output = try await connect(cri, containerID, main, pipe)
      pipe.onClose { output.close(promise: nil) }
      let input = hasOwnInput ? try await connect(cri, containerID, Streams(input: true), nil) : output
      pipe.onClose { input.close(promise: nil) }
      Task {
        for await frame in pipe.input {
          let channel = frame.channel == 0 ? input : output
          if !frame.bytes.isEmpty {
            let bytes = WebSocketRelay.frame([frame.channel] + frame.bytes, mask: UInt32.random(in: .min ... .max))
            do { try await channel.writeAndFlush(ByteBuffer(bytes: bytes)) } catch { return }
          }
          if frame.isEnd, frame.channel == 0, !streams.isTerminal { input.close(promise: nil) }
        }
      }
      return pipe
    } catch {
      pipe.close()
      throw APIError(.internalError, "Internal error occurred: attach: \((error as? GRPCError)?.message ?? "\(error)")")
    }
  }

  /// - Parameter pipe: where the container's output goes; nil for a connection that only carries input.
  private static func connect(
    _ cri: CRIClient, _ containerID: String, _ streams: Streams, _ pipe: FramePipe?
  ) async throws -> any Channel {
    let answer = try await cri.call(
      "Attach",
      [
        "container_id": .string(containerID), "stdin": .bool(streams.input), "tty": .bool(streams.isTerminal),
        "stdout": .bool(streams.output), "stderr": .bool(streams.error && !streams.isTerminal),
      ])
    let url = answer["url"].string ?? ""
    let parts = url.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: true).map(String.init)
    guard parts.count == 3, let colon = parts[1].lastIndex(of: ":"), let port = Int(parts[1][parts[1].index(after: colon)...])
    else {
      throw AgentFailure("the runtime's streaming address \(url) cannot be read")
    }
    let host = String(parts[1][..<colon]).filter { $0 != "[" && $0 != "]" }
    let upgraded = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: Void.self)
    let connecting = ClientBootstrap(group: upgraded.futureResult.eventLoop).connectTimeout(.seconds(10))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(
            WebSocketRelay(host: parts[1], path: "/\(parts[2])", pipe: pipe, upgraded: upgraded))
        }
      }.connect(host: host, port: port)
    connecting.whenFailure { upgraded.fail($0) }
    let channel = try await connecting.get()
    try await upgraded.futureResult.get()
    return channel
  }
}

/// The client's side of RFC 6455, as much as a runtime's streaming server needs.
final class WebSocketRelay: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private static let maximumFrame = 4 << 20
  private let host: String
  private let path: String
  private let pipe: FramePipe?
  private let upgraded: EventLoopPromise<Void>
  private var isUpgraded = false
  private var hasStatus = false
  private var received: [UInt8] = []
  private var message: [UInt8] = []

  init(host: String, path: String, pipe: FramePipe?, upgraded: EventLoopPromise<Void>) {
    self.host = host
    self.path = path
    self.pipe = pipe
    self.upgraded = upgraded
  }

  func channelActive(context: ChannelHandlerContext) {
    let request =
      "GET \(path) HTTP/1.1\r\nHost: \(host)\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
      + "Sec-WebSocket-Key: Z2FudHJ5LWF0dGFjaC1rZQ==\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: request)), promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    received += unwrapInboundIn(data).readableBytesView
    if !isUpgraded {
      guard let end = Self.headEnd(received) else {
        if received.count > 65_536 { context.close(promise: nil) }
        return
      }
      let head = String(decoding: received[..<end], as: UTF8.self)
      received.removeFirst(end)
      guard head.hasPrefix("HTTP/1.1 101") else {
        upgraded.fail(AgentFailure("the runtime answered \(head.split(separator: "\r\n").first ?? "")"))
        context.close(promise: nil)
        return
      }
      isUpgraded = true
      upgraded.succeed(())
    }
    while let (opcode, isLast, payload) = takeFrame(context) {
      switch opcode {
      case 8: context.close(promise: nil)
      case 9: context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: Self.frame(payload, opcode: 10, mask: 0))), promise: nil)
      case 0, 1, 2:
        message += payload
        guard isLast else { continue }
        if let channel = message.first, message.count > 1 {
          if channel == 3 { hasStatus = true }
          pipe?.write(channel, Array(message.dropFirst()))
          pipe?.throttle(context.channel)
        }
        message = []
      default: break
      }
    }
  }

  private static func headEnd(_ bytes: [UInt8]) -> Int? {
    guard bytes.count >= 4 else { return nil }
    for i in 0...(bytes.count - 4) where bytes[i] == 13 && bytes[i + 1] == 10 && bytes[i + 2] == 13 && bytes[i + 3] == 10 {
      return i + 4
    }
    return nil
  }

  private func takeFrame(_ context: ChannelHandlerContext) -> (opcode: UInt8, isLast: Bool, payload: [UInt8])? {
    guard received.count >= 2 else { return nil }
    var length = Int(received[1] & 0x7f)
    var start = 2
    if length == 126 || length == 127 {
      let width = length == 126 ? 2 : 8
      guard received.count >= 2 + width else { return nil }
      var wide: UInt64 = 0
      for byte in received[2..<2 + width] { wide = wide << 8 | UInt64(byte) }
      guard wide <= UInt64(Self.maximumFrame) else {
        context.close(promise: nil)
        received = []
        return nil
      }
      length = Int(wide)
      start = 2 + width
    }
    guard received.count >= start + length else { return nil }
    let payload = Array(received[start..<start + length])
    let first = received[0]
    received.removeFirst(start + length)
    return (first & 0x0f, first & 0x80 != 0, payload)
  }

  static func frame(_ payload: [UInt8], opcode: UInt8 = 2, mask: UInt32) -> [UInt8] {
    var out: [UInt8] = [0x80 | opcode]
    if payload.count < 126 {
      out.append(0x80 | UInt8(payload.count))
    } else if payload.count < 65_536 {
      out += [0x80 | 126, UInt8(truncatingIfNeeded: payload.count >> 8), UInt8(truncatingIfNeeded: payload.count)]
    } else {
      out.append(0x80 | 127)
      for shift in stride(from: 56, through: 0, by: -8) { out.append(UInt8(truncatingIfNeeded: payload.count >> shift)) }
    }
    let key = (0..<4).map { UInt8(truncatingIfNeeded: mask >> UInt32(24 - 8 * $0)) }
    out += key
    for (i, byte) in payload.enumerated() { out.append(byte ^ key[i & 3]) }
    return out
  }

  func channelInactive(context: ChannelHandlerContext) {
    if !isUpgraded { upgraded.fail(AgentFailure("the runtime closed the connection")) }
    if let pipe {
      if !hasStatus { pipe.write(3, Array(#"{"metadata":{},"status":"Success"}"#.utf8)) }
      pipe.end(3)
      pipe.finish()
    }
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

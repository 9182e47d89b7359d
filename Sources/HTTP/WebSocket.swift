import Crypto
import NIOCore
import Synchronization

package enum WebSocketError: Error, Equatable, CustomStringConvertible {
  case noHandshake
  case version
  /// Already answered, or HTTP/2.
  case notPossible
  case closed

  package var description: String {
    switch self {
    case .noHandshake: "not a WebSocket opening handshake"
    case .version: "only version 13 of the WebSocket protocol is spoken"
    case .notPossible: "this request cannot be upgraded"
    case .closed: "the WebSocket is closed"
    }
  }
}

package struct WebSocketLimits: Sendable {
  /// Of one message, all its fragments together.
  package var messageBytes = 4 << 20
  /// How long the peer may leave a close frame, and what was sent before it, untaken.
  package var closeSeconds = 10
  package init() {}
}

enum WebSocketHandshake {
  static func accept(_ key: String) -> String {
    base64(Array(Insecure.SHA1.hash(data: Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8))))
  }

  static func base64(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var out: [UInt8] = []
    var i = 0
    while i < bytes.count {
      let b = (bytes[i], i + 1 < bytes.count ? bytes[i + 1] : 0, i + 2 < bytes.count ? bytes[i + 2] : 0)
      out.append(alphabet[Int(b.0 >> 2)])
      out.append(alphabet[Int((b.0 & 3) << 4 | b.1 >> 4)])
      out.append(i + 1 < bytes.count ? alphabet[Int((b.1 & 15) << 2 | b.2 >> 6)] : UInt8(ascii: "="))
      out.append(i + 2 < bytes.count ? alphabet[Int(b.2 & 63)] : UInt8(ascii: "="))
      i += 3
    }
    return String(decoding: out, as: UTF8.self)
  }
}

/// One WebSocket, either side. Messages come in through ``messages``; a reader that is slow slows the sender.
package final class WebSocket: Sendable {
  package enum Opcode: UInt8, Sendable { case continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 }

  package let subprotocol: String?
  /// Whole messages, text or binary alike; ends after a close frame, throws where the connection broke.
  package var messages: InboundBytes { handlerState.messages }
  private let eventLoop: any EventLoop
  private let handlerState: HandlerState

  /// Touched on the loop only, but for `messages`.
  fileprivate final class HandlerState: @unchecked Sendable {
    var channel: (any Channel)?
    var closeCallbacks: [() -> Void] = []
    var isClosed = false
    var isCloseSent = false
    var holdsReads = false
    var isReadPending = false
    var messages: InboundBytes!
    weak var handler: WebSocketHandler?
    /// For other threads: nothing is to be sent any more, and the loop may have ended too.
    let isGone = Atomic<Bool>(false)
  }

  fileprivate let isClient: Bool
  fileprivate let limits: WebSocketLimits

  init(eventLoop: any EventLoop, isClient: Bool, subprotocol: String?, limits: WebSocketLimits) {
    self.eventLoop = eventLoop
    self.isClient = isClient
    self.subprotocol = subprotocol
    self.limits = limits
    let state = HandlerState()
    handlerState = state
    state.messages = InboundBytes(eventLoop: eventLoop) { reading in
      state.holdsReads = !reading
      if reading { state.handler?.resumeReading() }
    }
  }

  /// On the loop.
  func install(on channel: any Channel) throws {
    let handler = WebSocketHandler(state: handlerState, isClient: isClient, limits: limits)
    handlerState.channel = channel
    handlerState.handler = handler
    try channel.pipeline.syncOperations.addHandler(handler)
  }

  /// On the loop.
  func whenClosed(_ body: @escaping () -> Void) {
    if handlerState.isClosed { body() } else { handlerState.closeCallbacks.append(body) }
  }

  /// Sends one message and waits until the socket has taken it.
  package func send(_ bytes: some Sequence<UInt8> & Sendable, opcode: Opcode = .binary) async throws(WebSocketError) {
    var payload = ByteBuffer()
    payload.writeBytes(bytes)
    try await send(payload, opcode: opcode)
  }

  package func send(_ payload: ByteBuffer, opcode: Opcode = .binary) async throws(WebSocketError) {
    if handlerState.isGone.load(ordering: .acquiring) { throw .closed }
    let promise = eventLoop.makePromise(of: Void.self)
    eventLoop.execute {
      guard let channel = self.handlerState.channel, !self.handlerState.isCloseSent else {
        return promise.fail(WebSocketError.closed)
      }
      channel.writeAndFlush(WebSocketHandler.frame(opcode, payload, isMasked: self.isClient), promise: promise)
    }
    do { try await promise.futureResult.get() } catch { throw .closed }
  }

  /// Sends a close frame (1000 is a normal end) and closes the connection once it is out.
  package func close(code: UInt16 = 1000, reason: String = "") {
    if handlerState.isGone.load(ordering: .acquiring) { return }
    eventLoop.execute { self.handlerState.handler?.close(code: code, reason: reason) }
  }
}

/// Frames of RFC 6455 on a bare channel.
final class WebSocketHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let state: WebSocket.HandlerState
  private let isClient: Bool
  private let limits: WebSocketLimits
  private var context: ChannelHandlerContext?
  private var input = ByteBuffer()
  private var message: ByteBuffer?
  /// The last ping that waits for its pong because the peer does not read; earlier ones need none.
  private var unanswered: ByteBuffer?
  private var closeTimer: Scheduled<Void>?

  fileprivate init(state: WebSocket.HandlerState, isClient: Bool, limits: WebSocketLimits) {
    self.state = state
    self.isClient = isClient
    self.limits = limits
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }
  func handlerRemoved(context: ChannelHandlerContext) {
    closeTimer?.cancel()
    self.context = nil
  }

  func read(context: ChannelHandlerContext) { if state.holdsReads { state.isReadPending = true } else { context.read() } }

  func resumeReading() {
    guard state.isReadPending else { return }
    state.isReadPending = false
    context?.read()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var piece = unwrapInboundIn(data)
    if input.readableBytes == 0 { input = piece } else { input.writeBuffer(&piece) }
    while !state.isCloseSent, let frame = nextFrame() { handle(frame) }
    input.discardReadBytes()
  }

  private struct Frame {
    var opcode: WebSocket.Opcode
    var isFinal: Bool
    var payload: ByteBuffer
  }

  /// The next whole frame, or nil where more bytes are needed or the peer broke the rules (then the socket has been closed).
  private func nextFrame() -> Frame? {
    let start = input.readerIndex
    guard let first = input.getInteger(at: start, as: UInt8.self), let second = input.getInteger(at: start + 1, as: UInt8.self)
    else {
      return nil
    }
    guard first & 0x70 == 0, let opcode = WebSocket.Opcode(rawValue: first & 15) else {
      return fail(1002, "unknown opcode or flag")
    }
    let isMasked = second & 0x80 != 0
    guard isMasked != isClient else { return fail(1002, "wrong masking") }
    var offset = start + 2
    var length = Int(second & 0x7f)
    let isControl = opcode.rawValue >= 8
    if isControl, length > 125 || first & 0x80 == 0 { return fail(1002, "control frames are short and whole") }
    if length == 126 {
      guard let long = input.getInteger(at: offset, as: UInt16.self) else { return nil }
      length = Int(long)
      offset += 2
    } else if length == 127 {
      guard let long = input.getInteger(at: offset, as: UInt64.self) else { return nil }
      guard long <= UInt64(limits.messageBytes) else { return fail(1009, "message too big") }
      length = Int(long)
      offset += 8
    }
    guard length + (message?.readableBytes ?? 0) <= limits.messageBytes else { return fail(1009, "message too big") }
    var mask: UInt32 = 0
    if isMasked {
      guard let key = input.getInteger(at: offset, as: UInt32.self) else { return nil }
      mask = key
      offset += 4
    }
    guard input.writerIndex - offset >= length, var payload = input.getSlice(at: offset, length: length) else { return nil }
    input.moveReaderIndex(to: offset + length)
    if isMasked { Self.mask(&payload, with: mask) }
    return Frame(opcode: opcode, isFinal: first & 0x80 != 0, payload: payload)
  }

  private func fail(_ code: UInt16, _ reason: String) -> Frame? {
    close(code: code, reason: reason)
    return nil
  }

  private func handle(_ frame: Frame) {
    switch frame.opcode {
    case .text, .binary:
      guard message == nil else { return close(code: 1002, reason: "message inside a message") }
      if frame.isFinal { state.messages.yield(frame.payload) } else { message = frame.payload }
    case .continuation:
      guard var whole = message else { return close(code: 1002, reason: "nothing to continue") }
      message = nil
      whole.writeImmutableBuffer(frame.payload)
      if frame.isFinal { state.messages.yield(whole) } else { message = whole }
    case .ping:
      unanswered = frame.payload
      sendPong()
    case .pong: break
    case .close:
      let code = frame.payload.getInteger(at: frame.payload.readerIndex, as: UInt16.self) ?? 1000
      state.messages.finish(nil)
      close(code: code, reason: "")
    }
  }

  private func sendPong() {
    guard let payload = unanswered, let context, context.channel.isWritable, !state.isCloseSent else { return }
    unanswered = nil
    context.writeAndFlush(wrapOutboundOut(Self.frame(.pong, payload, isMasked: isClient)), promise: nil)
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    sendPong()
    context.fireChannelWritabilityChanged()
  }

  func close(code: UInt16, reason: String) {
    guard !state.isCloseSent, let context else { return }
    state.isCloseSent = true
    closeTimer = context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(Int64(limits.closeSeconds))) { [weak self] in
      self?.context?.close(promise: nil)
    }
    var payload = ByteBuffer()
    payload.writeInteger(code)
    payload.writeString(String(reason.prefix(100)))
    context.writeAndFlush(wrapOutboundOut(Self.frame(.close, payload, isMasked: isClient))).assumeIsolated().whenComplete { _ in
      context.close(promise: nil)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    closeTimer?.cancel()
    state.isClosed = true
    state.isCloseSent = true
    state.isGone.store(true, ordering: .releasing)
    state.channel = nil
    // After a proper end this changes nothing.
    state.messages.finish(WebSocketError.closed)
    let callbacks = state.closeCallbacks
    state.closeCallbacks = []
    for callback in callbacks { callback() }
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  static func frame(_ opcode: WebSocket.Opcode, _ payload: ByteBuffer, isMasked: Bool) -> ByteBuffer {
    let length = payload.readableBytes
    var frame = ByteBuffer()
    frame.reserveCapacity(length + 14)
    frame.writeInteger(0x80 | opcode.rawValue)
    let flag: UInt8 = isMasked ? 0x80 : 0
    switch length {
    case ..<126: frame.writeInteger(flag | UInt8(length))
    case ..<65536:
      frame.writeInteger(flag | 126)
      frame.writeInteger(UInt16(length))
    default:
      frame.writeInteger(flag | 127)
      frame.writeInteger(UInt64(length))
    }
    if isMasked {
      let key = UInt32.random(in: .min ... .max)
      frame.writeInteger(key)
      var payload = payload
      mask(&payload, with: key)
      frame.writeBuffer(&payload)
    } else {
      frame.writeImmutableBuffer(payload)
    }
    return frame
  }

  /// Masking and unmasking are the same.
  private static func mask(_ payload: inout ByteBuffer, with key: UInt32) {
    let bytes: [UInt8] = [UInt8(key >> 24), UInt8(key >> 16 & 255), UInt8(key >> 8 & 255), UInt8(key & 255)]
    payload.withUnsafeMutableReadableBytes { buffer in
      for i in buffer.indices { buffer[i] ^= bytes[i & 3] }
    }
  }
}

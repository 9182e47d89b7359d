import NIOCore
import NIOHTTP1
import Synchronization

/// What an exchange needs from the protocol beneath it. Used on the event loop only.
protocol ExchangeTransport: AnyObject {
  var isWritable: Bool { get }
  func sendHead(status: Int, headers: [(String, String)], isEnd: Bool)
  func sendBody(_ buffer: ByteBuffer, isEnd: Bool, promise: EventLoopPromise<Void>?)
  /// Ends the response, or resets the stream (HTTP/2) or closes the connection (HTTP/1.1) where it was cut short.
  func sendEnd()
  /// What was written goes out now.
  func flush()
  func abort()
  /// The answer went out before the request was read: the rest of it is not wanted.
  func discardRest()
  /// Lets the next piece of a streamed request body in, or holds it back.
  func setReading(_ isReading: Bool)
  /// Leaves HTTP: writes the head, hands the channel over. nil where the protocol cannot.
  func switchProtocol(headers: [(String, String)], _ install: @escaping (any Channel) throws -> Void) -> Bool
}

/// One request and its answer.
///
/// A request counts against the limits from the moment it is whole: one that never ends holds bytes and time of its own connection,
/// which are bounded, and nobody else's place.
///
/// State lives on ``eventLoop``; methods may be called from anywhere and hop there where they must (which is why this class is
/// `@unchecked Sendable`: every stored variable is touched on the loop alone).
package final class Exchange: @unchecked Sendable {
  package let head: RequestHead
  package let eventLoop: any EventLoop
  /// The whole body of a ``RequestPolicy/Body/buffered(limit:)`` request; read it on the loop.
  package private(set) var body = ByteBuffer()
  /// The body of a ``RequestPolicy/Body/streamed(limit:)`` request.
  package private(set) var bodyStream: InboundBytes?
  /// What it was answered with, 101 for an upgrade; 0 while, and where, there is no answer. Read it on the loop.
  package private(set) var status = 0

  private enum State { case reading, answering, streaming, upgraded, done }

  private let server: ServerState
  /// nil once nothing can be sent any more; until then the two hold each other.
  private var transport: (any ExchangeTransport)?
  private var policy: RequestPolicy
  private var state = State.reading
  private var received = 0
  /// Bytes of ``body`` that count against ``HTTPLimits/bufferedBytes``: those of a request that is not whole yet.
  private var buffered = 0
  private var isRequestComplete = false
  private var producer: (any BodyProducer)?
  private var isPumpScheduled = false
  /// A head goes out with the first piece, or at once where there is none yet: a quiet watch must still be seen to have begun.
  private var isHeadPending = false
  private var closeCallbacks: [@Sendable () -> Void] = []
  private var timer: Scheduled<Void>?
  /// Since when the body's sender, or the answer's reader, has made no progress; nil while the server is the one who waits.
  private var waitingSince: NIODeadline?
  private var progressTimer: Scheduled<Void>?
  private var isCounted = false
  /// Set for other threads once nothing can be sent any more: their calls end there, and reach no loop that may have ended too.
  private let isGone = Atomic<Bool>(false)

  init(head: RequestHead, eventLoop: any EventLoop, transport: any ExchangeTransport, server: ServerState) {
    self.head = head
    self.eventLoop = eventLoop
    self.transport = transport
    self.server = server
    policy = server.handler.policy(for: head)
  }

  package var isLongLived: Bool { policy.isLongLived }

  // MARK: The request comes in (called by the transport)

  func begin() {
    if let text = head.fields["content-length"], let length = Int(text) {
      switch policy.body {
      case .buffered(let limit) where length > limit: return refuse(.bodyTooLarge(limit: limit))
      case .streamed(let limit) where length > limit: return refuse(.bodyTooLarge(limit: limit))
      default: break
      }
    }
    let expectsContinue = head.version == .http1 && head.fields["expect"]?.lowercased() == "100-continue"
    switch policy.body {
    case .ignored: break
    case .buffered: if expectsContinue { sendContinue() }
    case .streamed:
      bodyStream = InboundBytes(eventLoop: eventLoop) { [weak self] reading in
        guard let self else { return }
        // While the handler does not take what is there, the client is not the one who is slow.
        if state == .answering { waitingSince = reading ? .now() : nil }
        transport?.setReading(reading)
      }
      waitingSince = .now()
      watchProgress()
      if expectsContinue { sendContinue() }
      run()
    }
  }

  /// Called by the transport when what came with the head has been told: a request that is still not whole has so long to become it.
  func awaitRest() {
    guard state == .reading, timer == nil else { return }
    startTimer(seconds: server.limits.bodySeconds)
  }

  private func sendContinue() { transport?.sendHead(status: 100, headers: [], isEnd: false) }

  func receive(_ piece: ByteBuffer) {
    guard state != .done else { return }
    received += piece.readableBytes
    switch policy.body {
    case .ignored:
      // A body nobody asked for is read, not kept; an endless one is cut off.
      if received > 1 << 20, state == .reading { refuse(.bodyTooLarge(limit: 1 << 20)) }
    case .buffered(let limit):
      guard state == .reading else { return }
      guard received <= limit else { return refuse(.bodyTooLarge(limit: limit)) }
      guard server.admit(bytes: piece.readableBytes, from: head.connection) else { return refuse(.tooManyRequests) }
      buffered += piece.readableBytes
      if body.readableBytes == 0, body.writableBytes == 0 { body = piece } else { body.writeImmutableBuffer(piece) }
    case .streamed(let limit):
      guard received <= limit else {
        bodyStream?.finish(HTTPBodyError.tooLarge(limit: limit))
        return refuse(.bodyTooLarge(limit: limit))
      }
      if state == .answering { waitingSince = .now() }
      bodyStream?.yield(piece)
    }
  }

  func receiveEnd() {
    isRequestComplete = true
    switch policy.body {
    case .streamed:
      bodyStream?.finish(nil)
      if state == .answering { waitingSince = nil }
    case .ignored, .buffered:
      guard state == .reading else { return }
      timer?.cancel()
      run()
    }
    if state == .done {
      release()
      transport = nil
    }
  }

  private func run() {
    settleBuffer()
    if !policy.isExempt {
      guard server.admit(isLongLived: policy.isLongLived) else { return refuse(.tooManyRequests) }
      isCounted = true
    }
    if server.isDraining, policy.isLongLived { return refuse(.shuttingDown) }
    state = .answering
    policy.handle(self)
    if state == .answering, !policy.isLongLived, policy.body.isShort { startTimer(seconds: server.limits.answerSeconds) }
  }

  private func startTimer(seconds: Int) {
    timer = eventLoop.scheduleTask(in: .seconds(Int64(seconds))) { [weak self] in
      guard let self, state == .reading || state == .answering else { return }
      refuse(.timeout)
    }
  }

  private func settleBuffer() {
    guard buffered > 0 else { return }
    server.leave(bytes: buffered, from: head.connection)
    buffered = 0
  }

  // MARK: Progress

  /// Ends an exchange whose client neither sends what it has announced nor takes what it has asked for. One timer, only where there
  /// was something to wait for, looked at when it is due.
  private func watchProgress() {
    guard progressTimer == nil, let since = waitingSince else { return }
    let due = since + .seconds(Int64(patience))
    progressTimer = eventLoop.scheduleTask(deadline: due) { [weak self] in
      guard let self else { return }
      progressTimer = nil
      guard state != .done, state != .upgraded else { return }
      guard let since = waitingSince else {
        // The server was the one who waited; a body that is still to come is looked after again.
        guard state == .answering, !isRequestComplete else { return }
        progressTimer = eventLoop.scheduleTask(in: .seconds(Int64(patience))) { [weak self] in
          self?.progressTimer = nil
          self?.watchProgress()
        }
        return
      }
      guard since + .seconds(Int64(patience)) <= .now() else { return watchProgress() }
      if state == .streaming { return give(up: transport) }
      bodyStream?.finish(HTTPBodyError.stalled)
      refuse(.timeout)
    }
  }

  private var patience: Int {
    guard state == .streaming else { return server.limits.bodySeconds }
    return policy.isLongLived ? server.limits.longLivedWriteSeconds : server.limits.writeSeconds
  }

  private func give(up transport: (any ExchangeTransport)?) {
    closed()
    transport?.abort()
  }

  private func refuse(_ refusal: HTTPRefusal) {
    guard state == .reading || state == .answering else { return }
    settleBuffer()
    answer(server.handler.refusal(refusal, for: head))
    if !isRequestComplete { transport?.discardRest() }
  }

  // MARK: The answer goes out

  /// Answers. The first answer counts; what comes later, or after the client went away, is dropped (and its producer cancelled).
  package func respond(_ response: HTTPResponse) {
    if eventLoop.inEventLoop { return answer(response) }
    if isGone.load(ordering: .acquiring) {
      if case .producer(let producer) = response.body { producer.cancel() }
      return
    }
    eventLoop.execute { self.answer(response) }
  }

  private func answer(_ response: HTTPResponse) {
    guard state == .reading || state == .answering else {
      if case .producer(let producer) = response.body { producer.cancel() }
      return
    }
    timer?.cancel()
    status = response.status
    let response = response.encoded(for: head)
    var headers = response.headers
    headers.append(("date", HTTPDate.now()))
    let hasBody = head.method != "HEAD" && response.status != 204 && response.status != 304
    switch response.body {
    case .empty:
      // The answer to a HEAD says how long the body would be.
      let hasLength = headers.contains { $0.0 == "content-length" }
      if !hasLength, response.status != 204, response.status != 304 { headers.append(("content-length", "0")) }
      transport?.sendHead(status: response.status, headers: headers, isEnd: true)
      finish()
    case .bytes(let buffer):
      headers.append(("content-length", String(buffer.readableBytes)))
      let hasBytes = hasBody && buffer.readableBytes > 0
      transport?.sendHead(status: response.status, headers: headers, isEnd: !hasBytes)
      if hasBytes { transport?.sendBody(buffer, isEnd: true, promise: nil) }
      finish()
    case .producer(let producer):
      guard hasBody else {
        producer.cancel()
        transport?.sendHead(status: response.status, headers: headers, isEnd: true)
        return finish()
      }
      transport?.sendHead(status: response.status, headers: headers, isEnd: false)
      state = .streaming
      waitingSince = nil
      isHeadPending = true
      self.producer = producer
      pump()
    }
  }

  /// Tells that the producer has something again.
  package func wake() {
    if eventLoop.inEventLoop { return pump() }
    if !isGone.load(ordering: .acquiring) { eventLoop.execute { self.pump() } }
  }

  private func pump() {
    guard state == .streaming, let producer, !isPumpScheduled, let transport else { return }
    guard transport.isWritable else { return awaitReader() }
    waitingSince = nil
    var buffer = ByteBuffer()
    let progress = producer.produce(into: &buffer, limit: HTTP.pieceBytes)
    // A producer may find that its exchange has ended while it works.
    guard state == .streaming else { return }
    switch progress {
    case .end:
      self.producer = nil
      if buffer.readableBytes > 0 { transport.sendBody(buffer, isEnd: true, promise: nil) } else { transport.sendEnd() }
      finish()
    case .idle:
      if buffer.readableBytes > 0 {
        transport.sendBody(buffer, isEnd: false, promise: nil)
      } else if isHeadPending {
        transport.flush()
      }
      isHeadPending = false
    case .more:
      isHeadPending = isHeadPending && buffer.readableBytes == 0
      if buffer.readableBytes > 0 { transport.sendBody(buffer, isEnd: false, promise: nil) }
      guard transport.isWritable else { return awaitReader() }
      // The others of this loop get their turn between two pieces.
      isPumpScheduled = true
      LoopTurns.of(eventLoop).add {
        self.isPumpScheduled = false
        self.pump()
      }
    }
  }

  func writabilityChanged() { pump() }

  /// What was written waits for the client.
  private func awaitReader() {
    guard waitingSince == nil else { return }
    waitingSince = .now()
    watchProgress()
  }

  /// Answers with a head now and a body that a task writes at its own pace.
  package func respond(status: Int, headers: [(String, String)]) -> ResponseWriter {
    let writer = ResponseWriter(exchange: self)
    respond(HTTPResponse(status, headers: headers, body: .producer(writer)))
    return writer
  }

  /// Runs once when the exchange ends: answered in full, reset by the client, or its connection gone. On the loop.
  package func onClose(_ body: @escaping @Sendable () -> Void) {
    if eventLoop.inEventLoop { addCloseCallback(body) } else { eventLoop.execute { self.addCloseCallback(body) } }
  }

  private func addCloseCallback(_ body: @escaping @Sendable () -> Void) {
    if state == .done { body() } else { closeCallbacks.append(body) }
  }

  /// Ends the exchange without a proper end of the body, so that the client knows that something is missing.
  package func abort() {
    if isGone.load(ordering: .acquiring) { return }
    eventLoop.execute { if self.state != .done, let transport = self.transport { self.give(up: transport) } }
  }

  /// Leaves HTTP/1.1 for a WebSocket. On the loop, from the handler or later, instead of an answer.
  /// - Parameter subprotocol: the one chosen of those that the client offered, or nil for none.
  /// - Throws: ``WebSocketError`` where the request is no proper opening handshake; nothing has been answered then.
  package func upgradeToWebSocket(
    subprotocol: String?, limits: WebSocketLimits = WebSocketLimits()
  ) throws(WebSocketError) -> WebSocket {
    eventLoop.preconditionInEventLoop()
    guard state == .answering else { throw .notPossible }
    guard head.upgrade == "websocket", let key = head.fields["sec-websocket-key"] else { throw .noHandshake }
    guard head.fields["sec-websocket-version"] == "13" else { throw .version }
    var headers = [("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-accept", WebSocketHandshake.accept(key))]
    if let subprotocol { headers.append(("sec-websocket-protocol", subprotocol)) }
    timer?.cancel()
    let socket = WebSocket(eventLoop: eventLoop, isClient: false, subprotocol: subprotocol, limits: limits)
    guard let transport, transport.switchProtocol(headers: headers, { try socket.install(on: $0) }) else { throw .notPossible }
    state = .upgraded
    status = 101
    socket.whenClosed { self.closed() }
    return socket
  }

  /// Leaves HTTP/1.1 for a protocol of the caller's, which `install` puts on the bare channel. On the loop.
  /// - Returns: false where the protocol beneath cannot (HTTP/2); nothing has been answered then.
  package func upgrade(headers: [(String, String)], _ install: @escaping @Sendable (any Channel) throws -> Void) -> Bool {
    eventLoop.preconditionInEventLoop()
    guard state == .answering else { return false }
    guard let transport,
      transport.switchProtocol(
        headers: headers,
        { channel in
          try install(channel)
          channel.closeFuture.whenComplete { _ in self.closed() }
        })
    else { return false }
    timer?.cancel()
    state = .upgraded
    status = 101
    return true
  }

  // MARK: The end

  private func finish() {
    state = .done
    settleBuffer()
    progressTimer?.cancel()
    if isRequestComplete {
      release()
      transport = nil
      isGone.store(true, ordering: .releasing)
    } else {
      bodyStream?.finish(HTTPBodyError.answered)
    }
    runCloseCallbacks()
  }

  /// The stream or connection is gone.
  func closed() {
    isGone.store(true, ordering: .releasing)
    settleBuffer()
    guard state != .done else {
      transport = nil
      return release()
    }
    state = .done
    transport = nil
    timer?.cancel()
    progressTimer?.cancel()
    bodyStream?.finish(HTTPBodyError.closed)
    producer?.cancel()
    producer = nil
    release()
    runCloseCallbacks()
  }

  /// The server drains: what would never end by itself is ended now.
  func drain() {
    guard policy.isLongLived, state == .streaming else { return }
    producer?.cancel()
    producer = nil
    transport?.sendEnd()
    finish()
  }

  var isFinished: Bool { state == .done }

  private func release() {
    guard isCounted else { return }
    isCounted = false
    server.leave(isLongLived: policy.isLongLived)
  }

  private func runCloseCallbacks() {
    let callbacks = closeCallbacks
    closeCallbacks = []
    for callback in callbacks { callback() }
  }
}

extension RequestPolicy.Body {
  fileprivate var isShort: Bool { if case .streamed = self { false } else { true } }
}

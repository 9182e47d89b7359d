import NIOCore
import Synchronization

/// Why a streamed request or response body ended early.
package enum HTTPBodyError: Error, Equatable, CustomStringConvertible {
  case tooLarge(limit: Int)
  /// The exchange was answered before its body was read.
  case answered
  /// Nothing more came for ``HTTPLimits/bodySeconds``.
  case stalled
  /// The other side went away.
  case closed

  package var description: String {
    switch self {
    case .tooLarge(let limit): "the body is larger than \(limit) bytes"
    case .answered: "the request was answered before its body was read"
    case .stalled: "the rest of the body did not come in time"
    case .closed: "the connection was closed"
    }
  }
}

/// Bytes that come in, read by one task at its own pace: while it does not read, the socket is not read either.
package struct InboundBytes: AsyncSequence, Sendable {
  package typealias Element = ByteBuffer
  typealias Producer = NIOThrowingAsyncSequenceProducer<
    ByteBuffer, any Error, NIOAsyncSequenceProducerBackPressureStrategies.HighLowWatermark, Delegate
  >

  /// Carries the reader's wish for more to the event loop.
  final class Delegate: NIOAsyncSequenceProducerDelegate {
    private let eventLoop: any EventLoop
    private let setReading: @Sendable (Bool) -> Void
    private let terminated: @Sendable () -> Void
    /// Nothing more is to come, so that nothing is to be held back or let in: the loop is left alone, which may have ended before a slow reader.
    let isFinished = Atomic<Bool>(false)
    init(
      eventLoop: any EventLoop, setReading: @escaping @Sendable (Bool) -> Void, terminated: @escaping @Sendable () -> Void
    ) {
      self.eventLoop = eventLoop
      self.setReading = setReading
      self.terminated = terminated
    }
    func produceMore() { if !isFinished.load(ordering: .acquiring) { eventLoop.execute { self.setReading(true) } } }
    func didTerminate() { if !isFinished.load(ordering: .acquiring) { eventLoop.execute { self.terminated() } } }
  }

  private let sequence: Producer
  private let source: Producer.Source
  private let delegate: Delegate
  private let setReading: @Sendable (Bool) -> Void

  /// - Parameters:
  ///   - setReading: called on the loop: whether the channel may be read.
  ///   - terminated: called on the loop when the reader has gone or everything was read.
  init(
    eventLoop: any EventLoop, setReading: @escaping @Sendable (Bool) -> Void, terminated: @escaping @Sendable () -> Void = {}
  ) {
    self.setReading = setReading
    delegate = Delegate(
      eventLoop: eventLoop, setReading: setReading,
      terminated: {
        // What nobody reads any more must not hold the channel up.
        setReading(true)
        terminated()
      })
    let pair = NIOThrowingAsyncSequenceProducer.makeSequence(
      elementType: ByteBuffer.self, failureType: (any Error).self,
      backPressureStrategy: NIOAsyncSequenceProducerBackPressureStrategies.HighLowWatermark(lowWatermark: 4, highWatermark: 16),
      finishOnDeinit: false,
      delegate: delegate)
    sequence = pair.sequence
    source = pair.source
  }

  func yield(_ piece: ByteBuffer) {
    if case .stopProducing = source.yield(piece) { setReading(false) }
  }

  /// On the loop.
  func finish(_ error: (any Error)?) {
    delegate.isFinished.store(true, ordering: .releasing)
    if let error { source.finish(error) } else { source.finish() }
    // What comes next on the channel is somebody else's.
    setReading(true)
  }

  package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(base: sequence.makeAsyncIterator()) }

  package struct AsyncIterator: AsyncIteratorProtocol {
    fileprivate let base: Producer.AsyncIterator
    package mutating func next() async throws -> ByteBuffer? { try await base.next() }
  }

  /// Everything, in one buffer.
  /// - Throws: ``HTTPBodyError/tooLarge(limit:)``, or why the body ended early.
  package func collect(limit: Int) async throws -> ByteBuffer {
    var all = ByteBuffer()
    for try await piece in self {
      guard all.readableBytes + piece.readableBytes <= limit else { throw HTTPBodyError.tooLarge(limit: limit) }
      all.writeImmutableBuffer(piece)
    }
    return all
  }
}

/// A response body written by one task: `write` waits while the client does not take what was written.
package final class ResponseWriter: BodyProducer {
  private struct State {
    var buffer = ByteBuffer()
    var isEnded = false
    var isCancelled = false
    var waiter: CheckedContinuation<Void, Never>?
  }
  private let exchange: Exchange
  private let state = Mutex(State())

  init(exchange: Exchange) { self.exchange = exchange }

  /// - Throws: ``HTTPBodyError/closed`` when the client has gone.
  package func write(_ bytes: some Sequence<UInt8> & Sendable) async throws(HTTPBodyError) {
    let isFull: Bool = try state.withLock { state throws(HTTPBodyError) in
      if state.isCancelled { throw .closed }
      state.buffer.writeBytes(bytes)
      return state.buffer.readableBytes > HTTP.pieceBytes
    }
    exchange.wake()
    guard isFull else { return }
    await withCheckedContinuation { continuation in
      let resume = state.withLock { state in
        if state.isCancelled || state.buffer.readableBytes <= HTTP.pieceBytes { return true }
        state.waiter = continuation
        return false
      }
      if resume { continuation.resume() }
    }
  }

  package func finish() {
    state.withLock { $0.isEnded = true }
    exchange.wake()
  }

  package func produce(into buffer: inout ByteBuffer, limit: Int) -> BodyProgress {
    let (waiter, progress): (CheckedContinuation<Void, Never>?, BodyProgress) = state.withLock { state in
      if let piece = state.buffer.readSlice(length: min(limit, state.buffer.readableBytes)) {
        if buffer.readableBytes == 0 { buffer = piece } else { buffer.writeImmutableBuffer(piece) }
      }
      let rest = state.buffer.readableBytes
      if rest == 0 { state.buffer = ByteBuffer() }
      var waiter: CheckedContinuation<Void, Never>?
      if rest <= HTTP.pieceBytes { swap(&waiter, &state.waiter) }
      return (waiter, rest > 0 ? .more : state.isEnded ? .end : .idle)
    }
    waiter?.resume()
    return progress
  }

  package func cancel() {
    let waiter = state.withLock { state in
      state.isCancelled = true
      state.buffer = ByteBuffer()
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume()
  }
}

import Client
import NIOCore
import Synchronization

/// One end of a two-way stream of frames inside this process: what the agent writes, the other side reads, and back.
///
/// Both directions are bounded. Whoever sends to the agent waits; what comes from a container is asked for only while there is
/// room (``whenRoom(_:)``), so that a client that reads slowly slows the container down and not the node's memory up.
package final class FramePipe: ByteStream {
  private let output = FrameQueue()
  /// What the other side sends to the agent.
  let input = FrameQueue()
  private let onClose = Mutex<(closed: Bool, actions: [@Sendable () -> Void])>((false, []))

  package init() {}

  package var frames: AsyncThrowingStream<StreamFrame, any Error> {
    AsyncThrowingStream(unfolding: { [self] in
      try await withTaskCancellationHandler {
        try await output.next()
      } onCancel: {
        close()
      }
    })
  }

  // The client's side.
  package func send(_ frame: StreamFrame) async throws { await input.push(frame) }
  package func finish(channel: UInt8) async throws { await input.push(StreamFrame(channel: channel, bytes: [], isEnd: true)) }

  package func close() {
    let actions = onClose.withLock { state in
      defer { state = (true, []) }
      return state.actions
    }
    input.finish()
    output.finish()
    for action in actions { action() }
  }

  // The agent's side.
  func write(_ channel: UInt8, _ bytes: [UInt8]) { output.add(StreamFrame(channel: channel, bytes: bytes)) }
  func end(_ channel: UInt8) { output.add(StreamFrame(channel: channel, bytes: [], isEnd: true)) }
  func finish(_ error: (any Error)? = nil) { output.finish(error) }

  var hasRoom: Bool { output.hasRoom }

  /// Runs when there is room for more output, or nobody wants any: at once in most cases.
  /// - Returns: true where it ran at once.
  @discardableResult
  func whenRoom(_ action: @escaping @Sendable () -> Void) -> Bool { output.whenRoom(action) }

  /// Reads nothing more from a connection until there is room for it.
  func throttle(_ channel: any Channel) {
    if output.hasRoom { return }
    channel.setOption(.autoRead, value: false).whenComplete { [self] _ in
      whenRoom { channel.setOption(.autoRead, value: true).whenFailure { _ in } }
    }
  }

  /// Runs when either side closes; at once if that has happened.
  func onClose(_ action: @escaping @Sendable () -> Void) {
    let isClosed = onClose.withLock { state in
      if !state.closed { state.actions.append(action) }
      return state.closed
    }
    if isClosed { action() }
  }
}

/// Frames on their way to one reader.
package final class FrameQueue: Sendable {
  /// Bytes that may wait; one more frame is always taken.
  static let limit = 1 << 20

  private struct State {
    var frames: [StreamFrame] = []
    var first = 0
    var bytes = 0
    var isFinished = false
    var error: (any Error)?
    var reader: CheckedContinuation<StreamFrame?, any Error>?
    var room: [@Sendable () -> Void] = []

    mutating func take() -> StreamFrame? {
      guard first < frames.count else { return nil }
      let frame = frames[first]
      first += 1
      bytes -= frame.bytes.count
      if first == frames.count || first > 1024 {
        frames.removeFirst(first)
        first = 0
      }
      return frame
    }

    mutating func takeRoom() -> [@Sendable () -> Void] {
      guard isFinished || bytes < FrameQueue.limit / 2 else { return [] }
      defer { room = [] }
      return room
    }
  }

  private let state = Mutex(State())

  package init() {}

  package var hasRoom: Bool { state.withLock { $0.isFinished || $0.bytes < Self.limit } }

  /// Never waits; after the end it does nothing.
  package func add(_ frame: StreamFrame) {
    let reader = state.withLock { state -> CheckedContinuation<StreamFrame?, any Error>? in
      guard !state.isFinished else { return nil }
      if let reader = state.reader {
        state.reader = nil
        return reader
      }
      state.frames.append(frame)
      state.bytes += frame.bytes.count
      return nil
    }
    reader?.resume(returning: frame)
  }

  /// Waits for room first.
  package func push(_ frame: StreamFrame) async {
    if !hasRoom {
      await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in whenRoom { continuation.resume() } }
    }
    add(frame)
  }

  @discardableResult
  package func whenRoom(_ action: @escaping @Sendable () -> Void) -> Bool {
    let isNow = state.withLock { state in
      let isNow = state.isFinished || state.bytes < Self.limit
      if !isNow { state.room.append(action) }
      return isNow
    }
    if isNow { action() }
    return isNow
  }

  /// The next frame; nil after the last. One reader at a time.
  package func next() async throws -> StreamFrame? {
    let now = state.withLock { state in (frame: state.take(), actions: state.takeRoom()) }
    for action in now.actions { action() }
    if let frame = now.frame { return frame }
    return try await withCheckedThrowingContinuation { continuation in
      let result = state.withLock { state -> Result<StreamFrame?, any Error>? in
        if let frame = state.take() { return .success(frame) }
        if let error = state.error { return .failure(error) }
        if state.isFinished { return .success(nil) }
        state.reader = continuation
        return nil
      }
      if let result { continuation.resume(with: result) }
    }
  }

  /// What waits is still read; nothing is added any more.
  package func finish(_ error: (any Error)? = nil) {
    let (reader, actions) = state.withLock { state in
      if !state.isFinished { state.error = error }
      state.isFinished = true
      defer { state.reader = nil }
      return (state.reader, state.takeRoom())
    }
    if let error { reader?.resume(throwing: error) } else { reader?.resume(returning: nil) }
    for action in actions { action() }
  }
}

extension FrameQueue: AsyncSequence {
  package struct Iterator: AsyncIteratorProtocol {
    let queue: FrameQueue
    package mutating func next() async -> StreamFrame? {
      let queue = queue
      return await withTaskCancellationHandler {
        (try? await queue.next()) ?? nil
      } onCancel: {
        queue.finish()
      }
    }
  }

  package func makeAsyncIterator() -> Iterator { Iterator(queue: self) }
}

import Client
import Synchronization

/// One end of a two-way stream of frames inside this process: what the agent writes, the other side reads, and back.
package final class FramePipe: ByteStream {
  package let frames: AsyncThrowingStream<StreamFrame, any Error>
  private let output: AsyncThrowingStream<StreamFrame, any Error>.Continuation
  /// What the other side sends to the agent.
  let input: AsyncStream<StreamFrame>
  private let inputContinuation: AsyncStream<StreamFrame>.Continuation
  private let onClose = Mutex<(closed: Bool, actions: [@Sendable () -> Void])>((false, []))
  private let waiting = Mutex<(pending: Int, waiters: [CheckedContinuation<Void, Never>])>((0, []))

  init() {
    (frames, output) = AsyncThrowingStream.makeStream()
    (input, inputContinuation) = AsyncStream.makeStream()
    output.onTermination = { [weak self] _ in self?.close() }
  }

  // The client's side.
  package func send(_ frame: StreamFrame) async throws { inputContinuation.yield(frame) }
  package func finish(channel: UInt8) async throws {
    inputContinuation.yield(StreamFrame(channel: channel, bytes: [], isEnd: true))
  }

  package func close() {
    let actions = onClose.withLock { state in
      defer { state = (true, []) }
      return state.actions
    }
    inputContinuation.finish()
    output.finish()
    for action in actions { action() }
  }

  // The agent's side.
  func write(_ channel: UInt8, _ bytes: [UInt8]) { output.yield(StreamFrame(channel: channel, bytes: bytes)) }
  func end(_ channel: UInt8) { output.yield(StreamFrame(channel: channel, bytes: [], isEnd: true)) }
  func finish(_ error: (any Error)? = nil) {
    if let error { output.finish(throwing: error) } else { output.finish() }
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

import Synchronization

/// What one at a time may do, in the order in which they came. Whoever goes away meanwhile is not waited for.
package final class Turns: Sendable {
  package final class Turn: Sendable {
    private let turns: Turns
    private let isOver = Mutex(false)

    fileprivate init(_ turns: Turns) { self.turns = turns }

    /// The next one's turn; a second call does nothing.
    package func end() {
      let isFirst = isOver.withLock { isOver in
        defer { isOver = true }
        return !isOver
      }
      if isFirst { turns.pass() }
    }
  }

  private struct State {
    var isTaken = false
    var last = 0
    var waiting: [(number: Int, continuation: CheckedContinuation<Turn?, Never>)] = []
  }

  private let state = Mutex(State())

  package init() {}

  /// How many wait.
  package var count: Int { state.withLock { $0.waiting.count } }

  /// Waits for a turn, which its taker ends.
  /// - Returns: nil where the pipe was closed before.
  package func take(until pipe: FramePipe) async -> Turn? {
    await withCheckedContinuation { continuation in
      let number = state.withLock { state -> Int? in
        guard state.isTaken else {
          state.isTaken = true
          return nil
        }
        state.last += 1
        state.waiting.append((state.last, continuation))
        return state.last
      }
      guard let number else { return continuation.resume(returning: Turn(self)) }
      pipe.onClose { [weak self] in self?.leave(number) }
    }
  }

  private func leave(_ number: Int) {
    let continuation = state.withLock { state -> CheckedContinuation<Turn?, Never>? in
      guard let i = state.waiting.firstIndex(where: { $0.number == number }) else { return nil }
      return state.waiting.remove(at: i).continuation
    }
    continuation?.resume(returning: nil)
  }

  private func pass() {
    let continuation = state.withLock { state -> CheckedContinuation<Turn?, Never>? in
      state.isTaken = !state.waiting.isEmpty
      return state.isTaken ? state.waiting.removeFirst().continuation : nil
    }
    continuation?.resume(returning: Turn(self))
  }
}

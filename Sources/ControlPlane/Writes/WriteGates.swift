import Store
import Synchronization

/// Lines up writers that keep colliding on one key, so that each of them gets its turn instead of another conflict.
///
/// In: the key of a second conflict. Out: the turn, in the order in which they came. Nobody holds two: there is nothing to lock up.
final class WriteGates: Sendable {
  /// A key is present while somebody has the turn; behind him those who wait.
  private let lines = Mutex<[StoreKey: [CheckedContinuation<Void, Never>]]>([:])

  func enter(_ key: StoreKey) async {
    await withCheckedContinuation { continuation in
      let isFree = lines.withLock { lines in
        if lines[key] != nil {
          lines[key]?.append(continuation)
          return false
        }
        lines[key] = []
        return true
      }
      if isFree { continuation.resume() }
    }
  }

  func leave(_ key: StoreKey) {
    let next = lines.withLock { lines -> CheckedContinuation<Void, Never>? in
      guard let waiting = lines[key], !waiting.isEmpty else {
        lines[key] = nil
        return nil
      }
      return lines[key]?.removeFirst()
    }
    next?.resume()
  }
}

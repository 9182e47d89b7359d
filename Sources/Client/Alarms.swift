/// Keys that come by themselves at an instant, each with some slack, so that one timer serves them all and many go off together.
///
/// A plain value: whoever sleeps until ``next`` is somebody else.
package struct Alarms<Key: Hashable & Sendable>: Sendable {
  package typealias Instant = ContinuousClock.Instant

  private struct Entry: Sendable {
    var at: Instant
    var latest: Instant
    var key: Key
  }

  /// A heap by `latest`. Entries whose key has another instant by now are void.
  private var heap: [Entry] = []
  private var set: [Key: Instant] = [:]

  package init() {}

  /// When the timer must go off; nil where nothing is set.
  package var next: Instant? { heap.first?.latest }

  /// - Parameters:
  ///   - at: not before it.
  ///   - latest: not after it.
  /// - Returns: false where the key has an earlier alarm, which stays.
  @discardableResult
  package mutating func add(_ key: Key, at: Instant, latest: Instant) -> Bool {
    if let other = set[key], other <= at { return false }
    set[key] = at
    heap.append(Entry(at: at, latest: latest, key: key))
    var child = heap.count - 1
    while child > 0, heap[child].latest < heap[(child - 1) / 2].latest {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
    return true
  }

  /// The keys whose instant has come.
  package mutating func take(now: Instant) -> [Key] {
    var due: [Key] = []
    while let first = heap.first {
      if set[first.key] == first.at {
        guard first.at <= now else { break }
        set[first.key] = nil
        due.append(first.key)
      }
      removeFirst()
    }
    return due
  }

  private mutating func removeFirst() {
    let last = heap.removeLast()
    guard !heap.isEmpty else { return }
    heap[0] = last
    var parent = 0
    while true {
      var earliest = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].latest < heap[earliest].latest {
        earliest = child
      }
      guard earliest != parent else { return }
      heap.swapAt(parent, earliest)
      parent = earliest
    }
  }
}

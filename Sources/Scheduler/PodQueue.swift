/// Pods that wait for a node: higher priority first, then who came first.
///
/// Entries are never searched for: a pod that left is recognised by its ticket when it comes up.
struct PodQueue: Sendable {
  struct Entry: Sendable {
    var pod: Int
    var ticket: UInt64
    var priority: Int32
    /// Arrival, or the instant at which a back-off ends.
    var order: Int64

    func isBefore(_ other: Entry) -> Bool { priority != other.priority ? priority > other.priority : order < other.order }
  }
  private var heap: [Entry] = []

  var isEmpty: Bool { heap.isEmpty }
  var first: Entry? { heap.first }

  mutating func insert(_ entry: Entry) {
    heap.append(entry)
    var i = heap.count - 1
    while i > 0, heap[i].isBefore(heap[(i - 1) / 2]) {
      heap.swapAt(i, (i - 1) / 2)
      i = (i - 1) / 2
    }
  }

  mutating func removeFirst() -> Entry? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    guard !heap.isEmpty else { return first }
    heap[0] = last
    var i = 0
    while true {
      var smallest = i
      for child in [2 * i + 1, 2 * i + 2] where child < heap.count && heap[child].isBefore(heap[smallest]) { smallest = child }
      guard smallest != i else { return first }
      heap.swapAt(i, smallest)
      i = smallest
    }
  }
}

import Store
import Wire

/// The last events of one resource, bounded in bytes. Sequence numbers count from the first event ever.
struct EventRing {
  /// What an event costs beside the bytes of its objects.
  private static let overhead = 256
  /// Events that stay whatever their size.
  private static let minimum = 64

  private let limit: Int
  private var slots: [RingEvent?] = []
  private var costs: [Int32] = []
  private var start = 0
  private var bytes = 0
  /// The sequence number of the oldest event that is left.
  private(set) var first = 0
  /// Everything behind this revision is here.
  private(set) var completeSince: Revision

  init(limit: Int = 0, completeSince: Revision = 0) {
    self.limit = limit
    self.completeSince = completeSince
  }

  /// The sequence number of the next event.
  var end: Int { first + slots.count - start }

  subscript(sequence: Int) -> RingEvent {
    guard let event = slots[start + sequence - first] else { preconditionFailure("sequence \(sequence) was dropped") }
    return event
  }

  /// Some events in a row.
  struct Part {
    var first: Int
    var events: [RingEvent]
    var end: Int { first + events.count }
  }

  func events(_ range: Range<Int>) -> [RingEvent] { range.map { self[$0] } }

  /// - Returns: its sequence number.
  @discardableResult
  mutating func append(_ event: RingEvent) -> Int {
    // The old state counts where no earlier event of the ring holds it.
    var cost = Self.overhead + (event.new?.object.footprint ?? 0)
    if let old = event.old?.object, old.revision <= completeSince { cost += old.footprint }
    slots.append(event)
    costs.append(Int32(clamping: cost))
    bytes += cost
    while bytes > limit, slots.count - start > Self.minimum {
      if let dropped = slots[start] { completeSince = dropped.revision }
      bytes -= Int(costs[start])
      slots[start] = nil
      start += 1
      first += 1
    }
    if start > 1024, start * 2 > slots.count {
      slots.removeFirst(start)
      costs.removeFirst(start)
      start = 0
    }
    return end - 1
  }

  /// The sequence number of the first event behind a revision; nil where some of those are gone.
  func position(after revision: Revision) -> Int? {
    guard revision >= completeSince else { return nil }
    var low = first
    var high = end
    while low < high {
      let middle = (low + high) / 2
      if self[middle].revision <= revision { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

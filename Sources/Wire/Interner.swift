import Synchronization

/// Makes equal values one: what repeats among many objects (labels, owners, tolerations of a set's pods) is kept once.
///
/// Bounded: it remembers the last value of each of its slots and nothing else, so nothing has to be thrown away.
package final class Interner<T: Hashable & Sendable>: Sendable {
  private let slots: Mutex<[T?]>

  /// - Parameter slots: values remembered at most.
  package init(slots: Int = 256) { self.slots = Mutex([T?](repeating: nil, count: max(1, slots))) }

  /// - Returns: an equal value, the one that others hold where it is remembered.
  package func callAsFunction(_ value: T) -> T {
    let hash = value.hashValue
    return slots.withLock { slots in
      let slot = Int(UInt(bitPattern: hash) % UInt(slots.count))
      if let known = slots[slot], known == value { return known }
      slots[slot] = value
      return value
    }
  }
}

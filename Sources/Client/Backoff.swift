/// Growing patience: `base`, twice that, … up to `limit`. A plain value; whoever sleeps is somebody else.
package struct Backoff: Sendable {
  package var base: Duration
  package var limit: Duration
  package private(set) var failures = 0

  package init(base: Duration = .milliseconds(100), limit: Duration = .seconds(30)) {
    self.base = base
    self.limit = limit
  }

  /// Counts a failure.
  /// - Returns: how long to wait before the next attempt.
  package mutating func next() -> Duration {
    defer { failures += 1 }
    return min(limit, base * Double(UInt64(1) << UInt64(min(failures, 30))))
  }

  package mutating func reset() { failures = 0 }
}

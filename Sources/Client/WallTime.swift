import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// An instant of the wall clock. Handed in wherever one is written; nobody reads the clock by himself.
package struct WallTime: Hashable, Sendable, Comparable {
  /// Since 1970.
  package var seconds: Int64
  /// 0…999,999,999.
  package var nanoseconds: Int64

  package init(seconds: Int64, nanoseconds: Int64 = 0) {
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }

  package static func now() -> WallTime {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return WallTime(seconds: Int64(time.tv_sec), nanoseconds: Int64(time.tv_nsec))
  }

  /// As the API writes it, in seconds or microseconds.
  package var timestamp: Timestamp { Timestamp(microseconds: seconds &* 1_000_000 &+ nanoseconds / 1000) }

  package static func < (a: Self, b: Self) -> Bool { (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds) }
}

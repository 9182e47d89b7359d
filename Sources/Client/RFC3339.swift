#if canImport(Glibc)
  import Glibc
#endif

/// Instants as the API writes them, and back.
package enum RFC3339 {
  /// RFC 3339 with whole seconds, UTC: `2026-11-25T07:53:46Z`.
  /// - Parameter seconds: since 1970.
  package static func text(_ seconds: Int64) -> String {
    var seconds = time_t(seconds)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    func two(_ n: Int32) -> String { n < 10 ? "0\(n)" : "\(n)" }
    let date = "\(1900 + Int(parts.tm_year))-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
    return "\(date)T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
  }

  /// With six digits of the second, as `MicroTime` fields want: `2026-11-25T07:53:46.000250Z`.
  package static func micro(_ instant: WallTime) -> String {
    let digits = String(instant.nanoseconds / 1000)
    return "\(text(instant.seconds).dropLast()).\(String(repeating: "0", count: max(0, 6 - digits.count)))\(digits)Z"
  }

  /// Reads RFC 3339 with `Z` or an offset; fractions are cut off.
  /// - Returns: seconds since 1970, nil where the text is no instant.
  package static func seconds(_ text: String) -> Int64? {
    let bytes = Array(text.utf8)
    func number(_ range: Range<Int>) -> Int64? {
      guard range.upperBound <= bytes.count else { return nil }
      var value: Int64 = 0
      for byte in bytes[range] {
        guard byte &- 48 < 10 else { return nil }
        value = value * 10 + Int64(byte - 48)
      }
      return value
    }
    guard bytes.count >= 20, let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
      let hour = number(11..<13),
      let minute = number(14..<16), let second = number(17..<19), (1...12).contains(month), (1...31).contains(day)
    else { return nil }
    var end = 19
    if bytes[end] == UInt8(ascii: ".") {
      end += 1
      while end < bytes.count, bytes[end] &- 48 < 10 { end += 1 }
    }
    var offset: Int64 = 0
    guard end < bytes.count else { return nil }
    if bytes[end] == UInt8(ascii: "+") || bytes[end] == UInt8(ascii: "-") {
      guard let hours = number(end + 1..<end + 3), let minutes = number(end + 4..<end + 6) else { return nil }
      offset = (hours * 60 + minutes) * 60 * (bytes[end] == UInt8(ascii: "+") ? 1 : -1)
    } else if bytes[end] != UInt8(ascii: "Z") && bytes[end] != UInt8(ascii: "z") {
      return nil
    }
    // Days since 1970 of a civil date; the year begins in March.
    let y = month <= 2 ? year - 1 : year
    let era = y / 400
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    return ((days * 24 + hour) * 60 + minute) * 60 + second - offset
  }
}

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

  package static func < (a: Self, b: Self) -> Bool { (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds) }
}

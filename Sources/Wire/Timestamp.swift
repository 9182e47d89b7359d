/// A point in time as the API writes it: RFC 3339 in UTC, whole seconds (`Time`) or microseconds (`MicroTime`).
package struct Timestamp: Sendable, Comparable, Hashable, CustomStringConvertible {
  /// Microseconds since 1970-01-01T00:00:00Z.
  package let microseconds: Int64

  package init(microseconds: Int64) { self.microseconds = microseconds }
  package init(seconds: Int64) { microseconds = seconds &* 1_000_000 }

  package var seconds: Int64 { microseconds >= 0 ? microseconds / 1_000_000 : (microseconds - 999_999) / 1_000_000 }

  /// Seconds of the years 0000 to 9999: what RFC 3339 can say.
  package static let expressible: Range<Int64> = -62_167_219_200..<253_402_300_800

  /// Go's zero time, which counts as no time.
  package var isZero: Bool { seconds == -62_135_596_800 }

  package static func < (a: Self, b: Self) -> Bool { a.microseconds < b.microseconds }

  /// Reads RFC 3339 with any offset and fraction.
  package init?(_ text: String) {
    var text = text
    guard let microseconds = text.withUTF8({ Self.parse($0) }) else { return nil }
    self.microseconds = microseconds
  }

  private static func parse(_ bytes: UnsafeBufferPointer<UInt8>) -> Int64? {
    func number(_ start: Int, _ count: Int) -> Int? {
      guard start + count <= bytes.count else { return nil }
      var value = 0
      for byte in bytes[start..<start + count] {
        guard byte &- 48 < 10 else { return nil }
        value = value * 10 + Int(byte - 48)
      }
      return value
    }
    guard bytes.count >= 20, bytes[4] == 45, bytes[7] == 45, bytes[10] | 32 == 116, bytes[13] == 58, bytes[16] == 58,
      let year = number(0, 4), let month = number(5, 2), let day = number(8, 2), let hour = number(11, 2),
      let minute = number(14, 2),
      let second = number(17, 2), (1...12).contains(month), (1...Self.length(ofMonth: month, year)).contains(day), hour < 24,
      minute < 60, second < 61
    else { return nil }
    var i = 19
    var micro = 0
    if bytes[i] == 46 {
      i += 1
      let start = i
      while i < bytes.count, bytes[i] &- 48 < 10 {
        if i - start < 6 { micro = micro * 10 + Int(bytes[i] - 48) }
        i += 1
      }
      guard i > start else { return nil }
      for _ in min(6, i - start)..<6 { micro *= 10 }
    }
    guard i < bytes.count else { return nil }
    var offset = 0
    if bytes[i] | 32 == 122 {
      guard i + 1 == bytes.count else { return nil }
    } else {
      guard bytes[i] == 43 || bytes[i] == 45, i + 6 == bytes.count, bytes[i + 3] == 58, let hours = number(i + 1, 2),
        let minutes = number(i + 4, 2)
      else { return nil }
      offset = (hours * 60 + minutes) * (bytes[i] == 45 ? -60 : 60)
    }
    let days = Self.days(year: year, month: month, day: day)
    let seconds = days * 86400 + hour * 3600 + minute * 60 + second - offset
    // An offset must not lead out of the years that can be written.
    return expressible.contains(Int64(seconds)) ? Int64(seconds * 1_000_000 + micro) : nil
  }

  private static func length(ofMonth month: Int, _ year: Int) -> Int {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// Days since 1970-01-01 in the proleptic Gregorian calendar.
  private static func days(year: Int, month: Int, day: Int) -> Int {
    let y = month <= 2 ? year - 1 : year
    let era = (y >= 0 ? y : y - 399) / 400
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }

  /// Whole seconds: `2026-11-25T07:13:23Z`.
  package var description: String { Self.text(seconds: seconds, micro: nil) }
  /// Six digits of a second: `2026-11-25T07:13:23.000000Z`.
  package var microDescription: String { Self.text(seconds: seconds, micro: Int(microseconds - seconds * 1_000_000)) }

  private static func text(seconds: Int64, micro: Int?) -> String {
    let days = seconds >= 0 ? Int(seconds / 86400) : Int((seconds - 86399) / 86400)
    let rest = Int(seconds) - days * 86400
    let z = days + 719_468
    let era = (z >= 0 ? z : z - 146_096) / 146_097
    let dayOfEra = z - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let mp = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * mp + 2) / 5 + 1
    let month = mp < 10 ? mp + 3 : mp - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    var out: [UInt8] = []
    out.reserveCapacity(28)
    func put(_ value: Int, _ width: Int) {
      var divisor = 1
      for _ in 1..<width { divisor *= 10 }
      while divisor > 0 {
        out.append(UInt8(truncatingIfNeeded: 48 + (value / divisor) % 10))
        divisor /= 10
      }
    }
    put(year, 4)
    for (separator, value) in [(45, month), (45, day), (84, rest / 3600), (58, rest / 60 % 60), (58, rest % 60)] {
      out.append(UInt8(separator))
      put(value, 2)
    }
    if let micro {
      out.append(46)
      put(micro, 6)
    }
    out.append(90)
    return String(decoding: out, as: UTF8.self)
  }
}

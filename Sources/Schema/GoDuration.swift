/// A length of time in the text form of Go: `1m30s`, `1.5h`, `250ms`.
package struct GoDuration: Sendable, Equatable, CustomStringConvertible {
  package let nanoseconds: Int64

  package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  private static let units: [(String, Int64)] = [
    ("ns", 1), ("us", 1000), ("µs", 1000), ("μs", 1000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
  ]

  /// - Returns: nil where the text is no duration or is longer than 2^63 ns.
  package init?(_ text: String) {
    var rest = text[...]
    let isNegative = rest.first == "-"
    if isNegative || rest.first == "+" { rest = rest.dropFirst() }
    if rest == "0" {
      nanoseconds = 0
      return
    }
    guard !rest.isEmpty else { return nil }
    var total = 0.0
    while !rest.isEmpty {
      let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
      rest = rest.dropFirst(number.count)
      let name = rest.prefix { !$0.isNumber && $0 != "." }
      rest = rest.dropFirst(name.count)
      guard let value = Double(number), let unit = Self.units.first(where: { $0.0 == name }) else { return nil }
      total += value * Double(unit.1)
    }
    guard let whole = Int64(exactly: total.rounded()) else { return nil }
    nanoseconds = isNegative ? -whole : whole
  }

  package var description: String {
    if nanoseconds == 0 { return "0s" }
    let sign = nanoseconds < 0 ? "-" : ""
    let magnitude = nanoseconds.magnitude
    func decimal(_ value: UInt64, _ unit: UInt64) -> String {
      var fraction = String(value % unit + unit).dropFirst()
      while fraction.last == "0" { fraction.removeLast() }
      return fraction.isEmpty ? "\(value / unit)" : "\(value / unit).\(fraction)"
    }
    if magnitude < 1000 { return "\(sign)\(magnitude)ns" }
    if magnitude < 1_000_000 { return "\(sign)\(decimal(magnitude, 1000))µs" }
    if magnitude < 1_000_000_000 { return "\(sign)\(decimal(magnitude, 1_000_000))ms" }
    let seconds = "\(decimal(magnitude % 60_000_000_000, 1_000_000_000))s"
    let minutes = magnitude / 60_000_000_000
    if minutes == 0 { return sign + seconds }
    return minutes < 60 ? "\(sign)\(minutes)m\(seconds)" : "\(sign)\(minutes / 60)h\(minutes % 60)m\(seconds)"
  }
}

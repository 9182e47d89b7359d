/// A decimal number with a suffix, exact to the nano and up to 2^63-1 of its base unit, as upstream's `resource.Quantity`.
///
/// ``description`` is the canonical form: `1000m` → `1`, `1024Mi` → `1Gi`, `0.5` → `500m`.
package struct Quantity: Sendable, Comparable, CustomStringConvertible {
  package enum Format: Sendable { case decimalSI, binarySI, exponent }

  /// In nanos of the unit, so that everything upstream can express below is a whole number.
  package let nanos: Int128
  package let format: Format

  package init(nanos: Int128, format: Format) {
    self.nanos = nanos
    self.format = format
  }

  private static let unit: Int128 = 1_000_000_000
  /// 2^63-1 units: what upstream caps values at.
  private static let maximum: Int128 = Int128(Int64.max) * unit

  /// - Returns: nil where the text is no quantity. More than fits is capped, more digits than a nano are rounded up, away from zero.
  package init?(_ text: String) {
    var text = text
    guard let parsed = text.withUTF8({ Self.parse($0) }) else { return nil }
    self = parsed
  }

  private static func parse(_ bytes: UnsafeBufferPointer<UInt8>) -> Quantity? {
    var i = 0
    let isNegative = bytes.first == UInt8(ascii: "-")
    if isNegative || bytes.first == UInt8(ascii: "+") { i = 1 }
    var mantissa: Int128 = 0
    /// Digits after the point that are in the mantissa, less those before it that no longer fit.
    var scale = 0
    var digits = 0
    var hasPoint = false
    var hasRest = false
    while i < bytes.count {
      let byte = bytes[i]
      if byte == UInt8(ascii: "."), !hasPoint {
        hasPoint = true
      } else if byte &- 48 < 10 {
        digits += 1
        if mantissa < Int128.max / 20 {
          mantissa = mantissa * 10 + Int128(byte &- 48)
          if hasPoint { scale += 1 }
        } else {
          hasRest = hasRest || byte != 48
          if !hasPoint { scale -= 1 }
        }
      } else {
        break
      }
      i += 1
    }
    guard digits > 0, let (format, exponent, factor) = suffix(bytes[i...]) else { return nil }
    var (value, isCapped) = mantissa.multipliedReportingOverflow(by: factor)
    var power = 9 + exponent - scale
    while power > 0, !isCapped, value != 0 {
      (value, isCapped) = value.multipliedReportingOverflow(by: 10)
      power -= 1
    }
    if hasRest, !isCapped { value += 1 }
    while power < 0, value != 0 {
      value = value / 10 + (value % 10 == 0 ? 0 : 1)
      if value == 1 { break }
      power += 1
    }
    let magnitude = isCapped ? maximum : min(value, maximum)
    return Quantity(nanos: isNegative ? -magnitude : magnitude, format: format)
  }

  private static func suffix(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> (Format, exponent: Int, factor: Int128)? {
    guard let first = bytes.first else { return (.decimalSI, 0, 1) }
    let powers: [(UInt8, exponent: Int, shift: Int128)] = [
      (UInt8(ascii: "n"), -9, 0), (UInt8(ascii: "u"), -6, 0), (UInt8(ascii: "m"), -3, 0), (UInt8(ascii: "k"), 3, 0),
      (UInt8(ascii: "K"), 0, 10), (UInt8(ascii: "M"), 6, 20), (UInt8(ascii: "G"), 9, 30), (UInt8(ascii: "T"), 12, 40),
      (UInt8(ascii: "P"), 15, 50), (UInt8(ascii: "E"), 18, 60),
    ]
    let power = powers.first { $0.0 == first }
    if bytes.count == 1, let power, power.exponent != 0 { return (.decimalSI, power.exponent, 1) }
    if bytes.count == 2, bytes.last == UInt8(ascii: "i"), let power, power.shift > 0 { return (.binarySI, 0, 1 << power.shift) }
    guard first | 32 == UInt8(ascii: "e") else { return nil }
    var rest = bytes.dropFirst()
    let isNegative = rest.first == UInt8(ascii: "-")
    if isNegative || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
    guard !rest.isEmpty, rest.count < 19 else { return nil }
    var exponent = 0
    for byte in rest {
      guard byte &- 48 < 10 else { return nil }
      // Beyond any quantity already; the value is capped or rounded.
      exponent = min(1000, exponent * 10 + Int(byte &- 48))
    }
    return (.exponent, isNegative ? -exponent : exponent, 1)
  }

  package static func < (a: Self, b: Self) -> Bool { a.nanos < b.nanos }
  package static func == (a: Self, b: Self) -> Bool { a.nanos == b.nanos }

  /// The value in whole units, rounded up.
  package var value: Int64 { Int64(clamping: nanos >= 0 ? (nanos + Self.unit - 1) / Self.unit : nanos / Self.unit) }
  /// The value in thousandths, rounded up.
  package var milliValue: Int64 { Int64(clamping: nanos >= 0 ? (nanos + 999_999) / 1_000_000 : nanos / 1_000_000) }

  /// The value in units of which `scale` make one, rounded up and clamped to 64 bits.
  package func value(scale: Int64) -> Int64 {
    let (product, overflow) = nanos.multipliedReportingOverflow(by: Int128(scale))
    if overflow { return (nanos < 0) == (scale < 0) ? .max : .min }
    let whole = product / Self.unit
    return Int64(clamping: product > 0 && product % Self.unit != 0 ? whole + 1 : whole)
  }

  /// Rounded up to thousandths, as lists of resources are.
  package var roundedUpToMilli: Quantity {
    let (quotient, remainder) = nanos.quotientAndRemainder(dividingBy: 1_000_000)
    if remainder == 0 { return self }
    return Quantity(nanos: (remainder > 0 ? quotient + 1 : quotient) * 1_000_000, format: format)
  }

  package var description: String {
    if nanos == 0 { return "0" }
    if format == .binarySI, nanos.magnitude >= UInt128(1024) * UInt128(Self.unit), nanos % Self.unit == 0 {
      var value = nanos / Self.unit
      var suffix = 0
      while suffix < 6, value % 1024 == 0 {
        value /= 1024
        suffix += 1
      }
      return "\(value)\(["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][suffix])"
    }
    var value = nanos
    var power = -9
    while power < 18, value % 1000 == 0 {
      value /= 1000
      power += 3
    }
    if format == .exponent { return power == 0 ? "\(value)" : "\(value)e\(power)" }
    return "\(value)\(["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][power / 3 + 3])"
  }

  package static let zero = Quantity(nanos: 0, format: .decimalSI)

  package static func + (a: Quantity, b: Quantity) -> Quantity {
    Quantity(nanos: a.nanos + b.nanos, format: a.nanos == 0 ? b.format : a.format)
  }
  package static func - (a: Quantity, b: Quantity) -> Quantity {
    Quantity(nanos: a.nanos - b.nanos, format: a.nanos == 0 ? b.format : a.format)
  }
}

extension Value {
  /// A quantity, written as text or as a number; nil where there is none.
  package var quantity: Quantity? {
    switch self {
    case .string(let text): Quantity(text)
    case .int(let number): Quantity(nanos: Int128(number) * 1_000_000_000, format: .decimalSI)
    default: nil
    }
  }
}

import Wire

/// The scalar types with a JSON form of their own: quantities, times, durations.
package enum Scalars {
  // MARK: Quantities

  /// A quantity as upstream's `resource.Quantity` writes it: `1000m` → `1`, `1024Mi` → `1Gi`, `0.5` → `500m`.
  /// - Returns: nil where the text is no quantity.
  package static func canonicalQuantity(_ text: String) -> String? { Quantity(text)?.description }
}

/// A decimal number with a suffix, exact to the nano and up to 2^63-1 of its base unit.
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

  package init?(_ text: String) {
    var rest = Substring(text)
    var negative = false
    if let sign = rest.first, sign == "-" || sign == "+" {
      negative = sign == "-"
      rest.removeFirst()
    }
    var mantissa: Int128 = 0
    var scale = 0
    var digits = 0
    var seenPoint = false
    while let c = rest.first {
      if c == ".", !seenPoint {
        seenPoint = true
      } else if let digit = c.wholeNumberValue, c.isASCII {
        digits += 1
        // More digits than fit are beyond a nano: they only round up.
        if mantissa < Int128.max / 20 {
          mantissa = mantissa * 10 + Int128(digit)
          if seenPoint { scale += 1 }
        } else if !seenPoint {
          return nil
        }
      } else {
        break
      }
      rest.removeFirst()
    }
    guard digits > 0 else { return nil }
    let suffix = String(rest)
    var exponent10 = 0
    var factor2: Int128 = 1
    switch suffix {
    case "": format = .decimalSI
    case "n": (format, exponent10) = (.decimalSI, -9)
    case "u": (format, exponent10) = (.decimalSI, -6)
    case "m": (format, exponent10) = (.decimalSI, -3)
    case "k": (format, exponent10) = (.decimalSI, 3)
    case "M": (format, exponent10) = (.decimalSI, 6)
    case "G": (format, exponent10) = (.decimalSI, 9)
    case "T": (format, exponent10) = (.decimalSI, 12)
    case "P": (format, exponent10) = (.decimalSI, 15)
    case "E": (format, exponent10) = (.decimalSI, 18)
    case "Ki": (format, factor2) = (.binarySI, 1 << 10)
    case "Mi": (format, factor2) = (.binarySI, 1 << 20)
    case "Gi": (format, factor2) = (.binarySI, 1 << 30)
    case "Ti": (format, factor2) = (.binarySI, 1 << 40)
    case "Pi": (format, factor2) = (.binarySI, 1 << 50)
    case "Ei": (format, factor2) = (.binarySI, 1 << 60)
    default:
      guard suffix.first == "e" || suffix.first == "E", let exponent = Int(suffix.dropFirst()), abs(exponent) < 30 else {
        return nil
      }
      (format, exponent10) = (.exponent, exponent)
    }
    var power = 9 + exponent10 - scale
    var value = mantissa
    let (scaled, overflow) = value.multipliedReportingOverflow(by: factor2)
    value = overflow ? Self.maximum : scaled
    while power > 0 {
      let (next, overflow) = value.multipliedReportingOverflow(by: 10)
      value = overflow ? Self.maximum : next
      power -= 1
    }
    while power < 0 {
      // Rounded up, away from zero: nothing asked for is lost.
      value = value / 10 + (value % 10 == 0 ? 0 : 1)
      power += 1
    }
    nanos = negative ? -min(value, Self.maximum) : min(value, Self.maximum)
  }

  package static func < (a: Self, b: Self) -> Bool { a.nanos < b.nanos }
  package static func == (a: Self, b: Self) -> Bool { a.nanos == b.nanos }

  /// The value in whole units, rounded up.
  package var value: Int64 { Int64(clamping: nanos >= 0 ? (nanos + Self.unit - 1) / Self.unit : nanos / Self.unit) }
  package var milliValue: Int64 { Int64(clamping: nanos >= 0 ? (nanos + 999_999) / 1_000_000 : nanos / 1_000_000) }

  /// Rounded up to thousandths, as lists of resources are.
  package var roundedUpToMilli: Quantity {
    let (quotient, remainder) = nanos.quotientAndRemainder(dividingBy: 1_000_000)
    return remainder > 0
      ? Quantity(nanos: (quotient + 1) * 1_000_000, format: format)
      : remainder < 0 ? Quantity(nanos: quotient * 1_000_000, format: format) : self
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

  package static func + (a: Quantity, b: Quantity) -> Quantity {
    Quantity(nanos: a.nanos + b.nanos, format: a.nanos == 0 ? b.format : a.format)
  }
}

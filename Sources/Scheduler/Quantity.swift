/// Kubernetes quantities (`100m`, `1.5Gi`, `2e3`) as whole numbers of a unit that the caller chooses.
enum Quantity {
  /// - Parameter scale: units in one: 1 for bytes and counts, 128,000 for CPU (1m = 128, one ECS CPU unit = 125).
  /// - Returns: rounded up and saturated at `Int64.max`, as the scheduler must never see less than what was asked for; nil
  ///   where the text is no quantity or negative.
  static func parse(_ text: String, scale: Int64) -> Int64? {
    var mantissa: UInt128 = 0
    var fractionDigits = 0
    var hasPoint = false
    var digits = 0
    var bytes = Substring(text).utf8
    if bytes.first == UInt8(ascii: "+") { bytes.removeFirst() }
    while let byte = bytes.first {
      if byte == UInt8(ascii: "."), !hasPoint {
        hasPoint = true
      } else if byte &- 48 < 10 {
        digits += 1
        guard digits <= 24 else { return nil }
        mantissa = mantissa * 10 + UInt128(byte &- 48)
        if hasPoint { fractionDigits += 1 }
      } else {
        break
      }
      bytes.removeFirst()
    }
    guard digits > 0, let suffix = multiplier(String(Substring(bytes))) else { return nil }
    var (value, overflow) = mantissa.multipliedReportingOverflow(by: UInt128(scale))
    if overflow { return .max }
    (value, overflow) = value.multipliedReportingOverflow(by: UInt128(1) << UInt128(suffix.twos))
    if overflow { return .max }
    var tens = suffix.tens - fractionDigits
    while tens > 0 {
      (value, overflow) = value.multipliedReportingOverflow(by: 10)
      if overflow { return .max }
      tens -= 1
    }
    while tens < 0 {
      // Rounding up once at every step rounds up in the end.
      value = value / 10 + (value % 10 == 0 ? 0 : 1)
      tens += 1
    }
    return Int64(clamping: value)
  }

  private static func multiplier(_ suffix: String) -> (tens: Int, twos: Int)? {
    switch suffix {
    case "": return (0, 0)
    case "n": return (-9, 0)
    case "u": return (-6, 0)
    case "m": return (-3, 0)
    case "k": return (3, 0)
    case "M": return (6, 0)
    case "G": return (9, 0)
    case "T": return (12, 0)
    case "P": return (15, 0)
    case "E": return (18, 0)
    case "Ki": return (0, 10)
    case "Mi": return (0, 20)
    case "Gi": return (0, 30)
    case "Ti": return (0, 40)
    case "Pi": return (0, 50)
    case "Ei": return (0, 60)
    default:
      guard suffix.first == "e" || suffix.first == "E", let exponent = Int(suffix.dropFirst()), exponent.magnitude <= 30 else {
        return nil
      }
      return (exponent, 0)
    }
  }
}

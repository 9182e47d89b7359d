#if canImport(Glibc)
  import Glibc
#endif

/// Appends JSON to a byte buffer: compact, keys in the order given, no escaping of `<`, `>` and `&`.
package enum JSONWriter {
  package static func write(_ value: Value, into out: inout [UInt8]) {
    switch value {
    case .null: literal("null", into: &out)
    case .bool(true): literal("true", into: &out)
    case .bool(false): literal("false", into: &out)
    case .int(let i): write(i, into: &out)
    case .double(let d): write(d, into: &out)
    case .string(let s): write(s, into: &out)
    case .array(let elements):
      out.append(UInt8(ascii: "["))
      for (i, element) in elements.enumerated() {
        if i > 0 { out.append(UInt8(ascii: ",")) }
        write(element, into: &out)
      }
      out.append(UInt8(ascii: "]"))
    case .object(let object): write(object, into: &out)
    }
  }

  package static func write(_ object: Object, into out: inout [UInt8]) {
    out.append(UInt8(ascii: "{"))
    for (i, member) in object.members.enumerated() {
      if i > 0 { out.append(UInt8(ascii: ",")) }
      write(member.key, into: &out)
      out.append(UInt8(ascii: ":"))
      write(member.value, into: &out)
    }
    out.append(UInt8(ascii: "}"))
  }

  package static func literal(_ text: StaticString, into out: inout [UInt8]) {
    out.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  package static func write(_ value: Int64, into out: inout [UInt8]) {
    var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
    withUnsafeMutableBytes(of: &digits) { buffer in
      var i = buffer.count
      var magnitude = value.magnitude
      repeat {
        i -= 1
        buffer[i] = UInt8(truncatingIfNeeded: 48 &+ magnitude % 10)
        magnitude /= 10
      } while magnitude > 0
      if value < 0 {
        i -= 1
        buffer[i] = UInt8(ascii: "-")
      }
      out.append(contentsOf: buffer[i...])
    }
  }

  /// The shortest digits that read back as the same number; whole numbers below 2^53 without a fraction, as Go writes them.
  package static func write(_ value: Double, into out: inout [UInt8]) {
    guard value.isFinite else { return literal("null", into: &out) }
    if value == value.rounded(.towardZero), value.magnitude < 9_007_199_254_740_992 { return write(Int64(value), into: &out) }
    out.append(contentsOf: value.description.utf8)
  }

  package static func write(_ text: String, into out: inout [UInt8]) {
    var text = text
    text.withUTF8 { quote($0, into: &out) }
  }

  /// Writes UTF-8 as a JSON string, copying runs between the bytes that need an escape.
  package static func quote(_ bytes: UnsafeBufferPointer<UInt8>, into out: inout [UInt8]) {
    out.append(UInt8(ascii: "\""))
    var start = 0
    var i = 0
    while i < bytes.count {
      if bytes.count - i >= 8 {
        let word = UnsafeRawPointer(bytes.baseAddress! + i).loadUnaligned(as: UInt64.self)
        let special = stringSpecials(word)
        if special == 0 {
          i += 8
          continue
        }
        i += special.trailingZeroBitCount >> 3
      }
      let byte = bytes[i]
      guard byte < 32 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else {
        i += 1
        continue
      }
      out.append(contentsOf: bytes[start..<i])
      escape(byte, into: &out)
      i += 1
      start = i
    }
    out.append(contentsOf: bytes[start...])
    out.append(UInt8(ascii: "\""))
  }

  private static func escape(_ byte: UInt8, into out: inout [UInt8]) {
    out.append(UInt8(ascii: "\\"))
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): out.append(byte)
    case 8: out.append(UInt8(ascii: "b"))
    case 9: out.append(UInt8(ascii: "t"))
    case 10: out.append(UInt8(ascii: "n"))
    case 12: out.append(UInt8(ascii: "f"))
    case 13: out.append(UInt8(ascii: "r"))
    default:
      literal("u00", into: &out)
      for nibble in [byte >> 4, byte & 15] { out.append(nibble < 10 ? 48 + nibble : 87 + nibble) }
    }
  }
}

extension Value {
  /// Compact JSON.
  package var jsonBytes: [UInt8] {
    var out: [UInt8] = []
    JSONWriter.write(self, into: &out)
    return out
  }

  package var json: String { String(decoding: jsonBytes, as: UTF8.self) }
}

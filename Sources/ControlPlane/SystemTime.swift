import Glibc

/// The system's clock.
package enum SystemTime {
  /// Microseconds since 1970.
  package static func microseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
  }
}

enum UUIDText {
  static func version4(using random: inout some RandomNumberGenerator) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var out: [UInt8] = []
    out.reserveCapacity(36)
    var bits = (random.next(), random.next())
    bits.0 = bits.0 & 0xffff_ffff_ffff_0fff | 0x4000
    bits.1 = bits.1 & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000
    for (i, word) in [bits.0, bits.1].enumerated() {
      for nibble in 0..<16 {
        let position = i * 16 + nibble
        if position == 8 || position == 12 || position == 16 || position == 20 { out.append(UInt8(ascii: "-")) }
        out.append(digits[Int(word >> UInt64(60 - 4 * nibble) & 15)])
      }
    }
    return String(decoding: out, as: UTF8.self)
  }
}

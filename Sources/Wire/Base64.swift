/// Base64 with padding, as Go's `encoding/base64.StdEncoding` (line breaks are skipped).
package enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let reverse: [UInt8] = {
    var table = [UInt8](repeating: 255, count: 256)
    for (i, byte) in alphabet.enumerated() { table[Int(byte)] = UInt8(i) }
    return table
  }()

  package static func encode(_ bytes: some Collection<UInt8>) -> String {
    var out: [UInt8] = []
    out.reserveCapacity((bytes.count + 2) / 3 * 4)
    var buffer: UInt32 = 0
    var count = 0
    for byte in bytes {
      buffer = buffer << 8 | UInt32(byte)
      count += 1
      if count == 3 {
        for shift: UInt32 in [18, 12, 6, 0] { out.append(alphabet[Int(buffer >> shift & 63)]) }
        buffer = 0
        count = 0
      }
    }
    if count == 1 {
      out += [alphabet[Int(buffer >> 2 & 63)], alphabet[Int(buffer << 4 & 63)], 61, 61]
    } else if count == 2 {
      out += [alphabet[Int(buffer >> 10 & 63)], alphabet[Int(buffer >> 4 & 63)], alphabet[Int(buffer << 2 & 63)], 61]
    }
    return String(decoding: out, as: UTF8.self)
  }

  /// True where encoding what the text decodes to gives this very text.
  package static func isCanonical(_ text: String) -> Bool {
    var text = text
    return text.withUTF8 { bytes in
      guard bytes.count % 4 == 0 else { return false }
      if bytes.isEmpty { return true }
      let padding = bytes[bytes.count - 1] != 61 ? 0 : bytes[bytes.count - 2] != 61 ? 1 : 2
      return reverse.withUnsafeBufferPointer { reverse in
        for i in 0..<bytes.count - padding where reverse[Int(bytes[i])] == 255 { return false }
        let last = reverse[Int(bytes[bytes.count - padding - 1])]
        return padding == 0 || padding == 1 && last & 3 == 0 || padding == 2 && last & 15 == 0
      }
    }
  }

  /// - Returns: nil where the text is no base64.
  package static func decode(_ text: String) -> [UInt8]? {
    var out: [UInt8] = []
    out.reserveCapacity(text.utf8.count / 4 * 3)
    var buffer: UInt32 = 0
    var count = 0
    var padding = 0
    for byte in text.utf8 where byte != 10 && byte != 13 {
      if byte == 61 {
        padding += 1
        continue
      }
      let value = reverse[Int(byte)]
      guard value != 255, padding == 0 else { return nil }
      buffer = buffer << 6 | UInt32(value)
      count += 1
      if count == 4 {
        out += [UInt8(truncatingIfNeeded: buffer >> 16), UInt8(truncatingIfNeeded: buffer >> 8), UInt8(truncatingIfNeeded: buffer)]
        buffer = 0
        count = 0
      }
    }
    switch (count, padding) {
    case (0, 0): return out
    case (2, 2): return out + [UInt8(truncatingIfNeeded: buffer >> 4)]
    case (3, 1): return out + [UInt8(truncatingIfNeeded: buffer >> 10), UInt8(truncatingIfNeeded: buffer >> 2)]
    default: return nil
    }
  }

  /// Where the first character that cannot stand stands, for the error.
  package static func firstError(_ text: String) -> Int {
    for (i, byte) in text.utf8.enumerated() where reverse[Int(byte)] == 255 && byte != 10 && byte != 13 && byte != 61 { return i }
    return text.utf8.count
  }
}

/// Base64 for URLs, without padding: tokens, keys, revisions. Padding is accepted.
package enum Base64URL {
  package static func encode(_ bytes: some Collection<UInt8>) -> String {
    String(decoding: Base64.encode(bytes).utf8.compactMap { $0 == 61 ? nil : $0 == 43 ? 45 : $0 == 47 ? 95 : $0 }, as: UTF8.self)
  }

  /// - Returns: nil where the text is not base64 for URLs.
  package static func decode(_ text: some StringProtocol) -> [UInt8]? {
    var standard = text.utf8.map { $0 == 45 ? 43 : $0 == 95 ? 47 : $0 }
    while standard.count % 4 != 0 { standard.append(61) }
    return Base64.decode(String(decoding: standard, as: UTF8.self))
  }
}

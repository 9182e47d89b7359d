/// Whether a text is a regular expression of RE2, as far as its form goes: what is surely none is refused, what may be one passes.
enum RegularExpression {
  /// - Returns: what Go's parser says, nil where nothing is wrong.
  static func problem(_ text: String) -> String? {
    let bytes = Array(text.utf8)
    func error(_ kind: String, _ range: Range<Int>) -> String {
      let shown = String(decoding: bytes[range.clamped(to: 0..<bytes.count)], as: UTF8.self)
      return "error parsing regexp: \(kind): `\(shown)`"
    }
    var depth = 0
    var i = 0
    var mayRepeat = false
    while i < bytes.count {
      switch bytes[i] {
      case UInt8(ascii: "\\"):
        guard i + 1 < bytes.count else { return "error parsing regexp: trailing backslash at end of expression: ``" }
        let next = bytes[i + 1]
        if next == UInt8(ascii: "Q") {
          // A quotation: literal up to its end.
          while i + 1 < bytes.count, !(bytes[i] == UInt8(ascii: "\\") && bytes[i + 1] == UInt8(ascii: "E")) { i += 1 }
        } else if isBackReference(bytes, i + 1) || unknownEscapes.contains(next) {
          return error("invalid escape sequence", i..<i + 2)
        }
        i += 2
        mayRepeat = true
        continue
      case UInt8(ascii: "["):
        guard let end = classEnd(bytes, i) else { return error("missing closing ]", i..<bytes.count) }
        i = end
        mayRepeat = true
        continue
      case UInt8(ascii: "("):
        depth += 1
        if i + 1 < bytes.count, bytes[i + 1] == UInt8(ascii: "?") {
          guard let end = groupEnd(bytes, i) else {
            return error("invalid or unsupported Perl syntax", i..<min(i + 3, bytes.count))
          }
          if bytes[end - 1] == UInt8(ascii: ")") { depth -= 1 }
          i = end
          mayRepeat = false
          continue
        }
        mayRepeat = false
      case UInt8(ascii: ")"):
        depth -= 1
        if depth < 0 { return error("unexpected )", 0..<bytes.count) }
        mayRepeat = true
      case UInt8(ascii: "|"): mayRepeat = false
      case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"):
        if !mayRepeat { return error("missing argument to repetition operator", i..<i + 1) }
      default: mayRepeat = true
      }
      i += 1
    }
    return depth > 0 ? error("missing closing )", 0..<bytes.count) : nil
  }

  /// One digit refers back, which RE2 cannot; two octal ones are a character.
  private static func isBackReference(_ bytes: [UInt8], _ i: Int) -> Bool {
    guard (UInt8(ascii: "1")...UInt8(ascii: "9")).contains(bytes[i]) else { return false }
    let isOctal = { (byte: UInt8) in byte &- 48 < 8 }
    return !(isOctal(bytes[i]) && i + 1 < bytes.count && isOctal(bytes[i + 1]))
  }

  /// Letters that mean nothing behind a backslash.
  private static let unknownEscapes = Set("ceghijklmoquyCFGHIJKLMNORTUVXYZ".utf8)

  /// Where a class of characters ends: behind its bracket.
  private static func classEnd(_ bytes: [UInt8], _ start: Int) -> Int? {
    var i = start + 1
    if i < bytes.count, bytes[i] == UInt8(ascii: "^") { i += 1 }
    var isFirst = true
    while i < bytes.count {
      if bytes[i] == UInt8(ascii: "]"), !isFirst { return i + 1 }
      if bytes[i] == UInt8(ascii: "\\") { i += 1 }
      if bytes[i...].starts(with: Array("[:".utf8)), let end = named(bytes, i) {
        i = end
      } else {
        i += 1
      }
      isFirst = false
    }
    return nil
  }

  private static func named(_ bytes: [UInt8], _ start: Int) -> Int? {
    var i = start + 2
    while i + 1 < bytes.count, bytes[i] != UInt8(ascii: "]") {
      if bytes[i] == UInt8(ascii: ":"), bytes[i + 1] == UInt8(ascii: "]") { return i + 2 }
      i += 1
    }
    return nil
  }

  /// Where `(?:`, `(?flags:`, `(?flags)`, `(?P<name>` or `(?<name>` ends; nil for looks around and other Perl.
  private static func groupEnd(_ bytes: [UInt8], _ start: Int) -> Int? {
    var i = start + 2
    if i < bytes.count, bytes[i] == UInt8(ascii: "P") { i += 1 }
    if i < bytes.count, bytes[i] == UInt8(ascii: "<") {
      let name = bytes[(i + 1)...].prefix { $0.isAlphanumeric || $0 == 95 }
      let end = i + 1 + name.count
      return !name.isEmpty && end < bytes.count && bytes[end] == UInt8(ascii: ">") ? end + 1 : nil
    }
    while i < bytes.count, "imsU-".utf8.contains(bytes[i]) { i += 1 }
    guard i < bytes.count, bytes[i] == UInt8(ascii: ":") || bytes[i] == UInt8(ascii: ")") && i > start + 2 else { return nil }
    return i + 1
  }
}

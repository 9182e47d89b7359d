/// YAML as upstream's server and kubectl write it: keys in order, two spaces, lists at the level of their key.
///
/// Source: sigs.k8s.io/yaml over Go's yaml.v2; its choice of plain, quoted and literal scalars, and its natural order of keys.
package enum YAMLWriter {
  /// One document, ended by a line feed.
  package static func bytes(_ value: Value) -> [UInt8] {
    var out: [UInt8] = []
    switch value {
    case .object(let object) where !object.isEmpty: write(object, indent: 0, into: &out)
    case .array(let array) where !array.isEmpty: write(array, indent: 0, into: &out)
    default:
      writeScalar(value, indent: 0, into: &out)
      out.append(newline)
    }
    return out
  }

  private static let newline = UInt8(ascii: "\n")

  private static func write(_ object: Object, indent: Int, isInline: Bool = false, into out: inout [UInt8]) {
    var isFirst = isInline
    for member in object.members.sorted(by: { isOrdered($0.key, $1.key) }) {
      if !isFirst { pad(indent, into: &out) }
      isFirst = false
      writeText(member.key, indent: indent, isKey: true, into: &out)
      out.append(UInt8(ascii: ":"))
      switch member.value {
      case .object(let inner) where !inner.isEmpty:
        out.append(newline)
        write(inner, indent: indent + 2, into: &out)
      case .array(let inner) where !inner.isEmpty:
        out.append(newline)
        write(inner, indent: indent, into: &out)
      default:
        out.append(UInt8(ascii: " "))
        writeScalar(member.value, indent: indent, into: &out)
        out.append(newline)
      }
    }
  }

  private static func write(_ array: [Value], indent: Int, isInline: Bool = false, into out: inout [UInt8]) {
    var isFirst = isInline
    for element in array {
      if !isFirst { pad(indent, into: &out) }
      isFirst = false
      out.append(contentsOf: "- ".utf8)
      switch element {
      case .object(let inner) where !inner.isEmpty: write(inner, indent: indent + 2, isInline: true, into: &out)
      case .array(let inner) where !inner.isEmpty: write(inner, indent: indent + 2, isInline: true, into: &out)
      default:
        writeScalar(element, indent: indent, into: &out)
        out.append(newline)
      }
    }
  }

  private static func pad(_ indent: Int, into out: inout [UInt8]) {
    out.append(contentsOf: repeatElement(UInt8(ascii: " "), count: indent))
  }

  private static func writeScalar(_ value: Value, indent: Int, into out: inout [UInt8]) {
    switch value {
    case .object: out.append(contentsOf: "{}".utf8)
    case .array: out.append(contentsOf: "[]".utf8)
    case .string(let text): writeText(text, indent: indent, isKey: false, into: &out)
    case .null, .bool, .int, .double: JSONWriter.write(value, into: &out)
    }
  }

  // MARK: Text

  private static func writeText(_ text: String, indent: Int, isKey: Bool, into out: inout [UInt8]) {
    let facts = Facts(text)
    if facts.hasBreaks, !isKey, facts.mayBeLiteral { return writeLiteral(text, indent: indent, into: &out) }
    if facts.hasBreaks || !facts.staysText { return writeDoubleQuoted(text, into: &out) }
    if facts.mayBePlain { return out.append(contentsOf: text.utf8) }
    if !facts.mayBeSingleQuoted { return writeDoubleQuoted(text, into: &out) }
    out.append(UInt8(ascii: "'"))
    for byte in text.utf8 {
      if byte == UInt8(ascii: "'") { out.append(byte) }
      out.append(byte)
    }
    out.append(UInt8(ascii: "'"))
  }

  private static func writeLiteral(_ text: String, indent: Int, into out: inout [UInt8]) {
    out.append(UInt8(ascii: "|"))
    // A reader finds the indentation by the first line, unless that begins with a space or is empty.
    if text.hasPrefix(" ") || text.hasPrefix("\n") { out.append(UInt8(ascii: "2")) }
    if !text.hasSuffix("\n") {
      out.append(UInt8(ascii: "-"))
    } else if text.hasSuffix("\n\n") || text == "\n" {
      out.append(UInt8(ascii: "+"))
    }
    let body = text.hasSuffix("\n") ? text.dropLast() : text[...]
    for line in body.split(separator: "\n", omittingEmptySubsequences: false) {
      out.append(newline)
      guard !line.isEmpty else { continue }
      pad(indent + 2, into: &out)
      out.append(contentsOf: line.utf8)
    }
  }

  private static func writeDoubleQuoted(_ text: String, into out: inout [UInt8]) {
    func hex(_ value: UInt32, _ digits: Int) -> String {
      let text = String(value, radix: 16, uppercase: true)
      return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
    }
    out.append(UInt8(ascii: "\""))
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": out.append(contentsOf: "\\\(scalar)".utf8)
      case "\n": out.append(contentsOf: "\\n".utf8)
      case "\t": out.append(contentsOf: "\\t".utf8)
      case "\r": out.append(contentsOf: "\\r".utf8)
      case "\0": out.append(contentsOf: "\\0".utf8)
      case "\u{7}": out.append(contentsOf: "\\a".utf8)
      case "\u{8}": out.append(contentsOf: "\\b".utf8)
      case "\u{b}": out.append(contentsOf: "\\v".utf8)
      case "\u{c}": out.append(contentsOf: "\\f".utf8)
      case "\u{1b}": out.append(contentsOf: "\\e".utf8)
      case "\u{85}": out.append(contentsOf: "\\N".utf8)
      case "\u{2028}": out.append(contentsOf: "\\L".utf8)
      case "\u{2029}": out.append(contentsOf: "\\P".utf8)
      default:
        if Facts.isPrintable(scalar) {
          out.append(contentsOf: String(scalar).utf8)
        } else if scalar.value <= 0xff {
          out.append(contentsOf: "\\x\(hex(scalar.value, 2))".utf8)
        } else if scalar.value <= 0xffff {
          out.append(contentsOf: "\\u\(hex(scalar.value, 4))".utf8)
        } else {
          out.append(contentsOf: "\\U\(hex(scalar.value, 8))".utf8)
        }
      }
    }
    out.append(UInt8(ascii: "\""))
  }

  // MARK: Order

  /// Letters by their code, letters after everything else, runs of digits by their value.
  package static func isOrdered(_ first: String, _ second: String) -> Bool {
    let a = Array(first.unicodeScalars)
    let b = Array(second.unicodeScalars)
    guard let i = zip(a, b).enumerated().first(where: { $1.0 != $1.1 })?.offset else { return a.count < b.count }
    let (isLetterA, isLetterB) = (a[i].properties.isAlphabetic, b[i].properties.isAlphabetic)
    if isLetterA && isLetterB { return a[i] < b[i] }
    if isLetterA || isLetterB { return isLetterB }
    func isDigit(_ scalar: Unicode.Scalar) -> Bool { scalar >= "0" && scalar <= "9" }
    // A zero inside a number is a digit of it, not the beginning of another.
    let isInside = (a[i] == "0" || b[i] == "0") && a[..<i].reversed().prefix(while: isDigit).contains { $0 != "0" }
    func number(_ scalars: [Unicode.Scalar]) -> (value: Double, count: Int) {
      let digits = scalars[i...].prefix(while: isDigit)
      return (digits.reduce(isInside ? 1 : 0) { $0 * 10 + Double($1.value - 48) }, digits.count)
    }
    let (x, y) = (number(a), number(b))
    if x.value != y.value { return x.value < y.value }
    if x.count != y.count { return x.count < y.count }
    return a[i] < b[i]
  }
}

extension YAMLWriter {
  /// What decides how a text is written. Source: libyaml's analysis of scalars.
  private struct Facts {
    var hasBreaks = false
    /// False where the plain text would be read as null, a boolean, a number or a time.
    var staysText = true
    var mayBePlain = true
    var mayBeSingleQuoted = true
    var mayBeLiteral = true

    init(_ text: String) {
      staysText = !YAMLWriter.resolves(text)
      var previous: Unicode.Scalar?
      var hasSpecial = false
      var hasIndicator = text.hasPrefix("---") || text.hasPrefix("...")
      let scalars = Array(text.unicodeScalars)
      for (i, scalar) in scalars.enumerated() {
        let isBeforeBlank = i + 1 == scalars.count || scalars[i + 1] == " " || scalars[i + 1] == "\t" || scalars[i + 1] == "\n"
        switch scalar {
        case "\n":
          hasBreaks = true
          // A space before a break would be lost in a literal.
          if previous == " " { hasSpecial = true }
        case "#", ",", "[", "]", "{", "}", "&", "*", "!", "|", ">", "'", "\"", "%", "@", "`":
          if i == 0 || scalar == "#" && previous == " " { hasIndicator = true }
        case "-", "?": if i == 0, isBeforeBlank { hasIndicator = true }
        case ":": if isBeforeBlank { hasIndicator = true }
        default: if !Self.isPrintable(scalar) { hasSpecial = true }
        }
        previous = scalar
      }
      let isPadded = scalars.first == " " || scalars.last == " "
      mayBePlain = !hasIndicator && !isPadded && !hasSpecial && !scalars.isEmpty
      mayBeSingleQuoted = !hasSpecial
      mayBeLiteral = !hasSpecial && scalars.last != " "
    }

    static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
      switch scalar.value {
      case 0x20...0x7e, 0xa0...0xd7ff, 0xe000...0xfffd: scalar != "\u{feff}" && scalar != "\u{2028}" && scalar != "\u{2029}"
      case 0x10000...0x10ffff: true
      default: false
      }
    }
  }

  private static let words: Set<String> = [
    "", "~", "null", "Null", "NULL", "<<", "y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "true", "True", "TRUE",
    "false",
    "False", "FALSE", "on", "On", "ON", "off", "Off", "OFF", ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf",
    "+.INF",
    "-.inf", "-.Inf", "-.INF",
  ]

  /// True where a reader of YAML 1.1 would take the plain text for something else than text.
  static func resolves(_ text: String) -> Bool {
    if words.contains(text) { return true }
    guard let first = text.utf8.first, first &- 48 < 10 || first == 43 || first == 45 || first == 46 else { return false }
    let bytes = Array(text.utf8)
    func isDigit(_ byte: UInt8) -> Bool { byte &- 48 < 10 }
    // 2006-1-2 and times that begin so.
    let dashes = text.split(separator: "-", maxSplits: 2, omittingEmptySubsequences: false)
    if dashes.count == 3, dashes[0].utf8.count == 4, dashes[0].utf8.allSatisfy(isDigit), (1...2).contains(dashes[1].utf8.count),
      dashes[1].utf8.allSatisfy(isDigit), dashes[2].utf8.first.map(isDigit) == true,
      dashes[2].utf8.allSatisfy({ isDigit($0) || [0x54, 0x74, 0x20, 0x3a, 0x2e, 0x5a, 0x2b, 0x2d].contains($0) })
    {
      return true
    }
    let plain = bytes.filter { $0 != UInt8(ascii: "_") }
    let digits = plain.first == 43 || plain.first == 45 ? plain.dropFirst() : plain[...]
    if digits.first == 48, digits.count > 2,
      let radix = [0x78: 16, 0x58: 16, 0x62: 2, 0x42: 2, 0x6f: 8, 0x4f: 8][digits[digits.startIndex + 1]]
    {
      return UInt64(String(decoding: digits.dropFirst(2), as: UTF8.self), radix: radix) != nil
    }
    // Sixties of the old YAML: 1:30.
    let parts = digits.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    if parts.count > 1 { return parts.allSatisfy { !$0.isEmpty && $0.allSatisfy { isDigit($0) || $0 == 46 } } }
    // [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
    var rest = digits
    let whole = rest.prefix(while: isDigit)
    rest = rest.dropFirst(whole.count)
    if rest.first == UInt8(ascii: ".") {
      let fraction = rest.dropFirst().prefix(while: isDigit)
      if whole.isEmpty, fraction.isEmpty { return false }
      rest = rest.dropFirst(1 + fraction.count)
    } else if whole.isEmpty {
      return false
    }
    guard let mark = rest.first else { return true }
    guard mark | 32 == UInt8(ascii: "e") else { return false }
    rest = rest.dropFirst()
    if rest.first == 43 || rest.first == 45 { rest = rest.dropFirst() }
    return !rest.isEmpty && rest.allSatisfy(isDigit)
  }
}

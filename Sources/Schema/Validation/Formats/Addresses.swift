/// Addresses as Go reads them.
enum Addresses {
  static let badIP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
  static let badCIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"

  struct Address: Equatable, CustomStringConvertible {
    /// 4 or 16.
    var bytes: [UInt8]
    var isV4: Bool { bytes.count == 4 }

    var description: String {
      if isV4 { return bytes.map { String($0) }.joined(separator: ".") }
      let words = stride(from: 0, to: 16, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
      var best = 0..<0
      var i = 0
      while i < 8 {
        var j = i
        while j < 8, words[j] == 0 { j += 1 }
        if j - i > best.count, j - i > 1 { best = i..<j }
        i = max(j, i + 1)
      }
      let text = { (range: Range<Int>) in range.map { String(words[$0], radix: 16) }.joined(separator: ":") }
      return best.isEmpty ? text(0..<8) : "\(text(0..<best.lowerBound))::\(text(best.upperBound..<8))"
    }
  }

  static func parse(_ text: some StringProtocol) -> Address? {
    if !text.contains(":") { return v4(text).map { Address(bytes: $0) } }
    guard text.utf8.count <= 45 else { return nil }
    var head: [UInt8] = []
    var tail: [UInt8] = []
    var seenGap = false
    var rest = Substring(text)
    if rest.hasPrefix("::") {
      seenGap = true
      rest = rest.dropFirst(2)
    } else if rest.hasPrefix(":") {
      return nil
    }
    while !rest.isEmpty {
      let part = rest.prefix { $0 != ":" }
      if part.contains(".") {
        guard part.endIndex == rest.endIndex, let last = v4(part) else { return nil }
        if seenGap { tail += last } else { head += last }
        rest = ""
        break
      }
      guard !part.isEmpty, part.utf8.count <= 4, let word = UInt16(part, radix: 16), part.utf8.first != 43 else { return nil }
      if seenGap { tail += [UInt8(word >> 8), UInt8(word & 255)] } else { head += [UInt8(word >> 8), UInt8(word & 255)] }
      rest = rest[part.endIndex...]
      if rest.isEmpty { break }
      if rest.hasPrefix("::") {
        guard !seenGap else { return nil }
        seenGap = true
        rest = rest.dropFirst(2)
      } else {
        rest = rest.dropFirst()
        if rest.isEmpty { return nil }
      }
    }
    let count = head.count + tail.count
    guard seenGap ? count < 16 : count == 16 else { return nil }
    return Address(bytes: head + [UInt8](repeating: 0, count: 16 - count) + tail)
  }

  private static func v4(_ text: some StringProtocol) -> [UInt8]? {
    let parts = text.utf8.split(separator: 46, omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var bytes: [UInt8] = []
    for part in parts {
      guard !part.isEmpty, part.count <= 3, part.allSatisfy(\.isDigit) else { return nil }
      let number = part.reduce(0) { $0 * 10 + Int($1 - 48) }
      guard number <= 255 else { return nil }
      bytes.append(UInt8(number))
    }
    return bytes
  }

  struct CIDR {
    var address: Address
    var length: Int
    var masked: Address {
      var bytes = address.bytes
      for i in bytes.indices {
        let kept = max(0, min(8, length - i * 8))
        bytes[i] &= kept == 0 ? 0 : ~UInt8(0) << UInt8(8 - kept)
      }
      return Address(bytes: bytes)
    }
    func contains(_ other: CIDR) -> Bool {
      other.address.isV4 == address.isV4 && other.length >= length && CIDR(address: other.address, length: length).masked == masked
    }
  }

  static func cidr(_ text: String) -> CIDR? {
    guard let slash = text.firstIndex(of: "/"), let address = parse(text[..<slash]) else { return nil }
    let digits = text[text.index(after: slash)...]
    guard !digits.isEmpty, digits.utf8.allSatisfy(\.isDigit), let length = Int(digits), length <= address.bytes.count * 8 else {
      return nil
    }
    return CIDR(address: address, length: length)
  }

  static func endpoint(_ text: String) -> [String] {
    guard let address = parse(text) else { return ["must be a valid IP address"] }
    let b = address.bytes
    var messages: [String] = []
    if b.allSatisfy({ $0 == 0 }) { messages.append("may not be unspecified (\(address.isV4 ? "0.0.0.0" : "::"))") }
    if address.isV4 ? b[0] == 127 : b.dropLast().allSatisfy({ $0 == 0 }) && b[15] == 1 {
      messages.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    }
    if address.isV4 ? b[0] == 169 && b[1] == 254 : b[0] == 0xfe && b[1] & 0xc0 == 0x80 {
      messages.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    }
    if address.isV4 ? b[0] == 224 && b[1] == 0 && b[2] == 0 : b[0] == 0xff && b[1] & 0x0f == 2 {
      messages.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    }
    return messages
  }
}

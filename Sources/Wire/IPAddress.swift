#if canImport(Glibc)
  import Glibc
#endif

/// An address of either family. Whoever works with addresses does it per family; a table or an allocator never mixes them.
package enum IPAddress: Hashable, Sendable, Comparable, CustomStringConvertible {
  case v4(UInt32)
  case v6(UInt64, UInt64)

  package enum Family: Int, Sendable, CaseIterable {
    case v4 = 4
    case v6 = 6
  }

  /// Only the usual text forms: no zone, no leading zeros, no shorthand such as `10.1`.
  package init?(_ text: String) {
    var four: UInt32 = 0
    var six: (UInt64, UInt64) = (0, 0)
    if inet_pton(AF_INET, text, &four) == 1 {
      self = .v4(UInt32(bigEndian: four))
    } else if inet_pton(AF_INET6, text, &six) == 1 {
      self = .v6(UInt64(bigEndian: six.0), UInt64(bigEndian: six.1))
    } else {
      return nil
    }
  }

  /// 4 or 16 bytes in network order.
  package init?(bytes: [UInt8]) {
    func number(_ range: Range<Int>) -> UInt64 { bytes[range].reduce(0) { $0 << 8 | UInt64($1) } }
    switch bytes.count {
    case 4: self = .v4(UInt32(truncatingIfNeeded: number(0..<4)))
    case 16: self = .v6(number(0..<8), number(8..<16))
    default: return nil
    }
  }

  /// In network order.
  package var bytes: [UInt8] {
    switch self {
    case .v4(let bits): (0..<4).map { UInt8(truncatingIfNeeded: bits >> UInt32(24 - 8 * $0)) }
    case .v6(let high, let low):
      [high, low].flatMap { half in (0..<8).map { UInt8(truncatingIfNeeded: half >> UInt64(56 - 8 * $0)) } }
    }
  }

  package var family: Family {
    switch self {
    case .v4: .v4
    case .v6: .v6
    }
  }

  package var isLoopback: Bool {
    switch self {
    case .v4(let bits): bits >> 24 == 127
    case .v6(let high, let low): high == 0 && low == 1
    }
  }

  package var description: String {
    switch self {
    case .v4(let bits): return "\(bits >> 24).\(bits >> 16 & 255).\(bits >> 8 & 255).\(bits & 255)"
    case .v6(let high, let low):
      var address = (high.bigEndian, low.bigEndian)
      var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
      inet_ntop(AF_INET6, &address, &text, socklen_t(text.count))
      return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
  }

  package static func < (a: Self, b: Self) -> Bool {
    switch (a, b) {
    case (.v4(let x), .v4(let y)): x < y
    case (.v6(let x1, let x2), .v6(let y1, let y2)): (x1, x2) < (y1, y2)
    case (.v4, .v6): true
    case (.v6, .v4): false
    }
  }
}

/// A block of addresses: `10.244.0.0/16`.
package struct CIDR: Hashable, Sendable, CustomStringConvertible {
  /// The first address; bits behind the prefix are zero.
  package let address: IPAddress
  package let prefix: Int

  package init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPAddress(String(parts[0])), let prefix = Int(parts[1]), prefix >= 0 else { return nil }
    self.prefix = prefix
    switch address {
    case .v4(let bits):
      guard prefix <= 32 else { return nil }
      self.address = .v4(prefix == 0 ? 0 : bits & ~UInt32(0) << UInt32(32 - prefix))
    case .v6(let high, let low):
      guard prefix <= 128 else { return nil }
      let highMask = prefix == 0 ? 0 : ~UInt64(0) << UInt64(max(0, 64 - prefix))
      let lowMask = prefix <= 64 ? 0 : ~UInt64(0) << UInt64(128 - prefix)
      self.address = .v6(high & highMask, low & lowMask)
    }
  }

  package var family: IPAddress.Family { address.family }
  package var description: String { "\(address)/\(prefix)" }

  package func overlaps(_ other: CIDR) -> Bool { contains(other.address) || other.contains(address) }

  package func contains(_ other: IPAddress) -> Bool {
    guard other.family == family, let block = CIDR("\(other)/\(prefix)") else { return false }
    return block.address == address
  }
}

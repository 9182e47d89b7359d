/// The bytes of one object, by which those of its siblings are told: the pods of one set differ in a few hundred bytes of several thousand.
///
/// A packed text is a row of steps: how many bytes follow literally, those bytes, how many are copied from the pattern, and from where
/// (relative to where the last copy ended); all numbers are LEB128, the place is zigzag.
final class BytePattern: Sendable {
  /// Positions of the pattern that are found again: every sixteenth, by the sixteen bytes that begin there.
  private static let block = 16
  /// Texts beyond this are not packed: what is large is seldom like its neighbour.
  static let maximumLength = 16 << 10

  let bytes: [UInt8]
  /// Position / block + 1 by hash; 0: none. A power of two in length.
  private let table: [UInt16]

  /// - Parameter bytes: at most ``maximumLength``.
  init(_ bytes: [UInt8]) {
    self.bytes = bytes
    let blocks = bytes.count / Self.block
    var size = 16
    while size < blocks * 2 { size *= 2 }
    var table = [UInt16](repeating: 0, count: size)
    bytes.withUnsafeBytes { bytes in
      for i in 0..<min(blocks, Int(UInt16.max) - 1) {
        let slot = Self.hash(bytes, i * Self.block) & (size - 1)
        // The first of several equal blocks: what lies before it is more likely to match too.
        if table[slot] == 0 { table[slot] = UInt16(i + 1) }
      }
    }
    self.table = table
  }

  @inline(__always)
  private static func hash(_ bytes: UnsafeRawBufferPointer, _ position: Int) -> Int {
    let low = bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)
    let high = bytes.loadUnaligned(fromByteOffset: position + 8, as: UInt64.self)
    let mixed = (low ^ high &* 0x9E37_79B9_7F4A_7C15) &* 0xD6E8_FEB8_6659_FD93
    return Int(truncatingIfNeeded: mixed >> 40)
  }

  /// - Parameter limit: more bytes than this are not worth it.
  /// - Returns: nil where the text is too different.
  func pack(_ text: [UInt8], limit: Int) -> [UInt8]? {
    var steps: [UInt8] = []
    steps.reserveCapacity(min(limit, 1024))
    var literalStart = 0
    var copyEnd = 0
    var position = 0
    let isSmall = text.withUnsafeBytes { text in
      bytes.withUnsafeBytes { pattern in
        while position + Self.block <= text.count {
          let found = table[Self.hash(text, position) & (table.count - 1)]
          guard found != 0 else {
            position += 1
            continue
          }
          var start = (Int(found) - 1) * Self.block
          var from = position
          var length = 0
          while from + length < text.count, start + length < pattern.count, text[from + length] == pattern[start + length] {
            length += 1
          }
          guard length >= Self.block else {
            position += 1
            continue
          }
          while from > literalStart, start > 0, text[from - 1] == pattern[start - 1] {
            from -= 1
            start -= 1
            length += 1
          }
          Self.write(from - literalStart, &steps)
          steps.append(contentsOf: text[literalStart..<from])
          Self.write(length, &steps)
          let distance = start - copyEnd
          Self.write(distance << 1 ^ distance >> (Int.bitWidth - 1), &steps)
          copyEnd = start + length
          position = from + length
          literalStart = position
          if steps.count > limit { return false }
        }
        if text.count - literalStart + steps.count > limit { return false }
        Self.write(text.count - literalStart, &steps)
        steps.append(contentsOf: text[literalStart...])
        return true
      }
    }
    // Copied: what was reserved would stay reserved.
    return isSmall ? steps.withUnsafeBufferPointer { Array($0) } : nil
  }

  private static func write(_ number: Int, _ steps: inout [UInt8]) {
    var rest = UInt(bitPattern: number)
    while rest >= 0x80 {
      steps.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    steps.append(UInt8(truncatingIfNeeded: rest))
  }

  /// Gives the pieces of a text that ``pack(_:limit:)`` made, in order.
  func unpack(_ steps: [UInt8], _ piece: (UnsafeRawBufferPointer) -> Void) {
    steps.withUnsafeBytes { steps in
      bytes.withUnsafeBytes { pattern in
        var position = 0
        func number() -> Int {
          var number: UInt = 0
          var shift: UInt = 0
          while position < steps.count {
            let byte = steps[position]
            position += 1
            number |= UInt(byte & 0x7f) << shift
            if byte < 0x80 { break }
            shift += 7
          }
          return Int(bitPattern: number)
        }
        var copyEnd = 0
        while position < steps.count {
          let literal = number()
          if literal > 0 { piece(UnsafeRawBufferPointer(rebasing: steps[position..<position + literal])) }
          position += literal
          guard position < steps.count else { return }
          let length = number()
          let zigzag = UInt(bitPattern: number())
          copyEnd += Int(bitPattern: zigzag >> 1) ^ -Int(bitPattern: zigzag & 1)
          piece(UnsafeRawBufferPointer(rebasing: pattern[copyEnd..<copyEnd + length]))
          copyEnd += length
        }
      }
    }
  }
}

/// Chooses the pattern for an object: its own from before, else one of the last objects with a name like its own.
///
/// Bounded: ``slots`` patterns, direct-mapped. Not thread-safe.
package struct PatternShelf: Sendable {
  private static let slots = 128
  /// Objects below this are kept whole: the steps and the reference would eat what is saved.
  private static let minimumLength = 256

  private enum Slot: Sendable {
    case empty
    /// Becomes a pattern when a second object like it comes.
    case candidate(EncodedObject)
    case pattern(BytePattern)
  }

  private var shelf: [Slot] = []

  package init() {}

  /// - Returns: the packed bytes; nil: to be kept whole.
  mutating func pack(_ object: EncodedObject, _ bytes: [UInt8], before: BytePattern?) -> (steps: [UInt8], pattern: BytePattern)? {
    guard bytes.count >= Self.minimumLength, bytes.count <= BytePattern.maximumLength else { return nil }
    // Worth it where more than half is saved; good enough not to look further where it is two thirds.
    let limit = bytes.count / 2
    var best: (steps: [UInt8], pattern: BytePattern)?
    if let before, let steps = before.pack(bytes, limit: limit) {
      best = (steps, before)
      if steps.count <= bytes.count / 3 { return best }
    }
    if shelf.isEmpty { shelf = [Slot](repeating: .empty, count: Self.slots) }
    let slot = Self.slot(object.key)
    var shelved: BytePattern?
    switch shelf[slot] {
    case .empty: break
    case .candidate(let candidate):
      if candidate.key != object.key {
        let made = BytePattern(candidate.copiedBytes)
        shelf[slot] = .pattern(made)
        shelved = made
      }
    case .pattern(let pattern): shelved = pattern
    }
    if let shelved, shelved !== before, let steps = shelved.pack(bytes, limit: min(limit, (best?.steps.count ?? .max) - 1)) {
      best = (steps, shelved)
    }
    guard let best else {
      shelf[slot] = .candidate(object)
      return nil
    }
    // Everything here has moved on from the pattern (pods that run now): the next ones are told by this object.
    if best.steps.count > bytes.count / 3 { shelf[slot] = .candidate(object) }
    return best
  }

  /// By the name without what makes it unique: `web-5d4f8-abcde` and its event `web-5d4f8-abcde.17f3a` are `web-5d4f8`'s.
  private static func slot(_ key: ObjectKey) -> Int {
    var name = Substring(key.name).utf8
    if let dot = name.lastIndex(of: UInt8(ascii: ".")) { name = name[..<dot] }
    if let dash = name.lastIndex(of: UInt8(ascii: "-")) { name = name[..<dash] }
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in key.namespace.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    for byte in name { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return Int(truncatingIfNeeded: (hash ^ hash >> 32) % UInt64(slots))
  }
}

#if canImport(Glibc)
  import Glibc
#endif

/// One node of the tape: a value's byte range and where the next sibling starts.
struct TapeNode {
  enum Kind: UInt8 { case null, `false`, `true`, number, string, array, object }
  var offset: UInt32
  var length: UInt32
  var next: UInt32
  var kind: Kind
  var isEscaped: Bool
}

/// Reads JSON in one pass into 16-byte nodes over the original bytes: no string is made, nothing is allocated per value.
///
/// A tape is reusable: parsing again keeps its buffer. 2.3 GB/s on one core for Pods and Deployments (see Benchmarks).
/// Raw pointers on purpose: `Span` costs 27 % here. Every read is bounded by `end`.
package struct JSONTape: ~Copyable {
  var nodes: UnsafeMutablePointer<TapeNode>
  private(set) var count = 0
  private var capacity: Int
  private var cursor: UnsafePointer<UInt8>
  private var end: UnsafePointer<UInt8>
  private(set) var base: UnsafePointer<UInt8>

  package init(capacity: Int = 256) {
    self.capacity = capacity
    nodes = .allocate(capacity: capacity)
    base = UnsafePointer(bitPattern: 1)!
    cursor = base
    end = base
  }

  deinit { nodes.deallocate() }

  /// Parses `bytes` and lends a view of the root to `body`. The view is valid only inside `body`.
  /// - Throws: ``JSONError`` with the offset of the first byte that does not fit; inputs over 4 GB are refused.
  package mutating func read<R, E: Error>(
    _ bytes: UnsafeBufferPointer<UInt8>, _ body: (JSONView) throws(E) -> R
  ) throws(JSONReadError<E>) -> R {
    do throws(JSONError) { try parse(bytes) } catch { throw .json(error) }
    do throws(E) { return try body(JSONView(nodes: nodes, base: base, index: 0)) } catch { throw .body(error) }
  }

  mutating func parse(_ bytes: UnsafeBufferPointer<UInt8>) throws(JSONError) {
    guard let start = bytes.baseAddress, bytes.count < Int(UInt32.max) else {
      throw JSONError(bytes.isEmpty ? "unexpected end of JSON input" : "input too large", at: 0)
    }
    base = start
    cursor = start
    end = start + bytes.count
    count = 0
    try value(depth: 0)
    skipSpace()
    if cursor != end { throw fail("invalid character after top-level value") }
  }

  private func fail(_ message: String) -> JSONError {
    cursor >= end ? JSONError("unexpected end of JSON input", at: end - base) : JSONError(message, at: cursor - base)
  }

  @inline(__always) private mutating func skipSpace() {
    while cursor < end, cursor.pointee <= 32,
      cursor.pointee == 32 || cursor.pointee == 10 || cursor.pointee == 13 || cursor.pointee == 9
    {
      cursor += 1
    }
  }

  @inline(__always) private mutating func open(_ kind: TapeNode.Kind) -> Int {
    if count == capacity { grow() }
    nodes[count] = TapeNode(
      offset: UInt32(truncatingIfNeeded: cursor - base), length: 0, next: 0, kind: kind, isEscaped: false)
    count &+= 1
    return count &- 1
  }

  @inline(__always) private mutating func close(_ i: Int) {
    nodes[i].length = UInt32(truncatingIfNeeded: cursor - base) &- nodes[i].offset
    nodes[i].next = UInt32(truncatingIfNeeded: count)
  }

  private mutating func grow() {
    let larger = UnsafeMutablePointer<TapeNode>.allocate(capacity: capacity * 2)
    larger.update(from: nodes, count: count)
    nodes.deallocate()
    nodes = larger
    capacity *= 2
  }

  private mutating func string() throws(JSONError) {
    let node = open(.string)
    cursor += 1
    while true {
      while end - cursor >= 8 {
        let special = stringSpecials(UnsafeRawPointer(cursor).loadUnaligned(as: UInt64.self))
        if special == 0 {
          cursor += 8
          continue
        }
        cursor += special.trailingZeroBitCount >> 3
        break
      }
      guard cursor < end else { throw fail("unterminated string") }
      let byte = cursor.pointee
      if byte == UInt8(ascii: "\"") {
        cursor += 1
        close(node)
        return
      }
      if byte == UInt8(ascii: "\\") {
        nodes[node].isEscaped = true
        try skipEscape()
        continue
      }
      if byte < 32 { throw fail("invalid control character in string literal") }
      cursor += 1
    }
  }

  private mutating func skipEscape() throws(JSONError) {
    guard end - cursor >= 2 else {
      cursor = end
      throw fail("")
    }
    switch cursor[1] {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"),
      UInt8(ascii: "r"), UInt8(ascii: "t"):
      cursor += 2
    case UInt8(ascii: "u"):
      guard end - cursor >= 6 else {
        cursor = end
        throw fail("")
      }
      for i in 2..<6 where hexDigit(cursor[i]) == nil { throw fail("invalid character in \\u hexadecimal character escape") }
      cursor += 6
    default: throw fail("invalid character in string escape code")
    }
  }

  private mutating func literal(_ text: StaticString, _ kind: TapeNode.Kind) throws(JSONError) {
    let length = text.utf8CodeUnitCount
    guard end - cursor >= length, memcmp(cursor, text.utf8Start, length) == 0 else { throw fail("invalid literal") }
    let node = open(kind)
    cursor += length
    close(node)
  }

  private mutating func digits() -> Bool {
    let start = cursor
    while cursor < end, cursor.pointee &- 48 < 10 { cursor += 1 }
    return cursor != start
  }

  private mutating func number() throws(JSONError) {
    let node = open(.number)
    if cursor.pointee == UInt8(ascii: "-") { cursor += 1 }
    guard cursor < end else { throw fail("") }
    if cursor.pointee == UInt8(ascii: "0") {
      cursor += 1
    } else if !digits() {
      throw fail("invalid character looking for beginning of value")
    }
    if cursor < end, cursor.pointee == UInt8(ascii: ".") {
      cursor += 1
      if !digits() { throw fail("invalid character after decimal point in numeric literal") }
    }
    if cursor < end, cursor.pointee | 32 == UInt8(ascii: "e") {
      cursor += 1
      if cursor < end, cursor.pointee == UInt8(ascii: "+") || cursor.pointee == UInt8(ascii: "-") { cursor += 1 }
      if !digits() { throw fail("invalid character in exponent of numeric literal") }
    }
    close(node)
  }

  private mutating func value(depth: Int) throws(JSONError) {
    skipSpace()
    guard cursor < end else { throw fail("") }
    guard depth < Wire.maximumDepth else { throw fail("exceeded max depth") }
    switch cursor.pointee {
    case UInt8(ascii: "{"): try members(depth: depth)
    case UInt8(ascii: "["): try elements(depth: depth)
    case UInt8(ascii: "\""): try string()
    case UInt8(ascii: "t"): try literal("true", .true)
    case UInt8(ascii: "f"): try literal("false", .false)
    case UInt8(ascii: "n"): try literal("null", .null)
    default: try number()
    }
  }

  private mutating func members(depth: Int) throws(JSONError) {
    let node = open(.object)
    cursor += 1
    skipSpace()
    if cursor < end, cursor.pointee == UInt8(ascii: "}") {
      cursor += 1
      close(node)
      return
    }
    while true {
      skipSpace()
      guard cursor < end, cursor.pointee == UInt8(ascii: "\"") else {
        throw fail("invalid character looking for beginning of object key string")
      }
      try string()
      skipSpace()
      guard cursor < end, cursor.pointee == UInt8(ascii: ":") else { throw fail("invalid character after object key") }
      cursor += 1
      try value(depth: depth + 1)
      skipSpace()
      guard cursor < end else { throw fail("") }
      if cursor.pointee == UInt8(ascii: ",") {
        cursor += 1
        continue
      }
      guard cursor.pointee == UInt8(ascii: "}") else { throw fail("invalid character after object key:value pair") }
      cursor += 1
      close(node)
      return
    }
  }

  private mutating func elements(depth: Int) throws(JSONError) {
    let node = open(.array)
    cursor += 1
    skipSpace()
    if cursor < end, cursor.pointee == UInt8(ascii: "]") {
      cursor += 1
      close(node)
      return
    }
    while true {
      try value(depth: depth + 1)
      skipSpace()
      guard cursor < end else { throw fail("") }
      if cursor.pointee == UInt8(ascii: ",") {
        cursor += 1
        continue
      }
      guard cursor.pointee == UInt8(ascii: "]") else { throw fail("invalid character after array element") }
      cursor += 1
      close(node)
      return
    }
  }
}

/// What ``JSONTape/read(_:_:)`` can throw: the input's fault or the reader's own error.
package enum JSONReadError<Body: Error>: Error {
  case json(JSONError)
  case body(Body)
}

/// The high bit of each byte that is `"`, `\` or below 0x20.
@inline(__always) func stringSpecials(_ word: UInt64) -> UInt64 {
  let ones: UInt64 = 0x0101_0101_0101_0101
  let high: UInt64 = 0x8080_8080_8080_8080
  let quote = word ^ 0x2222_2222_2222_2222
  let backslash = word ^ 0x5c5c_5c5c_5c5c_5c5c
  return ((quote &- ones) & ~quote | (backslash &- ones) & ~backslash | (word &- 0x2020_2020_2020_2020) & ~word) & high
}

@inline(__always) func hexDigit(_ byte: UInt8) -> UInt32? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - 48)
  case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - 87)
  case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - 55)
  default: nil
  }
}

/// Reads the protobuf wire format; every length is checked against what is there.
package struct ProtoReader {
  package struct Malformed: Error, Sendable, CustomStringConvertible {
    package var description: String
  }

  package enum Field {
    case varint(UInt64)
    case fixed64(UInt64)
    case bytes(ArraySlice<UInt8>)
    case fixed32(UInt32)
  }

  private var bytes: ArraySlice<UInt8>

  package init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }
  package init(_ bytes: [UInt8]) { self.bytes = bytes[...] }

  package var isAtEnd: Bool { bytes.isEmpty }

  package mutating func varint() throws(Malformed) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while let byte = bytes.popFirst() {
      guard shift < 64 else { throw Malformed(description: "a varint is longer than ten bytes") }
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
    throw Malformed(description: "a varint ends early")
  }

  /// The next field, or nil at the end.
  package mutating func next() throws(Malformed) -> (number: Int, field: Field)? {
    if bytes.isEmpty { return nil }
    let tag = try varint()
    guard tag >> 3 > 0, tag >> 3 < 1 << 29 else { throw Malformed(description: "field number \(tag >> 3)") }
    let number = Int(tag >> 3)
    switch tag & 7 {
    case 0: return (number, .varint(try varint()))
    case 1: return (number, .fixed64(try fixed(8)))
    case 2:
      let length = try varint()
      guard length <= UInt64(bytes.count) else { throw Malformed(description: "field \(number) is longer than its message") }
      let content = bytes.prefix(Int(length))
      bytes = bytes.dropFirst(Int(length))
      return (number, .bytes(content))
    case 5: return (number, .fixed32(UInt32(truncatingIfNeeded: try fixed(4))))
    default: throw Malformed(description: "field \(number) has wire type \(tag & 7)")
    }
  }

  private mutating func fixed(_ count: Int) throws(Malformed) -> UInt64 {
    guard bytes.count >= count else { throw Malformed(description: "a fixed field ends early") }
    var value: UInt64 = 0
    for (i, byte) in bytes.prefix(count).enumerated() { value |= UInt64(byte) << UInt64(8 * i) }
    bytes = bytes.dropFirst(count)
    return value
  }
}

/// Appends to the protobuf wire format.
package struct ProtoWriter {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  package mutating func varint(_ value: UInt64) {
    var value = value
    while value >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
      value >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: value))
  }

  package mutating func integer(_ number: Int, _ value: UInt64) {
    varint(UInt64(number) << 3)
    varint(value)
  }

  package mutating func double(_ number: Int, _ value: Double) {
    varint(UInt64(number) << 3 | 1)
    for i in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> UInt64(8 * i))) }
  }

  package mutating func data(_ number: Int, _ content: some Collection<UInt8>) {
    varint(UInt64(number) << 3 | 2)
    varint(UInt64(content.count))
    bytes.append(contentsOf: content)
  }

  package mutating func string(_ number: Int, _ text: String) { data(number, text.utf8) }
}

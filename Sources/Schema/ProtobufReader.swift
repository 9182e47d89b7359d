import Wire

/// The envelope of every protobuf body: `k8s\0` and a message `Unknown`.
package struct ProtobufEnvelope: Sendable {
  package var apiVersion = ""
  package var kind = ""
  package var raw: [UInt8] = []

  static let prefix: [UInt8] = [0x6b, 0x38, 0x73, 0x00]

  package init(apiVersion: String, kind: String, raw: [UInt8]) {
    self.apiVersion = apiVersion
    self.kind = kind
    self.raw = raw
  }

  package init(_ bytes: [UInt8]) throws(DecodeError) {
    guard bytes.starts(with: Self.prefix) else {
      throw DecodeError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    }
    var reader = ProtobufReader(bytes[4...])
    while let (number, field) = try reader.next() {
      switch (number, field) {
      case (1, .bytes(let meta)):
        var inner = ProtobufReader(meta)
        while let (number, field) = try inner.next() {
          guard case .bytes(let text) = field else { continue }
          if number == 1 { apiVersion = String(decoding: text, as: UTF8.self) }
          if number == 2 { kind = String(decoding: text, as: UTF8.self) }
        }
      case (2, .bytes(let message)): raw = Array(message)
      default: break
      }
    }
  }

  /// The body: prefix, TypeMeta and message.
  package var bytes: [UInt8] {
    var writer = ProtobufWriter(capacity: raw.count + 128)
    writer.prepend(raw)
    writer.prependTag(2, length: raw.count)
    let end = writer.count
    writer.prependString(2, kind)
    writer.prependString(1, apiVersion)
    writer.prependTag(1, length: writer.count - end)
    writer.prepend(Self.prefix)
    return writer.bytes
  }
}

/// Fields of one message, in the order in which they stand. Every length is checked against what is there.
struct ProtobufReader {
  enum Field {
    case varint(UInt64)
    case fixed64(UInt64)
    case fixed32(UInt32)
    case bytes(ArraySlice<UInt8>)
  }

  private let bytes: ArraySlice<UInt8>
  private var cursor: Int
  init(_ bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
    cursor = bytes.startIndex
  }
  init(_ bytes: [UInt8]) { self.init(bytes[...]) }

  private static let truncated = DecodeError("unexpected EOF in protobuf message")

  private mutating func varint() throws(DecodeError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while cursor < bytes.endIndex {
      let byte = bytes[cursor]
      cursor &+= 1
      guard shift < 64 else { throw DecodeError("integer overflow in protobuf message") }
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
      shift &+= 7
    }
    throw Self.truncated
  }

  mutating func next() throws(DecodeError) -> (number: Int, field: Field)? {
    if cursor >= bytes.endIndex { return nil }
    let tag = try varint()
    let number = Int(truncatingIfNeeded: tag >> 3 & 0x1fff_ffff)
    guard number > 0, tag >> 32 == 0 else { throw DecodeError("illegal tag \(number) in protobuf message") }
    switch tag & 7 {
    case 0: return (number, .varint(try varint()))
    case 1: return (number, .fixed64(try fixed(8)))
    case 2:
      let length = try varint()
      guard length <= UInt64(bytes.endIndex - cursor) else { throw Self.truncated }
      let start = cursor
      cursor += Int(length)
      return (number, .bytes(bytes[start..<cursor]))
    case 5: return (number, .fixed32(UInt32(truncatingIfNeeded: try fixed(4))))
    default: throw DecodeError("illegal wire type \(tag & 7) in protobuf message")
    }
  }

  private mutating func fixed(_ count: Int) throws(DecodeError) -> UInt64 {
    guard bytes.endIndex - cursor >= count else { throw Self.truncated }
    var value: UInt64 = 0
    for i in 0..<count { value |= UInt64(bytes[cursor + i]) << UInt64(8 * i) }
    cursor += count
    return value
  }
}

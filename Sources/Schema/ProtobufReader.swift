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
    var parts = (apiVersion: "", kind: "", raw: [UInt8]())
    try withReadable(bytes) { buffer throws(DecodeError) in
      var reader = ProtobufReader(ProtobufReader.Bytes(rebasing: buffer[4...]))
      while let (number, field) = try reader.next() {
        switch (number, field) {
        case (1, .bytes(let meta)):
          var inner = ProtobufReader(meta)
          while let (number, field) = try inner.next() {
            guard case .bytes(let text) = field else { continue }
            if number == 1 { parts.apiVersion = String(decoding: text, as: UTF8.self) }
            if number == 2 { parts.kind = String(decoding: text, as: UTF8.self) }
          }
        case (2, .bytes(let message)): parts.raw = Array(message)
        default: break
        }
      }
    }
    (apiVersion, kind, raw) = parts
  }

  /// The body: prefix, TypeMeta and message.
  package var bytes: [UInt8] { bytes(followedBy: 0) }

  /// The body whose message goes on behind ``raw``.
  /// - Parameter rest: so many bytes.
  func bytes(followedBy rest: Int) -> [UInt8] {
    var writer = ProtobufWriter(capacity: raw.count + 128)
    writer.prepend(raw)
    writer.prependTag(2, length: raw.count + rest)
    let end = writer.count
    writer.prependString(2, kind)
    writer.prependString(1, apiVersion)
    writer.prependTag(1, length: writer.count - end)
    writer.prepend(Self.prefix)
    return writer.bytes
  }
}

/// Fields of one message, in the order in which they stand. Every length is checked against what is there.
/// Pointers, because slices of arrays cost twice as much here; they are valid inside of the closure that lent them.
struct ProtobufReader {
  typealias Bytes = UnsafeBufferPointer<UInt8>

  enum Field {
    case varint(UInt64)
    case fixed64(UInt64)
    case fixed32(UInt32)
    case bytes(Bytes)
  }

  private let bytes: Bytes
  private var cursor = 0
  init(_ bytes: Bytes) { self.bytes = bytes }

  private static let truncated = DecodeError("unexpected EOF in protobuf message")

  @inline(__always) private mutating func varint() throws(DecodeError) -> UInt64 {
    guard cursor < bytes.count else { throw Self.truncated }
    let first = bytes[cursor]
    cursor &+= 1
    if first < 0x80 { return UInt64(first) }
    return try longVarint(first)
  }

  private mutating func longVarint(_ first: UInt8) throws(DecodeError) -> UInt64 {
    var value = UInt64(first & 0x7f)
    var shift: UInt64 = 7
    while cursor < bytes.count {
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
    if cursor >= bytes.count { return nil }
    let tag = try varint()
    let number = Int(truncatingIfNeeded: tag >> 3 & 0x1fff_ffff)
    guard number > 0, tag >> 32 == 0 else { throw DecodeError("illegal tag \(number) in protobuf message") }
    switch tag & 7 {
    case 0: return (number, .varint(try varint()))
    case 1: return (number, .fixed64(try fixed(8)))
    case 2:
      let length = try varint()
      guard length <= UInt64(bytes.count - cursor) else { throw Self.truncated }
      let start = cursor
      cursor += Int(length)
      return (number, .bytes(Bytes(rebasing: bytes[start..<cursor])))
    case 5: return (number, .fixed32(UInt32(truncatingIfNeeded: try fixed(4))))
    default: throw DecodeError("illegal wire type \(tag & 7) in protobuf message")
    }
  }

  private mutating func fixed(_ count: Int) throws(DecodeError) -> UInt64 {
    guard bytes.count - cursor >= count else { throw Self.truncated }
    var value: UInt64 = 0
    for i in 0..<count { value |= UInt64(bytes[cursor + i]) << UInt64(8 * i) }
    cursor += count
    return value
  }
}

/// Lends the bytes of an array to a reader; the closure's own error comes through.
func withReadable<R>(_ bytes: [UInt8], _ body: (ProtobufReader.Bytes) throws(DecodeError) -> R) throws(DecodeError) -> R {
  var result: Result<R, DecodeError>?
  bytes.withUnsafeBufferPointer { buffer in
    do throws(DecodeError) { result = .success(try body(buffer)) } catch { result = .failure(error) }
  }
  guard let result else { throw DecodeError("unreadable bytes") }
  return try result.get()
}

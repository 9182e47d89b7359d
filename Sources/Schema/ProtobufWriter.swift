#if canImport(Glibc)
  import Glibc
#endif

/// Builds a message from its end to its start, so that a length is known when it is written: no field is measured twice.
struct ProtobufWriter: ~Copyable {
  private var buffer: UnsafeMutablePointer<UInt8>
  private var capacity: Int
  /// Bytes written so far: the last ones of the buffer.
  private(set) var count = 0

  init(capacity: Int) {
    self.capacity = max(64, capacity)
    buffer = .allocate(capacity: self.capacity)
  }

  deinit { buffer.deallocate() }

  var bytes: [UInt8] { Array(UnsafeBufferPointer(start: buffer + (capacity - count), count: count)) }

  @inline(__always) private mutating func reserve(_ more: Int) -> UnsafeMutablePointer<UInt8> {
    if capacity - count < more { grow(more) }
    count += more
    return buffer + (capacity - count)
  }

  private mutating func grow(_ more: Int) {
    let larger = max(capacity * 2, count + more + 64)
    let fresh = UnsafeMutablePointer<UInt8>.allocate(capacity: larger)
    memcpy(fresh + (larger - count), buffer + (capacity - count), count)
    buffer.deallocate()
    buffer = fresh
    capacity = larger
  }

  mutating func prepend(_ bytes: UnsafeBufferPointer<UInt8>) {
    guard let start = bytes.baseAddress, !bytes.isEmpty else { return }
    memcpy(reserve(bytes.count), start, bytes.count)
  }

  mutating func prepend(_ bytes: [UInt8]) { bytes.withUnsafeBufferPointer { prepend($0) } }

  mutating func prependVarint(_ value: UInt64) {
    var length = 1
    var rest = value >> 7
    while rest > 0 {
      length += 1
      rest >>= 7
    }
    let target = reserve(length)
    rest = value
    for i in 0..<length {
      target[i] = UInt8(truncatingIfNeeded: rest & 0x7f) | (i == length - 1 ? 0 : 0x80)
      rest >>= 7
    }
  }

  mutating func prependKey(_ number: Int, wireType: UInt64) { prependVarint(UInt64(number) << 3 | wireType) }

  /// Number and length of what was prepended just now.
  mutating func prependTag(_ number: Int, length: Int) {
    prependVarint(UInt64(length))
    prependKey(number, wireType: 2)
  }

  mutating func prependString(_ number: Int, _ text: String) {
    var text = text
    text.withUTF8 {
      prepend($0)
      prependTag(number, length: $0.count)
    }
  }

  mutating func prependVarint(_ number: Int, _ value: Int64) {
    prependVarint(UInt64(bitPattern: value))
    prependKey(number, wireType: 0)
  }

  mutating func prependFixed64(_ number: Int, _ bits: UInt64) {
    let target = reserve(8)
    for i in 0..<8 { target[i] = UInt8(truncatingIfNeeded: bits >> UInt64(8 * i)) }
    prependKey(number, wireType: 1)
  }
}

#if canImport(Glibc)
  import Glibc
#endif

/// A value inside JSON bytes, read in place. Valid only inside the closure that lent it: it owns nothing.
///
/// A missing member is a view that is not ``isPresent``, so that a path reads as one expression:
/// `view["spec"]["nodeName"].string`.
package struct JSONView {
  private let nodes: UnsafeMutablePointer<TapeNode>
  private let base: UnsafePointer<UInt8>
  private let index: Int

  init(nodes: UnsafeMutablePointer<TapeNode>, base: UnsafePointer<UInt8>, index: Int) {
    self.nodes = nodes
    self.base = base
    self.index = index
  }

  private var node: TapeNode { nodes[index] }
  private func at(_ i: Int) -> JSONView { JSONView(nodes: nodes, base: base, index: i) }

  package var isPresent: Bool { index >= 0 }
  package var isNull: Bool { index < 0 || node.kind == .null }
  package var isObject: Bool { index >= 0 && node.kind == .object }
  package var isArray: Bool { index >= 0 && node.kind == .array }
  package var isString: Bool { index >= 0 && node.kind == .string }
  package var isNumber: Bool { index >= 0 && node.kind == .number }

  /// Where the value stands in the bytes that were parsed; empty if missing.
  package var range: Range<Int> { index < 0 ? 0..<0 : Int(node.offset)..<Int(node.offset + node.length) }
  /// The value's own bytes, as written; empty if missing.
  package var rawBytes: UnsafeBufferPointer<UInt8> {
    index < 0
      ? UnsafeBufferPointer(start: nil, count: 0) : UnsafeBufferPointer(start: base + Int(node.offset), count: Int(node.length))
  }

  package subscript(key: StaticString) -> JSONView { find(key.utf8Start, key.utf8CodeUnitCount) }

  /// Look-up by a key that is not known at compile time.
  package subscript(dynamic key: String) -> JSONView {
    var key = key
    return key.withUTF8 { bytes in
      guard let start = bytes.baseAddress else {
        return find("".withCString { UnsafeRawPointer($0).assumingMemoryBound(to: UInt8.self) }, 0)
      }
      return find(start, bytes.count)
    }
  }

  private func find(_ key: UnsafePointer<UInt8>, _ length: Int) -> JSONView {
    guard isObject else { return at(-1) }
    var i = index + 1
    let end = Int(node.next)
    while i < end {
      // Keys of an API are never escaped; one that is, is compared the slow way.
      if nodes[i].isEscaped {
        if at(i).string?.utf8.elementsEqual(UnsafeBufferPointer(start: key, count: length)) == true { return at(i + 1) }
      } else if Int(nodes[i].length) == length + 2, memcmp(base + Int(nodes[i].offset) + 1, key, length) == 0 {
        return at(i + 1)
      }
      i = Int(nodes[i + 1].next)
    }
    return at(-1)
  }

  package var string: String? {
    guard isString else { return nil }
    let start = base + Int(node.offset) + 1
    let bytes = UnsafeBufferPointer(start: start, count: Int(node.length) - 2)
    return node.isEscaped ? unescape(bytes) : String(decoding: bytes, as: UTF8.self)
  }

  /// True where this is a string with exactly these characters; makes no `String`.
  package func equals(_ text: StaticString) -> Bool {
    guard isString, !node.isEscaped, Int(node.length) == text.utf8CodeUnitCount + 2 else { return false }
    return memcmp(base + Int(node.offset) + 1, text.utf8Start, text.utf8CodeUnitCount) == 0
  }

  package var bool: Bool? {
    guard index >= 0 else { return nil }
    return switch node.kind {
    case .true: true
    case .false: false
    default: nil
    }
  }

  package var int: Int64? { number?.int }
  package var double: Double? { number?.double }

  private var number: Value? { isNumber ? parseNumber(rawBytes) : nil }

  /// The elements of an array in order; nothing if this is none.
  package func forEach<E: Error>(_ body: (JSONView) throws(E) -> Void) throws(E) {
    guard isArray else { return }
    var i = index + 1
    let end = Int(node.next)
    while i < end {
      try body(at(i))
      i = Int(nodes[i].next)
    }
  }

  package func map<T>(_ body: (JSONView) -> T) -> [T] {
    var result: [T] = []
    forEach { result.append(body($0)) }
    return result
  }

  package func compactMap<T>(_ body: (JSONView) -> T?) -> [T] {
    var result: [T] = []
    forEach { if let value = body($0) { result.append(value) } }
    return result
  }

  /// The members of an object in order, keys first; nothing if this is none.
  package func forEachMember<E: Error>(_ body: (_ key: JSONView, _ value: JSONView) throws(E) -> Void) throws(E) {
    guard isObject else { return }
    var i = index + 1
    let end = Int(node.next)
    while i < end {
      try body(at(i), at(i + 1))
      i = Int(nodes[i + 1].next)
    }
  }

  /// An object of strings (labels, annotations, selectors); members that are no strings are left out.
  package var stringMap: [String: String] {
    var map: [String: String] = [:]
    forEachMember { key, value in
      if let key = key.string, let value = value.string { map[key] = value }
    }
    return map
  }

  /// The number of elements or members.
  package var count: Int {
    var n = 0
    if isArray { forEach { _ in n += 1 } } else { forEachMember { _, _ in n += 1 } }
    return n
  }

  /// The value as a tree.
  package var value: Value {
    guard index >= 0 else { return .null }
    switch node.kind {
    case .null: return .null
    case .true: return .bool(true)
    case .false: return .bool(false)
    case .number: return parseNumber(rawBytes)
    case .string: return .string(string ?? "")
    case .array: return .array(map(\.value))
    case .object:
      var object = Object()
      forEachMember { key, value in object.members.append(.init(key: key.string ?? "", value: value.value)) }
      return .object(object)
    }
  }
}

extension Value {
  /// Parses JSON. Duplicate keys are kept as they come; the decoder of the schema reports them.
  package init(json bytes: some Sequence<UInt8>) throws(JSONError) {
    let array = ContiguousArray(bytes)
    var result: Result<Value, JSONError> = .success(.null)
    array.withUnsafeBufferPointer { buffer in result = Value.parse(buffer) }
    self = try result.get()
  }

  package init(json text: String) throws(JSONError) { try self.init(json: text.utf8) }

  private static func parse(_ buffer: UnsafeBufferPointer<UInt8>) -> Result<Value, JSONError> {
    var tape = JSONTape(capacity: max(64, buffer.count / 12))
    do throws(JSONReadError<Never>) {
      return .success(try tape.read(buffer) { $0.value })
    } catch {
      switch error {
      case .json(let error): return .failure(error)
      }
    }
  }
}

/// A number of the JSON grammar: whole and within 64 bits is an integer, everything else a double.
func parseNumber(_ bytes: UnsafeBufferPointer<UInt8>) -> Value {
  var magnitude: UInt64 = 0
  var isInteger = true
  var digits = bytes[...]
  let negative = digits.first == UInt8(ascii: "-")
  if negative { digits = digits.dropFirst() }
  for byte in digits {
    guard byte &- 48 < 10 else {
      isInteger = false
      break
    }
    let (times, overflow) = magnitude.multipliedReportingOverflow(by: 10)
    let (sum, carry) = times.addingReportingOverflow(UInt64(byte &- 48))
    if overflow || carry {
      isInteger = false
      break
    }
    magnitude = sum
  }
  if isInteger {
    if !negative, let value = Int64(exactly: magnitude) { return .int(value) }
    if negative, magnitude <= UInt64(Int64.max) + 1 { return .int(magnitude == UInt64(Int64.max) + 1 ? .min : -Int64(magnitude)) }
  }
  return .double(Double(String(decoding: bytes, as: UTF8.self)) ?? 0)
}

/// The characters that an escaped string stands for; a lone surrogate becomes U+FFFD, as in Go.
private func unescape(_ bytes: UnsafeBufferPointer<UInt8>) -> String {
  var output: [UInt8] = []
  output.reserveCapacity(bytes.count)
  var i = 0
  func hex4(at start: Int) -> UInt32? {
    guard start + 4 <= bytes.count else { return nil }
    var code: UInt32 = 0
    for k in start..<start + 4 {
      guard let digit = hexDigit(bytes[k]) else { return nil }
      code = code << 4 | digit
    }
    return code
  }
  while i < bytes.count {
    guard bytes[i] == UInt8(ascii: "\\"), i + 1 < bytes.count else {
      output.append(bytes[i])
      i += 1
      continue
    }
    let escape = bytes[i + 1]
    i += 2
    switch escape {
    case UInt8(ascii: "b"): output.append(8)
    case UInt8(ascii: "f"): output.append(12)
    case UInt8(ascii: "n"): output.append(10)
    case UInt8(ascii: "r"): output.append(13)
    case UInt8(ascii: "t"): output.append(9)
    case UInt8(ascii: "u"):
      guard var code = hex4(at: i) else { continue }
      i += 4
      if code & 0xfc00 == 0xd800, i + 6 <= bytes.count, bytes[i] == UInt8(ascii: "\\"), bytes[i + 1] == UInt8(ascii: "u"),
        let low = hex4(at: i + 2), low & 0xfc00 == 0xdc00
      {
        code = 0x10000 + ((code & 0x3ff) << 10 | low & 0x3ff)
        i += 6
      }
      output.append(contentsOf: Character(Unicode.Scalar(code) ?? "\u{FFFD}").utf8)
    default: output.append(escape)
    }
  }
  return String(decoding: output, as: UTF8.self)
}

import Testing
import Wire

/// The grammar of JSON, and that nothing that comes in traps.
@Suite struct JSONTests {
  struct Random: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var z = state
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return z ^ (z >> 31)
    }
  }

  static func value(_ random: inout Random, depth: Int = 0) -> Value {
    switch Int.random(in: 0..<(depth > 4 ? 6 : 8), using: &random) {
    case 0: return .null
    case 1: return .bool(.random(using: &random))
    case 2: return .int(Int64(truncatingIfNeeded: random.next()))
    case 3: return .double(Double(Int64.random(in: -1_000_000...1_000_000, using: &random)) / 1024)
    case 4, 5:
      let scalars = (0..<Int.random(in: 0..<24, using: &random)).compactMap { _ in
        Unicode.Scalar(UInt32.random(in: 0..<(Bool.random(using: &random) ? 128 : 0x1_1000), using: &random))
      }
      var text = ""
      text.unicodeScalars.append(contentsOf: scalars)
      return .string(text)
    case 6: return .array((0..<Int.random(in: 0..<6, using: &random)).map { _ in value(&random, depth: depth + 1) })
    default:
      return .object(
        Object((0..<Int.random(in: 0..<6, using: &random)).map { .init(key: "k\($0)", value: value(&random, depth: depth + 1)) }))
    }
  }

  @Test("what is written is read back the same", arguments: 0..<300 as Range<UInt64>)
  func roundTrip(seed: UInt64) throws {
    var random = Random(state: seed)
    let value = Self.value(&random)
    let bytes = value.jsonBytes
    let again = try Value(json: bytes)
    #expect(again == value, "seed \(seed)")
    #expect(again.jsonBytes == bytes, "seed \(seed)")
  }

  @Test("broken input is refused or read, never trapped on", arguments: 0..<300 as Range<UInt64>)
  func fuzz(seed: UInt64) {
    var random = Random(state: seed &* 31)
    var bytes = Self.value(&random).jsonBytes
    for _ in 0..<Int.random(in: 1..<5, using: &random) where !bytes.isEmpty {
      let at = Int.random(in: 0..<bytes.count, using: &random)
      switch Int.random(in: 0..<3, using: &random) {
      case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
      case 1: bytes.remove(at: at)
      default: bytes.removeSubrange(at...)
      }
    }
    if let value = try? Value(json: bytes) { _ = try? Value(json: value.jsonBytes) }
    _ = try? YAML.documents(bytes)
    _ = try? EncodedObject(bytes: bytes, revision: 1)
  }

  @Test(
    "what the grammar refuses",
    arguments: [
      "", "{", "[1,]", "{\"a\":}", "{\"a\" 1}", "01", "1.", "1e", "+1", "nul", "\"\\x\"", "\"\u{1}\"", "\"\\u12\"", "[1]]", "{a:1}",
      "'a'", "-", "\"a",
    ])
  func refused(text: String) {
    #expect(throws: JSONError.self) { try Value(json: text) }
  }

  @Test("numbers, escapes, nesting")
  func details() throws {
    #expect(try Value(json: "-9223372036854775808").int == .min)
    #expect(try Value(json: "9223372036854775807").int == .max)
    #expect(try Value(json: "1e3").int == 1000)
    #expect(try Value(json: #""\ud83d\ude00\n\u00e9\/""#).string == "😀\né/")
    #expect(try Value(json: #""\ud800""#).string == "\u{FFFD}")
    #expect(throws: JSONError.self) { try Value(json: String(repeating: "[", count: 10_000)) }
    #expect(try Value(json: String(repeating: "[", count: 199) + String(repeating: "]", count: 199)).json.utf8.count == 398)
  }

  @Test("an encoded object knows its key and shows its revision where upstream does")
  func encodedObject() throws {
    let json = #"{"metadata":{"name":"a","namespace":"b","uid":"u","creationTimestamp":"t"},"spec":{}}"#
    let object = try EncodedObject(bytes: Array(json.utf8), revision: 7)
    #expect(object.key == ObjectKey(namespace: "b", name: "a") && object.uid == "u")
    var out: [UInt8] = []
    object.write(apiVersion: "v1", kind: "Pod", into: &out)
    #expect(
      String(decoding: out, as: UTF8.self)
        == #"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"b","uid":"u","resourceVersion":"7","creationTimestamp":"t"},"spec":{}}"#
    )
  }
}

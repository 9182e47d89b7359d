import Testing
import Wire

@Suite struct YAMLWriterTests {
  private func text(_ value: Value) -> String { String(decoding: YAMLWriter.bytes(value), as: UTF8.self) }

  @Test(
    "scalars are plain where they stay text, and quoted as upstream quotes them elsewhere",
    arguments: [
      ("plain", "plain"), ("two words", "two words"), ("", #""""#), ("true", #""true""#), ("y", #""y""#), ("null", #""null""#),
      ("~", #""~""#), ("80", #""80""#), ("1.5", #""1.5""#), ("1e3", #""1e3""#), ("0x1f", #""0x1f""#), ("1:30", #""1:30""#),
      ("1.2.3.4", "1.2.3.4"), ("2026-11-25T10:00:00Z", #""2026-11-25T10:00:00Z""#), ("2026-11-25", #""2026-11-25""#),
      ("100m", "100m"), ("v1", "v1"), ("a: b", "'a: b'"), ("a:b", "a:b"), ("a #b", "'a #b'"), ("a#b", "a#b"), ("- a", "'- a'"),
      ("-a", "-a"), ("*", "'*'"), ("{}", "'{}'"), ("it's", "it's"), ("'q", "'''q'"), (" padded", "' padded'"),
      ("padded ", "'padded '"), ("tab\tx", #""tab\tx""#), ("bell\u{7}", #""bell\a""#), ("grün", "grün"), ("---", "'---'"),
      ("%x", "'%x'"), ("@x", "'@x'"), ("end:", "'end:'"),
    ])
  func scalars(value: String, expected: String) throws {
    #expect(text(["k": .string(value)]) == "k: \(expected)\n")
    #expect(try YAML.decode(YAMLWriter.bytes(["k": .string(value)])).value == ["k": .string(value)])
  }

  @Test(
    "text of several lines is a literal that keeps its end",
    arguments: [
      ("a\nb", "k: |-\n  a\n  b\n"), ("a\nb\n", "k: |\n  a\n  b\n"), ("a\n\n", "k: |+\n  a\n\n"),
      (" a\nb", "k: |2-\n   a\n  b\n"), ("a \nb", "k: \"a \\nb\"\n"), ("a\n\nb", "k: |-\n  a\n\n  b\n"),
    ])
  func literals(value: String, expected: String) throws {
    #expect(text(["k": .string(value)]) == expected)
    #expect(try YAML.decode(YAMLWriter.bytes(["k": .string(value)])).value == ["k": .string(value)])
  }

  @Test("maps are sorted naturally, lists stand at their key's level, empty ones on its line")
  func structure() {
    let value: Value = [
      "kind": "Pod", "apiVersion": "v1", "items": [["b": 1, "a": [["x", "y"], []]], "s", .null], "e": .emptyObject, "n10": true,
      "n9": 1.5,
    ]
    #expect(
      text(value) == """
        apiVersion: v1
        e: {}
        items:
        - a:
          - - x
            - "y"
          - []
          b: 1
        - s
        - null
        kind: Pod
        n9: 1.5
        n10: true

        """)
    #expect(text(.emptyObject) == "{}\n" && text([]) == "[]\n")
  }

  @Test("whatever is written is read back as it was", arguments: 0..<200)
  func roundTrip(seed: UInt64) throws {
    var random = Generator(state: seed &* 0x9e37_79b9_7f4a_7c15 &+ 1)
    let value = random.value(depth: 4)
    let bytes = YAMLWriter.bytes(["root": value])
    #expect(try YAML.decode(bytes).value == ["root": value], "seed \(seed):\n\(String(decoding: bytes, as: UTF8.self))")
  }
}

private struct Generator {
  var state: UInt64
  private static let pieces = [
    "a", "Z", "0", "9", " ", "  ", "\n", "\n\n", ":", ": ", "#", " #", "-", "- ", "'", "\"", "\\", "{", "]", ",", "é", "\t", "true",
    "1", ".", "e", "\u{85}", "\u{1}", "😀", "~", "|", "&",
  ]

  mutating func next(_ bound: Int) -> Int {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return Int(state % UInt64(bound))
  }

  mutating func text() -> String { (0..<next(7)).map { _ in Self.pieces[next(Self.pieces.count)] }.joined() }

  mutating func value(depth: Int) -> Value {
    switch next(depth > 0 ? 8 : 5) {
    case 0: return .null
    case 1: return .bool(next(2) == 0)
    case 2: return .int(Int64(next(1_000_000)) - 500_000)
    case 3, 4: return .string(text())
    case 5: return .array((0..<next(4)).map { _ in value(depth: depth - 1) })
    default:
      var object = Object()
      for _ in 0..<next(4) { object[text()] = value(depth: depth - 1) }
      return .object(object)
    }
  }
}

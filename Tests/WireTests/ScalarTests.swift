import Testing
import Wire

@Suite struct ScalarTests {
  @Test(
    "quantities are canonical as Go writes them",
    arguments: [
      ("1000m", "1"), ("0.5", "500m"), ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("100", "100"), ("1e3", "1e3"), ("1000", "1k"),
      ("0", "0"), ("1500m", "1500m"),
      ("-1", "-1"), ("+1", "1"), ("1Ki", "1Ki"), ("1048576", "1048576"), ("0.0001", "100u"), ("12Mi", "12Mi"), ("5G", "5G"),
      ("0.5Ki", "512"),
      ("1E", "1E"), ("1E3", "1e3"), ("12e6", "12e6"), ("1e-3", "1e-3"), ("1.", "1"), (".5", "500m"), ("0.0000000001", "1n"),
      ("-0.0000000001", "-1n"),
      ("1.123456789123", "1123456790n"), ("9223372036854775807", "9223372036854775807"),
      ("99999999999999999999", "9223372036854775807"),
      ("1e40", "9223372036854775807"), ("123456789012345678901234567890123456789012345", "9223372036854775807"), ("0Gi", "0"),
      ("00010", "10"),
      ("1e-400", "1e-9"), ("8Ei", "9223372036854775807"),
    ])
  func quantities(text: String, expected: String) { #expect(Quantity(text)?.description == expected) }

  @Test(
    "what is no quantity is refused",
    arguments: ["", "-", "1x", "1 ", "1KiB", "e3", ".", "1e", "1e+", "0x10", "1..2", "1mi", "1ki", "١"])
  func noQuantity(text: String) { #expect(Quantity(text) == nil) }

  @Test("quantities count: units and thousandths round up")
  func counting() throws {
    #expect(Quantity("1500m")?.value == 2)
    #expect(Quantity("0.0001")?.milliValue == 1)
    #expect(try #require(Quantity("1Gi")) > #require(Quantity("1G")))
    #expect(try #require(Quantity("1")) == #require(Quantity("1000m")))
  }

  @Test(
    "times are RFC 3339 in UTC",
    arguments: [
      ("2026-11-25T08:13:23+01:00", "2026-11-25T07:13:23Z"), ("2000-02-29T00:00:00.5Z", "2000-02-29T00:00:00Z"),
      ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"), ("2024-12-31T23:30:00-01:00", "2025-01-01T00:30:00Z"),
    ])
  func times(text: String, expected: String) { #expect(Timestamp(text)?.description == expected) }

  @Test(
    "what is no time is refused",
    arguments: [
      "", "2026-02-30T00:00:00Z", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "2026-01-01T25:00:00Z",
      "0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
    ])
  func noTime(text: String) { #expect(Timestamp(text) == nil) }

  @Test(
    "base64: canonical is what encoding gives",
    arguments: ["", "AA==", "aGVsbG8=", "aGVs", "AB==", "A===", "aGVsbG9=", "a", "????", "aGVs\nbG8="])
  func base64(text: String) {
    #expect(Base64.isCanonical(text) == (Base64.decode(text).map { Base64.encode($0) == text } ?? false))
  }

  @Test(
    "a quantity in small units: rounded up, never beyond 64 bits",
    arguments: [
      ("1m", 128), ("1.5", 192_000), ("1n", 1), ("0", 0), ("-1", -128_000), ("8E", Int64.max), ("-8E", Int64.min),
    ])
  func scaled(text: String, expected: Int64) { #expect(Quantity(text)?.value(scale: 128_000) == expected) }

  @Test("quantities stand in values as text or as numbers")
  func inValues() {
    #expect(Value.string("250m").quantity == Quantity("250m"))
    #expect(Value.int(2).quantity == Quantity("2"))
    #expect(Value.null.quantity == nil && Value.string("").quantity == nil && Value.bool(true).quantity == nil)
  }

  @Test("base64 for URLs has no padding, and takes it", arguments: [[], [255], [251, 255], [0, 16, 131], Array("any body".utf8)])
  func base64URL(bytes: [UInt8]) {
    let text = Base64URL.encode(bytes)
    #expect(!text.contains("=") && !text.contains("+") && !text.contains("/"))
    #expect(Base64URL.decode(text) == bytes)
    #expect(Base64URL.decode(text + String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)) == bytes)
    #expect(Base64URL.decode("*" + text) == nil)
  }

  @Test("microseconds have six digits")
  func micro() {
    #expect(Timestamp(microseconds: 250).microDescription == "1970-01-01T00:00:00.000250Z")
    #expect(Timestamp("2026-11-25T07:53:46.123456789Z")?.microseconds == Timestamp(seconds: 1_795_593_226).microseconds + 123_456)
  }
}

import Schema
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
    arguments: ["", "2026-02-30T00:00:00Z", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "2026-01-01T25:00:00Z"])
  func noTime(text: String) { #expect(Timestamp(text) == nil) }

  @Test(
    "durations are Go's",
    arguments: [("90s", "1m30s"), ("1.5h", "1h30m0s"), ("250ms", "250ms"), ("0", "0s"), ("1500us", "1.5ms"), ("-2m", "-2m0s")])
  func durations(text: String, expected: String) { #expect(GoDuration(text)?.description == expected) }

  @Test(
    "base64: canonical is what encoding gives",
    arguments: ["", "AA==", "aGVsbG8=", "aGVs", "AB==", "A===", "aGVsbG9=", "a", "????", "aGVs\nbG8="])
  func base64(text: String) {
    #expect(Base64.isCanonical(text) == (Base64.decode(text).map { Base64.encode($0) == text } ?? false))
  }

  @Test(
    "ages as kubectl shows them",
    arguments: [
      (-5, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (185, "3m5s"), (600, "10m"), (10799, "179m"),
      (10800, "3h"), (14999, "4h9m"),
      (28800, "8h"), (172_799, "47h"), (172_800, "2d"), (273_600, "3d4h"), (691_200, "8d"), (63_071_999, "729d"),
      (63_072_000, "2y"), (63_936_000, "2y10d"),
      (252_288_000, "8y"),
    ])
  func ages(seconds: Int, expected: String) { #expect(HumanDuration.text(seconds: Int64(seconds)) == expected) }
}

import Schema
import Testing

@Suite struct TimeSpanTests {
  @Test(
    "durations are Go's",
    arguments: [("90s", "1m30s"), ("1.5h", "1h30m0s"), ("250ms", "250ms"), ("0", "0s"), ("1500us", "1.5ms"), ("-2m", "-2m0s")])
  func durations(text: String, expected: String) { #expect(GoDuration(text)?.description == expected) }

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

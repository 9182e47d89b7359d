import Client
import Testing
import Wire

@Test(
  "label selectors select as upstream's do",
  arguments: [
    ("", true), ("app=web", true), ("app==web", true), ("app=db", false), ("app!=db", true), ("none!=x", true), ("app", true),
    ("none", false), ("!none", true), ("! app", false), ("app in (db, web)", true), ("app notin (db,web)", false),
    ("none notin (x)", true), ("app in (web),tier=front,!old", true), ("weight>9", true), ("weight<9", false), ("app>9", false),
    ("empty=", true), ("app=", false), ("example.com/role=a_b.c", true),
  ])
func labels(text: String, matches: Bool) throws {
  let labels = ["app": "web", "tier": "front", "weight": "10", "empty": "", "example.com/role": "a_b.c"]
  let selector = try LabelSelector(parsing: text)
  #expect(selector.matches(labels) == matches)
  #expect(try LabelSelector(parsing: selector.text) == selector, "it reads back what it writes")
}

@Test(
  "what is no selector is refused, never trapped on",
  arguments: ["=a", "app in", "app in (a", "a b", "a=b=c", ",", "a,,b", "!", "a>x", "(", "a in a"])
func malformed(text: String) {
  #expect(throws: LabelSelector.Malformed.self) { try LabelSelector(parsing: text) }
}

@Test("selectors of specs: matchLabels and matchExpressions together, unknown operators select nothing")
func specs() throws {
  let value = try Value(
    json:
      #"{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"c","operator":"In","values":["d","e"]},{"key":"f","operator":"DoesNotExist"}]}"#
  )
  let selector = try #require(LabelSelector(value))
  #expect(
    selector.matches(["a": "b", "c": "e"]) && !selector.matches(["a": "b", "c": "x"])
      && !selector.matches(["a": "b", "c": "d", "f": ""]))
  #expect(LabelSelector(try Value(json: #"{"matchExpressions":[{"key":"c","operator":"Near"}]}"#)) == nil)
}

@Test("field selectors")
func fields() throws {
  let selector = try FieldSelector(parsing: "metadata.name=a,status.phase!=Running")
  #expect(selector.matches { $0 == "metadata.name" ? "a" : "Pending" } && !selector.matches { _ in "Running" })
  #expect(throws: LabelSelector.Malformed.self) { try FieldSelector(parsing: "metadata.name") }
}

@Test(
  "instants are written and read back",
  arguments: [
    (0, "1970-01-01T00:00:00Z"), (1_764_057_226, "2025-11-25T07:53:46Z"), (951_782_400, "2000-02-29T00:00:00Z"),
    (4_107_542_399, "2100-02-28T23:59:59Z"),
  ])
func timestamps(seconds: Int64, text: String) {
  #expect(Timestamp(seconds: seconds).description == text && Timestamp(text)?.seconds == seconds)
  #expect(Timestamp(text.dropLast() + ".123456+01:00")?.seconds == seconds - 3600)
  #expect(WallTime(seconds: seconds, nanoseconds: 250_000).timestamp.microDescription == text.dropLast() + ".000250Z")
  for broken in ["", "2025", "2025-13-01T00:00:00Z", "2025-11-25T07:53:46", "2025-11-25T07:53:46+0", "x025-11-25T07:53:46Z"] {
    #expect(Timestamp(broken)?.seconds == nil)
  }
}

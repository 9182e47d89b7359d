import Testing
import Wire

/// RFC 6902 and RFC 7386, with their own examples.
@Suite struct PatchTests {
  func patched(_ document: String, _ patch: String) throws -> String {
    try JSONPatch.apply(Value(json: patch), to: Value(json: document)).json
  }

  @Test(
    "the examples of RFC 6902",
    arguments: [
      (#"{"foo":"bar"}"#, #"[{"op":"add","path":"/baz","value":"qux"}]"#, #"{"foo":"bar","baz":"qux"}"#),
      (#"{"foo":["bar","baz"]}"#, #"[{"op":"add","path":"/foo/1","value":"qux"}]"#, #"{"foo":["bar","qux","baz"]}"#),
      (#"{"baz":"qux","foo":"bar"}"#, #"[{"op":"remove","path":"/baz"}]"#, #"{"foo":"bar"}"#),
      (#"{"foo":["bar","qux","baz"]}"#, #"[{"op":"remove","path":"/foo/1"}]"#, #"{"foo":["bar","baz"]}"#),
      (#"{"baz":"qux"}"#, #"[{"op":"replace","path":"/baz","value":"boo"}]"#, #"{"baz":"boo"}"#),
      (
        #"{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}"#,
        #"[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]"#,
        #"{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}"#
      ),
      (
        #"{"foo":["all","grass","cows","eat"]}"#, #"[{"op":"move","from":"/foo/1","path":"/foo/3"}]"#,
        #"{"foo":["all","cows","eat","grass"]}"#
      ),
      (
        #"{"a":[1],"b":{"c":2}}"#, #"[{"op":"copy","from":"/b","path":"/a/-"},{"op":"test","path":"/a/1/c","value":2}]"#,
        #"{"a":[1,{"c":2}],"b":{"c":2}}"#
      ),
      (
        #"{"/":9,"~1":10}"#, #"[{"op":"test","path":"/~01","value":10},{"op":"replace","path":"/~1","value":1}]"#,
        #"{"/":1,"~1":10}"#
      ),
      (#"{"a":[1,2]}"#, #"[{"op":"remove","path":"/a/-1"}]"#, #"{"a":[1]}"#),
    ])
  func examples(document: String, patch: String, expected: String) throws {
    #expect(try patched(document, patch) == expected)
  }

  @Test(
    "what does not apply changes nothing and says why",
    arguments: [
      (#"[{"op":"test","path":"/a","value":2}]"#, PatchError.Kind.inapplicable), (#"[{"op":"remove","path":"/x"}]"#, .inapplicable),
      (#"[{"op":"replace","path":"/x","value":1}]"#, .inapplicable), (#"[{"op":"add","path":"/x/y","value":1}]"#, .inapplicable),
      (#"[{"op":"add","path":"/l/5","value":1}]"#, .inapplicable), (#"[{"op":"jump","path":"/a"}]"#, .inapplicable),
      (#"{"op":"add"}"#, .malformed), (#"[{"op":"add","path":"a","value":1}]"#, .inapplicable),
      (#"[{"op":"move","from":"/o","path":"/o/p"}]"#, .inapplicable),
    ])
  func refusals(patch: String, kind: PatchError.Kind) throws {
    let error = #expect(throws: PatchError.self) { try patched(#"{"a":1,"l":[],"o":{}}"#, patch) }
    #expect(error?.kind == kind)
  }

  @Test("a patch cannot make a value grow without bounds")
  func bombs() throws {
    let copies = String(repeating: #"{"op":"copy","from":"/a","path":"/a/-"},"#, count: 40)
    let document = #"{"a":["\#(String(repeating: "x", count: 1000))"]}"#
    let error = #expect(throws: PatchError.self) { try patched(document, "[" + copies + #"{"op":"test","path":"/a","value":1}]"#) }
    #expect(error?.kind == .tooLarge)
    let many = "[" + Array(repeating: #"{"op":"test","path":"/b"}"#, count: 10_001).joined(separator: ",") + "]"
    #expect(throws: PatchError.self) { try patched("{}", many) }
    let deep =
      "[" + (0..<300).map { #"{"op":"add","path":"\#(String(repeating: "/a", count: $0 + 1))","value":{}}"# }.joined(separator: ",")
      + "]"
    #expect(throws: PatchError.self) { try patched("{}", deep) }
  }

  @Test(
    "the examples of RFC 7386",
    arguments: [
      (#"{"a":"b"}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":"b"}"#, #"{"b":"c"}"#, #"{"a":"b","b":"c"}"#),
      (#"{"a":"b"}"#, #"{"a":null}"#, "{}"),
      (#"{"a":["b"]}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":{"b":"c"}}"#, #"{"a":{"b":"d","c":null}}"#, #"{"a":{"b":"d"}}"#),
      (#"{"a":[{"b":"c"}]}"#, #"{"a":[1]}"#, #"{"a":[1]}"#), ("{}", #"{"a":{"bb":{"ccc":null}}}"#, #"{"a":{"bb":{}}}"#),
    ])
  func mergePatch(document: String, patch: String, expected: String) throws {
    #expect(try MergePatch.apply(Value(json: patch), to: Value(json: document)).json == expected)
  }
}

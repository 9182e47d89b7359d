import Testing
import Wire

/// YAML as kubectl's users write it and Go reads it.
@Suite struct YAMLTests {
  func json(_ yaml: String) throws -> String { try YAML.decode(Array(yaml.utf8)).value.json }

  @Test(
    "scalars of YAML 1.1 as Go resolves them",
    arguments: [
      ("a: yes", #"{"a":true}"#), ("a: Off", #"{"a":false}"#), ("a: y", #"{"a":"y"}"#), ("a: n", #"{"a":"n"}"#),
      ("a: 'yes'", #"{"a":"yes"}"#),
      ("a: 0o17", #"{"a":15}"#), ("a: 017", #"{"a":15}"#), ("a: 0x1F", #"{"a":31}"#), ("a: 0b101", #"{"a":5}"#),
      ("a: 1_000", #"{"a":1000}"#),
      ("a: -5", #"{"a":-5}"#), ("a: 1.5", #"{"a":1.5}"#), ("a: 1e3", #"{"a":1000}"#), ("a: ~", #"{"a":null}"#),
      ("a:", #"{"a":null}"#),
      ("a: 1.2.3", #"{"a":"1.2.3"}"#), ("a: 12:30", #"{"a":"12:30"}"#), ("a: 2001-01-01", #"{"a":"2001-01-01"}"#),
      ("a: !!str 5", #"{"a":"5"}"#),
      ("a: 09", #"{"a":9}"#), ("a: \"1\"", #"{"a":"1"}"#), ("a: |\n  x\n  y\n", #"{"a":"x\ny\n"}"#), ("1: b", #"{"1":"b"}"#),
      ("true: b", #"{"true":"b"}"#),
      ("a: 10.0.0.1/24", #"{"a":"10.0.0.1/24"}"#), ("a: 1e", #"{"a":"1e"}"#), ("a: +", #"{"a":"+"}"#), ("a: .", #"{"a":"."}"#),
    ])
  func scalars(yaml: String, expected: String) throws {
    #expect(try json(yaml) == expected)
  }

  @Test("anchors, merge keys, documents, duplicates")
  func structure() throws {
    #expect(try json("x: &a {k: 1, l: 2}\ny:\n  <<: *a\n  l: 3") == #"{"x":{"k":1,"l":2},"y":{"l":3,"k":1}}"#)
    #expect(try YAML.documents(Array("a: 1\n---\n---\nb: 2\n".utf8)).count == 2)
    #expect(try YAML.decode(Array("a: 1\nb: {c: 1, c: 2}".utf8)).duplicates == ["b.c"])
    #expect(try YAML.decode(Array("a:\n- x: 1\n- y: {z: 1, z: 2}\n  y: 3\n".utf8)).duplicates == ["a[1].y.z", "a[1].y"])
  }

  @Test("a bomb of aliases, deep nesting and bad text are refused with a line")
  func refused() throws {
    var bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    for i in 1..<9 { bomb += "a\(i): &a\(i) [\(Array(repeating: "*a\(i - 1)", count: 10).joined(separator: ","))]\n" }
    #expect(throws: YAMLError.self) { try YAML.decode(Array(bomb.utf8)) }
    #expect(throws: YAMLError.self) { try YAML.decode(Array(String(repeating: "[", count: 5000).utf8)) }
    let error = #expect(throws: YAMLError.self) { try YAML.decode(Array("a: 1\nb: [".utf8)) }
    #expect((error?.line ?? 0) >= 2)
  }
}

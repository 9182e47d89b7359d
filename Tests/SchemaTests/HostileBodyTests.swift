import Schema
import Testing
import Wire

@Suite struct HostileBodyTests {
  /// The bound tells linear work from quadratic (minutes), nothing finer; what decoding costs is for `gantry-bench schema`.
  @Test("a body made to be slow is not: 100,000 duplicates, unknown fields, labels, resources")
  func hostile() throws {
    let kind = try kind("pods")
    let many = 0..<100_000
    let bodies = [
      "{" + many.map { "\"spec\":{\"nodeName\":\"\($0)\"}" }.joined(separator: ",") + "}",
      "{" + many.map { $0 % 2 == 0 ? "\"metadata\":null" : "\"metadata\":{}" }.joined(separator: ",") + "}",
      "{" + many.map { "\"x\($0)\":1" }.joined(separator: ",") + "}",
      "{\"metadata\":{\"labels\":{\"a\":\"1\",\"a\":\"2\"," + many.map { "\"x\($0)\":\"1\"" }.joined(separator: ",") + "}}}",
      "{\"spec\":{\"containers\":[{\"resources\":{\"limits\":{" + many.map { "\"x\($0)\":\"1\"" }.joined(separator: ",") + "}}}]}}",
    ]
    // Every JSON text is YAML too. A node of YAML is a key or a value: half as many members are taken.
    let yaml = [
      "metadata:\n  labels:\n" + (0..<90_000).map { "    x\($0): a\n" }.joined(),
      "spec: {" + (0..<90_000).map { "x\($0 % 45_000): 1" }.joined(separator: ", ") + "}",
      "a: &a {" + (0..<20_000).map { "x\($0): b" }.joined(separator: ", ") + "}\nmetadata: {<<: *a, labels: {<<: *a}}",
      "? \(String(repeating: "k", count: 100_000))\n:\n" + (0..<90_000).map { "  x\($0): a\n" }.joined(),
    ]
    for (body, encoding) in bodies.map({ ($0, BodyEncoding.json) }) + yaml.map({ ($0, .yaml) }) {
      let bytes = Array(body.utf8)
      let time = try ContinuousClock().measure {
        var decoded = try table.decode(bytes, encoding: encoding, type: kind.type)
        table.applyDefaults(&decoded.value, kind: kind)
        _ = table.encode(decoded.value, type: kind.type)
        // A hundred duplicates and a hundred unknown fields at most.
        #expect(decoded.strictErrors.count <= 200)
      }
      #expect(time < .seconds(20), "\(body.prefix(40))")
    }
  }
}

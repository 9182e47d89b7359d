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
    for body in bodies {
      let bytes = Array(body.utf8)
      let time = try ContinuousClock().measure {
        var decoded = try table.decode(bytes, encoding: .json, type: kind.type)
        table.applyDefaults(&decoded.value, kind: kind)
        _ = table.encode(decoded.value, type: kind.type)
        #expect(decoded.strictErrors.count <= 100)
      }
      #expect(time < .seconds(20), "\(body.prefix(40))")
    }
  }
}

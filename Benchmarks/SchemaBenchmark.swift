import Glibc
import Schema
import Wire

/// What the schema table costs: loading it, and each step of a pod's way in and out, against a plain tree of the same bytes.
enum SchemaBenchmark {
  static func run() throws {
    let load = best(of: 5, 1) { _ = SchemaTable.load() }
    let before = residentBytes()
    let kept = (0..<4).map { _ in SchemaTable.load() }
    let megabytes = Double(residentBytes() - before) / Double(kept.count) / 1e6
    Report.line("schema: the table loads", Report.time(load), against: "mark 10 ms", ratio: load / 0.010, .atMost(1))
    Report.line("schema: the table holds", "\(Report.short(megabytes)) MB", against: "mark 4 MB", ratio: megabytes / 4, .atMost(1))

    let table = SchemaTable.builtin
    guard let kind = table.resource(GroupVersionResource(resource: "pods")) else { return print("no pods in the table") }
    let bytes = Array(FullPod.json.utf8)
    let size = "a pod of \(Report.count(Double(bytes.count))) bytes"
    let tree = try best(of: 9, 200) { _ = try Value(json: bytes) }
    var value = try table.decode(bytes, encoding: .json, type: kind.type).value
    let decode = try best(of: 9, 200) { _ = try table.decode(bytes, encoding: .json, type: kind.type) }
    let fill = best(of: 9, 200) {
      var copy = value
      table.applyDefaults(&copy, kind: kind)
    }
    table.applyDefaults(&value, kind: kind)
    let encode = best(of: 9, 200) { _ = table.encode(value, type: kind.type) }
    let all = decode + fill + encode
    Report.line(
      "schema: \(size): decode \(Report.time(decode)), defaults \(Report.time(fill)), emit \(Report.time(encode))",
      Report.time(all),
      against: "a tree of its bytes \(Report.time(tree))", ratio: all / tree, .atMost(10))
    let errors = table.validate(value, old: nil, kind: kind, operation: .create)
    let validate = best(of: 9, 200) { _ = table.validate(value, old: nil, kind: kind, operation: .create) }
    Report.line(
      "schema: validating it (\(errors.count) errors)", Report.time(validate), against: "a tree of its bytes \(Report.time(tree))",
      ratio: validate / tree, .atMost(10))
    let json = table.encode(value, type: kind.type)
    let wire = table.encodeProtobuf(value, type: kind.type, apiVersion: "v1", kind: "Pod")
    let write = best(of: 9, 200) { _ = table.protobufMessage(json, type: kind.type, resourceVersion: "1") }
    let read = try best(of: 9, 200) { _ = try table.decode(wire, encoding: .protobuf, type: kind.type) }
    Report.line(
      "schema: the same as protobuf: read \(Report.time(read)), write \(Report.time(write))", Report.time(read + write),
      against: "decoding the JSON \(Report.time(decode))", ratio: (read + write) / decode, .atMost(2))
    let row = try best(of: 9, 200) {
      var tape = JSONTape(capacity: 512)
      try json.withUnsafeBufferPointer { buffer in
        try tape.read(buffer) { _ = table.cells(kind, $0, now: Timestamp(seconds: 1_800_000_000)) }
      }
    }
    Report.line(
      "schema: its row of a table", Report.time(row), against: "a tree of its bytes \(Report.time(tree))", ratio: row / tree,
      .atMost(2))
    try hostile(table, kind)
  }

  /// A body made to be slow: 100,000 duplicates, unknown fields, labels, resources. Nothing of it may grow with the square of its length: that would be a ratio of
  /// 10; what leaves the processor's cache is 2 to 5.
  private static func hostile(_ table: SchemaTable, _ kind: ResourceKind) throws {
    let bodies: [(name: String, body: (Range<Int>) -> String)] = [
      ("duplicates of spec", { "{" + $0.map { "\"spec\":{\"nodeName\":\"\($0)\"}" }.joined(separator: ",") + "}" }),
      (
        "duplicates of metadata",
        { "{" + $0.map { $0 % 2 == 0 ? "\"metadata\":null" : "\"metadata\":{}" }.joined(separator: ",") + "}" }
      ),
      ("unknown fields", { "{" + $0.map { "\"x\($0)\":1" }.joined(separator: ",") + "}" }),
      ("labels", { "{\"metadata\":{\"labels\":{" + $0.map { "\"x\($0)\":\"1\"" }.joined(separator: ",") + "}}}" }),
      (
        "resources",
        {
          "{\"spec\":{\"containers\":[{\"resources\":{\"limits\":{" + $0.map { "\"x\($0)\":\"1\"" }.joined(separator: ",")
            + "}}}]}}"
        }
      ),
    ]
    for (name, body) in bodies {
      func time(_ count: Int) throws -> Double {
        let bytes = Array(body(0..<count).utf8)
        return try best(of: 3, 1) {
          var decoded = try table.decode(bytes, encoding: .json, type: kind.type)
          table.applyDefaults(&decoded.value, kind: kind)
          _ = table.encode(decoded.value, type: kind.type)
        }
      }
      let (small, large) = (try time(10_000), try time(100_000))
      Report.line(
        "schema: 100,000 \(name) in one body", Report.time(large), against: "ten times 10,000 of them \(Report.time(small * 10))",
        ratio: large / (small * 10), .atMost(6))
    }
  }
}

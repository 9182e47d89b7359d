#if canImport(Glibc)
  import Glibc
#endif
import Schema
import Testing
import Wire

/// Budgets, generous enough for a busy machine; the figures stand in docs/rooms/Schema.md.
@Suite(.serialized) struct SpeedTests {
  func best(of rounds: Int, _ count: Int, _ body: () throws -> Void) rethrows -> Duration {
    var best = Duration.seconds(60)
    for _ in 0..<rounds { best = min(best, try ContinuousClock().measure { for _ in 0..<count { try body() } } / count) }
    return best
  }

  @Test("the table loads within 10 ms")
  func load() {
    let time = best(of: 5, 1) { _ = SchemaTable.load() }
    let before = residentKilobytes()
    let kept = (0..<4).map { _ in SchemaTable.load() }
    let bytes = (residentKilobytes() - before) / kept.count
    print("table: \(time), \(bytes) KB of memory")
    #expect(time < .milliseconds(10))
  }

  @Test("a pod of 4 KB is decoded, defaulted and emitted well within 100 µs")
  func pod() throws {
    let kind = try kind("pods")
    let bytes = Array(Manifests.pod.utf8)
    #expect(bytes.count > 3900)
    var value = try table.decode(bytes, encoding: .json, type: kind.type).value
    let parse = try best(of: 5, 200) { _ = try Value(json: bytes) }
    let decode = try best(of: 5, 200) { value = try table.decode(bytes, encoding: .json, type: kind.type).value }
    let fill = best(of: 5, 200) {
      var copy = value
      table.applyDefaults(&copy, kind: kind)
    }
    table.applyDefaults(&value, kind: kind)
    let encode = best(of: 5, 200) { _ = table.encode(value, type: kind.type) }
    let wire = table.encodeProtobuf(value, type: kind.type, apiVersion: "v1", kind: "Pod")
    let json = table.encode(value, type: kind.type)
    let write = best(of: 5, 200) { _ = table.protobufMessage(json, type: kind.type, resourceVersion: "1") }
    let read = try best(of: 5, 200) { _ = try table.decode(wire, encoding: .protobuf, type: kind.type) }
    print(
      "pod of \(bytes.count) bytes: tree \(parse), decode \(decode), defaults \(fill), emit \(encode); protobuf: read \(read), write \(write)"
    )
    #expect(decode + fill + encode < .microseconds(300))
    let row = try best(of: 5, 200) {
      var tape = JSONTape(capacity: 512)
      try json.withUnsafeBufferPointer { buffer in
        try tape.read(buffer) { _ = table.cells(kind, $0, now: Timestamp(seconds: 1_800_000_000)) }
      }
    }
    print("a pod's row: \(row)")
    #expect(row < .microseconds(100))
  }
}

extension SpeedTests {
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
      #expect(time < .seconds(2), "\(body.prefix(40))")
    }
  }
}

/// Memory of this process that is resident, in KB; 0 where the kernel does not say.
func residentKilobytes() -> Int {
  guard let file = fopen("/proc/self/statm", "r") else { return 0 }
  defer { fclose(file) }
  var line = [CChar](repeating: 0, count: 128)
  guard fgets(&line, 128, file) != nil else { return 0 }
  let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: " ")
  return words.count > 1 ? (Int(words[1]) ?? 0) * 4 : 0
}

import Testing
import Wire

/// What the cache keeps is told by patterns: nobody may see a difference.
@Suite struct BytePatternTests {
  struct Random {
    var state: UInt64
    mutating func next(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
  }

  /// A pod of a set, as long as the seed likes, whose parts are now alike and now not.
  private func pod(_ set: Int, _ i: Int, _ random: inout Random) -> Value {
    var containers: [Value] = []
    for container in 0...set % 3 {
      containers.append([
        "name": .string("container-\(container)"), "image": .string("registry.gantry.internal/set-\(set):1"),
        "resources": ["requests": ["cpu": "100m", "memory": "64Mi"]], "terminationMessagePath": "/dev/termination-log",
      ])
    }
    var status: Value = ["phase": random.next(2) == 0 ? "Pending" : "Running"]
    if random.next(3) == 0 { status["message"] = .string(String(repeating: "\(random.next(1000))", count: random.next(300))) }
    return [
      "metadata": [
        "name": .string("set-\(set)-\(i)"), "namespace": "default", "uid": .string("uid-\(set)-\(i)-\(random.next(10))"),
        "creationTimestamp": "2026-01-01T00:00:00Z", "labels": ["app": .string("set-\(set)")],
      ], "spec": ["nodeName": .string("node-\(random.next(100))"), "containers": .array(containers), "restartPolicy": "Always"],
      "status": status,
    ]
  }

  @Test("kept objects read and write as before, whatever they were before and beside", arguments: 0..<60)
  func same(seed: UInt64) throws {
    var random = Random(state: seed &* 0x9e37_79b9_7f4a_7c15 | 1)
    var shelf = PatternShelf()
    var kept: [ObjectKey: EncodedObject] = [:]
    var packed = 0
    for step in 0..<200 {
      let value = pod(random.next(5), random.next(12), &random)
      let whole = try EncodedObject(bytes: value.jsonBytes, revision: Int64(step))
      let object = whole.kept(after: kept[whole.key], on: &shelf)
      if object.footprint < whole.footprint { packed += 1 }
      for (apiVersion, kind) in [("v1", "Pod"), (nil, nil)] as [(String?, String?)] {
        var expected: [UInt8] = [1]
        var found: [UInt8] = [1]
        whole.write(apiVersion: apiVersion, kind: kind, into: &expected)
        object.write(apiVersion: apiVersion, kind: kind, into: &found)
        #expect(found == expected, "seed \(seed), step \(step)")
      }
      #expect(object.value == whole.value && object.count == whole.count && object.revision == whole.revision)
      #expect(object.key == whole.key && object.uid == whole.uid && object.hasSameBytes(as: value.jsonBytes))
      #expect(object.at(revision: 7).value["metadata"]["resourceVersion"] == "7")
      kept[whole.key] = object
    }
    #expect(packed > 100, "only \(packed) of 200 were told by a pattern")
  }

  @Test("the pods of one set cost a quarter of their bytes")
  func saving() throws {
    var random = Random(state: 7)
    var shelf = PatternShelf()
    var whole = 0
    var kept = 0
    for i in 0..<100 {
      var value = pod(2, i, &random)
      value["status"] = ["phase": "Pending"]
      let object = try EncodedObject(bytes: value.jsonBytes, revision: 1)
      whole += object.footprint
      kept += object.kept(after: nil, on: &shelf).footprint
    }
    #expect(kept * 4 < whole, "\(kept) of \(whole)")
  }
}

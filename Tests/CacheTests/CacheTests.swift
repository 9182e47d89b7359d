import Cache
import Testing
import Wire

/// The tree against a dictionary: same contents, ordered, and old snapshots do not move.
@Suite struct ObjectTreeTests {
  static func object(_ key: ObjectKey, _ revision: Int64) throws -> EncodedObject {
    let value: Value = [
      "metadata": [
        "name": .string(key.name), "namespace": .string(key.namespace), "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z",
      ]
    ]
    return try EncodedObject(bytes: value.jsonBytes, revision: revision)
  }

  static func all(_ tree: ObjectTree, namespace: String? = nil, after key: ObjectKey? = nil) -> [ObjectKey: Int64] {
    var iterator = tree.iterate(after: key, namespace: namespace)
    var found: [ObjectKey: Int64] = [:]
    var last: ObjectKey?
    while let entry = iterator.next() {
      if let last { #expect(last < entry.object.key) }
      last = entry.object.key
      found[entry.object.key] = entry.object.revision
    }
    return found
  }

  @Test("random writes", arguments: 0..<20)
  func model(seed: UInt64) throws {
    var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
    func random(_ n: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % n
    }
    var tree = ObjectTree()
    var model: [ObjectKey: Int64] = [:]
    var snapshots: [(ObjectTree, [ObjectKey: Int64])] = []
    for step in 0..<600 {
      let key = ObjectKey(namespace: "ns\(random(4))", name: "o\(random(60))")
      if random(3) == 0 {
        #expect((tree.remove(key) != nil) == (model.removeValue(forKey: key) != nil))
      } else {
        let old = tree.put(.init(object: try Self.object(key, Int64(step)), attribute: ""))
        #expect(old?.object.revision == model.updateValue(Int64(step), forKey: key))
      }
      if step % 100 == 0 { snapshots.append((tree, model)) }
    }
    snapshots.append((tree, model))
    for (tree, model) in snapshots {
      #expect(tree.count == model.count)
      #expect(Self.all(tree) == model)
      #expect(Self.all(tree, namespace: "ns2") == model.filter { $0.key.namespace == "ns2" })
      let middle = ObjectKey(namespace: "ns1", name: "o3")
      #expect(Self.all(tree, after: middle) == model.filter { middle < $0.key })
    }
  }
}

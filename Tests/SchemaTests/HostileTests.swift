import Schema
import Testing
import Wire

/// Bodies made to be slow: everything that works on a whole object stays about linear.
@Suite struct HostileTests {
  let table = SchemaTable.builtin

  func within(_ limit: Duration, _ what: String, _ body: () throws -> Void) rethrows {
    let clock = ContinuousClock()
    let start = clock.now
    try body()
    let time = clock.now - start
    print("hostile: \(what) \(time)")
    #expect(time < limit, "\(what): \(time)")
  }

  static func map(_ count: Int, reversed: Bool = false) -> Value {
    let numbers = reversed ? Array((0..<count).reversed()) : Array(0..<count)
    return .object(Object(numbers.map { .init(key: "k\($0)", value: "v") }))
  }

  @Test("a ConfigMap of 50,000 keys in two orders")
  func maps() throws {
    let kind = try #require(table.resource(GroupVersionResource(resource: "configmaps")))
    let make = { (reversed: Bool) -> Value in
      [
        "metadata": ["name": "c", "namespace": "d", "resourceVersion": "1"], "data": Self.map(50_000, reversed: reversed),
        "immutable": true,
      ]
    }
    let (old, new) = (make(false), make(true))
    within(.seconds(3), "equal") { #expect(old == new) }
    within(.seconds(3), "validate") { #expect(table.validate(new, old: old, kind: kind, operation: .update).isEmpty) }
    let patch: Value = ["data": Self.map(50_000, reversed: true)]
    try within(.seconds(3), "merge patch") {
      let merged = try MergePatch.apply(patch, to: old)
      #expect(merged == old)
    }
    try within(.seconds(3), "strategic merge") {
      let merged = try table.strategicMerge(patch, into: old, type: kind.type)
      #expect(merged == old)
    }
    within(.seconds(5), "ownership") {
      var created = new
      table.updateManagedFields(old: nil, new: &created, kind: kind, subresource: "", manager: "m", now: "2026-01-01T00:00:00Z")
      var updated = created
      table.updateManagedFields(old: old, new: &updated, kind: kind, subresource: "", manager: "n", now: "2026-01-01T00:00:00Z")
    }
  }

  @Test("a pod with 10,000 volumes, mounts and variables")
  func lists() throws {
    let kind = try #require(table.resource(GroupVersionResource(resource: "pods")))
    let volumes = (0..<10_000).map { ["name": "v\($0)", "emptyDir": [:]] as Value }
    let mounts = (0..<10_000).map { ["name": "v\($0)", "mountPath": "/m\($0)"] as Value }
    let env = (0..<10_000).map { ["name": "E\($0)", "value": "x"] as Value }
    let container: Value = ["name": "c", "image": "i", "volumeMounts": .array(mounts), "env": .array(env)]
    var pod: Value = [
      "metadata": ["name": "p", "namespace": "d"], "spec": ["containers": [container], "volumes": .array(volumes)],
    ]
    table.applyDefaults(&pod, kind: kind)
    within(.seconds(5), "validate") { #expect(table.validate(pod, old: nil, kind: kind, operation: .create).isEmpty) }
    try within(.seconds(5), "strategic merge") {
      let patch: Value = ["spec": ["containers": [["name": "c", "env": .array(env.reversed())]]]]
      let merged = try table.strategicMerge(patch, into: pod, type: kind.type)
      #expect(merged["spec"]["containers"][0]["env"].array?.count == 10_000)
    }
    within(.seconds(5), "ownership") {
      var changed = pod
      table.updateManagedFields(old: nil, new: &changed, kind: kind, subresource: "", manager: "m", now: "2026-01-01T00:00:00Z")
    }
  }
}

import Client
import Controllers
import Testing
import Wire

@Suite("who owns whom")
struct OwnerGraphTests {
  private func meta(_ name: String, owners: [(String, blocks: Bool)] = [], finalizers: [String] = [], deleting: Bool = false)
    -> Meta
  {
    let references = owners.map { owner -> Value in
      [
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": .string(owner.0), "uid": .string("uid-\(owner.0)"),
        "blockOwnerDeletion": .bool(owner.blocks),
      ]
    }
    let object = stored(
      name, ["metadata": ["ownerReferences": .array(references), "finalizers": .array(finalizers.map { .string($0) })]],
      deleting: deleting)
    return object.withView { Meta(object, $0) }
  }

  private func operations(_ verdict: OwnerGraph.Verdict) -> [Operation] {
    if case .operations(let list) = verdict { list } else { [] }
  }

  @Test("who has a living owner is left alone; whose owners seem gone is made sure of, then deleted as it was seen")
  func dangling() {
    var graph = OwnerGraph()
    graph.set(.replicaSets, meta("set"))
    graph.set(.pods, meta("pod", owners: [("set", true)]))
    #expect(graph.dirty.isEmpty)
    graph.remove(.replicaSets, .init(namespace: "default", name: "set"))
    #expect(graph.takeDirty(10) == ["uid-pod"])
    guard case .verify(let owners) = graph.judge("uid-pod", absent: []) else {
      Issue.record("not verified")
      return
    }
    #expect(owners.map(\.uid) == ["uid-set"])
    guard case .delete(_, let key, let options)? = operations(graph.judge("uid-pod", absent: ["uid-set"])).first else {
      Issue.record("not deleted")
      return
    }
    #expect(key.name == "pod" && options.preconditionUID == "uid-pod" && options.preconditionResourceVersion == "7")
    #expect(options.propagation == .background)
  }

  @Test("of two owners one is enough; the reference to the other goes")
  func solid() {
    var graph = OwnerGraph()
    graph.set(.replicaSets, meta("a"))
    graph.set(.pods, meta("pod", owners: [("a", true), ("b", true)]))
    guard case .patch(_, _, nil, let patch)? = operations(graph.judge("uid-pod", absent: ["uid-b"])).first else {
      Issue.record("not patched")
      return
    }
    #expect(patch.body["metadata"]["ownerReferences"] == [["$patch": "delete", "uid": "uid-b"]])
  }

  @Test("in the foreground dependents go first, and only those that block are waited for")
  func foreground() {
    var graph = OwnerGraph()
    graph.set(.pods, meta("blocker", owners: [("set", true)]))
    graph.set(.pods, meta("other", owners: [("set", false)]))
    graph.set(.replicaSets, meta("set", finalizers: [OwnerGraph.foreground], deleting: true))
    _ = graph.takeDirty(10)
    #expect(operations(graph.judge("uid-set", absent: [])).isEmpty)
    #expect(graph.dirty == ["uid-blocker", "uid-other"])
    #expect(operations(graph.judge("uid-blocker", absent: [])).count == 1)
    _ = graph.takeDirty(10)
    graph.remove(.pods, .init(namespace: "default", name: "blocker"))
    #expect(graph.takeDirty(10).contains("uid-set"))
    guard case .patch(_, let key, nil, let patch)? = operations(graph.judge("uid-set", absent: [])).first else {
      Issue.record("the finalizer stays")
      return
    }
    #expect(key.name == "set" && patch.body["metadata"]["finalizers"].isNull && patch.body["metadata"]["resourceVersion"] == "7")
  }

  @Test("orphaning frees the dependents and only then the owner")
  func orphan() {
    var graph = OwnerGraph()
    graph.set(.pods, meta("pod", owners: [("set", true)]))
    graph.set(.replicaSets, meta("set", finalizers: [OwnerGraph.orphan], deleting: true))
    _ = graph.takeDirty(10)
    let first = operations(graph.judge("uid-set", absent: []))
    #expect(first.count == 1)
    if case .patch(let resource, _, _, _)? = first.first { #expect(resource == .pods) }
    graph.set(.pods, meta("pod"))
    #expect(graph.takeDirty(10) == ["uid-set"])
    if case .patch(let resource, _, _, _)? = operations(graph.judge("uid-set", absent: [])).first {
      #expect(resource == .replicaSets)
    }
  }

  @Test("what is left of a namespace is said in its conditions")
  func remains() {
    var rest = NamespaceRemains()
    #expect(rest.isEmpty && rest.conditions.allSatisfy { $0.condition.status == "False" } && rest.conditions.count == 5)
    rest.note(.pods, finalizers: [])
    rest.note(.pods, finalizers: ["mine.org/hold"])
    rest.note(.deployments, finalizers: [])
    rest.failures.append("no")
    let conditions = Dictionary(uniqueKeysWithValues: rest.conditions.map { ($0.type, $0.condition) })
    #expect(
      conditions["NamespaceContentRemaining"]?.message
        == "Some resources are remaining: deployments.apps has 1 resource instances, pods. has 2 resource instances")
    #expect(
      conditions["NamespaceFinalizersRemaining"]?.message
        == "Some content in the namespace has finalizers remaining: mine.org/hold in 1 resource instances")
    #expect(conditions["NamespaceDeletionContentFailure"]?.reason == "ContentDeletionFailed")
    #expect(conditions["NamespaceDeletionDiscoveryFailure"]?.status == "False")
  }
}

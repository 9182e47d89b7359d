import Client
import ControlPlane
import Schema
import Testing
import Wire

@Suite struct DeletionTests {
  private static let key = ObjectKey(namespace: "default", name: "a")

  private func grace(_ object: Value) -> Int64? { object["metadata"]["deletionGracePeriodSeconds"].int }

  @Test("a pod on its way out can only be hurried, and only by a request that names a time")
  func onlyShorter() async throws {
    try await TestPlane.with { test in
      _ = try await test.admin.create(.pods, namespace: "default", body: TestPlane.pod("a"), WriteOptions())
      _ = await test.admin.submit([.bind(pod: Self.key, uid: "", node: "n1")])
      #expect(grace(try #require(try await test.admin.delete(.pods, Self.key, DeleteOptions(gracePeriodSeconds: 60))).value) == 60)
      #expect(
        grace(try #require(try await test.admin.delete(.pods, Self.key, DeleteOptions())).value) == 60,
        "the default does not shorten")
      #expect(grace(try #require(try await test.admin.delete(.pods, Self.key, DeleteOptions(gracePeriodSeconds: 90))).value) == 60)
      _ = try await test.admin.patch(
        .pods, Self.key, subresource: "status", Patch(.merge, ["status": ["phase": "Succeeded"]]), WriteOptions())
      let finished = try #require(try await test.admin.delete(.pods, Self.key, DeleteOptions())).value
      #expect(grace(finished) == 60, "an ended pod that is marked waits for its node")
      let hurried = try #require(try await test.admin.delete(.pods, Self.key, DeleteOptions(gracePeriodSeconds: 5))).value
      #expect(grace(hurried) == 5 && hurried["metadata"]["deletionTimestamp"] != finished["metadata"]["deletionTimestamp"])
      #expect(try await test.admin.delete(.pods, Self.key, DeleteOptions(gracePeriodSeconds: 0)) == nil)
    }
  }

  @Test(
    "a grace period that no time can express is a long one",
    arguments: [(nil, Int64.max), (Int64.max, 30), (Int64.max / 1_000_000, 30)] as [(Int64?, Int64)])
  func endlessGrace(asked: Int64?, own: Int64) async throws {
    try await TestPlane.with { test in
      var body = TestPlane.pod("a")
      body["spec"]["terminationGracePeriodSeconds"] = .int(own)
      _ = try await test.admin.create(.pods, namespace: "default", body: body, WriteOptions())
      _ = await test.admin.submit([.bind(pod: Self.key, uid: "", node: "n1")])
      let marked = try #require(
        try await test.admin.delete(.pods, Self.key, DeleteOptions(gracePeriodSeconds: asked))
      ).value
      #expect(grace(marked) == Int64(Int32.max))
      let end = try #require(marked["metadata"]["deletionTimestamp"].string.flatMap { Timestamp($0) })
      #expect(end > test.plane.clock.now())
      #expect(grace(try #require(try await test.admin.delete(.pods, Self.key, DeleteOptions(gracePeriodSeconds: 5))).value) == 5)
    }
  }

  @Test(
    "propagation becomes a finalizer; jobs keep their pods unless told otherwise",
    arguments: [(.foreground, ["foregroundDeletion"]), (.orphan, ["orphan"]), (nil, ["orphan"])]
      as [(DeleteOptions.Propagation?, [Value])])
  func propagation(asked: DeleteOptions.Propagation?, finalizers: [Value]) async throws {
    try await TestPlane.with { test in
      let jobs = GroupVersionResource(group: "batch", resource: "jobs")
      let job: Value = [
        "metadata": ["name": "a"],
        "spec": ["template": ["spec": ["restartPolicy": "Never", "containers": [["name": "c", "image": "x"]]]]],
      ]
      _ = try await test.admin.create(jobs, namespace: "default", body: job, WriteOptions())
      let marked = try #require(try await test.admin.delete(jobs, Self.key, DeleteOptions(propagation: asked))).value
      #expect(marked["metadata"]["finalizers"] == .array(finalizers))
      #expect(marked["metadata"]["generation"] == 2)
    }
  }

  @Test("while it is deleted an object takes no new finalizer; a namespace in use is Terminating and takes nothing new")
  func held() async throws {
    try await TestPlane.with { test in
      _ = try await test.admin.create(
        .configMaps, namespace: "default", body: ["metadata": ["name": "a", "finalizers": ["x.io/a"]]], WriteOptions())
      try await test.admin.delete(.configMaps, Self.key, DeleteOptions())
      let error = await #expect(throws: APIError.self) {
        try await test.admin.patch(
          .configMaps, Self.key, subresource: nil, Patch(.merge, ["metadata": ["finalizers": ["x.io/a", "x.io/b"]]]), WriteOptions()
        )
      }
      #expect(error?.reason == .invalid && error?.causes.first?.field == "metadata.finalizers")

      _ = try await test.admin.create(.namespaces, namespace: "", body: ["metadata": ["name": "shop"]], WriteOptions())
      let marked = try #require(try await test.admin.delete(.namespaces, ObjectKey(name: "shop"), DeleteOptions())).value
      #expect(marked["status"]["phase"] == "Terminating" && marked["metadata"]["labels"]["kubernetes.io/metadata.name"] == "shop")
      let refused = await #expect(throws: APIError.self) {
        try await test.admin.create(.configMaps, namespace: "shop", body: ["metadata": ["name": "c"]], WriteOptions())
      }
      #expect(
        refused?.message
          == "configmaps \"c\" is forbidden: unable to create new content in namespace shop because it is being terminated")
      #expect(refused?.causes.first?.reason == "NamespaceTerminating")
      await #expect(throws: APIError.self) { try await test.admin.delete(.namespaces, ObjectKey(name: "default"), DeleteOptions()) }
    }
  }
}

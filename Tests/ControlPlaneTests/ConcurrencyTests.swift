import Client
import ControlPlane
import Schema
import Testing
import Wire

@Suite struct ConcurrencyTests {
  @Test("patches without a precondition all land, however many come at once")
  func patches() async throws {
    try await TestPlane.with { test in
      let key = ObjectKey(namespace: "default", name: "a")
      _ = try await test.admin.create(.configMaps, namespace: "default", body: ["metadata": ["name": "a"]], WriteOptions())
      let patches = (0..<24).map { Operation.patch(.configMaps, key, subresource: nil, Patch(.merge, ["data": ["k\($0)": "v"]])) }
      for result in await test.admin.submit(patches) { _ = try result.get() }
      #expect(try await test.admin.get(.configMaps, key).value["data"].object?.count == 24)
    }
  }

  @Test("an update with an old version is refused, and changes nothing")
  func optimisticLock() async throws {
    try await TestPlane.with { test in
      let key = ObjectKey(namespace: "default", name: "a")
      var first = try await test.admin.create(.configMaps, namespace: "default", body: ["metadata": ["name": "a"]], WriteOptions())
        .value
      _ = try await test.admin.patch(.configMaps, key, subresource: nil, Patch(.merge, ["data": ["a": "1"]]), WriteOptions())
      first["data"]["a"] = "2"
      await #expect(throws: APIError.conflict(GroupResource(resource: "configmaps"), "a", APIError.objectModified)) {
        try await test.admin.update(.configMaps, key, subresource: nil, body: first, WriteOptions())
      }
      #expect(try await test.admin.get(.configMaps, key).value["data"]["a"] == "1")
    }
  }

  @Test("services created at once share no address and no port; a taken address is refused by name")
  func addresses() async throws {
    try await TestPlane.with { test in
      let services = (0..<60).map { i -> Operation in
        .create(
          .services, namespace: "default",
          body: [
            "metadata": ["name": .string("s\(i)")], "spec": ["type": "NodePort", "ports": [["port": 80]], "selector": ["a": "b"]],
          ])
      }
      var addresses: Set<String> = []
      var ports: Set<Int64> = []
      for result in await test.admin.submit(services) {
        let service = try #require(try result.get()).value
        addresses.insert(try #require(service["spec"]["clusterIP"].string))
        ports.insert(try #require(service["spec"]["ports"][0]["nodePort"].int))
      }
      #expect(addresses.count == 60 && ports.count == 60)
      let taken = try #require(addresses.first)
      let error = await #expect(throws: APIError.self) {
        try await test.admin.create(
          .services, namespace: "default",
          body: ["metadata": ["name": "x"], "spec": ["clusterIP": .string(taken), "ports": [["port": 80]]]], WriteOptions())
      }
      #expect(error?.message.contains("failed to allocate IP \(taken): provided IP is already allocated") == true)
    }
  }

  @Test("a quota holds exactly under contention, and says what was asked and what is used")
  func quota() async throws {
    try await TestPlane.with { test in
      let quotas = GroupVersionResource(resource: "resourcequotas")
      _ = try await test.admin.create(
        quotas, namespace: "default", body: ["metadata": ["name": "q"], "spec": ["hard": ["pods": "5", "limits.cpu": "2"]]],
        WriteOptions())
      func pod(_ name: String, cpu: String) -> Value {
        var pod = TestPlane.pod(name)
        pod["spec"]["containers"] = [["name": "c", "image": "x", "resources": ["limits": ["cpu": .string(cpu), "memory": "1Mi"]]]]
        return pod
      }
      let results = await test.admin.submit((0..<20).map { .create(.pods, namespace: "default", body: pod("p\($0)", cpu: "100m")) })
      #expect(results.count { (try? $0.get()) != nil } == 5)
      let error = await #expect(throws: APIError.self) {
        try await test.admin.create(.pods, namespace: "default", body: pod("late", cpu: "100m"), WriteOptions())
      }
      #expect(error?.message == "pods \"late\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5")
      let silent = await #expect(throws: APIError.self) {
        try await test.admin.create(.pods, namespace: "default", body: TestPlane.pod("silent"), WriteOptions())
      }
      #expect(silent?.message == "pods \"silent\" is forbidden: failed quota: q: must specify limits.cpu for: c")
      // What runs beside the containers counts with them.
      var beside = pod("beside", cpu: "1")
      beside["spec"]["initContainers"] = [
        ["name": "s", "image": "x", "restartPolicy": "Always", "resources": ["limits": ["cpu": "1"]]]
      ]
      let sum = await #expect(throws: APIError.self) {
        try await test.admin.create(.pods, namespace: "default", body: beside, WriteOptions())
      }
      #expect(sum?.message.contains("requested: limits.cpu=2,pods=1") == true)
      let gone = try #require(try await test.admin.list(.pods, namespace: "default", ListOptions()).items.first)
      try await test.admin.delete(.pods, gone.key, DeleteOptions())
      let big = await #expect(throws: APIError.self) {
        try await test.admin.create(.pods, namespace: "default", body: pod("big", cpu: "3"), WriteOptions())
      }
      #expect(
        big?.message
          == "pods \"big\" is forbidden: exceeded quota: q, requested: limits.cpu=3, used: limits.cpu=400m, limited: limits.cpu=2")
      _ = try await test.admin.create(.pods, namespace: "default", body: pod("late", cpu: "100m"), WriteOptions())
    }
  }
}

import Client
import ControlPlane
import Testing
import Wire

/// Evictions against a budget whose status the disruption controller would keep; here each test writes it.
@Suite struct EvictionTests {
  private static let budgets = GroupVersionResource(group: "policy", version: "v1", resource: "poddisruptionbudgets")

  /// Running pods, some of them ready, and a budget over them.
  private func with(
    ready: Int, unready: Int = 0, desired: Int64, spec: Value = .emptyObject, _ body: (TestPlane) async throws -> Void
  ) async throws {
    try await TestPlane.with { test in
      for i in 0..<(ready + unready) {
        _ = try await test.admin.create(.pods, namespace: "default", body: TestPlane.pod("p\(i)"), WriteOptions())
        _ = await test.admin.submit([.bind(pod: ObjectKey(namespace: "default", name: "p\(i)"), uid: "", node: "n1")])
        let conditions: Value = [["type": "Ready", "status": i < ready ? "True" : "False"]]
        _ = try await test.admin.patch(
          .pods, ObjectKey(namespace: "default", name: "p\(i)"), subresource: "status",
          Patch(.merge, ["status": ["phase": "Running", "conditions": conditions]]), WriteOptions())
      }
      var full = spec
      full["selector"] = ["matchLabels": ["app": "a"]]
      full["minAvailable"] = .int(desired)
      _ = try await test.admin.create(
        Self.budgets, namespace: "default", body: ["metadata": ["name": "b"], "spec": full], WriteOptions())
      let status: Value = [
        "observedGeneration": 1, "desiredHealthy": .int(desired), "currentHealthy": .int(Int64(ready)),
        "expectedPods": .int(Int64(ready + unready)), "disruptionsAllowed": .int(max(0, Int64(ready) - desired)),
      ]
      _ = try await test.admin.patch(
        Self.budgets, ObjectKey(namespace: "default", name: "b"), subresource: "status", Patch(.merge, ["status": status]),
        WriteOptions())
      try await body(test)
    }
  }

  private func evict(_ test: TestPlane, _ name: String, dryRun: Bool = false) async throws(APIError) {
    _ = try await test.admin.createSubresource(
      .pods, ObjectKey(namespace: "default", name: name), subresource: "eviction",
      body: ["metadata": ["name": .string(name)]], WriteOptions(dryRun: dryRun))
  }

  @Test("a grace period that cannot be is refused, by deletions and evictions alike")
  func gracePeriod() async throws {
    try await with(ready: 1, desired: 0) { test in
      let error = await #expect(throws: APIError.self) {
        _ = try await test.admin.createSubresource(
          .pods, ObjectKey(namespace: "default", name: "p0"), subresource: "eviction",
          body: ["metadata": ["name": "p0"], "deleteOptions": ["gracePeriodSeconds": -5]], WriteOptions())
      }
      #expect(error?.code == 422 && error?.causes.first?.field == "gracePeriodSeconds", "\(String(describing: error))")
    }
  }

  @Test("of evictions at the same time as many pass as the budget allows, and no more", arguments: [0, 1, 2, 3] as [Int64])
  func budget(desired: Int64) async throws {
    try await with(ready: 3, desired: desired) { test in
      let evicted = await withTaskGroup(of: APIError?.self) { group in
        for i in 0..<3 {
          group.addTask {
            do throws(APIError) {
              try await evict(test, "p\(i)")
              return nil
            } catch { return error }
          }
        }
        var evicted: Int64 = 0
        for await error in group {
          guard let error else {
            evicted += 1
            continue
          }
          // Without a time to retry after: kubectl would wait for it in silence.
          #expect(
            error.code == 429 && error.causes.first?.reason == "DisruptionBudget" && error.retryAfterSeconds == nil, "\(error)")
        }
        return evicted
      }
      #expect(evicted == 3 - desired)
    }
  }

  @Test("a dry run takes nothing; the refusal says what is needed and what is there")
  func refusal() async throws {
    try await with(ready: 3, desired: 2) { test in
      for i in 0..<3 { try await evict(test, "p\(i)", dryRun: true) }
      try await evict(test, "p0")
      let error = await #expect(throws: APIError.self) { try await evict(test, "p1") }
      #expect(error?.causes.first?.message == "The disruption budget b needs 2 healthy pods and has 3 currently")
      // What goes already may be asked again.
      try await evict(test, "p0")
    }
  }

  @Test("a pod that is not ready goes while the others suffice, or always where the budget says so")
  func unhealthy() async throws {
    try await with(ready: 2, unready: 1, desired: 2) { test in
      try await evict(test, "p2")
      await #expect(throws: APIError.self) { try await evict(test, "p1") }
    }
    try await with(ready: 1, unready: 1, desired: 2) { test in
      await #expect(throws: APIError.self) { try await evict(test, "p1") }
    }
    try await with(ready: 1, unready: 1, desired: 2, spec: ["unhealthyPodEvictionPolicy": "AlwaysAllow"]) { test in
      try await evict(test, "p1")
    }
  }

  @Test("two budgets over one pod are refused, as upstream refuses them")
  func twoBudgets() async throws {
    try await with(ready: 3, desired: 0) { test in
      _ = try await test.admin.create(
        Self.budgets, namespace: "default",
        body: ["metadata": ["name": "c"], "spec": ["minAvailable": 0, "selector": .emptyObject]],
        WriteOptions())
      let error = await #expect(throws: APIError.self) { try await evict(test, "p0") }
      #expect(error?.code == 500 && error?.message.contains("more than one PodDisruptionBudget") == true)
    }
  }
}

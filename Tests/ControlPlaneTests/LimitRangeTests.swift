import Client
import ControlPlane
import Schema
import Testing
import Wire

@Suite struct LimitRangeTests {
  private static let range: Value = [
    "metadata": ["name": "l"],
    "spec": [
      "limits": [
        [
          "type": "Container", "default": ["cpu": "500m", "memory": "256Mi"], "defaultRequest": ["cpu": "100m"],
          "max": ["cpu": "1", "memory": "1Gi"], "min": ["cpu": "50m"], "maxLimitRequestRatio": ["cpu": "10"],
        ], ["type": "Pod", "max": ["cpu": "2"]],
      ]
    ],
  ]

  private func pod(_ name: String, _ resources: [Value]) -> Value {
    var body = TestPlane.pod(name)
    body["spec"]["containers"] = .array(
      resources.enumerated().map { ["name": .string("c\($0.offset)"), "image": "x", "resources": $0.element] })
    return body
  }

  @Test("a namespace's defaults fill what a pod leaves open, and the pod says so")
  func defaults() async throws {
    try await TestPlane.with { test in
      let ranges = GroupVersionResource(resource: "limitranges")
      _ = try await test.admin.create(ranges, namespace: "default", body: Self.range, WriteOptions())
      let plain = try await test.admin.create(.pods, namespace: "default", body: pod("a", [.emptyObject]), WriteOptions()).value
      #expect(plain["spec"]["containers"][0]["resources"]["limits"] == ["cpu": "500m", "memory": "256Mi"])
      #expect(plain["spec"]["containers"][0]["resources"]["requests"] == ["cpu": "100m", "memory": "256Mi"])
      #expect(
        plain["metadata"]["annotations"]["kubernetes.io/limit-ranger"]
          == "LimitRanger plugin set: cpu, memory request for container c0; cpu, memory limit for container c0")
      #expect(plain["status"]["qosClass"] == "Burstable")
    }
  }

  // A real Kubernetes gave these texts (Tests/Oracle, scenario limit-ranges).
  @Test(
    "what is beyond the bounds is refused in upstream's words",
    arguments: [
      (
        [["limits": ["cpu": "3"]]],
        "[maximum cpu usage per Container is 1, but limit is 3, maximum cpu usage per Pod is 2, but limit is 3]"
      ),
      (
        [["requests": ["cpu": "10m"]]],
        "[minimum cpu usage per Container is 50m, but request is 10m, cpu max limit to request ratio per Container is 10, but provided ratio is 50.000000]"
      ),
      (
        [["requests": ["cpu": "50m"], "limits": ["cpu": "1"]]],
        "cpu max limit to request ratio per Container is 10, but provided ratio is 20.000000"
      ),
      (
        [["limits": ["memory": "2Gi"], "requests": ["memory": "1Gi"]]],
        "maximum memory usage per Container is 1Gi, but limit is 2Gi"
      ),
    ] as [([Value], String)])
  func bounds(resources: [Value], why: String) async throws {
    try await TestPlane.with { test in
      let ranges = GroupVersionResource(resource: "limitranges")
      _ = try await test.admin.create(ranges, namespace: "default", body: Self.range, WriteOptions())
      let error = await #expect(throws: APIError.self) {
        try await test.admin.create(.pods, namespace: "default", body: pod("a", resources), WriteOptions())
      }
      #expect(error?.message == "pods \"a\" is forbidden: \(why)")
    }
  }
}

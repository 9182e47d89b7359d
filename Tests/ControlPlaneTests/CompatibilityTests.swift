import Client
import ControlPlane
import Schema
import Testing
import Wire

/// What a real Kubernetes makes of the same writes (Tests/Oracle).
@Suite struct CompatibilityTests {
  private static let web = ObjectKey(namespace: "default", name: "web")

  private func service(_ spec: Value) -> Value {
    var body: Value = ["metadata": ["name": "web"], "spec": ["ports": [["port": 80]], "selector": ["app": "a"]]]
    for member in spec.object?.members ?? [] { body["spec"][member.key] = member.value }
    return body
  }

  @Test(
    "a resource field without divisor, or with 0, is the same when it comes again: the pod may be labelled, the generation stays")
  func divisors() async throws {
    try await TestPlane.with { test in
      func template(_ divisor: Value) -> Value {
        var reference: Value = ["resource": "limits.cpu", "containerName": "c"]
        if !divisor.isNull { reference["divisor"] = divisor }
        let item: Value = ["path": "cpu", "resourceFieldRef": reference]
        return [
          "containers": [["name": "c", "image": "i", "env": [["name": "A", "valueFrom": ["resourceFieldRef": reference]]]]],
          "volumes": [
            ["name": "d", "downwardAPI": ["items": [item]]],
            ["name": "p", "projected": ["sources": [["downwardAPI": ["items": [item]]]]]],
          ],
        ]
      }
      for (name, divisor) in [("none", Value.null), ("zero", "0"), ("one", "1")] {
        let key = ObjectKey(namespace: "default", name: name)
        let pod: Value = ["metadata": ["name": .string(name)], "spec": template(divisor)]
        _ = try await test.admin.create(.pods, namespace: "default", body: pod, WriteOptions())
        let labelled = try await test.admin.patch(
          .pods, key, subresource: nil, Patch(.merge, ["metadata": ["labels": ["a": "b"]]]), WriteOptions())
        #expect(labelled.value["metadata"]["labels"]["a"] == "b")
        _ = try await test.admin.update(.pods, key, subresource: nil, body: labelled.value, WriteOptions())

        let set: Value = [
          "metadata": ["name": .string(name)],
          "spec": [
            "selector": ["matchLabels": ["app": .string(name)]],
            "template": ["metadata": ["labels": ["app": .string(name)]], "spec": template(divisor)],
          ],
        ]
        let made = try await test.admin.create(.deployments, namespace: "default", body: set, WriteOptions())
        let again = try await test.admin.update(.deployments, key, subresource: nil, body: set, WriteOptions())
        #expect(again.value["metadata"]["generation"].int == 1)
        #expect(again.value["metadata"]["resourceVersion"] == made.value["metadata"]["resourceVersion"], "equal bytes are no write")
      }
    }
  }

  @Test("a service that changes its type loses what only the old type uses, and gives its ports back")
  func serviceTypes() async throws {
    try await TestPlane.with { test in
      _ = try await test.admin.create(.services, namespace: "default", body: service(["type": "NodePort"]), WriteOptions())
      func patch(_ spec: Value) async throws -> Value {
        try await test.admin.patch(.services, Self.web, subresource: nil, Patch(.merge, ["spec": spec]), WriteOptions()).value[
          "spec"]
      }
      let plain = try await patch(["type": "ClusterIP"])
      #expect(plain["externalTrafficPolicy"].isNull && plain["ports"][0]["nodePort"].isNull && !plain["clusterIP"].isNull)
      let balanced = try await patch(["type": "LoadBalancer", "externalTrafficPolicy": "Local"])
      let port = try #require(balanced["healthCheckNodePort"].int)
      #expect((30000...32767).contains(port) && balanced["ports"][0]["nodePort"].int != port)
      let again = try await patch(["type": "ClusterIP"])
      #expect(again["healthCheckNodePort"].isNull && again["externalTrafficPolicy"].isNull)
      #expect(again["allocateLoadBalancerNodePorts"].isNull)
      var taken = service(["type": "NodePort", "ports": [["port": 80, "nodePort": .int(port)]]])
      taken["metadata"]["name"] = "other"
      _ = try await test.admin.create(.services, namespace: "default", body: taken, WriteOptions())
      let external = try await patch(["type": "ExternalName", "externalName": "a.example", "ports": .null])
      #expect(external["clusterIP"].isNull && external["internalTrafficPolicy"].isNull)
      #expect(
        try await patch(["type": "ClusterIP", "externalName": .null, "ports": [["port": 80]]])["clusterIP"].string?.isEmpty == false
      )
    }
  }

  @Test("an address that is none is refused as such")
  func noAddress() async throws {
    try await TestPlane.with { test in
      let error = await #expect(throws: APIError.self) {
        try await test.admin.create(.services, namespace: "default", body: service(["clusterIP": "nonsense"]), WriteOptions())
      }
      #expect(error?.causes.contains { $0.field == "spec.clusterIPs[0]" } == true, "\(error?.message ?? "")")
    }
  }

  @Test("a name that is still going says so; another creationTimestamp is no fault; a namespace has no grace period")
  func metadata() async throws {
    try await TestPlane.with { test in
      let body: Value = ["metadata": ["name": "web", "finalizers": ["x.io/a"]]]
      _ = try await test.admin.create(.configMaps, namespace: "default", body: body, WriteOptions())
      let patch = Patch(.merge, ["metadata": ["creationTimestamp": "2001-01-01T00:00:00Z"]])
      let kept = try await test.admin.patch(.configMaps, Self.web, subresource: nil, patch, WriteOptions()).value
      #expect(kept["metadata"]["creationTimestamp"].string?.hasPrefix("2001") == false)
      let conflict = await #expect(throws: APIError.self) {
        var options = DeleteOptions()
        options.preconditionUID = "other"
        try await test.admin.delete(.configMaps, Self.web, options)
      }
      #expect(
        conflict?.message.hasPrefix(
          "Operation cannot be fulfilled on ConfigMap \"web\": the UID in the precondition (other) does not match the UID in record"
        ) == true)
      try await test.admin.delete(.configMaps, Self.web, DeleteOptions())
      let error = await #expect(throws: APIError.self) {
        try await test.admin.create(.configMaps, namespace: "default", body: body, WriteOptions())
      }
      #expect(error?.message == "object is being deleted: configmaps \"web\" already exists")
      _ = try await test.admin.create(.namespaces, namespace: "", body: ["metadata": ["name": "n"]], WriteOptions())
      let going = try #require(try await test.admin.delete(.namespaces, ObjectKey(name: "n"), DeleteOptions())).value
      #expect(going["metadata"]["deletionGracePeriodSeconds"].isNull && going["status"]["phase"] == "Terminating")
    }
  }

  @Test("a pod's runtime class must be there, and gives it its overhead and place; priority is the class's business")
  func podAdmission() async throws {
    try await TestPlane.with { test in
      func create(_ name: String, _ spec: Value) async throws(APIError) -> Value {
        var body = TestPlane.pod(name)
        for member in spec.object?.members ?? [] { body["spec"][member.key] = member.value }
        return try await test.admin.create(.pods, namespace: "default", body: body, WriteOptions()).value
      }
      let missing = await #expect(throws: APIError.self) { try await create("a", ["runtimeClassName": "none"]) }
      #expect(missing?.message == "pods \"a\" is forbidden: pod rejected: RuntimeClass \"none\" not found")
      let alone = await #expect(throws: APIError.self) { try await create("a", ["overhead": ["cpu": "1"]]) }
      #expect(
        alone?.message
          == "pods \"a\" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
      let policy = await #expect(throws: APIError.self) { try await create("a", ["preemptionPolicy": "Never"]) }
      #expect(policy?.message.contains("the string value of PreemptionPolicy (Never) must not be provided in pod spec") == true)
      let classes = GroupVersionResource(group: "node.k8s.io", resource: "runtimeclasses")
      let kata: Value = [
        "metadata": ["name": "kata"], "handler": "kata", "overhead": ["podFixed": ["cpu": "100m"]],
        "scheduling": ["nodeSelector": ["kata": "yes"], "tolerations": [["key": "kata", "operator": "Exists"]]],
      ]
      _ = try await test.admin.create(classes, namespace: "", body: kata, WriteOptions())
      let pod = try await create("b", ["runtimeClassName": "kata"])["spec"]
      #expect(pod["overhead"]["cpu"] == "100m" && pod["nodeSelector"]["kata"] == "yes")
      #expect(pod["tolerations"].array?.contains { $0["key"] == "kata" } == true)
    }
  }

  @Test("who asks owns what he asked for, not what admission and allocation add; an empty entry forgets it all")
  func ownership() async throws {
    try await TestPlane.with { test in
      func fields(_ object: EncodedObject) -> Value { object.value["metadata"]["managedFields"][0]["fieldsV1"] }
      let options = WriteOptions(fieldManager: "me")
      let pod = fields(try await test.admin.create(.pods, namespace: "default", body: TestPlane.pod("a"), options))["f:spec"]
      #expect(!pod["f:containers"].isNull && !pod["f:restartPolicy"].isNull)
      #expect(pod["f:serviceAccountName"].isNull && pod["f:priority"].isNull && pod["f:volumes"].isNull)
      let made = fields(try await test.admin.create(.services, namespace: "default", body: service([:]), options))["f:spec"]
      #expect(!made["f:ports"].isNull && made["f:clusterIP"].isNull && made["f:ipFamilies"].isNull)
      let secret: Value = ["metadata": ["name": "web"], "stringData": ["a": "b"]]
      let kept = fields(try await test.admin.create(.secrets, namespace: "default", body: secret, options))
      #expect(!kept["f:data"]["f:a"].isNull && kept["f:stringData"].isNull)
      let forget = Patch(.merge, ["metadata": ["managedFields": [.emptyObject]]])
      let blank = try await test.admin.patch(.secrets, Self.web, subresource: nil, forget, options).value
      #expect(blank["metadata"]["managedFields"].isNull && blank["data"]["a"] == "Yg==")
    }
  }

  @Test("what a revision holds stays; a fault is told once, whoever finds it")
  func history() async throws {
    try await TestPlane.with { test in
      let revisions = GroupVersionResource(group: "apps", resource: "controllerrevisions")
      _ = try await test.admin.create(
        revisions, namespace: "default", body: ["metadata": ["name": "web"], "revision": 1, "data": ["a": 1]], WriteOptions())
      let changed = await #expect(throws: APIError.self) {
        try await test.admin.patch(revisions, Self.web, subresource: nil, Patch(.merge, ["data": ["a": 2]]), WriteOptions())
      }
      #expect(changed?.causes.map(\.field) == ["data"])
      _ = try await test.admin.patch(revisions, Self.web, subresource: nil, Patch(.merge, ["revision": 2]), WriteOptions())
      let fixed: Value = ["metadata": ["name": "web"], "immutable": true, "data": ["a": "1"]]
      _ = try await test.admin.create(.configMaps, namespace: "default", body: fixed, WriteOptions())
      let edited = await #expect(throws: APIError.self) {
        try await test.admin.patch(.configMaps, Self.web, subresource: nil, Patch(.merge, ["data": ["a": "2"]]), WriteOptions())
      }
      #expect(edited?.causes.map(\.field) == ["data"])
    }
  }

  @Test("a job without labels has those of its pods")
  func jobLabels() async throws {
    try await TestPlane.with { test in
      let job: Value = [
        "metadata": ["name": "web"],
        "spec": ["template": ["spec": ["restartPolicy": "Never", "containers": [["name": "c", "image": "x"]]]]],
      ]
      let jobs = GroupVersionResource(group: "batch", resource: "jobs")
      let made = try await test.admin.create(jobs, namespace: "default", body: job, WriteOptions()).value
      #expect(made["metadata"]["labels"] == made["spec"]["template"]["metadata"]["labels"])
      #expect(made["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "web")
    }
  }

  @Test("of two evictions at once only as many pass as the budget allows; an update gives a pod its tolerations back")
  func evictions() async throws {
    try await TestPlane.with { test in
      for name in ["a", "b"] {
        _ = try await test.admin.create(.pods, namespace: "default", body: TestPlane.pod(name), WriteOptions())
        let key = ObjectKey(namespace: "default", name: name)
        _ = await test.admin.submit([.bind(pod: key, uid: "", node: "n")])
        let status: Value = [
          "status": ["phase": "Running", "podIP": "10.0.0.1", "conditions": [["type": "Ready", "status": "True"]]]
        ]
        let running = try await test.admin.patch(.pods, key, subresource: "status", Patch(.merge, status), WriteOptions()).value
        #expect(running["status"]["podIPs"] == [["ip": "10.0.0.1"]])
        let tolerations: Value = ["spec": ["tolerations": [["key": "x", "operator": "Exists"]]]]
        let tolerant = try await test.admin.patch(.pods, key, subresource: nil, Patch(.strategic, tolerations), WriteOptions())
          .value
        #expect(tolerant["spec"]["tolerations"].array?.count == 3)
      }
      let budgets = GroupVersionResource(group: "policy", resource: "poddisruptionbudgets")
      let body: Value = ["metadata": ["name": "pdb"], "spec": ["minAvailable": 1, "selector": ["matchLabels": ["app": "a"]]]]
      _ = try await test.admin.create(budgets, namespace: "default", body: body, WriteOptions())
      func evict(_ name: String) async throws(APIError) {
        let body: Value = ["metadata": ["name": .string(name)], "deleteOptions": ["gracePeriodSeconds": 5]]
        _ = try await test.admin.createSubresource(
          .pods, ObjectKey(namespace: "default", name: name), subresource: "eviction", body: body, WriteOptions())
      }
      let early = await #expect(throws: APIError.self) { try await evict("a") }
      #expect(
        early?.reason == .tooManyRequests && early?.causes.first?.message.hasSuffix("still being processed by the server.") == true)
      let counted: Value = [
        "status": ["currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2, "disruptionsAllowed": 1, "observedGeneration": 1]
      ]
      let key = ObjectKey(namespace: "default", name: "pdb")
      _ = try await test.admin.patch(budgets, key, subresource: "status", Patch(.merge, counted), WriteOptions())
      try await evict("a")
      let second = await #expect(throws: APIError.self) { try await evict("b") }
      #expect(second?.reason == .tooManyRequests)
      #expect(second?.causes.first?.message == "The disruption budget pdb needs 1 healthy pods and has 2 currently")
      #expect(try await test.admin.get(budgets, key).withView { $0["status"]["disruptedPods"].stringMap.keys.sorted() } == ["a"])
    }
  }
}

import Client
import ControlPlane
import Schema
import Store
import Testing
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// The control plane over a real SQLite store, through the same client that components use.
struct TestPlane {
  let plane: ControlPlane
  let directory: String
  let admin: any Client

  static func with(_ body: (TestPlane) async throws -> Void) async throws {
    var template = Array("/tmp/gantry-plane-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw StoreError.failed("mkdtemp") }
    let directory = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    defer {
      for file in ["state.db", "state.db-wal", "state.db-shm", "state.db.lock"] { unlink("\(directory)/\(file)") }
      rmdir(directory)
    }
    let store = try SQLiteStore(.init(path: "\(directory)/state.db"))
    defer { store.close() }
    let plane = try ControlPlane(.init(), store: store, sealer: Sealer(token: "a-test-token-of-some-length"))
    try await plane.bootstrap()
    let admin = plane.client(as: Identity(name: "admin", groups: ["system:masters", "system:authenticated"]))
    try await body(TestPlane(plane: plane, directory: directory, admin: admin))
  }

  static func pod(_ name: String) -> Value {
    ["metadata": ["name": .string(name), "labels": ["app": "a"]], "spec": ["containers": [["name": "c", "image": "x:1"]]]]
  }
}

@Suite struct PipelineTests {
  @Test("a pod gets what upstream gives it: identity, status, account, tolerations, priority")
  func podCreation() async throws {
    try await TestPlane.with { test in
      let pod = try await test.admin.create(.pods, namespace: "default", body: TestPlane.pod("a"), WriteOptions()).value
      #expect(pod["metadata"]["uid"].string?.count == 36)
      #expect(pod["metadata"]["generation"].int == 1)
      #expect(pod["status"]["phase"] == "Pending" && pod["status"]["qosClass"] == "BestEffort")
      #expect(pod["spec"]["serviceAccountName"] == "default")
      #expect(pod["spec"]["volumes"][0]["projected"]["sources"].array?.count == 3)
      #expect(pod["spec"]["tolerations"].array?.count == 2)
      #expect(pod["spec"]["priority"] == 0)
      await #expect(throws: APIError.alreadyExists(GroupResource(resource: "pods"), "a")) {
        try await test.admin.create(.pods, namespace: "default", body: TestPlane.pod("a"), WriteOptions())
      }
      await #expect(throws: APIError.notFound(GroupResource(resource: "namespaces"), "nowhere")) {
        try await test.admin.create(.pods, namespace: "nowhere", body: TestPlane.pod("a"), WriteOptions())
      }
    }
  }

  @Test("the addresses of DNS and of the kubernetes service are nobody else's", arguments: ["10.96.0.10", "10.96.0.1"])
  func reservedAddresses(address: String) async throws {
    try await TestPlane.with { test in
      let kubernetes = ObjectKey(namespace: "default", name: "kubernetes")
      let own = try await test.admin.get(.services, kubernetes).value
      try await test.admin.delete(.services, kubernetes, DeleteOptions())
      let body: Value = [
        "metadata": ["name": "x"], "spec": ["clusterIP": .string(address), "ports": [["port": 53]], "selector": ["app": "a"]],
      ]
      let error = await #expect(throws: APIError.self) {
        try await test.admin.create(.services, namespace: "default", body: body, WriteOptions())
      }
      #expect(
        error?.causes.first?.field == "spec.clusterIPs"
          && error?.message.contains("failed to allocate IP \(address): ") == true)
      let again: Value = ["metadata": ["name": "kubernetes"], "spec": own["spec"]]
      _ = try await test.admin.create(.services, namespace: "default", body: again, WriteOptions())
    }
  }

  @Test("a health check's port that is asked for is of the range and free, and is the service's until it goes")
  func healthCheckPorts() async throws {
    try await TestPlane.with { test in
      func body(_ name: String, port: Int64, nodePort: Int64? = nil) -> Value {
        var service: Value = [
          "metadata": ["name": .string(name)],
          "spec": [
            "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": .int(port), "selector": ["app": "a"],
            "ports": [["port": 80]],
          ],
        ]
        if let nodePort { service["spec"]["ports"] = [["port": 80, "nodePort": .int(nodePort)]] }
        return service
      }
      func create(_ body: Value) async throws(APIError) -> Value {
        try await test.admin.create(.services, namespace: "default", body: body, WriteOptions()).value
      }
      func refusal(_ body: Value) async -> String? {
        await #expect(throws: APIError.self) { try await create(body) }?.causes.first?.message
      }
      #expect(
        await refusal(body("a", port: 80))
          == "Invalid value: 80: failed to allocate requested HealthCheck NodePort 80: provided port is not in the valid range. The range of valid ports is 30000-32767"
      )
      #expect(await refusal(body("a", port: 30100, nodePort: 30100))?.hasSuffix("provided port is already allocated") == true)
      #expect(try await create(body("a", port: 30100))["spec"]["healthCheckNodePort"] == 30100)
      #expect(await refusal(body("b", port: 30100))?.hasSuffix("provided port is already allocated") == true)
      #expect(await refusal(body("b", port: 30101, nodePort: 30100))?.hasSuffix("provided port is already allocated") == true)
      let reserved = StoreKey(GroupResource(group: "~", resource: "nodeports"), ObjectKey(name: "30100"))
      #expect(try test.plane.store.get(reserved, at: nil) != nil)
      try await test.admin.delete(.services, ObjectKey(namespace: "default", name: "a"), DeleteOptions())
      #expect(try test.plane.store.get(reserved, at: nil) == nil)
      _ = try await create(body("b", port: 30100))
    }
  }

  @Test("services get addresses and ports, which are free again when the service is gone")
  func allocation() async throws {
    try await TestPlane.with { test in
      let body: Value = [
        "metadata": ["name": "web"],
        "spec": ["type": "NodePort", "ports": [["port": 80, "nodePort": 30080]], "selector": ["app": "a"]],
      ]
      let service = try await test.admin.create(.services, namespace: "default", body: body, WriteOptions()).value
      #expect(service["spec"]["clusterIP"].string?.hasPrefix("10.") == true)
      #expect(service["spec"]["ipFamilies"] == ["IPv4"])
      var other = body
      other["metadata"]["name"] = "web2"
      let error = await #expect(throws: APIError.self) {
        try await test.admin.create(.services, namespace: "default", body: other, WriteOptions())
      }
      #expect(
        error?.message
          == "Service \"web2\" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated")
      try await test.admin.delete(.services, ObjectKey(namespace: "default", name: "web"), DeleteOptions())
      _ = try await test.admin.create(.services, namespace: "default", body: other, WriteOptions())
    }
  }

  @Test("status and spec are written through their own endpoints; generation counts the spec's changes")
  func subresources() async throws {
    try await TestPlane.with { test in
      let key = ObjectKey(namespace: "default", name: "d")
      let body: Value = [
        "metadata": ["name": "d"],
        "spec": [
          "selector": ["matchLabels": ["a": "b"]],
          "template": ["metadata": ["labels": ["a": "b"]], "spec": ["containers": [["name": "c", "image": "x"]]]],
        ],
      ]
      _ = try await test.admin.create(.deployments, namespace: "default", body: body, WriteOptions())
      var patched = try await test.admin.patch(
        .deployments, key, subresource: "status", Patch(.merge, ["status": ["replicas": 3], "spec": ["replicas": 9]]),
        WriteOptions()
      ).value
      #expect(patched["status"]["replicas"] == 3 && patched["spec"]["replicas"] == 1 && patched["metadata"]["generation"] == 1)
      patched = try await test.admin.patch(
        .deployments, key, subresource: nil, Patch(.merge, ["spec": ["replicas": 4], "status": ["replicas": 8]]), WriteOptions()
      ).value
      #expect(patched["status"]["replicas"] == 3 && patched["spec"]["replicas"] == 4 && patched["metadata"]["generation"] == 2)
      let before = patched["metadata"]["resourceVersion"]
      let same = try await test.admin.patch(
        .deployments, key, subresource: nil, Patch(.merge, ["spec": ["replicas": 4]]), WriteOptions())
      #expect(same.value["metadata"]["resourceVersion"] == before, "equal bytes are no write")
    }
  }

  @Test("graceful deletion waits for the node, finalizers hold, preconditions are kept")
  func deletion() async throws {
    try await TestPlane.with { test in
      let key = ObjectKey(namespace: "default", name: "a")
      _ = try await test.admin.create(.pods, namespace: "default", body: TestPlane.pod("a"), WriteOptions())
      let bound = await test.admin.submit([.bind(pod: key, uid: "", node: "n1")])
      #expect(try bound[0].get()?.value["spec"]["nodeName"] == "n1")
      let marked = try #require(try await test.admin.delete(.pods, key, DeleteOptions())).value
      #expect(marked["metadata"]["deletionGracePeriodSeconds"] == 30)
      let uid = marked["metadata"]["uid"].string
      await #expect(throws: APIError.self) {
        try await test.admin.delete(.pods, key, DeleteOptions(gracePeriodSeconds: 0, preconditionUID: "other"))
      }
      let gone = try await test.admin.delete(.pods, key, DeleteOptions(gracePeriodSeconds: 0, preconditionUID: uid))
      #expect(gone == nil)
      await #expect(throws: APIError.notFound(GroupResource(resource: "pods"), "a")) { try await test.admin.get(.pods, key) }
      let config: Value = ["metadata": ["name": "held", "finalizers": ["example.com/hold"]]]
      _ = try await test.admin.create(.configMaps, namespace: "default", body: config, WriteOptions())
      let held = ObjectKey(namespace: "default", name: "held")
      #expect(try await test.admin.delete(.configMaps, held, DeleteOptions()) != nil)
      _ = try await test.admin.patch(
        .configMaps, held, subresource: nil, Patch(.merge, ["metadata": ["finalizers": nil]]), WriteOptions())
      await #expect(throws: APIError.self) { try await test.admin.get(.configMaps, held) }
    }
  }

  @Test("what a watcher inside does not read waits in the ring, not in a queue of its own; who lets go is woken")
  func pulled() async throws {
    try await TestPlane.with { test in
      let stream = try await test.admin.watch(.configMaps, namespace: "default", ListOptions(sendInitialEvents: true))
      for i in 0..<300 {
        _ = try await test.admin.create(
          .configMaps, namespace: "default", body: ["metadata": ["name": .string("c\(i)")]], WriteOptions())
      }
      var names: Set<String> = []
      var largest = 0
      for await batch in stream {
        largest = max(largest, batch.count)
        for case .added(let object) in batch { names.insert(object.key.name) }
        if (0..<300).allSatisfy({ names.contains("c\($0)") }) { break }
      }
      // A queue would hold them as they came, one by one.
      #expect(largest == 256)
      let quiet = try await test.admin.watch(.configMaps, namespace: "none", ListOptions(resourceVersion: "0"))
      let reader = Task { for await _ in quiet {} }
      reader.cancel()
      await reader.value
    }
  }

  @Test("a watch sees every change once, in order; a list stands for one revision")
  func watch() async throws {
    try await TestPlane.with { test in
      let list = try await test.admin.list(.configMaps, namespace: "default", ListOptions())
      let stream = try await test.admin.watch(
        .configMaps, namespace: "default", ListOptions(labelSelector: "keep=yes", resourceVersion: String(list.revision)))
      let key = ObjectKey(namespace: "default", name: "w")
      _ = try await test.admin.create(.configMaps, namespace: "default", body: ["metadata": ["name": "other"]], WriteOptions())
      _ = try await test.admin.create(
        .configMaps, namespace: "default", body: ["metadata": ["name": "w", "labels": ["keep": "yes"]]], WriteOptions())
      _ = try await test.admin.patch(.configMaps, key, subresource: nil, Patch(.merge, ["data": ["a": "1"]]), WriteOptions())
      _ = try await test.admin.patch(
        .configMaps, key, subresource: nil, Patch(.merge, ["metadata": ["labels": ["keep": "no"]]]), WriteOptions())
      var seen: [String] = []
      loop: for await batch in stream {
        for event in batch {
          switch event {
          case .added(let object): seen.append("added \(object.key.name)")
          case .modified(let object): seen.append("modified \(object.key.name)")
          case .deleted(let object):
            seen.append("deleted \(object.key.name)")
            break loop
          default: seen.append("other")
          }
        }
      }
      #expect(seen == ["added w", "modified w", "deleted w"])
    }
  }
}

@Suite struct AuthorizationTests {
  @Test("nobody may do what no role grants; roles are seen at once; nobody grants what he does not hold")
  func rbac() async throws {
    try await TestPlane.with { test in
      let jane = test.plane.client(as: Identity(name: "jane", groups: ["system:authenticated"]))
      let error = await #expect(throws: APIError.self) { try await jane.list(.pods, namespace: "default", ListOptions()) }
      #expect(
        error?.message
          == "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"")
      _ = try await test.admin.create(
        .roleBindings, namespace: "default",
        body: [
          "metadata": ["name": "b"], "roleRef": ["kind": "ClusterRole", "name": "view", "apiGroup": "rbac.authorization.k8s.io"],
          "subjects": [["kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"]],
        ], WriteOptions())
      _ = try await jane.list(.pods, namespace: "default", ListOptions())
      await #expect(throws: APIError.self) { try await jane.list(.secrets, namespace: "default", ListOptions()) }
      await #expect(throws: APIError.self) { try await jane.list(.pods, namespace: "kube-system", ListOptions()) }
    }
  }

  @Test("a node reads what its own pods name, and writes itself")
  func nodes() async throws {
    try await TestPlane.with { test in
      let node = test.plane.client(as: .node("n1"))
      _ = try await node.create(.nodes, namespace: "", body: ["metadata": ["name": "n1"]], WriteOptions())
      await #expect(throws: APIError.self) {
        try await node.create(.nodes, namespace: "", body: ["metadata": ["name": "n2"]], WriteOptions())
      }
      for name in ["mine", "other"] {
        _ = try await test.admin.create(
          .secrets, namespace: "default", body: ["metadata": ["name": .string(name)], "stringData": ["k": "v"]], WriteOptions())
      }
      var pod = TestPlane.pod("a")
      pod["spec"]["volumes"] = [["name": "s", "secret": ["secretName": "mine"]]]
      _ = try await test.admin.create(.pods, namespace: "default", body: pod, WriteOptions())
      _ = await test.admin.submit([.bind(pod: ObjectKey(namespace: "default", name: "a"), uid: "", node: "n1")])
      #expect(try await node.get(.secrets, ObjectKey(namespace: "default", name: "mine")).value["data"]["k"] == "dg==")
      await #expect(throws: APIError.self) { try await node.get(.secrets, ObjectKey(namespace: "default", name: "other")) }
      await #expect(throws: APIError.self) { try await node.list(.pods, namespace: nil, ListOptions()) }
      #expect(try await node.list(.pods, namespace: nil, ListOptions(fieldSelector: "spec.nodeName=n1")).items.count == 1)
    }
  }

  @Test("a token works while its account and pod exist")
  func tokens() async throws {
    try await TestPlane.with { test in
      let account = ObjectKey(namespace: "default", name: "default")
      _ = try await test.admin.create(.pods, namespace: "default", body: TestPlane.pod("a"), WriteOptions())
      let answer = try await test.admin.createSubresource(
        .serviceAccounts, account, subresource: "token", body: ["spec": ["boundObjectRef": ["kind": "Pod", "name": "a"]]],
        WriteOptions())
      let token = try #require(answer["status"]["token"].string)
      #expect(try test.plane.authenticate(AuthenticationInput(bearerToken: token)).name == "system:serviceaccount:default:default")
      #expect(throws: APIError.self) { try test.plane.authenticate(AuthenticationInput(bearerToken: token + "x")) }
      try await test.admin.delete(.pods, ObjectKey(namespace: "default", name: "a"), DeleteOptions())
      #expect(throws: APIError.self) { try test.plane.authenticate(AuthenticationInput(bearerToken: token)) }
    }
  }
}

import Client
import ControlPlane
import Schema
import Store
import Testing
import Wire

@Suite struct ProtectionTests {
  @Test("a secret's value is nowhere in the files of the store; a config map's is")
  func encryption() async throws {
    try await TestPlane.with { test in
      for (resource, text) in [(GroupVersionResource.secrets, "open-sesame"), (.configMaps, "plain-words")] {
        let field = resource == .secrets ? "stringData" : "data"
        _ = try await test.admin.create(
          resource, namespace: "default", body: ["metadata": ["name": "a"], field: ["k": .string(text)]], WriteOptions())
      }
      let bytes = AuditTests.contents("\(test.directory)/state.db") + AuditTests.contents("\(test.directory)/state.db-wal")
      func holds(_ text: String) -> Bool { String(decoding: bytes, as: UTF8.self).contains(text) }
      #expect(holds("plain-words"))
      #expect(!holds("open-sesame") && !holds(Base64.encode("open-sesame".utf8)))
      #expect(
        try await test.admin.get(.secrets, ObjectKey(namespace: "default", name: "a")).value["data"]["k"].string
          == Base64.encode("open-sesame".utf8))
    }
  }

  @Test("an event is kept for an hour after it was last written")
  func events() async throws {
    try await TestPlane.with { test in
      let events = GroupVersionResource(resource: "events")
      let now = test.plane.clock.now().seconds
      for (name, age) in [("old", 3700), ("young", 10)] as [(String, Int64)] {
        _ = try await test.admin.create(
          events, namespace: "default",
          body: [
            "metadata": ["name": .string(name), "namespace": "default"],
            "involvedObject": ["kind": "Pod", "namespace": "default", "name": "p"], "reason": "R", "type": "Normal",
            "lastTimestamp": .string(Timestamp(seconds: now - age).description),
          ], WriteOptions())
      }
      // Both were made just now: what counts is the newest of the times.
      _ = await test.plane.expireEvents(now: now)
      #expect(try await test.admin.list(events, namespace: "default", ListOptions()).items.count == 2)
      let next = try #require(await test.plane.expireEvents(now: now + 10))
      #expect(next > now + 3600)
      #expect(await test.plane.expireEvents(now: now + 3700) == nil)
      #expect(try await test.admin.list(events, namespace: "default", ListOptions()).items.isEmpty)
    }
  }

  @Test("nobody grants piecewise what he does not hold; what he holds piecewise he may grant")
  func escalation() async throws {
    try await TestPlane.with { test in
      let roles = GroupVersionResource(group: "rbac.authorization.k8s.io", resource: "roles")
      func role(_ name: String, _ rules: Value) -> Value { ["metadata": ["name": .string(name)], "rules": rules] }
      let mine: Value = [
        ["apiGroups": [""], "resources": ["pods"], "verbs": ["get"]],
        ["apiGroups": [""], "resources": ["pods"], "verbs": ["list"]],
        ["apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["create"]],
      ]
      _ = try await test.admin.create(roles, namespace: "default", body: role("mine", mine), WriteOptions())
      _ = try await test.admin.create(
        .roleBindings, namespace: "default",
        body: [
          "metadata": ["name": "b"], "roleRef": ["kind": "Role", "name": "mine", "apiGroup": "rbac.authorization.k8s.io"],
          "subjects": [["kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"]],
        ], WriteOptions())
      let jane = test.plane.client(as: Identity(name: "jane", groups: ["system:authenticated"]))
      _ = try await jane.create(
        roles, namespace: "default", body: role("ok", [["apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]]]),
        WriteOptions())
      let error = await #expect(throws: APIError.self) {
        try await jane.create(
          roles, namespace: "default", body: role("no", [["apiGroups": [""], "resources": ["pods"], "verbs": ["get", "delete"]]]),
          WriteOptions())
      }
      #expect(
        error?.message
          == "roles.rbac.authorization.k8s.io \"no\" is forbidden: user \"jane\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}"
      )
      func bind(_ kind: String, _ name: String) -> Value {
        [
          "metadata": ["name": .string("to-\(name)")],
          "roleRef": ["kind": .string(kind), "name": .string(name), "apiGroup": "rbac.authorization.k8s.io"],
          "subjects": [["kind": "User", "name": "joe", "apiGroup": "rbac.authorization.k8s.io"]],
        ]
      }
      _ = try await jane.create(.roleBindings, namespace: "default", body: bind("Role", "ok"), WriteOptions())
      await #expect(throws: APIError.self) {
        try await jane.create(.roleBindings, namespace: "default", body: bind("ClusterRole", "edit"), WriteOptions())
      }
      let everything = await #expect(throws: APIError.self) {
        try await jane.create(.roleBindings, namespace: "default", body: bind("ClusterRole", "cluster-admin"), WriteOptions())
      }
      #expect(
        everything?.message
          == "rolebindings.rbac.authorization.k8s.io \"to-cluster-admin\" is forbidden: user \"jane\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}\n{NonResourceURLs:[\"*\"], Verbs:[\"*\"]}"
      )
      #expect(everything?.name == "to-cluster-admin")
      await #expect(throws: APIError.notFound(GroupResource(group: "rbac.authorization.k8s.io", resource: "roles"), "gone")) {
        try await jane.create(.roleBindings, namespace: "default", body: bind("Role", "gone"), WriteOptions())
      }
    }
  }

  @Test("a PUT that creates needs the right to create")
  func putCreates() async throws {
    try await TestPlane.with { test in
      let roles = GroupVersionResource(group: "rbac.authorization.k8s.io", resource: "clusterroles")
      _ = try await test.admin.create(
        roles, namespace: "",
        body: ["metadata": ["name": "updater"], "rules": [["apiGroups": [""], "resources": ["services"], "verbs": ["update"]]]],
        WriteOptions())
      _ = try await test.admin.create(
        .clusterRoleBindings, namespace: "",
        body: [
          "metadata": ["name": "b"],
          "roleRef": ["kind": "ClusterRole", "name": "updater", "apiGroup": "rbac.authorization.k8s.io"],
          "subjects": [["kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"]],
        ], WriteOptions())
      let jane = test.plane.client(as: Identity(name: "jane", groups: ["system:authenticated"]))
      let body: Value = ["metadata": ["name": "s"], "spec": ["ports": [["port": 80]], "selector": ["a": "b"]]]
      let key = ObjectKey(namespace: "default", name: "s")
      let error = await #expect(throws: APIError.self) {
        try await jane.update(.services, key, subresource: nil, body: body, WriteOptions())
      }
      #expect(
        error?.message
          == "services \"s\" is forbidden: User \"jane\" cannot create resource \"services\" in API group \"\" in the namespace \"default\""
      )
      _ = try await test.admin.update(.services, key, subresource: nil, body: body, WriteOptions())
    }
  }

  @Test("a token is bound only to a pod of its account; an access review names the binding that allows")
  func boundTokensAndReasons() async throws {
    try await TestPlane.with { test in
      _ = try await test.admin.create(.pods, namespace: "default", body: TestPlane.pod("a"), WriteOptions())
      _ = try await test.admin.create(.serviceAccounts, namespace: "default", body: ["metadata": ["name": "tk"]], WriteOptions())
      let bound: Value = ["spec": ["boundObjectRef": ["kind": "Pod", "name": "a"]]]
      let error = await #expect(throws: APIError.self) {
        try await test.admin.createSubresource(
          .serviceAccounts, ObjectKey(namespace: "default", name: "tk"), subresource: "token", body: bound, WriteOptions())
      }
      #expect(
        error?.code == 400
          && error?.message == "cannot bind token for serviceaccount \"tk\" to pod running with different serviceaccount name.")

      _ = try await test.admin.create(
        .roleBindings, namespace: "default",
        body: [
          "metadata": ["name": "b"], "roleRef": ["kind": "ClusterRole", "name": "view", "apiGroup": "rbac.authorization.k8s.io"],
          "subjects": [["kind": "ServiceAccount", "name": "tk", "namespace": "default"]],
        ], WriteOptions())
      let attributes = RequestAttributes(
        user: .serviceAccount(namespace: "default", name: "tk"), verb: "list", resource: "pods", namespace: "default")
      #expect(
        test.plane.decide(attributes).reason
          == "RBAC: allowed by RoleBinding \"b/default\" of ClusterRole \"view\" to ServiceAccount \"tk/default\"")
    }
  }

  @Test("a node gets tokens of its own pods, bound to them, and no others")
  func nodeTokens() async throws {
    try await TestPlane.with { test in
      for (name, node) in [("a", "n1"), ("b", "n2")] {
        _ = try await test.admin.create(.pods, namespace: "default", body: TestPlane.pod(name), WriteOptions())
        _ = await test.admin.submit([.bind(pod: ObjectKey(namespace: "default", name: name), uid: "", node: node)])
      }
      let node = test.plane.client(as: .node("n1"))
      let account = ObjectKey(namespace: "default", name: "default")
      func ask(_ pod: String?) async throws(APIError) -> Value {
        var body: Value = ["spec": .emptyObject]
        if let pod {
          let uid = try await test.admin.get(.pods, ObjectKey(namespace: "default", name: pod)).uid
          body["spec"]["boundObjectRef"] = ["kind": "Pod", "name": .string(pod), "uid": .string(uid)]
        }
        return try await node.createSubresource(.serviceAccounts, account, subresource: "token", body: body, WriteOptions())
      }
      #expect(try await ask("a")["status"]["token"].string != nil)
      await #expect(throws: APIError.self) { try await ask("b") }
      await #expect(throws: APIError.self) { try await ask(nil) }
    }
  }

  @Test("a node gives itself the kubelet's labels and its own, never a role, a restriction or another taint")
  func nodeLabels() async throws {
    try await TestPlane.with { test in
      let node = test.plane.client(as: .node("n1"))
      let key = ObjectKey(name: "n1")
      func body(_ labels: Value) -> Value { ["metadata": ["name": "n1", "labels": labels]] }
      let created = await #expect(throws: APIError.self) {
        try await node.create(
          .nodes, namespace: "",
          body: body(["node-role.kubernetes.io/x": "", "a.node-restriction.kubernetes.io/y": "", "mine": "1"]),
          WriteOptions())
      }
      #expect(
        created?.message
          == "nodes \"n1\" is forbidden: node \"n1\" is not allowed to set the following labels: a.node-restriction.kubernetes.io/y, node-role.kubernetes.io/x"
      )
      let own: Value = [
        "kubernetes.io/hostname": "n1", "kubernetes.io/os": "linux", "node.kubernetes.io/instance-type": "small",
        "x.kubelet.kubernetes.io/a": "b", "example.org/rack": "7",
      ]
      _ = try await node.create(.nodes, namespace: "", body: body(own), WriteOptions())
      for (patch, why) in [
        (["metadata": ["labels": ["node-role.kubernetes.io/y": ""]]], "is not allowed to modify labels: node-role.kubernetes.io/y"),
        (["metadata": ["labels": ["foo.k8s.io/y": ""]]], "is not allowed to modify labels: foo.k8s.io/y"),
        (["spec": ["taints": []]], "node \"n1\" is not allowed to modify taints"),
        (
          ["metadata": ["ownerReferences": [["apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"]]]],
          "node \"n1\" is not allowed to modify ownerReferences"
        ),
      ] as [(Value, String)] {
        let error = await #expect(throws: APIError.self) {
          try await node.patch(.nodes, key, subresource: nil, Patch(.merge, patch), WriteOptions())
        }
        #expect(error?.message == "nodes \"n1\" is forbidden: \(why)")
      }
      // By way of the status neither.
      await #expect(throws: APIError.self) {
        try await node.patch(
          .nodes, key, subresource: "status", Patch(.merge, ["metadata": ["labels": ["node-role.kubernetes.io/y": ""]]]),
          WriteOptions())
      }
      _ = try await node.patch(
        .nodes, key, subresource: nil, Patch(.merge, ["metadata": ["labels": ["example.org/rack": "8"]]]), WriteOptions())
      // What the administrator gave it stays; it is no change of the node's.
      _ = try await test.admin.patch(
        .nodes, key, subresource: nil, Patch(.merge, ["metadata": ["labels": ["node-role.kubernetes.io/control-plane": ""]]]),
        WriteOptions())
      _ = try await node.patch(
        .nodes, key, subresource: nil, Patch(.merge, ["metadata": ["labels": ["example.org/rack": "9"]]]), WriteOptions())
      await #expect(throws: APIError.self) {
        try await test.plane.client(as: .node("n2")).patch(
          .nodes, key, subresource: nil, Patch(.merge, ["metadata": ["labels": ["a": "b"]]]), WriteOptions())
      }
    }
  }

  @Test("a node's name belongs to the key that claimed it first, until the Node is deleted")
  func nodeKeys() async throws {
    try await TestPlane.with { test in
      let keys = (0..<3).map { _ in CertificateAuthority.makeKey() }
      let hashes = try keys.map { try CertificateAuthority.keyHash(keyPEM: $0) }
      func user(_ hash: String) throws -> String {
        try test.plane.authenticate(AuthenticationInput(certificate: ("system:node:n1", ["system:nodes"], hash))).name
      }
      _ = try await test.admin.create(.nodes, namespace: "", body: ["metadata": ["name": "n1"]], WriteOptions())
      #expect(try user(hashes[0]) == "system:node:n1")
      try await test.plane.claimNode("n1", keyHash: hashes[0])
      try await test.plane.claimNode("n1", keyHash: hashes[0])
      let error = await #expect(throws: APIError.self) { try await test.plane.claimNode("n1", keyHash: hashes[1]) }
      #expect(error?.reason == .conflict && error?.message.contains("kubectl delete node n1") == true)
      #expect(try user(hashes[0]) == "system:node:n1")
      #expect(throws: APIError.self) { try user(hashes[1]) }
      // Whoever is no node is not asked.
      #expect(
        try test.plane.authenticate(AuthenticationInput(certificate: ("system:node:n1", ["dev"], hashes[1]))).groups.contains("dev")
      )
      // A server whose data directory is new takes its own name over.
      try await test.plane.claimNode("n1", keyHash: hashes[2], isOwn: true)
      #expect(throws: APIError.self) { try user(hashes[0]) }
      try await test.admin.delete(.nodes, ObjectKey(name: "n1"), DeleteOptions())
      try await test.plane.claimNode("n1", keyHash: hashes[1])
      #expect(try user(hashes[1]) == "system:node:n1")
    }
  }

  @Test("what would be made in a namespace that is going is named in the refusal, with its cause")
  func terminatingNamespace() async throws {
    try await TestPlane.with { test in
      _ = try await test.admin.create(.namespaces, namespace: "", body: ["metadata": ["name": "gone"]], WriteOptions())
      try await test.admin.delete(.namespaces, ObjectKey(name: "gone"), DeleteOptions())
      for (metadata, shown) in [(["name": "zz"], "zz"), (["generateName": "zz-"], "zz-")] as [(Value, String)] {
        let error = await #expect(throws: APIError.self) {
          try await test.admin.create(.configMaps, namespace: "gone", body: ["metadata": metadata], WriteOptions())
        }
        #expect(
          error?.message
            == "configmaps \"\(shown)\" is forbidden: unable to create new content in namespace gone because it is being terminated"
        )
        #expect(error?.name == shown)
        #expect(
          error?.causes == [
            .init(reason: "NamespaceTerminating", message: "namespace gone is being terminated", field: "metadata.namespace")
          ])
      }
    }
  }

  @Test(
    "a node's selectors must name it and nothing else",
    arguments: [
      ("metadata.name=n1", true), ("metadata.name=n10", false), ("metadata.name!=n1", false), ("", false),
      ("spec.unschedulable=false,metadata.name=n1", true), ("metadata.name==n1", true),
      ("spec.providerID=a\\,metadata.name=n1", false),
    ])
  func nodeSelectors(selector: String, isAllowed: Bool) async throws {
    try await TestPlane.with { test in
      let attributes = RequestAttributes(user: .node("n1"), verb: "list", resource: "nodes", fieldSelector: selector)
      #expect(test.plane.decide(attributes).isAllowed == isAllowed)
    }
  }
}

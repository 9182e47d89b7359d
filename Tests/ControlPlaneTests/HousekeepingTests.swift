import Cache
import Client
import ControlPlane
import Schema
import Store
import Testing
import Wire

/// What the control plane does by itself, and as whom.
@Suite(.timeLimit(.minutes(5))) struct HousekeepingTests {
  /// The first object of a watch that is as wanted.
  private func first(
    _ resource: GroupVersionResource, _ key: ObjectKey, _ client: any Client, where isWanted: (Value) -> Bool
  ) async throws -> Value {
    let options = ListOptions(fieldSelector: "metadata.name=\(key.name)", sendInitialEvents: true)
    for await batch in try await client.watch(resource, namespace: key.namespace, options) {
      for event in batch {
        switch event {
        case .added(let object), .modified(let object): if isWanted(object.value) { return object.value }
        default: break
        }
      }
    }
    return .null
  }

  private func isGone(_ resource: GroupVersionResource, _ key: ObjectKey, _ client: any Client) async throws -> Bool {
    let options = ListOptions(fieldSelector: "metadata.name=\(key.name)", allowWatchBookmarks: true, sendInitialEvents: true)
    for await batch in try await client.watch(resource, namespace: key.namespace, options) {
      for event in batch {
        if case .deleted = event { return true }
        if case .bookmark = event, (try? await client.get(resource, key)) == nil { return true }
      }
    }
    return false
  }

  @Test("the kubernetes service comes back and quotas are counted by accounts with roles, never by system:masters")
  func leastPrivilege() async throws {
    try await TestPlane.with { test in
      let directory = "\(test.directory)/audit"
      test.plane.setAuditLog(try AuditLog(.init(directory: directory)))
      defer { AuditTests.remove(directory) }
      let running = Task { await test.plane.run() }
      defer { running.cancel() }
      let service = ObjectKey(namespace: "default", name: "kubernetes")
      let uid = try await test.admin.get(.services, service).uid
      try await test.admin.delete(.services, service, DeleteOptions())
      _ = try await first(.services, service, test.admin) { $0["metadata"]["uid"].string != uid }
      let quotas = GroupVersionResource(resource: "resourcequotas")
      _ = try await test.admin.create(
        quotas, namespace: "default", body: ["metadata": ["name": "q"], "spec": ["hard": ["configmaps": "9"]]], WriteOptions())
      _ = try await test.admin.create(.configMaps, namespace: "default", body: ["metadata": ["name": "a"]], WriteOptions())
      let counted = try await first(quotas, ObjectKey(namespace: "default", name: "q"), test.admin) {
        $0["status"]["used"]["configmaps"] == "1"
      }
      #expect(counted["status"]["hard"]["configmaps"] == "9")
      // A write is seen before it is recorded: what is under way ends first.
      running.cancel()
      await running.value
      let others = try AuditTests.events(directory).filter { $0["user"]["username"] != "admin" }
      let users = Set(others.compactMap { $0["user"]["username"].string?.split(separator: ":").last.map(String.init) })
      #expect(users == ["kubernetes-service-controller", "resourcequota-controller"])
      // Several watchers see the same gap: all but one come too late. None is forbidden anything.
      #expect(Set(others.compactMap { $0["responseStatus"]["code"].int }).isSubset(of: [200, 201, 409]))
      #expect(!others.contains { $0["user"]["groups"].array?.contains("system:masters") == true })
    }
  }

  @Test("a quota's ledger goes with its namespace")
  func ledger() async throws {
    try await TestPlane.with { test in
      let quotas = GroupVersionResource(resource: "resourcequotas")
      func space() async throws {
        _ = try await test.admin.create(.namespaces, namespace: "", body: ["metadata": ["name": "shop"]], WriteOptions())
        _ = try await test.admin.create(
          quotas, namespace: "shop", body: ["metadata": ["name": "q"], "spec": ["hard": ["configmaps": "9"]]], WriteOptions())
        _ = try await test.admin.create(.configMaps, namespace: "shop", body: ["metadata": ["name": "a"]], WriteOptions())
      }
      try await space()
      let ledger = GroupResource(group: "~", resource: "quotas")
      func records() throws -> Int {
        try test.plane.store.range(ledger, namespace: "shop", after: nil, at: nil, limit: 10).count
      }
      #expect(try records() == 1)
      for resource in [quotas, .configMaps] {
        for object in try await test.admin.list(resource, namespace: "shop", ListOptions()).items {
          try await test.admin.delete(resource, object.key, DeleteOptions())
        }
      }
      try await test.admin.delete(.namespaces, ObjectKey(name: "shop"), DeleteOptions())
      var namespace = try await test.admin.get(.namespaces, ObjectKey(name: "shop")).value
      namespace["spec"]["finalizers"] = []
      _ = try await test.admin.update(
        .namespaces, ObjectKey(name: "shop"), subresource: "finalize", body: namespace, WriteOptions())
      #expect(try records() == 0)
      // And a namespace of the same name begins anew.
      try await space()
      #expect(try records() == 1)
    }
  }

  @Test("an event whose time lies in the far future ends an hour after it was made")
  func futureEvents() async throws {
    try await TestPlane.with { test in
      let events = GroupVersionResource(resource: "events")
      let now = test.plane.clock.now().seconds
      for (name, time) in [("never", "9999-12-31T23:59:59Z"), ("soon", Timestamp(seconds: now + 600).description)] {
        _ = try await test.admin.create(
          events, namespace: "default",
          body: [
            "metadata": ["name": .string(name), "namespace": "default"],
            "involvedObject": ["kind": "Pod", "namespace": "default", "name": "p"], "reason": "R", "type": "Normal",
            "lastTimestamp": .string(time),
          ], WriteOptions())
      }
      _ = await test.plane.expireEvents(now: now + 3900)
      #expect(try await test.admin.list(events, namespace: "default", ListOptions()).items.map(\.key.name) == ["soon"])
      _ = await test.plane.expireEvents(now: now + 4300)
      #expect(try await test.admin.list(events, namespace: "default", ListOptions()).items.isEmpty)
    }
  }

  @Test("a token secret is filled, its token authenticates while the secret holds it, and it goes with its account")
  func tokenSecrets() async throws {
    try await TestPlane.with { test in
      let running = Task { await test.plane.run(serverAuthority: "CA IN PEM") }
      defer { running.cancel() }
      func secret(_ name: String, of account: String) -> Value {
        [
          "metadata": ["name": .string(name), "annotations": ["kubernetes.io/service-account.name": .string(account)]],
          "type": "kubernetes.io/service-account-token",
        ]
      }
      func user(_ token: String) throws(APIError) -> String {
        try test.plane.authenticate(AuthenticationInput(bearerToken: token)).name
      }
      let account = try await test.admin.create(
        .serviceAccounts, namespace: "default", body: ["metadata": ["name": "robot"]], WriteOptions())
      for name in ["kept", "dropped"] {
        _ = try await test.admin.create(.secrets, namespace: "default", body: secret(name, of: "robot"), WriteOptions())
      }
      var tokens: [String] = []
      for name in ["kept", "dropped"] {
        let filled = try await first(.secrets, ObjectKey(namespace: "default", name: name), test.admin) {
          !$0["data"]["token"].isNull
        }
        #expect(filled["data"]["ca.crt"].string == Base64.encode(Array("CA IN PEM".utf8)))
        #expect(filled["data"]["namespace"].string == Base64.encode(Array("default".utf8)))
        #expect(filled["metadata"]["annotations"]["kubernetes.io/service-account.uid"].string == account.uid)
        let token = try #require(Base64.decode(filled["data"]["token"].string ?? ""))
        tokens.append(String(decoding: token, as: UTF8.self))
        #expect(try user(tokens[tokens.count - 1]) == "system:serviceaccount:default:robot")
      }
      try await test.admin.delete(.secrets, ObjectKey(namespace: "default", name: "dropped"), DeleteOptions())
      #expect(throws: APIError.self) { try user(tokens[1]) }
      #expect(try user(tokens[0]) == "system:serviceaccount:default:robot")
      try await test.admin.delete(.serviceAccounts, account.key, DeleteOptions())
      #expect(throws: APIError.self) { try user(tokens[0]) }
      #expect(try await isGone(.secrets, ObjectKey(namespace: "default", name: "kept"), test.admin))
      _ = try await test.admin.create(.secrets, namespace: "default", body: secret("lost", of: "nobody"), WriteOptions())
      #expect(try await isGone(.secrets, ObjectKey(namespace: "default", name: "lost"), test.admin))
    }
  }

  @Test("what aggregated servers verify clients with is published, for those with the reader's role")
  func clientAuthority() async throws {
    try await TestPlane.with { test in
      await test.plane.publishAuthentication("CA IN PEM")
      await test.plane.publishAuthentication("ANOTHER CA")
      let key = ObjectKey(namespace: "kube-system", name: "extension-apiserver-authentication")
      let scheduler = test.plane.client(as: .scheduler)
      let published = try await scheduler.get(.configMaps, key).value
      #expect(published["data"]["client-ca-file"] == "ANOTHER CA")
      await #expect(throws: APIError.self) {
        try await scheduler.get(.configMaps, ObjectKey(namespace: "kube-system", name: "other"))
      }
    }
  }
}

import Client
import ControlPlane
import Schema
import Store
import Testing
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// What stands in the store when a control plane opens it.
@Suite struct StoredValuesTests {
  private func withStore(_ body: (SQLiteStore) async throws -> Void) async throws {
    var template = Array("/tmp/gantry-plane-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw StoreError.failed("mkdtemp") }
    let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer {
      for file in ["state.db", "state.db-wal", "state.db-shm", "state.db.lock"] { unlink("\(directory)/\(file)") }
      rmdir(directory)
    }
    let store = try SQLiteStore(.init(path: "\(directory)/state.db"))
    defer { store.close() }
    try await body(store)
  }

  private func open(_ store: SQLiteStore) throws -> ControlPlane {
    try ControlPlane(.init(), store: store, sealer: Sealer(token: "a-test-token-of-some-length"))
  }

  private func put(_ json: String, _ name: String, _ stamp: UInt8, _ store: SQLiteStore) async throws {
    let key = StoreKey(GroupResource(resource: "services"), ObjectKey(namespace: "default", name: name))
    _ = try await store.commit(
      Transaction(compares: [], writes: [.put(key, Envelope(schemaStamp: stamp).wrap(Array(json.utf8)))]))
  }

  @Test("a value that a newer release wrote is no object that is missing: the store is refused")
  func newer() async throws {
    try await withStore { store in
      try await put(
        #"{"metadata":{"name":"a","namespace":"default","uid":"u","creationTimestamp":"2026-01-01T00:00:00Z"}}"#, "a",
        Envelope.currentStamp + 1, store)
      let error = #expect(throws: StoreError.self) { try open(store) }
      #expect(error?.description.contains("holds values that a newer release of Gantry wrote (services default/a is one)") == true)
    }
  }

  @Test("a value of an older release is pruned and defaulted when it is read, and stays as it is on the disk")
  func older() async throws {
    try await withStore { store in
      let json =
        #"{"metadata":{"name":"a","namespace":"default","uid":"u","creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"topologyKeys":["x"],"ports":[{"port":80}]},"status":{}}"#
      try await put(json, "a", Envelope.currentStamp - 1, store)
      let plane = try open(store)
      let key = ObjectKey(namespace: "default", name: "a")
      let admin = plane.client(as: Identity(name: "admin", groups: ["system:masters"]))
      let spec = try await admin.get(.services, key).value["spec"]
      #expect(spec["topologyKeys"].isNull && spec["ports"][0]["protocol"] == "TCP" && spec["sessionAffinity"] == "None")
      let stored = try #require(try store.get(StoreKey(GroupResource(resource: "services"), key), at: nil))
      #expect(Envelope.open(stored.value)?.0.schemaStamp == Envelope.currentStamp - 1)
    }
  }

  @Test("who owns a node's name is asked of memory, after a restart too, not of a store that may fail")
  func nodeClaims() async throws {
    try await withStore { store in
      try await open(store).claimNode("n1", keyHash: "first")
      let plane = try open(store)
      store.close()
      func user(_ hash: String) throws(APIError) -> String {
        try plane.authenticate(AuthenticationInput(certificate: ("system:node:n1", ["system:nodes"], hash))).name
      }
      #expect(try user("first") == "system:node:n1")
      #expect(throws: APIError.self) { try user("second") }
    }
  }
}

import Glibc
import Store
import Testing
import Wire

/// The promises every engine makes. Written against ``StoreEngine``; SQLite runs them, etcd will.
@Suite struct StoreTests {
  static func withStore(_ body: (SQLiteStore, String) async throws -> Void) async throws {
    let path = try makeTemporaryDirectory()
    defer { removeDirectory(path) }
    let store = try SQLiteStore(.init(path: "\(path)/state.db"))
    defer { store.close() }
    try await body(store, path)
  }

  static func key(_ name: String) -> StoreKey { StoreKey(GroupResource(resource: "configmaps"), ObjectKey(namespace: "default", name: name)) }

  @Test("a compare that fails fails its transaction alone, and says what is there")
  func compares() async throws {
    try await Self.withStore { store, _ in
      let first = try await store.commit(Transaction(compares: [.absent(Self.key("a"))], writes: [.put(Self.key("a"), [1])]))
      await #expect(throws: StoreError.self) { try await store.commit(Transaction(compares: [.absent(Self.key("a"))], writes: [.put(Self.key("a"), [2])])) }
      let second = try await store.commit(Transaction(compares: [.revision(Self.key("a"), first)], writes: [.put(Self.key("a"), [3])]))
      #expect(second > first)
      let records = try store.load().records
      #expect(records.map(\.value) == [[3]])
      #expect(records.map(\.revision) == [second])
    }
  }

  @Test("several keys of a transaction have one revision; the log gives them in order")
  func severalKeys() async throws {
    try await Self.withStore { store, _ in
      let start = try store.load().revision
      let revision = try await store.commit(Transaction(compares: [], writes: [.put(Self.key("a"), [1]), .put(Self.key("b"), [2])]))
      let gone = try await store.commit(Transaction(compares: [], writes: [.delete(Self.key("a"), uid: "u-1")]))
      let events = try store.events(after: start, limit: 10)
      #expect(events.map(\.revision) == [revision, revision, gone])
      #expect(events.map(\.value) == [[1], [2], nil])
      #expect(try store.history(uid: "u-1")?.value == [1])
    }
  }

  @Test("a revision is never issued twice, across restarts; another process is refused")
  func revisionsAndLock() async throws {
    let path = try makeTemporaryDirectory()
    defer { removeDirectory(path) }
    var last: Revision = 0
    var cluster = ""
    for _ in 0..<3 {
      let store = try SQLiteStore(.init(path: "\(path)/state.db"))
      #expect(cluster.isEmpty || cluster == store.clusterID)
      cluster = store.clusterID
      #expect(throws: StoreError.self) { _ = try SQLiteStore(.init(path: "\(path)/state.db")) }
      let revision = try await store.commit(Transaction(compares: [], writes: [.put(Self.key("a"), [1])]))
      #expect(revision > last)
      // A volatile write takes a revision that the file does not know.
      last = try await store.commit(Transaction(compares: [], writes: [.put(Self.key("a"), [2])], isVolatile: true))
      store.close()
    }
  }

  @Test("under churn the log is compacted, and who is too late is told")
  func compaction() async throws {
    let path = try makeTemporaryDirectory()
    defer { removeDirectory(path) }
    var configuration = SQLiteStore.Configuration(path: "\(path)/state.db")
    configuration.keptRevisions = 1000
    let store = try SQLiteStore(configuration)
    defer { store.close() }
    let start = try store.load().revision
    let value = [UInt8](repeating: 7, count: 4096)
    for _ in 0..<40 {
      await withTaskGroup(of: Void.self) { group in
        for i in 0..<500 { group.addTask { _ = try? await store.commit(Transaction(compares: [], writes: [.put(Self.key("k\(i % 50)"), value)])) } }
      }
    }
    var status = stat()
    #expect(stat("\(path)/state.db", &status) == 0)
    #expect(status.st_size < 60 << 20, "20,000 writes of 4 KB leave \(status.st_size >> 20) MB")
    #expect(throws: StoreError.self) { try store.events(after: start, limit: 1) }
    #expect(try store.load().records.count == 50)
  }
}

func makeTemporaryDirectory() throws -> String {
  var template = Array("/tmp/gantry-test-XXXXXX".utf8CString)
  guard mkdtemp(&template) != nil else { throw StoreError.failed("mkdtemp") }
  return template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
}

func removeDirectory(_ path: String) {
  guard let directory = opendir(path) else { return }
  while let entry = readdir(directory) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
    if name != ".", name != ".." { unlink("\(path)/\(name)") }
  }
  closedir(directory)
  rmdir(path)
}

import Glibc
import Store
import Synchronization
import Testing
import Wire

/// What only SQLite promises: its file, its lock, what a backup holds. What every engine promises is in `Conformance.swift`.
@Suite struct SQLiteStoreTests {
  @Test("files are private, a second opener is told who has them")
  func lock() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/data/state.db"
      let store = try SQLiteStore(.init(path: path))
      try await store.put("a", [1])
      for (file, mode) in [("", mode_t(0o700)), ("/state.db", 0o600), ("/state.db-wal", 0o600), ("/state.db.lock", 0o600)] {
        var status = stat()
        #expect(stat("\(directory)/data\(file)", &status) == 0)
        #expect(status.st_mode & 0o777 == mode, "\(file)")
      }
      do throws(StoreError) {
        _ = try SQLiteStore(.init(path: path))
        Issue.record("opened twice")
      } catch { #expect("\(error)".contains("in use by process \(getpid())")) }
      store.close()
      try SQLiteStore(.init(path: path)).close()
    }
  }

  @Test("another process that reads the file and goes away takes nothing: what is written after it survives a crash")
  func otherProcesses() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/state.db"
      let store = try SQLiteStore(.init(path: path))
      defer { store.close() }
      try await store.put("before", [1])
      #expect(system("sqlite3 \(path) 'select count(*) from log' >/dev/null") == 0)
      try SQLiteStore.backup(path, to: "\(directory)/copy-in-this-process.db")
      #expect(system("sqlite3 \(path) 'select count(*) from log' >/dev/null") == 0)
      try await store.put("after", [2])
      // As a crash leaves it.
      #expect(system("mkdir \(directory)/crashed && cp \(path) \(path)-wal \(directory)/crashed") == 0)
      let again = try SQLiteStore(.init(path: "\(directory)/crashed/state.db"))
      defer { again.close() }
      #expect(try again.get(testKey("before"), at: nil)?.value == [1])
      #expect(try again.get(testKey("after"), at: nil)?.value == [2])
    }
  }

  @Test("another cluster's data and a newer format are refused in one sentence, and stay as they are")
  func refusals() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/state.db"
      try SQLiteStore(.init(path: path)).close()
      var configuration = SQLiteStore.Configuration(path: path)
      configuration.expectedClusterID = "other"
      do throws(StoreError) {
        _ = try SQLiteStore(configuration)
        Issue.record("opened")
      } catch { #expect("\(error)".contains("not other")) }
      // The refusal must have given the lock back.
      try SQLiteStore(.init(path: path)).close()
      #expect(system("sqlite3 \(path) \"update meta set value='99' where name in ('format','oldestReader')\"") == 0)
      do throws(StoreError) {
        _ = try SQLiteStore(.init(path: path))
        Issue.record("opened")
      } catch { #expect("\(error)".contains("newer release (format 99)")) }
      // A newer format that lets this release read is no obstacle.
      #expect(system("sqlite3 \(path) \"update meta set value='1' where name='oldestReader'\"") == 0)
      try SQLiteStore(.init(path: path)).close()
      #expect(system("head -c 8192 /dev/urandom > \(path)") == 0)
      #expect(throws: StoreError.self) { try SQLiteStore(.init(path: path)) }
    }
  }

  @Test("more writes than may wait are sent away at once, the others are committed, and then there is room again")
  func busy() async throws {
    try await withTemporaryDirectory { directory in
      let store = try SQLiteStore(.init(path: "\(directory)/state.db"))
      defer { store.close() }
      // Holds the committer until the queue is full.
      let gate = Gate()
      store.observe { _, _ in gate.pass() }
      let limit = SQLiteStore.waitingLimit
      let results = await withCheckedContinuation { (continuation: CheckedContinuation<[Bool], Never>) in
        let answers = Mutex<[Int: Bool]>([:])
        let count = limit + 1200
        for i in 0..<count {
          store.commit(Transaction(compares: [], writes: [.put(testKey("k\(i)"), [1])])) { result in
            let all = answers.withLock { answers in
              if case .failure(.busy) = result { answers[i] = false } else { answers[i] = true }
              return answers.count == count ? answers : nil
            }
            if let all { continuation.resume(returning: (0..<count).map { all[$0] ?? false }) }
          }
        }
        gate.open()
      }
      let refused = results.count { !$0 }
      // The first group has left the queue before it was full.
      #expect(refused >= 1 && refused <= 1200)
      #expect(try store.range(testResource, limit: limit + 1200).count == results.count - refused)
      try await store.put("after", [1])
    }
  }

  @Test("blobs are written by the committer alone: the readers' connection cannot write, and a blob is there when the call returns")
  func blobs() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/state.db"
      let store = try SQLiteStore(.init(path: path))
      await withTaskGroup(of: Void.self) { group in
        for i in 0..<8 {
          group.addTask {
            for j in 0..<20 { try? store.setBlob("b\(i)", [UInt8(i), UInt8(j)]) }
          }
          group.addTask { for j in 0..<50 { _ = try? await store.put("k\(i)-\(j)", [1]) } }
        }
      }
      for i in 0..<8 { #expect(try store.blob("b\(i)") == [UInt8(i), 19]) }
      store.close()
      #expect(throws: StoreError.self) { try store.setBlob("late", []) }
      let again = try SQLiteStore(.init(path: path))
      defer { again.close() }
      #expect(try again.blob("b3") == [3, 19] && again.blob("late") == nil)
    }
  }

  @Test("however many groups were committed, the observer is called from the same depth of the stack")
  func observerDepth() async throws {
    try await withTemporaryDirectory { directory in
      let store = try SQLiteStore(.init(path: "\(directory)/state.db"))
      defer { store.close() }
      let places = SeenRevisions()
      store.observe { _, _ in
        var here: UInt8 = 0
        places.add([withUnsafePointer(to: &here) { Int64(Int(bitPattern: $0)) }])
      }
      for i in 0..<100 { try await store.put("a", [UInt8(i)]) }
      let all = places.all
      #expect(all.count == 100 && Set(all).count == 1, "\(Set(all.map { $0 - (all.first ?? 0) }))")
    }
  }

  @Test("under churn the file stays bounded, and who is too late is told")
  func churn() async throws {
    try await withTemporaryDirectory { directory in
      var configuration = SQLiteStore.Configuration(path: "\(directory)/state.db")
      configuration.keptRevisions = 1000
      let store = try SQLiteStore(configuration)
      defer { store.close() }
      let start = try store.load().revision
      let value = [UInt8](repeating: 7, count: 4096)
      for _ in 0..<40 {
        await withTaskGroup(of: Void.self) { group in
          for i in 0..<500 { group.addTask { _ = try? await store.put("k\(i % 50)", value) } }
        }
      }
      var status = stat()
      #expect(stat(configuration.path, &status) == 0)
      #expect(status.st_size < 20 << 20, "20,000 writes of 4 KB leave \(status.st_size >> 20) MB")
      #expect(throws: StoreError.self) { try store.events(after: start, limit: 1) }
      #expect(try store.load().records.count == 50)
      #expect(try store.events(after: store.oldestRevision, limit: 100_000).count >= 1000)
    }
  }

  @Test("bytes bound the log too: large values are not kept for their number")
  func bytesBound() async throws {
    try await withTemporaryDirectory { directory in
      var configuration = SQLiteStore.Configuration(path: "\(directory)/state.db")
      configuration.keptBytes = 4 << 20
      let store = try SQLiteStore(configuration)
      defer { store.close() }
      let start = try store.load().revision
      for i in 0..<200 { try await store.put("k", [UInt8](repeating: UInt8(i), count: 100_000)) }
      #expect(store.oldestRevision > start)
      #expect(try store.load().records.map { $0.value.first } == [199])
    }
  }

  @Test("a backup made under load restores to a store whose revisions begin above everything")
  func backup() async throws {
    try await withTemporaryDirectory { directory in
      let store = try SQLiteStore(.init(path: "\(directory)/state.db"))
      try store.setBlob("ca", [9, 9])
      for i in 0..<100 { try await store.put("k\(i)", [UInt8(i)]) }
      let writer = Task {
        var i = 0; while !Task.isCancelled { try await store.put("w\(i % 10)", [1]); i += 1 }
      }
      try store.backup(to: "\(directory)/backup")
      #expect(throws: StoreError.self) { try store.backup(to: "\(directory)/backup") }
      writer.cancel()
      _ = await writer.result
      let last = try await store.put("late", [1])
      let cluster = store.clusterID
      store.close()
      var status = stat()
      #expect(stat("\(directory)/backup", &status) == 0)
      #expect(status.st_mode & 0o777 == 0o600)

      try SQLiteStore.restore("\(directory)/backup", to: "\(directory)/new/state.db")
      #expect(throws: StoreError.self) { try SQLiteStore.restore("\(directory)/backup", to: "\(directory)/new/state.db") }
      let restored = try SQLiteStore(.init(path: "\(directory)/new/state.db"))
      defer { restored.close() }
      #expect(restored.clusterID == cluster)
      #expect(try restored.blob("ca") == [9, 9])
      let (records, revision) = try restored.load()
      #expect(records.filter { $0.key.key.name.hasPrefix("k") }.count == 100)
      #expect(revision > last)
      #expect(try await restored.put("x", [1]) > last)
      #expect(throws: StoreError.self) { try restored.events(after: last, limit: 1) }
      #expect(system("echo no backup > \(directory)/text") == 0)
      #expect(throws: StoreError.self) { try SQLiteStore.restore("\(directory)/text", to: "\(directory)/other/state.db") }
    }
  }

  @Test("volatile writes wait for no disk, are read at once, and survive an orderly end")
  func volatile() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/state.db"
      var store = try SQLiteStore(.init(path: path))
      try await store.put("lease", [0])
      let other = GroupResource(resource: "secrets")
      _ = try await store.commit(Transaction(compares: [], writes: [.put(StoreKey(other, ObjectKey(name: "s")), [1])]))
      var last: Revision = 0
      for i in 1...200 { last = try await store.put("lease", [UInt8(i % 256)], isVolatile: true) }
      #expect(try store.get(testKey("lease"))?.value == [200])
      #expect(try store.load().records.contains { $0.value == [200] && $0.revision == last })
      #expect(store.volatileResources == [testResource])
      let next = try await store.commit(
        Transaction(compares: [.revision(testKey("lease"), last)], writes: [.put(testKey("lease"), [7])]))
      #expect(next > last)
      _ = try await store.put("lease", [8], isVolatile: true)
      store.close()
      store = try SQLiteStore(.init(path: path))
      defer { store.close() }
      #expect(try store.get(testKey("lease"))?.value == [8])
      #expect(store.volatileResources == [testResource])
      #expect(try await store.put("lease", [9]) > next)
    }
  }

  @Test("history is forgotten when it has expired")
  func historyExpires() async throws {
    try await withTemporaryDirectory { directory in
      let clock = TestClock()
      var configuration = SQLiteStore.Configuration(path: "\(directory)/state.db")
      configuration.historySeconds = 100
      configuration.now = { clock.seconds }
      let store = try SQLiteStore(configuration)
      defer { store.close() }
      try await store.put("a", [1])
      _ = try await store.commit(Transaction(compares: [], writes: [.delete(testKey("a"), uid: "u")]))
      #expect(try store.history(uid: "u")?.value == [1])
      clock.seconds += 101
      #expect(try store.history(uid: "u") == nil)
    }
  }

  @Test("keys of bytes are ordered as their parts are")
  func keyOrder() {
    let parts = ["", "a", "a-b", "a.b", "ab", "b"]
    var keys: [StoreKey] = []
    for group in parts {
      for resource in parts {
        for namespace in parts {
          for name in parts {
            keys.append(StoreKey(GroupResource(group: group, resource: resource), ObjectKey(namespace: namespace, name: name)))
          }
        }
      }
    }
    let byParts = keys.sorted()
    #expect(keys.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) } == byParts)
    #expect(byParts.allSatisfy { StoreKey(bytes: $0.bytes) == $0 })
    #expect(StoreKey(bytes: [1, 0, 2]) == nil)
  }

  @Test("an envelope says how its value is to be read")
  func envelope() {
    let envelope = Envelope(codec: .sealedJSON, schemaStamp: 3, encryptionKey: 7)
    let opened = Envelope.open(envelope.wrap([1, 2]))
    #expect(opened?.0 == envelope)
    #expect(opened.map { Array($0.1) } == [1, 2])
    #expect(Envelope.open([9, 1, 1, 0, 5]) == nil)
    #expect(Envelope.open([1]) == nil)
  }
}

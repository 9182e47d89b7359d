import Store
import Synchronization
import Testing
import Wire

/// The engines that must keep the promises below. etcd becomes a second case.
enum Engine: CaseIterable, Sendable {
  case sqlite

  /// Runs a body over an empty store; `reopen` closes it and opens the same data again.
  func withStore(_ body: (Opened) async throws -> Void) async throws {
    try await withTemporaryDirectory { directory in
      let opened = try Opened { try SQLiteStore(.init(path: "\(directory)/state.db")) }
      do { try await body(opened) } catch {
        opened.store.close()
        throw error
      }
      opened.store.close()
    }
  }

  final class Opened {
    private let open: () throws -> any StoreEngine
    private(set) var store: any StoreEngine
    init(_ open: @escaping () throws -> any StoreEngine) throws {
      self.open = open
      store = try open()
    }
    func reopen() throws {
      store.close()
      store = try open()
    }
  }
}

/// The promises every engine makes, against ``StoreEngine`` alone.
@Suite struct Conformance {
  @Test("a compare that fails fails its transaction alone, and says what is there", arguments: Engine.allCases)
  func compares(engine: Engine) async throws {
    try await engine.withStore { opened in
      let store = opened.store
      let first = try await store.commit(Transaction(compares: [.absent(testKey("a"))], writes: [.put(testKey("a"), [1])]))
      do throws(StoreError) {
        _ = try await store.commit(Transaction(compares: [.absent(testKey("a"))], writes: [.put(testKey("a"), [2])]))
        Issue.record("committed")
      } catch {
        guard case .conflict(let key, let current) = error else { throw error }
        #expect(key == testKey("a"))
        #expect(current == first)
      }
      let second = try await store.commit(
        Transaction(compares: [.revision(testKey("a"), first)], writes: [.put(testKey("a"), [3])]))
      #expect(second > first)
      let records = try store.load().records
      #expect(records.map(\.value) == [[3]])
      #expect(records.map(\.revision) == [second])
      await #expect(throws: StoreError.self) {
        try await store.commit(Transaction(compares: [.revision(testKey("none"), first)], writes: [.put(testKey("none"), [3])]))
      }
      // Of a transaction whose compare fails, nothing is written.
      #expect(try store.get(testKey("none"), at: nil) == nil)
    }
  }

  @Test("keys of one transaction share a revision and are all there or not at all", arguments: Engine.allCases)
  func severalKeys(engine: Engine) async throws {
    try await engine.withStore { opened in
      let store = opened.store
      let start = try store.load().revision
      let address = StoreKey(GroupResource(group: "~", resource: "addresses"), ObjectKey(name: "10.0.0.1"))
      let port = StoreKey(GroupResource(group: "~", resource: "addresses"), ObjectKey(name: "10.0.0.2"))
      let revision = try await store.commit(
        Transaction(
          compares: [.absent(address), .absent(port)], writes: [.put(testKey("a"), [1]), .put(address, [2]), .put(port, [3])]))
      await #expect(throws: StoreError.self) {
        try await store.commit(Transaction(compares: [.absent(address)], writes: [.put(testKey("b"), [1]), .put(address, [9])]))
      }
      let gone = try await store.commit(
        Transaction(compares: [], writes: [.delete(testKey("a"), uid: "u-1"), .delete(address, uid: nil)]))
      let events = try store.events(after: start, limit: 10)
      #expect(events.map(\.revision) == [revision, revision, revision, gone, gone])
      #expect(events.map(\.value) == [[1], [2], [3], nil, nil])
      #expect(events.map { $0.previous?.value } == [nil, nil, nil, [1], [2]])
      // A limit inside a revision does not split it.
      #expect(try store.events(after: start, limit: 1).count == 3)
      #expect(try store.history(uid: "u-1")?.value == [1])
      #expect(try store.history(uid: "u-1")?.key == testKey("a"))
      #expect(try store.history(uid: "u-2") == nil)
    }
  }

  @Test("what cannot be stored is refused before anything is tried", arguments: Engine.allCases)
  func limits(engine: Engine) async throws {
    try await engine.withStore { opened in
      let store = opened.store
      let internalKey = { (i: Int) in StoreKey(GroupResource(group: "~", resource: "x"), ObjectKey(name: "\(i)")) }
      let bad = [
        Transaction(compares: [], writes: [.put(testKey("a"), [1]), .put(testKey("b"), [1])]),
        Transaction(compares: [], writes: [.put(testKey("a"), [1]), .delete(testKey("a"), uid: nil)]),
        Transaction(compares: [], writes: [.put(testKey("a\0b"), [1])]),
        Transaction(compares: [], writes: [.put(testKey(String(repeating: "n", count: 600)), [1])]),
        Transaction(compares: [], writes: [.put(testKey("a"), [UInt8](repeating: 0, count: Transaction.maximumValue + 1))]),
        Transaction(compares: [], writes: (0...Transaction.maximumKeys).map { .put(internalKey($0), [1]) }),
      ]
      for transaction in bad { await #expect(throws: StoreError.self) { try await store.commit(transaction) } }
      #expect(try store.load().records.isEmpty)
      _ = try await store.commit(
        Transaction(compares: [], writes: (0..<Transaction.maximumKeys).map { .put(internalKey($0), [1]) }))
      #expect(try store.load().records.count == Transaction.maximumKeys)
    }
  }

  @Test("the past can be read: keys, ranges and events, until it is compacted", arguments: Engine.allCases)
  func past(engine: Engine) async throws {
    try await engine.withStore { opened in
      let store = opened.store
      var states: [(Revision, [String: UInt8])] = []
      var model: [String: UInt8] = [:]
      var random = Seeded(7)
      for step in 0..<200 {
        let name = "k\(random.next(12))"
        let revision: Revision
        if random.next(4) == 0, model[name] != nil {
          revision = try await store.commit(Transaction(compares: [], writes: [.delete(testKey(name), uid: nil)]))
          model[name] = nil
        } else {
          revision = try await store.put(name, [UInt8(step)])
          model[name] = UInt8(step)
        }
        states.append((revision, model))
      }
      func check(_ store: any StoreEngine, _ states: ArraySlice<(Revision, [String: UInt8])>) throws {
        for (revision, model) in states {
          let records = try store.range(testResource, namespace: "default", after: nil, at: revision, limit: 100)
          #expect(records.map(\.key.key.name) == model.keys.sorted())
          #expect(records.allSatisfy { model[$0.key.key.name] == $0.value.first && $0.revision <= revision })
          #expect(try store.get(testKey("k3"), at: revision)?.value.first == model["k3"])
        }
      }
      try check(store, states[...])
      try opened.reopen()
      try check(opened.store, states[...])
      let middle = states[100].0
      try opened.store.compact(to: middle)
      #expect(opened.store.oldestRevision == middle)
      try check(opened.store, states[100...])
      for read in [
        { _ = try opened.store.events(after: states[99].0, limit: 1) },
        { _ = try opened.store.get(testKey("k3"), at: states[99].0) },
      ] {
        do {
          try read()
          Issue.record("read what is compacted")
        } catch {
          guard case .compacted(let oldest) = error as? StoreError else { throw error }
          #expect(oldest == middle)
        }
      }
      // Events from there rebuild the present.
      var rebuilt = states[100].1
      for event in try opened.store.events(after: middle, limit: 1000) {
        #expect(event.previous?.value.first == rebuilt[event.key.key.name])
        rebuilt[event.key.key.name] = event.value?.first
      }
      #expect(rebuilt == model)
    }
  }

  @Test("a range has a limit, a beginning, one namespace or all", arguments: Engine.allCases)
  func ranges(engine: Engine) async throws {
    try await engine.withStore { opened in
      let store = opened.store
      for namespace in ["", "a", "a-b", "b"] {
        for name in ["x", "y", "z"] {
          _ = try await store.commit(Transaction(compares: [], writes: [.put(testKey(name, namespace: namespace), [1])]))
        }
      }
      _ = try await store.commit(
        Transaction(
          compares: [], writes: [.put(StoreKey(GroupResource(resource: "configmapsz"), ObjectKey(namespace: "a", name: "x")), [1])])
      )
      func names(_ namespace: String?, _ after: ObjectKey?, _ limit: Int) throws -> [String] {
        try store.range(testResource, namespace: namespace, after: after, at: nil, limit: limit).map { "\($0.key.key)" }
      }
      #expect(try names(nil, nil, 100).count == 12)
      #expect(try names("a", nil, 100) == ["a/x", "a/y", "a/z"])
      #expect(try names("a", ObjectKey(namespace: "a", name: "x"), 100) == ["a/y", "a/z"])
      #expect(try names(nil, ObjectKey(namespace: "a", name: "y"), 2) == ["a/z", "a-b/x"])
      #expect(try names("none", nil, 100).isEmpty)
    }
  }

  @Test("observers see events in order, before the writer is answered", arguments: Engine.allCases)
  func order(engine: Engine) async throws {
    try await engine.withStore { opened in
      let seen = SeenRevisions()
      let store = opened.store
      store.observe { events, revision in
        #expect(events.last?.revision ?? 0 <= revision)
        seen.add(events.map(\.revision))
      }
      await withTaskGroup(of: Void.self) { group in
        for i in 0..<300 {
          group.addTask {
            guard let revision = try? await store.put("k\(i % 7)", [1]) else {
              Issue.record("write failed")
              return
            }
            #expect(seen.all.contains(revision))
          }
        }
      }
      let all = seen.all
      #expect(all.count == 300)
      #expect(zip(all, all.dropFirst()).allSatisfy(<))
    }
  }

  @Test("racing writers of one key: every conflict is one, every revision is one's own", arguments: Engine.allCases)
  func races(engine: Engine) async throws {
    try await engine.withStore { opened in
      let store = opened.store
      try await store.put("counter", [0, 0])
      await withTaskGroup(of: Void.self) { group in
        for _ in 0..<8 {
          group.addTask {
            var done = 0
            while done < 25 {
              guard let record = try? store.get(testKey("counter"), at: nil) else { return }
              let number = Int(record.value[0]) << 8 + Int(record.value[1]) + 1
              let write = Transaction(
                compares: [.revision(record.key, record.revision)],
                writes: [.put(record.key, [UInt8(number >> 8), UInt8(number & 255)])])
              if (try? await store.commit(write)) != nil { done += 1 }
            }
          }
        }
      }
      let value = try #require(try store.get(testKey("counter"), at: nil)?.value)
      #expect(Int(value[0]) << 8 + Int(value[1]) == 200)
    }
  }

  @Test("revisions are never issued twice, blobs and the cluster stay, across restarts", arguments: Engine.allCases)
  func restarts(engine: Engine) async throws {
    try await engine.withStore { opened in
      let cluster = opened.store.clusterID
      try opened.store.setBlob("keys", [1])
      try opened.store.setBlob("keys", [2])
      var last: Revision = 0
      for round in 0..<4 {
        let revision = try await opened.store.put("a", [UInt8(round)])
        #expect(revision > last)
        last = revision
        try opened.reopen()
        #expect(opened.store.clusterID == cluster)
        #expect(try opened.store.blob("keys") == [2])
        #expect(try opened.store.blob("none") == nil)
        #expect(try opened.store.load().revision >= last)
        #expect(try opened.store.events(after: last, limit: 10).isEmpty)
      }
      opened.store.close()
      await #expect(throws: StoreError.self) { try await opened.store.put("a", [1]) }
      #expect(throws: StoreError.self) { try opened.store.load() }
    }
  }
}

import CSQLite
import Glibc
import Logging
import Store
import Synchronization
import Wire

/// Acknowledged writes of 4 KB per second, against raw SQLite that does the same work with the same policy in batches of that size.
enum StoreBenchmark {
  static let value = [UInt8](repeating: 0x61, count: 4096)

  static func run() async throws {
    for inFlight in [1, 16, 128] {
      let writes = inFlight == 1 ? 6000 : 40_000
      // In turns, so that a disk that slows down slows both; the better of each.
      var floor = 0.0
      var ours = 0.0
      for _ in 0..<3 {
        floor = max(floor, try inTemporaryDirectory { try rawSQLite(path: "\($0)/raw.db", batch: inFlight, writes: writes) })
        ours = max(
          ours, try await inTemporaryDirectory { try await store(path: "\($0)/state.db", inFlight: inFlight, writes: writes) })
      }
      Report.line(
        "store: acknowledged writes of 4 KB, \(inFlight) in flight", "\(Report.count(ours))/s",
        against: "raw SQLite in batches of \(inFlight), same fsync: \(Report.count(floor))/s", ratio: ours / floor, .atLeast(0.8))
    }
    try await inTemporaryDirectory { directory in
      var configuration = SQLiteStore.Configuration(path: "\(directory)/state.db")
      configuration.keptRevisions = 5000
      let store = try SQLiteStore(configuration)
      defer { store.close() }
      var sizes: [Int] = []
      for _ in 0..<5 {
        _ = try await write(store, inFlight: 128, writes: 20_000, keys: 1000)
        var status = stat()
        stat(configuration.path, &status)
        sizes.append(Int(status.st_size))
      }
      let live = (1000 + 5000) * value.count
      let size = Double(sizes.last ?? 0)
      Report.line(
        "store: file after 100,000 writes over 1,000 keys, 5,000 revisions kept",
        "\(Report.short(size / 1e6)) MB (after every 20,000: \(sizes.map { "\($0 / 1_000_000)" }.joined(separator: ", ")))",
        against: "live and kept values \(Report.short(Double(live) / 1e6)) MB", ratio: size / Double(live), .atMost(2))
    }
  }

  static func key(_ i: Int) -> StoreKey {
    StoreKey(GroupResource(resource: "pods"), ObjectKey(namespace: "default", name: "pod-\(i)"))
  }

  static func store(path: String, inFlight: Int, writes: Int) async throws -> Double {
    let store = try SQLiteStore(.init(path: path))
    defer { store.close() }
    return try await write(store, inFlight: inFlight, writes: writes, keys: 10_000)
  }

  /// - Returns: acknowledgements per second.
  static func write(_ store: SQLiteStore, inFlight: Int, writes: Int, keys: Int) async throws -> Double {
    let clock = ContinuousClock()
    let time = try await clock.measure {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for worker in 0..<inFlight {
          group.addTask {
            for i in 0..<(writes / inFlight) {
              _ = try await store.commit(Transaction(compares: [], writes: [.put(key((i * inFlight + worker) % keys), value)]))
            }
          }
        }
        try await group.waitForAll()
      }
    }
    return Double(writes / inFlight * inFlight) / seconds(time)
  }

  /// The floor: a table with the same index, the same look-up of what is replaced, one fsync a batch; no thread, no conflict, no event.
  static func rawSQLite(path: String, batch: Int, writes: Int) throws -> Double {
    var database: OpaquePointer?
    guard sqlite3_open(path, &database) == SQLITE_OK else { throw StoreError.failed("open") }
    defer { sqlite3_close(database) }
    func run(_ sql: String) { sqlite3_exec(database, sql, nil, nil, nil) }
    run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000")
    run(
      "CREATE TABLE log(row INTEGER PRIMARY KEY, key BLOB NOT NULL, deleted INTEGER NOT NULL, value BLOB); CREATE INDEX k ON log(key, row)"
    )
    var insert: OpaquePointer?
    var newest: OpaquePointer?
    sqlite3_prepare_v2(database, "INSERT INTO log(row, key, deleted, value) VALUES(?,?,0,?)", -1, &insert, nil)
    sqlite3_prepare_v2(database, "SELECT row FROM log WHERE key=? ORDER BY row DESC LIMIT 1", -1, &newest, nil)
    defer {
      sqlite3_finalize(insert)
      sqlite3_finalize(newest)
    }
    let clock = ContinuousClock()
    let time = clock.measure {
      var row: Int64 = 0
      for _ in 0..<(writes / batch) {
        run("BEGIN IMMEDIATE")
        for _ in 0..<batch {
          row += 1
          let key = Array("\u{0}pods\u{0}default\u{0}pod-\(row % 10_000)".utf8)
          sqlite3_bind_blob(newest, 1, key, Int32(key.count), nil)
          sqlite3_step(newest)
          sqlite3_reset(newest)
          sqlite3_bind_int64(insert, 1, row << 6)
          sqlite3_bind_blob(insert, 2, key, Int32(key.count), nil)
          value.withUnsafeBytes { _ = sqlite3_bind_blob(insert, 3, $0.baseAddress, Int32($0.count), nil) }
          sqlite3_step(insert)
          sqlite3_reset(insert)
        }
        run("COMMIT")
      }
    }
    return Double(writes / batch * batch) / seconds(time)
  }
}

/// The process that the crash tests kill: writes without end and tells what was acknowledged.
enum StoreChild {
  static func run(path: String, bytes: Int) async throws {
    let store = try SQLiteStore(.init(path: path), logger: Logger(label: "child") { _ in SwiftLogNoOpLogHandler() })
    let filling = [UInt8](repeating: 0x20, count: bytes)
    let start = try store.load().records.reduce(into: [String: Int]()) {
      $0[$1.key.key.name] = Int(String(decoding: $1.value.prefix { $0 != 0x20 }, as: UTF8.self)) ?? 0
    }
    await withTaskGroup(of: Void.self) { group in
      for worker in 0..<16 {
        group.addTask {
          let key = StoreBenchmark.key(worker)
          var counter = start[key.key.name] ?? 0
          while true {
            counter += 1
            let value = Array("\(counter)".utf8) + filling
            guard let revision = try? await store.commit(Transaction(compares: [], writes: [.put(key, value)])) else { return }
            let line = Array("\(key.key.name) \(counter) \(revision)\n".utf8)
            _ = line.withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
          }
        }
      }
    }
  }
}

func seconds(_ duration: Duration) -> Double {
  Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
}

func temporaryDirectory() -> String {
  var template = Array("/tmp/gantry-bench-XXXXXX".utf8CString)
  return template.withUnsafeMutableBufferPointer { buffer in
    guard let start = buffer.baseAddress, mkdtemp(start) != nil else { return "/tmp" }
    return String(cString: start)
  }
}

func inTemporaryDirectory<R>(_ body: (String) throws -> R) throws -> R {
  let directory = temporaryDirectory()
  defer { _ = system("rm -rf --one-file-system '\(directory)'") }
  return try body(directory)
}

func inTemporaryDirectory<R>(_ body: (String) async throws -> R) async throws -> R {
  let directory = temporaryDirectory()
  defer { _ = system("rm -rf --one-file-system '\(directory)'") }
  return try await body(directory)
}

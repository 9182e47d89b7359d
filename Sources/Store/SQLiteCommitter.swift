import CSQLite
import Glibc
import Wire

/// The writing side of a ``SQLiteStore``: everything here happens on its one thread.
///
/// Rows are numbered `revision * 64 + position`, so that one number orders the log and names the revision.
final class SQLiteCommitter {
  static let format: Int64 = 1
  /// The ceiling is persisted this far ahead: a restart begins above anything that may have been handed out.
  private static let ceilingStep: Int64 = 100_000

  struct Outcome {
    var result: Result<Revision, StoreError>
    var events: [StoreEvent] = []
  }

  private let database: SQLite
  private let configuration: SQLiteStore.Configuration
  private let insert, newest, remember, forget, erase, setMeta: SQLite.Statement
  private(set) var revision: Revision
  private var ceiling: Revision
  private(set) var compacted: Revision
  let clusterID: String
  let format: Int64
  /// Rows that a later write has replaced, with the revision of that write, oldest first.
  private var superseded: [(row: Int64, since: Revision)] = []
  private var supersededStart = 0
  /// Last states that are not in the file: volatile writes.
  private var volatile: [StoreKey: StoreRecord] = [:]

  init(_ configuration: SQLiteStore.Configuration) throws(SQLite.Failure) {
    self.configuration = configuration
    let old = umask(0o077)
    defer { umask(old) }
    database = try SQLite(path: configuration.path)
    try database.run(
      "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-8000"
    )
    try database.run(
      """
      CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS log(row INTEGER PRIMARY KEY, key BLOB NOT NULL, deleted INTEGER NOT NULL, value BLOB);
      CREATE INDEX IF NOT EXISTS log_key ON log(key, row);
      CREATE TABLE IF NOT EXISTS history(uid TEXT PRIMARY KEY, key BLOB, revision INTEGER, expires INTEGER, value BLOB) WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS history_expires ON history(expires);
      CREATE TABLE IF NOT EXISTS blobs(name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
      """)
    insert = try database.prepare("INSERT INTO log(row, key, deleted, value) VALUES(?,?,?,?)")
    newest = try database.prepare("SELECT row, deleted, value FROM log WHERE key=? ORDER BY row DESC LIMIT 1")
    remember = try database.prepare("INSERT OR REPLACE INTO history(uid, key, revision, expires, value) VALUES(?,?,?,?,?)")
    forget = try database.prepare("DELETE FROM history WHERE uid IN (SELECT uid FROM history WHERE expires < ? LIMIT 500)")
    erase = try database.prepare("DELETE FROM log WHERE row=?")
    setMeta = try database.prepare("INSERT OR REPLACE INTO meta(name, value) VALUES(?,?)")
    let meta = try database.prepare("SELECT value FROM meta WHERE name=?")
    func number(_ name: String) throws(SQLite.Failure) -> Int64? {
      var found: Int64?
      try meta.run([.text(name)]) { row throws(SQLite.Failure) in found = Int64(String(decoding: row.bytes(0), as: UTF8.self)) }
      return found
    }
    var cluster: String?
    try meta.run([.text("cluster")]) { row throws(SQLite.Failure) in cluster = String(decoding: row.bytes(0), as: UTF8.self) }
    let isNew = cluster == nil
    clusterID = cluster ?? Self.newClusterID()
    format = try number("format") ?? Self.format
    compacted = try number("compacted") ?? 0
    let persisted = try number("ceiling") ?? 0
    var last: Int64 = 0
    try database.prepare("SELECT max(row) FROM log").run([]) { row throws(SQLite.Failure) in last = row.int(0) >> 6 }
    revision = max(last, persisted)
    ceiling = revision + Self.ceilingStep
    try database.prepare(
      "SELECT row FROM log l WHERE deleted=1 OR row < (SELECT max(row) FROM log m WHERE m.key=l.key) ORDER BY row"
    ).run([]) {
      row throws(SQLite.Failure) in superseded.append((row.int(0), revision))
    }
    if isNew {
      try put("cluster", clusterID)
      try put("format", String(Self.format))
      try put("oldestReader", String(Self.format))
      try put("level", "1")
    }
    try put("ceiling", String(ceiling))
  }

  private static func newClusterID() -> String {
    var random = SystemRandomNumberGenerator()
    let hex = Array("0123456789abcdef")
    return String((0..<32).map { _ in hex[Int(random.next(upperBound: UInt(16)))] })
  }

  private func put(_ name: String, _ value: String) throws(SQLite.Failure) {
    try setMeta.run([.text(name), .bytes(Array(value.utf8))])
  }

  func close() {
    // What was volatile becomes part of the file where it can; a crash would have lost it, an orderly end need not.
    if !volatile.isEmpty {
      do throws(SQLite.Failure) {
        try database.run("BEGIN IMMEDIATE")
        for record in volatile.values {
          try insert.run([.int(record.revision << 6), .bytes(record.key.bytes), .int(0), .bytes(record.value)])
        }
        try database.run("COMMIT")
      } catch { try? database.run("ROLLBACK") }
    }
    database.close()
  }

  // MARK: Commit

  /// Commits a group. Each transaction succeeds or fails by itself; an error here is the disk's and none was committed.
  func commit(_ transactions: [Transaction]) throws(SQLite.Failure) -> [Outcome] {
    let before = (revision, superseded.count, volatile)
    var outcomes: [Outcome] = []
    outcomes.reserveCapacity(transactions.count)
    let isDurable = transactions.contains { !$0.isVolatile }
    do throws(SQLite.Failure) {
      if isDurable { try database.run("BEGIN IMMEDIATE") }
      for transaction in transactions { outcomes.append(try apply(transaction)) }
      if revision > ceiling - Self.ceilingStep / 2, isDurable {
        ceiling = revision + Self.ceilingStep
        try put("ceiling", String(ceiling))
      }
      if isDurable { try database.run("COMMIT") }
      return outcomes
    } catch {
      if database.isInTransaction { try? database.run("ROLLBACK") }
      // Revisions are never handed out again, even those that were not seen.
      superseded.removeLast(max(0, superseded.count - before.1))
      volatile = before.2
      throw error
    }
  }

  private struct Current {
    var row: Int64?
    var revision: Revision?
    var value: [UInt8]
  }

  private func current(_ key: StoreKey) throws(SQLite.Failure) -> Current {
    if let record = volatile[key] { return Current(row: nil, revision: record.revision, value: record.value) }
    var found = Current(value: [])
    try newest.run([.bytes(key.bytes)]) { row throws(SQLite.Failure) in
      guard row.int(1) == 0 else { return }
      found = Current(row: row.int(0), revision: row.int(0) >> 6, value: row.bytes(2))
    }
    return found
  }

  private func apply(_ transaction: Transaction) throws(SQLite.Failure) -> Outcome {
    for compare in transaction.compares {
      switch compare {
      case .absent(let key):
        if let found = try current(key).revision { return Outcome(result: .failure(.conflict(key, current: found))) }
      case .revision(let key, let expected):
        let found = try current(key).revision
        if found != expected { return Outcome(result: .failure(.conflict(key, current: found))) }
      }
    }
    revision += 1
    var events: [StoreEvent] = []
    for (position, write) in transaction.writes.enumerated() {
      let row = revision << 6 | Int64(position)
      let key = write.key
      let old = try current(key)
      switch write {
      case .put(_, let value):
        if transaction.isVolatile, old.revision != nil {
          volatile[key] = StoreRecord(key: key, value: value, revision: revision)
        } else {
          volatile[key] = nil
          try insert.run([.int(row), .bytes(key.bytes), .int(0), .bytes(value)])
          if let replaced = old.row { superseded.append((replaced, revision)) }
        }
        events.append(StoreEvent(revision: revision, key: key, value: value))
      case .delete(_, let uid):
        guard old.revision != nil else { continue }
        volatile[key] = nil
        try insert.run([.int(row), .bytes(key.bytes), .int(1), .null])
        if let replaced = old.row { superseded.append((replaced, revision)) }
        superseded.append((row, revision))
        if let uid {
          try remember.run([
            .text(uid), .bytes(key.bytes), .int(revision), .int(Int64(time(nil)) + configuration.historySeconds), .bytes(old.value),
          ])
        }
        events.append(StoreEvent(revision: revision, key: key, value: nil))
      }
    }
    return Outcome(result: .success(revision), events: events)
  }

  // MARK: Compaction

  private var replaceable: Int { superseded.count - supersededStart }

  var wantsCompaction: Bool {
    replaceable > 4000 && superseded[supersededStart].since < revision - configuration.keptRevisions
  }

  /// Removes a batch of rows that nobody can ask for any more, and gives their pages back to the file system.
  func compact() throws(SQLite.Failure) {
    let target = revision - configuration.keptRevisions
    var end = supersededStart
    while end < superseded.count, end - supersededStart < 4000, superseded[end].since <= target { end += 1 }
    do throws(SQLite.Failure) {
      try database.run("BEGIN IMMEDIATE")
      for entry in superseded[supersededStart..<end] { try erase.run([.int(entry.row)]) }
      try forget.run([.int(Int64(time(nil)))])
      compacted = max(compacted, target)
      try put("compacted", String(compacted))
      try database.run("COMMIT")
    } catch {
      if database.isInTransaction { try? database.run("ROLLBACK") }
      throw error
    }
    try database.run("PRAGMA incremental_vacuum(2000)")
    supersededStart = end
    if supersededStart > 8192 {
      superseded.removeFirst(supersededStart)
      supersededStart = 0
    }
  }
}

/// The reading side: its own connection, so that a read never waits for a commit.
final class SQLiteReader {
  private let database: SQLite

  init(path: String) throws(SQLite.Failure) {
    database = try SQLite(path: path)
    try database.run("PRAGMA cache_size=-2000; PRAGMA busy_timeout=5000; PRAGMA synchronous=FULL")
  }

  func close() { database.close() }

  func load() throws(SQLite.Failure) -> [StoreRecord] {
    var records: [StoreRecord] = []
    let statement = try database.prepare(
      "SELECT key, row, value FROM log l WHERE deleted=0 AND row=(SELECT max(row) FROM log m WHERE m.key=l.key) ORDER BY key")
    try statement.run([]) { row throws(SQLite.Failure) in
      guard let key = StoreKey(bytes: row.bytes(0)) else { return }
      records.append(StoreRecord(key: key, value: row.bytes(2), revision: row.int(1) >> 6))
    }
    return records
  }

  func events(after revision: Revision, limit: Int) throws(SQLite.Failure) -> [StoreEvent] {
    var events: [StoreEvent] = []
    try database.prepare("SELECT row, key, deleted, value FROM log WHERE row >= ? ORDER BY row LIMIT ?").run([
      .int((revision + 1) << 6), .int(Int64(limit)),
    ]) {
      row throws(SQLite.Failure) in
      guard let key = StoreKey(bytes: row.bytes(1)) else { return }
      events.append(StoreEvent(revision: row.int(0) >> 6, key: key, value: row.int(2) == 1 ? nil : row.bytes(3)))
    }
    return events
  }

  func history(_ uid: String) throws(SQLite.Failure) -> StoreRecord? {
    var record: StoreRecord?
    try database.prepare("SELECT key, revision, value FROM history WHERE uid=?").run([.text(uid)]) { row throws(SQLite.Failure) in
      record = StoreKey(bytes: row.bytes(0)).map { StoreRecord(key: $0, value: row.bytes(2), revision: row.int(1)) }
    }
    return record
  }

  func blob(_ name: String) throws(SQLite.Failure) -> [UInt8]? {
    var value: [UInt8]?
    try database.prepare("SELECT value FROM blobs WHERE name=?").run([.text(name)]) { row throws(SQLite.Failure) in
      value = row.bytes(0)
    }
    return value
  }

  func setBlob(_ name: String, _ value: [UInt8]) throws(SQLite.Failure) {
    try database.prepare("INSERT OR REPLACE INTO blobs(name, value) VALUES(?,?)").run([.text(name), .bytes(value)])
  }

  func backup(to path: String) throws(SQLite.Failure) { try database.backup(to: path) }
}

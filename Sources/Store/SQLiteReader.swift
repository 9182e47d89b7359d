import Wire

/// The reading side: its own connection, which cannot write, so that a read never waits for a commit.
final class SQLiteReader {
  private let database: SQLite
  private let path: String
  private let statements: Statements

  private struct Statements {
    let get, compacted, events, history, blob: SQLite.Statement
  }

  init(path: String) throws(SQLite.Failure) {
    self.path = path
    database = try SQLite(path: path)
    try database.run("PRAGMA cache_size=-2000; PRAGMA busy_timeout=5000; PRAGMA query_only=ON")
    statements = Statements(
      get: try database.prepare("SELECT row, deleted, value FROM log WHERE key=? AND row < ? ORDER BY row DESC LIMIT 1"),
      compacted: try database.prepare("SELECT value FROM meta WHERE name='compacted'"),
      events: try database.prepare(
        """
        SELECT l.row, l.key, l.deleted, l.value, p.row, p.deleted, p.value FROM log l
        LEFT JOIN log p ON p.row = (SELECT max(row) FROM log q WHERE q.key = l.key AND q.row < l.row)
        WHERE l.row >= ? ORDER BY l.row LIMIT ?
        """),
      history: try database.prepare("SELECT key, revision, value FROM history WHERE uid=? AND expires >= ?"),
      blob: try database.prepare("SELECT value FROM blobs WHERE name=?"))
  }

  var isClosed: Bool { database.isClosed }
  func close() { database.close() }

  enum Failure: Error {
    case sqlite(SQLite.Failure)
    case store(StoreError)
  }

  /// Several statements over one state of the file. Makes sure first that history reaches back to a revision.
  private func consistently<R>(since revision: Revision?, _ body: () throws(SQLite.Failure) -> R) throws(Failure) -> R {
    do throws(SQLite.Failure) { try database.run("BEGIN") } catch { throw .sqlite(error) }
    defer { try? database.run("COMMIT") }
    var oldest: Revision = 0
    do throws(SQLite.Failure) {
      if let revision {
        try statements.compacted.run([]) { row throws(SQLite.Failure) in
          oldest = Int64(String(decoding: row.bytes(0), as: UTF8.self)) ?? 0
        }
        if revision >= oldest { return try body() }
      } else {
        return try body()
      }
    } catch { throw .sqlite(error) }
    throw .store(.compacted(oldest: oldest))
  }

  /// - Returns: live records in order, and the newest revision in the file.
  func load() throws(Failure) -> (records: [StoreRecord], revision: Revision) {
    try consistently(since: nil) { () throws(SQLite.Failure) in
      var records: [StoreRecord] = []
      try database.prepare(
        "SELECT key, row, value FROM log l WHERE deleted=0 AND row=(SELECT max(row) FROM log m WHERE m.key=l.key) ORDER BY key"
      ).run([]) { row throws(SQLite.Failure) in
        guard let key = StoreKey(bytes: row.bytes(0)) else { return }
        records.append(StoreRecord(key: key, value: row.bytes(2), revision: row.int(1) >> 6))
      }
      var last: Int64 = 0
      try database.prepare("SELECT max(row) FROM log").run([]) { row throws(SQLite.Failure) in last = row.int(0) >> 6 }
      return (records, last)
    }
  }

  private static func limit(of revision: Revision?) -> SQLite.Statement.Argument {
    .int(revision.map { (min($0, Int64.max >> 7) + 1) << 6 } ?? Int64.max)
  }

  func get(_ key: StoreKey, at revision: Revision?) throws(Failure) -> StoreRecord? {
    try consistently(since: revision) { () throws(SQLite.Failure) in
      var record: StoreRecord?
      try statements.get.run([.bytes(key.bytes), Self.limit(of: revision)]) { row throws(SQLite.Failure) in
        if row.int(1) == 0 { record = StoreRecord(key: key, value: row.bytes(2), revision: row.int(0) >> 6) }
      }
      return record
    }
  }

  func range(_ resource: GroupResource, namespace: String?, after key: ObjectKey?, at revision: Revision?, limit: Int)
    throws(Failure)
    -> [StoreRecord]
  {
    try consistently(since: revision) { () throws(SQLite.Failure) in
      let prefix = StoreKey.prefix(resource, namespace: namespace)
      var end = prefix
      // The prefix ends with a zero byte: the first key behind it ends with a one.
      end[end.count - 1] = 1
      let start = key.map { StoreKey(resource, $0).bytes } ?? prefix
      var records: [StoreRecord] = []
      try database.prepare(
        """
        SELECT key, row, value FROM log l WHERE key > ? AND key >= ? AND key < ? AND deleted=0
        AND row=(SELECT max(row) FROM log m WHERE m.key=l.key AND m.row < ?) ORDER BY key LIMIT ?
        """
      ).run([.bytes(start), .bytes(prefix), .bytes(end), Self.limit(of: revision), .int(Int64(limit))]) {
        row throws(SQLite.Failure) in
        guard let key = StoreKey(bytes: row.bytes(0)) else { return }
        records.append(StoreRecord(key: key, value: row.bytes(2), revision: row.int(1) >> 6))
      }
      return records
    }
  }

  func events(after revision: Revision, limit: Int) throws(Failure) -> [StoreEvent] {
    try consistently(since: revision) { () throws(SQLite.Failure) in
      var events: [StoreEvent] = []
      let rows = Int64(limit) + Int64(Transaction.maximumKeys)
      try statements.events.run([Self.limit(of: revision), .int(rows)]) { row throws(SQLite.Failure) in
        let revision = row.int(0) >> 6
        // A revision is not split: who resumes behind it would miss the rest.
        guard events.count < limit || events.last?.revision == revision, let key = StoreKey(bytes: row.bytes(1)) else { return }
        let hasPrevious = !row.isNull(4) && row.int(5) == 0
        events.append(
          StoreEvent(
            revision: revision, key: key, value: row.int(2) == 1 ? nil : row.bytes(3),
            previous: hasPrevious ? StoreRecord(key: key, value: row.bytes(6), revision: row.int(4) >> 6) : nil))
      }
      return events
    }
  }

  func history(_ uid: String, now: Int64) throws(SQLite.Failure) -> StoreRecord? {
    var record: StoreRecord?
    try statements.history.run([.text(uid), .int(now)]) { row throws(SQLite.Failure) in
      record = StoreKey(bytes: row.bytes(0)).map { StoreRecord(key: $0, value: row.bytes(2), revision: row.int(1)) }
    }
    return record
  }

  func blob(_ name: String) throws(SQLite.Failure) -> [UInt8]? {
    var value: [UInt8]?
    try statements.blob.run([.text(name)]) { row throws(SQLite.Failure) in value = row.bytes(0) }
    return value
  }
}

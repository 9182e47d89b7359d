import CSQLite
import Glibc
import Wire

/// The writing side of a ``SQLiteStore``: everything here happens on its one thread.
///
/// Rows are numbered `revision * 64 + position`, so that one number orders the log and names the revision.
final class SQLiteCommitter {
  /// The ceiling is persisted this far ahead: a restart begins above anything that may have been handed out.
  private static let ceilingStep: Int64 = 100_000
  /// Rows that one group may erase beside its own work: compaction has no pauses and no fsync of its own.
  private static let eraseLimit = 512

  struct Outcome {
    var result: Result<Revision, StoreError>
    var events: [StoreEvent] = []
  }

  /// A volatile write's state, and the durable row that stands for it in the file.
  struct Volatile {
    var record: StoreRecord
    var row: Int64?
  }

  private let database: SQLite
  private let configuration: SQLiteStore.Configuration
  private let begin, end, insert, newest, newestValue, remember, forget, erase, setMeta: SQLite.Statement
  private(set) var revision: Revision
  private var ceiling: Revision
  private(set) var compacted: Revision
  private(set) var volatileResources: Set<GroupResource> = []

  private struct Superseded {
    var row: Int64
    /// The revision of the write that replaced it.
    var since: Revision
    var bytes: Int32
  }
  /// Replaced rows that are still in the file, oldest first, from `supersededStart` on.
  private var superseded: [Superseded] = []
  private var supersededStart = 0
  private var supersededBytes = 0

  /// Last states that are not in the file.
  private var volatile: [StoreKey: Volatile] = [:]
  /// The newest rows of keys that were written lately, so that who writes a key again and again does not look it up. Nobody else writes
  /// the log. The older half is forgotten when the newer has grown; all of it where a group failed.
  private var recent: [StoreKey: Current] = [:]
  private var lessRecent: [StoreKey: Current] = [:]
  private static let recentLimit = 8192
  /// What the running group changed there: the state before, and what readers are to be shown after the commit.
  private var undo: [(key: StoreKey, old: Volatile?)] = []
  private var nextForget: Int64 = 0

  init(_ database: SQLite, _ meta: StoreMeta, _ configuration: SQLiteStore.Configuration) throws(SQLite.Failure) {
    self.database = database
    self.configuration = configuration
    begin = try database.prepare("BEGIN IMMEDIATE")
    end = try database.prepare("COMMIT")
    insert = try database.prepare("INSERT INTO log(row, key, deleted, value) VALUES(?,?,?,?)")
    newest = try database.prepare("SELECT row, deleted, length(value) FROM log WHERE key=? ORDER BY row DESC LIMIT 1")
    newestValue = try database.prepare("SELECT value FROM log WHERE row=?")
    remember = try database.prepare("INSERT OR REPLACE INTO history(uid, key, revision, expires, value) VALUES(?,?,?,?,?)")
    forget = try database.prepare("DELETE FROM history WHERE uid IN (SELECT uid FROM history WHERE expires < ? LIMIT 500)")
    erase = try database.prepare("DELETE FROM log WHERE row=?")
    setMeta = try database.prepare("INSERT OR REPLACE INTO meta(name, value) VALUES(?,?)")
    compacted = meta.compacted
    volatileResources = meta.volatileResources
    var last: Int64 = 0
    try database.prepare("SELECT max(row) FROM log").run([]) { row throws(SQLite.Failure) in last = row.int(0) >> 6 }
    revision = max(last, meta.ceiling)
    ceiling = revision + Self.ceilingStep
    try database.prepare(
      """
      SELECT row, length(value) FROM log l WHERE deleted=1 OR row < (SELECT max(row) FROM log m WHERE m.key=l.key) ORDER BY row
      """
    ).run([]) { row throws(SQLite.Failure) in
      supersede(row.int(0), bytes: Int(row.int(1)))
    }
    try put("ceiling", String(ceiling))
  }

  private func put(_ name: String, _ value: String) throws(SQLite.Failure) {
    try setMeta.run([.text(name), .bytes(Array(value.utf8))])
  }

  private func begun() throws(SQLite.Failure) { if !database.isInTransaction { try begin.run([]) } }

  func close() {
    // What was volatile becomes part of the file where it can; a crash would have lost it, an orderly end need not.
    if !volatile.isEmpty {
      do throws(SQLite.Failure) {
        try begun()
        for entry in volatile.values {
          try insert.insert(
            row: entry.record.revision << 6, key: entry.record.key.bytes, isDeleted: false, value: entry.record.value)
        }
        try end.run([])
      } catch { rollback() }
    }
    database.close()
  }

  private func rollback() { if database.isInTransaction { try? database.run("ROLLBACK") } }

  // MARK: Commit

  /// Commits a group. Each transaction succeeds or fails by itself; an error here is the disk's and none was committed.
  /// - Parameter keepsHistory: false on a full disk: what is deleted there is to leave room, not a copy.
  /// - Returns: the outcomes, and the volatile states that changed (nil: no longer volatile).
  func commit(_ transactions: [Transaction], keepsHistory: Bool = true) throws(SQLite.Failure) -> (
    outcomes: [Outcome], volatile: [(StoreKey, StoreRecord?)]
  ) {
    let before = (superseded.count, supersededStart, supersededBytes, compacted, volatileResources, ceiling)
    undo.removeAll(keepingCapacity: true)
    var outcomes: [Outcome] = []
    outcomes.reserveCapacity(transactions.count)
    do throws(SQLite.Failure) {
      for transaction in transactions { outcomes.append(try apply(transaction, keepsHistory)) }
      // Also where all was volatile: what is acknowledged is below the persisted ceiling.
      if revision > ceiling - Self.ceilingStep / 2 {
        try begun()
        ceiling = revision + Self.ceilingStep
        try put("ceiling", String(ceiling))
      }
      if database.isInTransaction {
        try eraseSome()
        try end.run([])
      }
    } catch {
      rollback()
      // Revisions are not handed out again, even those that were not seen.
      superseded.removeLast(superseded.count - before.0)
      (supersededStart, supersededBytes, compacted, volatileResources, ceiling) = (before.1, before.2, before.3, before.4, before.5)
      for (key, old) in undo.reversed() { volatile[key] = old }
      (recent, lessRecent) = ([:], [:])
      throw error
    }
    if supersededStart > 8192, supersededStart * 2 > superseded.count {
      superseded.removeFirst(supersededStart)
      supersededStart = 0
    }
    return (outcomes, undo.map { ($0.key, volatile[$0.key]?.record) })
  }

  private struct Current {
    var row: Int64?
    var bytes = 0
    var revision: Revision?
  }

  private func current(_ key: StoreKey, _ bytes: [UInt8]) throws(SQLite.Failure) -> Current {
    if !volatile.isEmpty, let found = volatile[key] {
      return Current(row: found.row, bytes: found.record.value.count, revision: found.record.revision)
    }
    if let found = recent[key] ?? lessRecent[key] { return found }
    var found = Current()
    try newest.run([.bytes(bytes)]) { row throws(SQLite.Failure) in
      guard row.int(1) == 0 else { return }
      found = Current(row: row.int(0), bytes: Int(row.int(2)), revision: row.int(0) >> 6)
    }
    return found
  }

  private func note(_ key: StoreKey, _ current: Current?) {
    if recent.count >= Self.recentLimit {
      swap(&recent, &lessRecent)
      recent.removeAll(keepingCapacity: true)
    }
    recent[key] = current
    if current == nil { lessRecent[key] = nil }
  }

  private func supersede(_ row: Int64, bytes: Int) {
    superseded.append(Superseded(row: row, since: revision, bytes: Int32(truncatingIfNeeded: bytes)))
    supersededBytes += bytes
  }

  private func setVolatile(_ key: StoreKey, _ new: Volatile?) {
    let old = volatile[key]
    if old == nil, new == nil { return }
    undo.append((key, old))
    volatile[key] = new
  }

  private func apply(_ transaction: Transaction, _ keepsHistory: Bool) throws(SQLite.Failure) -> Outcome {
    // Most transactions compare what they write: one look-up serves both.
    var seen: [(key: StoreKey, current: Current)] = []
    for compare in transaction.compares {
      let key = compare.key
      let found = try current(key, key.bytes)
      if found.revision != compare.expected { return Outcome(result: .failure(.conflict(key, current: found.revision))) }
      seen.append((key, found))
    }
    revision += 1
    var events: [StoreEvent] = []
    for (position, write) in transaction.writes.enumerated() {
      let row = revision << 6 | Int64(position)
      let key = write.key
      let bytes = key.bytes
      let old = if let found = seen.first(where: { $0.key == key }) { found.current } else { try current(key, bytes) }
      switch write {
      case .put(_, let value):
        if transaction.isVolatile, old.revision != nil {
          if !volatileResources.contains(key.resource) {
            try begun()
            volatileResources.insert(key.resource)
            try put("volatile", StoreMeta.text(volatileResources))
          }
          setVolatile(key, Volatile(record: StoreRecord(key: key, value: value, revision: revision), row: old.row))
        } else {
          try begun()
          try insert.insert(row: row, key: bytes, isDeleted: false, value: value)
          setVolatile(key, nil)
          note(key, Current(row: row, bytes: value.count, revision: revision))
          if let replaced = old.row { supersede(replaced, bytes: old.bytes) }
        }
        events.append(StoreEvent(revision: revision, key: key, value: value))
      case .delete(_, let uid):
        guard old.revision != nil else { continue }
        try begun()
        if let uid, keepsHistory { try moveToHistory(uid, key, bytes, old) }
        try insert.insert(row: row, key: bytes, isDeleted: true, value: nil)
        setVolatile(key, nil)
        note(key, nil)
        if let replaced = old.row { supersede(replaced, bytes: old.bytes) }
        supersede(row, bytes: 0)
        events.append(StoreEvent(revision: revision, key: key, value: nil))
      }
    }
    return Outcome(result: .success(revision), events: events)
  }

  private func moveToHistory(_ uid: String, _ key: StoreKey, _ bytes: [UInt8], _ old: Current) throws(SQLite.Failure) {
    var value: [UInt8] = []
    if let record = volatile[key]?.record {
      value = record.value
    } else if let row = old.row {
      try newestValue.run([.int(row)]) { row throws(SQLite.Failure) in value = row.bytes(0) }
    }
    try remember.run([
      .text(uid), .bytes(bytes), .int(revision), .int(configuration.now() + configuration.historySeconds), .bytes(value),
    ])
  }

  // MARK: Compaction

  private var isOverdue: Bool {
    supersededStart < superseded.count
      && (supersededBytes > configuration.keptBytes || superseded[supersededStart].since <= revision - configuration.keptRevisions)
  }

  /// Part of a group's transaction: forgets rows that nobody may ask for any more, a few more than the group has added.
  private func eraseSome() throws(SQLite.Failure) {
    if isOverdue {
      var target = revision - configuration.keptRevisions
      // Moved in steps: its row is written once for many groups.
      var step = min(1000, max(1, configuration.keptRevisions / 16))
      if supersededBytes > configuration.keptBytes {
        // Too many bytes: the oldest rows go, whatever their age.
        step = 1
        var rest = supersededBytes
        for entry in superseded[supersededStart...].prefix(Self.eraseLimit) where rest > configuration.keptBytes * 3 / 4 {
          target = max(target, entry.since)
          rest -= Int(entry.bytes)
        }
      }
      if target >= compacted + step {
        compacted = target
        try put("compacted", String(compacted))
      }
    }
    var erased = 0
    while erased < Self.eraseLimit, supersededStart < superseded.count, superseded[supersededStart].since <= compacted {
      try erase.run([.int(superseded[supersededStart].row)])
      supersededBytes -= Int(superseded[supersededStart].bytes)
      supersededStart += 1
      erased += 1
    }
    let now = configuration.now()
    if now >= nextForget {
      nextForget = now + 60
      try forget.run([.int(now)])
    }
  }

  func setBlob(_ name: String, _ value: [UInt8]) throws(SQLite.Failure) {
    try database.prepare("INSERT OR REPLACE INTO blobs(name, value) VALUES(?,?)").run([.text(name), .bytes(value)])
  }

  func compact(to target: Revision) throws(SQLite.Failure) {
    guard target > compacted else { return }
    let before = (supersededStart, supersededBytes, compacted)
    do throws(SQLite.Failure) {
      try begun()
      compacted = min(target, revision)
      try put("compacted", String(compacted))
      try eraseSome()
      try end.run([])
    } catch {
      rollback()
      (supersededStart, supersededBytes, compacted) = before
      throw error
    }
  }

  /// For a full disk: forgets every superseded row at once (watchers that are behind list again) and makes the file as small as it can be.
  func giveBack() throws(SQLite.Failure) {
    try compact(to: revision)
    // In steps, each of which the write-ahead log has room for and is rid of again.
    while supersededStart < superseded.count {
      let before = (supersededStart, supersededBytes)
      do throws(SQLite.Failure) {
        try begun()
        try eraseSome()
        try end.run([])
      } catch {
        rollback()
        (supersededStart, supersededBytes) = before
        throw error
      }
      if supersededStart == before.0 { break }
      checkpoint()
    }
    var free = try pragma("freelist_count")
    while free > 0 {
      try database.run("PRAGMA incremental_vacuum(256)")
      checkpoint()
      let left = try pragma("freelist_count")
      if left >= free { break }
      free = left
    }
  }

  private func pragma(_ name: String) throws(SQLite.Failure) -> Int64 {
    var value: Int64 = 0
    try database.prepare("PRAGMA \(name)").run([]) { row throws(SQLite.Failure) in value = row.int(0) }
    return value
  }

  /// Gives pages back to the file system where many are free: under steady churn they would be taken again at once.
  func shrink() throws(SQLite.Failure) {
    let free = try pragma("freelist_count")
    let all = try pragma("page_count")
    if free > 2048, free * 4 > all { try database.run("PRAGMA incremental_vacuum(1024)") }
  }

  func now() -> Int64 { configuration.now() }

  /// Empties the write-ahead log into the file: its room can be used again.
  func checkpoint() { try? database.run("PRAGMA wal_checkpoint(TRUNCATE)") }
}

extension Transaction.Compare {
  package var key: StoreKey {
    switch self {
    case .absent(let key), .revision(let key, _): key
    }
  }

  var expected: Revision? {
    switch self {
    case .absent: nil
    case .revision(_, let revision): revision
    }
  }
}

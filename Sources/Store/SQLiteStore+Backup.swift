import Glibc

extension SQLiteStore {
  /// Writes everything into one new file (0600) while the store is in use.
  /// - Throws: ``StoreError/refused(_:)`` where the file exists; `.full`.
  package func backup(to path: String) throws(StoreError) { try Self.backup(configuration.path, to: path) }

  /// The same for a file, whether a server writes to it or none.
  package static func backup(_ source: String, to path: String) throws(StoreError) {
    guard access(source, R_OK) == 0 else { throw .refused("cannot read \(source): \(String(cString: strerror(errno)))") }
    try copy(source, to: path) { _ in nil }
  }

  /// Makes a store of a backup. Its revisions begin above everything that the lost store can have issued, and everything older
  /// counts as compacted: clients list again instead of believing what never happened here.
  /// - Parameters:
  ///   - backup: a file that ``backup(to:)`` made.
  ///   - path: where the store is to be; must not exist.
  /// - Throws: ``StoreError/refused(_:)`` for no backup, or a target that exists.
  package static func restore(_ backup: String, to path: String) throws(StoreError) {
    guard access(backup, R_OK) == 0 else { throw .refused("cannot read \(backup): \(String(cString: strerror(errno)))") }
    try Directory.make(for: path)
    try copy(backup, to: path) { database throws(SQLite.Failure) in
      var meta = try StoreMeta(database, newClusterID: { "" })
      if let refusal = meta.refusal(path: backup, expectedClusterID: nil) { return refusal }
      var isSound = false
      try database.prepare("PRAGMA quick_check(1)").run([]) { row throws(SQLite.Failure) in
        isSound = String(decoding: row.bytes(0), as: UTF8.self) == "ok"
      }
      guard isSound else { return .corrupted(path: backup, "its pages contradict each other") }
      var last: Int64 = 0
      try database.prepare("SELECT max(row) FROM log").run([]) { row throws(SQLite.Failure) in last = row.int(0) >> 6 }
      meta.ceiling = max(meta.ceiling, last) + StoreMeta.restoreJump
      try database.run(
        """
        INSERT OR REPLACE INTO meta(name, value) VALUES
          ('ceiling', CAST('\(meta.ceiling)' AS BLOB)), ('compacted', CAST('\(meta.ceiling)' AS BLOB))
        """)
      return nil
    }
  }

  /// Copies through a file beside the target, so that the target is whole or not there.
  private static func copy(
    _ source: String, to target: String, _ amend: (SQLite) throws(SQLite.Failure) -> StoreError?
  ) throws(StoreError) {
    guard access(target, F_OK) != 0 else { throw .refused("\(target) exists: name a new file, or move it away") }
    let part = "\(target).part"
    func discard() { for suffix in ["", "-wal", "-shm", "-journal"] { unlink(part + suffix) } }
    discard()
    var refusal: StoreError?
    do throws(SQLite.Failure) {
      let database = try SQLite(path: source)
      defer { database.close() }
      try database.run("PRAGMA busy_timeout=5000")
      try database.backup(to: part)
      let copy = try SQLite(path: part)
      defer { copy.close() }
      refusal = try amend(copy)
    } catch {
      discard()
      // The copy is new: what is damaged is the source.
      throw error.storeError(path: error.isCorruption ? source : target)
    }
    if let refusal {
      discard()
      throw refusal
    }
    guard rename(part, target) == 0 else {
      let reason = String(cString: strerror(errno))
      discard()
      throw .failed("cannot rename \(part): \(reason)")
    }
    Directory.sync(for: target)
  }
}

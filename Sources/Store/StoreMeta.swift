import Wire

/// What a SQLite file says about itself: whose it is, who may read it, where its revisions are.
struct StoreMeta {
  /// Grows when the layout of the tables changes.
  static let format: Int64 = 1
  /// How far a restore raises the ceiling: above anything that the lost store can have issued since the backup.
  static let restoreJump: Int64 = 10_000_000_000

  var clusterID: String
  /// The layout it was last written in.
  var format: Int64
  /// The oldest layout a release must know to read it.
  var oldestReader: Int64
  /// What every server of the cluster understands; new fields and storage versions wait for it.
  var level: Int64
  /// No revision up to here is issued again.
  var ceiling: Revision
  var compacted: Revision
  var volatileResources: Set<GroupResource>

  /// Reads the meta table, or makes the tables of a new store.
  init(_ database: SQLite, newClusterID: () -> String) throws(SQLite.Failure) {
    var exists = false
    try database.prepare("SELECT 1 FROM sqlite_master WHERE name='meta'").run([]) { _ throws(SQLite.Failure) in exists = true }
    if !exists {
      try database.run(
        """
        BEGIN IMMEDIATE;
        CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
        CREATE TABLE log(row INTEGER PRIMARY KEY, key BLOB NOT NULL, deleted INTEGER NOT NULL, value BLOB);
        CREATE INDEX log_key ON log(key, row);
        CREATE TABLE history(uid TEXT PRIMARY KEY, key BLOB, revision INTEGER, expires INTEGER, value BLOB) WITHOUT ROWID;
        CREATE INDEX history_expires ON history(expires);
        CREATE TABLE blobs(name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
        INSERT INTO meta(name, value) VALUES
          ('format', '\(Self.format)'), ('oldestReader', '\(Self.format)'), ('level', '1'), ('ceiling', '0'),
          ('cluster', '\(newClusterID())');
        COMMIT
        """)
    }
    var values: [String: String] = [:]
    try database.prepare("SELECT name, value FROM meta").run([]) { row throws(SQLite.Failure) in
      values[String(decoding: row.bytes(0), as: UTF8.self)] = String(decoding: row.bytes(1), as: UTF8.self)
    }
    func number(_ name: String, _ otherwise: Int64) -> Int64 { values[name].flatMap { Int64($0) } ?? otherwise }
    clusterID = values["cluster"] ?? ""
    format = number("format", Self.format)
    oldestReader = number("oldestReader", format)
    level = number("level", 1)
    ceiling = number("ceiling", 0)
    compacted = number("compacted", 0)
    volatileResources = Set(
      (values["volatile"] ?? "").split(separator: ",").map { name in
        let parts = name.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        return GroupResource(group: String(parts[0]), resource: String(parts.last ?? ""))
      })
  }

  static func text(_ resources: Set<GroupResource>) -> String {
    resources.sorted().map { "\($0.group)/\($0.resource)" }.joined(separator: ",")
  }

  /// Why this release or this cluster must not use the file, with the way out; nil where it may.
  func refusal(path: String, expectedClusterID: String?) -> StoreError? {
    if oldestReader > Self.format {
      return .refused(
        "\(path) was written by a newer release (format \(format)): start that release, or restore a backup of this one")
    }
    if clusterID.isEmpty { return .corrupted(path: path, "it names no cluster") }
    if let expectedClusterID, expectedClusterID != clusterID {
      return .refused("\(path) belongs to cluster \(clusterID), not \(expectedClusterID): give another --data-dir or --datastore")
    }
    return nil
  }

  static func randomClusterID() -> String {
    var random = SystemRandomNumberGenerator()
    let hex = Array("0123456789abcdef")
    return String((0..<32).map { _ in hex[Int(random.next(upperBound: UInt(16)))] })
  }
}

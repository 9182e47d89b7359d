import Synchronization
import Wire

/// What readers on any thread ask for: the file through a connection of its own, and over it what is volatile.
extension SQLiteStore {
  package var oldestRevision: Revision { shared.withLock { $0.oldest } }
  package var volatileResources: Set<GroupResource> { shared.withLock { $0.volatileResources } }

  package func load() throws(StoreError) -> (records: [StoreRecord], revision: Revision) {
    // Taken first: what it holds was committed after everything older, so the file's state below is at least as new.
    let volatile = shared.withLock { $0.volatile }
    var (records, revision) = try reading { reader throws(SQLiteReader.Failure) in try reader.load() }
    revision = max(revision, firstRevision)
    if !volatile.isEmpty {
      for i in records.indices {
        guard let newer = volatile[records[i].key], newer.revision > records[i].revision else { continue }
        records[i] = newer
      }
      revision = max(revision, volatile.values.reduce(0) { max($0, $1.revision) })
    }
    return (records, revision)
  }

  package func get(_ key: StoreKey, at revision: Revision? = nil) throws(StoreError) -> StoreRecord? {
    if revision == nil, let record = shared.withLock({ $0.volatile[key] }) { return record }
    return try reading { reader throws(SQLiteReader.Failure) in try reader.get(key, at: revision) }
  }

  package func range(
    _ resource: GroupResource, namespace: String? = nil, after key: ObjectKey? = nil, at revision: Revision? = nil, limit: Int
  ) throws(StoreError) -> [StoreRecord] {
    let volatile = revision == nil ? shared.withLock { $0.volatileResources.contains(resource) ? $0.volatile : [:] } : [:]
    var records = try reading { reader throws(SQLiteReader.Failure) in
      try reader.range(resource, namespace: namespace, after: key, at: revision, limit: limit)
    }
    for i in records.indices {
      if let newer = volatile[records[i].key], newer.revision > records[i].revision { records[i] = newer }
    }
    return records
  }

  package func events(after revision: Revision, limit: Int) throws(StoreError) -> [StoreEvent] {
    try reading { reader throws(SQLiteReader.Failure) in try reader.events(after: revision, limit: limit) }
  }

  package func history(uid: String) throws(StoreError) -> StoreRecord? {
    let now = configuration.now()
    return try simply { reader throws(SQLite.Failure) in try reader.history(uid, now: now) }
  }
  package func blob(_ name: String) throws(StoreError) -> [UInt8]? {
    try simply { reader throws(SQLite.Failure) in try reader.blob(name) }
  }
  package func setBlob(_ name: String, _ value: [UInt8]) throws(StoreError) {
    try wait { committer throws(SQLite.Failure) in try committer.setBlob(name, value) }
  }

  private func simply<R: Sendable>(_ body: (SQLiteReader) throws(SQLite.Failure) -> R) throws(StoreError) -> R {
    try reading { reader throws(SQLiteReader.Failure) in
      do throws(SQLite.Failure) { return try body(reader) } catch { throw .sqlite(error) }
    }
  }

  private func reading<R: Sendable>(_ body: (SQLiteReader) throws(SQLiteReader.Failure) -> R) throws(StoreError) -> R {
    let result: Result<R, SQLiteReader.Failure>? = reader.withLock { reader in
      if reader.isClosed { return nil }
      do throws(SQLiteReader.Failure) { return .success(try body(reader)) } catch { return .failure(error) }
    }
    guard let result else { throw .closed }
    do throws(SQLiteReader.Failure) { return try result.get() } catch {
      switch error {
      case .store(let error): throw error
      case .sqlite(let error): throw error.storeError(path: configuration.path)
      }
    }
  }
}

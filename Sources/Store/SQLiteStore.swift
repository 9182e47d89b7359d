import CLinux
import CSQLite
import Glibc
import Logging
import Synchronization
import Wire

/// The store on one SQLite file: write-ahead log, one committer thread, group commit, fsync before every acknowledgement.
///
/// What waits is committed together: one transaction, one fsync. A transaction whose compares fail takes nobody with it.
/// Measured: see `gantry-bench store`.
package final class SQLiteStore: StoreEngine {
  /// Where and how.
  package struct Configuration: Sendable {
    /// The file. Its directory is made (0700) where it does not exist.
    package var path: String
    /// Superseded rows are kept for this many revisions, so that watchers can resume.
    package var keptRevisions: Int64 = 20_000
    /// Superseded rows are kept up to this many bytes.
    package var keptBytes = 256 << 20
    /// Seconds that deleted objects stay in the history range.
    package var historySeconds: Int64 = 24 * 3600
    /// Bytes of the disk that only deletions may use, so that a full disk can be freed through the store: three times what the
    /// write-ahead log holds between two checkpoints, because a log that found no room to be emptied may be twice that long.
    package var reserveBytes: Int64 = 48 << 20
    /// Refuses data of another cluster.
    package var expectedClusterID: String?
    /// Seconds since 1970.
    package var now: @Sendable () -> Int64 = { Int64(time(nil)) }
    /// What happens when the disk fails under a commit. Nothing can be promised after that: the default ends the process.
    package var onDiskFault: @Sendable (String) -> Void = { message in
      let line = Array("gantry: the disk failed under a commit, nothing can be acknowledged any more: \(message)\n".utf8)
      _ = line.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
      _exit(70)
    }

    package init(path: String) { self.path = path }
  }

  private struct Waiting: Sendable {
    var transaction: Transaction
    var completion: @Sendable (Result<Revision, StoreError>) -> Void
  }

  private struct Queue: Sendable {
    var waiting: [Waiting] = []
    var compactions: [(to: Revision, completion: @Sendable (StoreError?) -> Void)] = []
    var isClosed = false
    var isIdle = true
  }

  /// A function in a structure of its own. Kept bare in a `Mutex`, every access would wrap it once more (it is held at another calling
  /// convention, and what was lent is written back): after 10,000 groups a call went through 20,000 thunks.
  private struct Observer: Sendable {
    let see: @Sendable ([StoreEvent], Revision) -> Void
  }

  /// What readers on other threads must know of the committer.
  private struct Shared: Sendable {
    var volatile: [StoreKey: StoreRecord] = [:]
    var volatileResources: Set<GroupResource>
    var oldest: Revision
  }

  /// Transactions of one group; more wait for the next.
  private static let maximumGroup = 1024
  /// Transactions that make a burst, and seconds without any that end it.
  private static let burst = 200
  private static let quiet = 2

  private let configuration: Configuration
  var configurationPath: String { configuration.path }
  private let logger: Logger
  private let queue = Mutex(Queue())
  private let wake = Semaphore()
  private let finished = Semaphore()
  private let observer = Mutex<Observer?>(nil)
  private let reader: Mutex<SQLiteReader>
  private let shared: Mutex<Shared>
  private let lock: FileLock
  private let isFull = Atomic<Bool>(false)
  /// The last commit found no room on the disk; the next one that does ends this.
  package var isOutOfSpace: Bool { isFull.load(ordering: .relaxed) }
  private let lastReclaim = Atomic<Int64>(0)
  private let lastHold = Atomic<Int64>(0)
  package let clusterID: String
  /// What every server of the cluster understands.
  package let level: Int64
  /// Nothing before the first commit of this process is newer.
  private let firstRevision: Revision

  /// Opens or makes the file.
  /// - Throws: ``StoreError/refused(_:)`` for a file in use, a newer format, another cluster; `.corrupted`, `.full`.
  package init(_ configuration: Configuration, logger: Logger = Logger(label: "gantry.store")) throws(StoreError) {
    self.configuration = configuration
    self.logger = logger
    let path = configuration.path
    try Directory.make(for: path)
    do throws(FileLock.Failure) { lock = try FileLock("\(path).lock") } catch {
      switch error {
      case .held(let pid): throw .refused("\(path) is in use by process \(pid): stop it, or give another --data-dir")
      case .unusable(let why): throw .refused(why)
      }
    }
    let reserve = DiskReserve(store: path, limit: configuration.reserveBytes)
    reserve.hold()
    var opened: (committer: SQLiteCommitter, meta: StoreMeta)
    do throws(StoreError) {
      opened = try Self.open(configuration, reserve)
      reader = Mutex(try Self.openReader(path))
    } catch {
      // A server that was killed on a full disk must be able to start, so that something can be deleted.
      guard case .full = error, reserve.release() else {
        reserve.remove()
        throw error
      }
      opened = try Self.open(configuration, reserve)
      reader = Mutex(try Self.openReader(path))
    }
    let committer = opened.committer
    clusterID = opened.meta.clusterID
    level = opened.meta.level
    firstRevision = committer.revision
    shared = Mutex(Shared(volatileResources: committer.volatileResources, oldest: committer.compacted))
    let box = UncheckedBox((committer, reserve))
    Thread.start { [self] in run(box.value.0, box.value.1) }
  }

  private static func openReader(_ path: String) throws(StoreError) -> sending SQLiteReader {
    do throws(SQLite.Failure) { return try SQLiteReader(path: path) } catch { throw opening(path, error) }
  }

  private static func open(
    _ configuration: Configuration, _ reserve: DiskReserve
  ) throws(StoreError) -> (committer: SQLiteCommitter, meta: StoreMeta) {
    let path = configuration.path
    let pages = reserve.bytes == 0 ? 4000 : max(64, min(4000, reserve.bytes / 3 / 4096))
    let database: SQLite
    let meta: StoreMeta
    do throws(SQLite.Failure) {
      database = try SQLite(path: path)
      try database.run(
        """
        PRAGMA busy_timeout=5000; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
        PRAGMA wal_autocheckpoint=\(pages); PRAGMA cache_size=-8000
        """)
      meta = try StoreMeta(database, newClusterID: StoreMeta.randomClusterID)
    } catch { throw opening(path, error) }
    if let refusal = meta.refusal(path: path, expectedClusterID: configuration.expectedClusterID) { throw refusal }
    do throws(SQLite.Failure) { return (try SQLiteCommitter(database, meta, configuration), meta) } catch {
      throw opening(path, error)
    }
  }

  private static func opening(_ path: String, _ error: SQLite.Failure) -> StoreError {
    error.isFull || error.isCorruption ? error.storeError(path: path) : .refused("cannot open \(path): \(error.message)")
  }

  package func observe(_ observer: @escaping @Sendable ([StoreEvent], Revision) -> Void) {
    self.observer.withLock { $0 = Observer(see: observer) }
  }

  package func commit(_ transaction: Transaction, completion: @escaping @Sendable (Result<Revision, StoreError>) -> Void) {
    if let fault = transaction.fault { return completion(.failure(fault)) }
    if !enqueue({ $0.waiting.append(Waiting(transaction: transaction, completion: completion)) }) { completion(.failure(.closed)) }
  }

  package func compact(to revision: Revision) throws(StoreError) {
    let done = Semaphore()
    let failure = Mutex<StoreError?>(nil)
    let isQueued = enqueue { queue in
      queue.compactions.append(
        (
          revision,
          { error in
            failure.withLock { $0 = error }
            done.signal()
          }
        ))
    }
    guard isQueued else { throw .closed }
    done.wait()
    if let error = failure.withLock({ $0 }) { throw error }
  }

  /// - Returns: false where the store is closed.
  private func enqueue(_ add: (inout Queue) -> Void) -> Bool {
    let (isClosed, wasIdle) = queue.withLock { queue -> (Bool, Bool) in
      if queue.isClosed { return (true, false) }
      add(&queue)
      defer { queue.isIdle = false }
      return (false, queue.isIdle)
    }
    if wasIdle { wake.signal() }
    return !isClosed
  }

  package func close() {
    let wasClosed = queue.withLock { queue in
      defer { queue.isClosed = true }
      return queue.isClosed
    }
    wake.signal()
    finished.wait()
    // Whoever closes again waits for the first and passes on.
    finished.signal()
    guard !wasClosed else { return }
    reader.withLock { $0.close() }
    lock.release()
  }

  // MARK: The committer's thread

  private func run(_ committer: SQLiteCommitter, _ reserve: DiskReserve) {
    var sinceShrink = 0
    var sinceTrim = 0
    var lastGroup = 0
    while true {
      if lastGroup > 0 { gather(lastGroup) }
      let (group, compactions, isClosed) = queue.withLock { queue in
        let group = Array(queue.waiting.prefix(Self.maximumGroup))
        queue.waiting.removeFirst(group.count)
        let compactions = queue.compactions
        queue.compactions = []
        queue.isIdle = group.isEmpty && compactions.isEmpty
        return (group, compactions, queue.isClosed)
      }
      if group.isEmpty, compactions.isEmpty {
        if isClosed { break }
        lastGroup = 0
        // After a burst, memory that it needed for a moment goes back to the system: malloc would keep it, a third of what 5,000 new pods cost.
        if sinceTrim >= Self.burst, !wake.wait(seconds: Self.quiet) {
          sinceTrim = 0
          gantry_trim_heap()
          continue
        }
        if sinceTrim < Self.burst { wake.wait() }
        continue
      }
      lastGroup = group.count
      settle(group, committer, reserve)
      for compaction in compactions {
        do throws(SQLite.Failure) {
          try committer.compact(to: compaction.to)
          shared.withLock { $0.oldest = committer.compacted }
          compaction.completion(nil)
        } catch {
          if error.isDiskFault { configuration.onDiskFault(error.message) }
          compaction.completion(error.storeError(path: configuration.path))
        }
      }
      sinceTrim += group.count
      sinceShrink += group.count + compactions.count * 1000
      if sinceShrink >= 1000 {
        sinceShrink = 0
        do throws(SQLite.Failure) { try committer.shrink() } catch {
          if error.isDiskFault { configuration.onDiskFault(error.message) }
        }
      }
    }
    committer.close()
    reserve.remove()
    finished.signal()
  }

  /// Gives the writers that were just answered a moment to come back: else the first of them has an fsync to itself and the others wait
  /// for two, and a lone writer pays for waking this thread each time (a fifth of what its write costs). At most 40 µs, less than half of the
  /// fastest fsync seen, after every group.
  private func gather(_ expected: Int) {
    let deadline = ContinuousClock.now + .microseconds(40)
    while queue.withLock({ $0.waiting.count < expected && (expected == 1 || !$0.waiting.isEmpty) }), ContinuousClock.now < deadline
    {
      sched_yield()
    }
  }

  private func settle(_ asked: [Waiting], _ committer: SQLiteCommitter, _ reserve: DiskReserve) {
    let group = admitted(asked, committer, reserve)
    if group.isEmpty { return }
    do throws(SQLite.Failure) {
      let (outcomes, volatile) = try committer.commit(group.map(\.transaction), keepsHistory: !reserve.isReleased)
      shared.withLock { shared in
        for (key, record) in volatile { shared.volatile[key] = record }
        if !volatile.isEmpty { shared.volatileResources = committer.volatileResources }
        shared.oldest = committer.compacted
      }
      if !reserve.isReleased, isFull.load(ordering: .relaxed), isFull.exchange(false, ordering: .relaxed) {
        logger.info("there is room again", metadata: ["path": "\(configuration.path)"])
      }
      let events = outcomes.flatMap(\.events)
      if !events.isEmpty { observer.withLock { $0 }?.see(events, committer.revision) }
      for (waiting, outcome) in zip(group, outcomes) { waiting.completion(outcome.result) }
      if reserve.isReleased { giveBack(committer, reserve) }
    } catch {
      if error.isDiskFault { configuration.onDiskFault(error.message) }
      if error.isFull, group.count > 1 {
        // One large write must not take the small ones with it.
        for waiting in group { settle([waiting], committer, reserve) }
        return
      }
      // The room that the write-ahead log holds may be all that is needed; looked for once a second.
      if error.isFull, committer.now() > lastReclaim.load(ordering: .relaxed) {
        lastReclaim.store(committer.now(), ordering: .relaxed)
        committer.checkpoint()
        return settle(group, committer, reserve)
      }
      if error.isFull, group.allSatisfy(\.transaction.frees), reserve.release() {
        logger.notice("a full disk is being freed: the reserve is in use", metadata: ["path": "\(configuration.path)"])
        committer.checkpoint()
        return settle(group, committer, reserve)
      }
      let reason = error.storeError(path: configuration.path)
      // A full disk refuses every write until there is room: said once.
      if !error.isFull || !isFull.exchange(true, ordering: .relaxed) {
        logger.error("commit failed", metadata: ["error": "\(reason)"])
      }
      for waiting in group { waiting.completion(.failure(reason)) }
    }
  }

  /// While the reserve is in use only what frees room is committed, and what touches no disk: anything else would use it up. Whether
  /// there is room to hold it again is looked at once a second.
  private func admitted(_ group: [Waiting], _ committer: SQLiteCommitter, _ reserve: DiskReserve) -> [Waiting] {
    guard reserve.isReleased else { return group }
    if committer.now() > lastHold.load(ordering: .relaxed) {
      lastHold.store(committer.now(), ordering: .relaxed)
      if reserve.hold() { return group }
    }
    var admitted: [Waiting] = []
    for waiting in group {
      if waiting.transaction.frees || waiting.transaction.isVolatile {
        admitted.append(waiting)
      } else {
        waiting.completion(.failure(.full(path: configuration.path)))
      }
    }
    return admitted
  }

  /// What deletions have freed goes back to the disk now, superseded versions and all: nothing else can be written before.
  private func giveBack(_ committer: SQLiteCommitter, _ reserve: DiskReserve) {
    isFull.store(true, ordering: .relaxed)
    do throws(SQLite.Failure) {
      try committer.giveBack()
      shared.withLock { $0.oldest = committer.compacted }
    } catch {
      if error.isDiskFault { configuration.onDiskFault(error.message) }
    }
    reserve.hold()
  }

  // MARK: Reads

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
    try simply { reader throws(SQLite.Failure) in try reader.setBlob(name, value) }
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

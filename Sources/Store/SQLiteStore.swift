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

  /// Something else for the committer's thread than a transaction; its caller waits.
  private struct Chore: Sendable {
    var run: @Sendable (SQLiteCommitter) throws(SQLite.Failure) -> Void
    var completion: @Sendable (StoreError?) -> Void
  }

  private struct Queue: Sendable {
    var waiting: [Waiting] = []
    /// Bytes of the values that wait.
    var bytes = 0
    var chores: [Chore] = []
    var isClosed = false
    var isIdle = true
  }

  /// A function in a structure of its own. Kept bare in a `Mutex`, every access would wrap it once more (it is held at another calling
  /// convention, and what was lent is written back): after 10,000 groups a call went through 20,000 thunks.
  private struct Observer: Sendable {
    let see: @Sendable ([StoreEvent], Revision) -> Void
  }

  /// What readers on other threads must know of the committer.
  struct Shared: Sendable {
    var volatile: [StoreKey: StoreRecord] = [:]
    var volatileResources: Set<GroupResource>
    var oldest: Revision
  }

  /// Transactions of one group; more wait for the next.
  private static let maximumGroup = 1024
  /// What may wait: who comes then is sent away with `StoreError.busy`, before memory runs out instead of after.
  package static let waitingLimit = 16_384
  private static let waitingBytes = 256 << 20
  /// Transactions that make a burst, and seconds without any that end it.
  private static let burst = 200
  private static let quiet = 2

  let configuration: Configuration
  private let logger: Logger
  private let queue = Mutex(Queue())
  private let wake = Semaphore()
  private let finished = Semaphore()
  private let observer = Mutex<Observer?>(nil)
  let reader: Mutex<SQLiteReader>
  let shared: Mutex<Shared>
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
  let firstRevision: Revision

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
    let refusal = enqueue { queue in
      let bytes = transaction.bytes
      if queue.waiting.count >= Self.waitingLimit || queue.bytes + bytes > Self.waitingBytes { return .busy }
      queue.bytes += bytes
      queue.waiting.append(Waiting(transaction: transaction, completion: completion))
      return nil
    }
    if let refusal { completion(.failure(refusal)) }
  }

  package func compact(to revision: Revision) throws(StoreError) {
    try wait { committer throws(SQLite.Failure) in try committer.compact(to: revision) }
  }

  /// Has something done on the committer's thread, and waits for it.
  func wait(_ chore: @escaping @Sendable (SQLiteCommitter) throws(SQLite.Failure) -> Void) throws(StoreError) {
    let done = Semaphore()
    let failure = Mutex<StoreError?>(nil)
    let refusal = enqueue { queue in
      queue.chores.append(
        Chore(run: chore) { error in
          failure.withLock { $0 = error }
          done.signal()
        })
      return nil
    }
    if let refusal { throw refusal }
    done.wait()
    if let error = failure.withLock({ $0 }) { throw error }
  }

  /// - Parameter add: puts something into the queue, or says why not.
  private func enqueue(_ add: (inout Queue) -> StoreError?) -> StoreError? {
    let (refusal, wasIdle) = queue.withLock { queue -> (StoreError?, Bool) in
      if queue.isClosed { return (.closed, false) }
      if let refusal = add(&queue) { return (refusal, false) }
      defer { queue.isIdle = false }
      return (nil, queue.isIdle)
    }
    if wasIdle { wake.signal() }
    return refusal
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
    var lastCost = Duration.zero
    while true {
      if lastGroup > 0 { gather(lastGroup, lastCost) }
      let (group, chores, isClosed) = queue.withLock { queue in
        let group = Array(queue.waiting.prefix(Self.maximumGroup))
        queue.waiting.removeFirst(group.count)
        queue.bytes -= group.reduce(0) { $0 + $1.transaction.bytes }
        let chores = queue.chores
        queue.chores = []
        queue.isIdle = group.isEmpty && chores.isEmpty
        return (group, chores, queue.isClosed)
      }
      if group.isEmpty, chores.isEmpty {
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
      let start = ContinuousClock.now
      settle(group, committer, reserve)
      lastCost = ContinuousClock.now - start
      for chore in chores {
        do throws(SQLite.Failure) {
          try chore.run(committer)
          shared.withLock { $0.oldest = committer.compacted }
          chore.completion(nil)
        } catch {
          if error.isDiskFault { configuration.onDiskFault(error.message) }
          chore.completion(error.storeError(path: configuration.path))
        }
      }
      sinceTrim += group.count
      sinceShrink += group.count + chores.count * 1000
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
  /// for two, and a lone writer pays for waking this thread each time (a fifth of what its write costs). As long as they keep coming, no
  /// more than 40 µs apart, and for no more than a quarter of what the last group took.
  private func gather(_ expected: Int, _ cost: Duration) {
    let pause = Duration.microseconds(40)
    var now = ContinuousClock.now
    let end = now + max(pause, min(cost / 4, .milliseconds(1)))
    var (seen, last) = (0, now)
    while now < end, now - last < pause {
      let count = queue.withLock { $0.waiting.count }
      if count >= expected { return }
      if count > seen { (seen, last) = (count, now) }
      sched_yield()
      now = .now
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
}

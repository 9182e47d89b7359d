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
  /// Where and how. The directory must exist and be private.
  package struct Configuration: Sendable {
    package var path: String
    /// Superseded rows are kept for this many revisions, so that watchers can resume.
    package var keptRevisions: Int64 = 20_000
    /// Seconds that deleted objects stay in the history range.
    package var historySeconds: Int64 = 24 * 3600
    /// Refuses data of another cluster.
    package var expectedClusterID: String?
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
    var isClosed = false
  }

  /// Transactions of one group; more wait for the next.
  private static let maximumGroup = 1024

  private let configuration: Configuration
  private let logger: Logger
  private let queue = Mutex(Queue())
  private let wake = Semaphore()
  private let finished = Semaphore()
  private let observer = Mutex<(@Sendable ([StoreEvent], Revision) -> Void)?>(nil)
  private let reader: Mutex<SQLiteReader>
  private let oldest = Atomic<Int64>(0)
  package let clusterID: String
  /// Nothing before the first commit of this process is newer.
  private let firstRevision: Revision

  /// Opens or makes the file.
  /// - Throws: ``StoreError/refused(_:)`` for a file in use, a newer format, another cluster, an unreadable file.
  package init(_ configuration: Configuration, logger: Logger = Logger(label: "gantry.store")) throws(StoreError) {
    self.configuration = configuration
    self.logger = logger
    try Self.lock(configuration.path)
    let committer: SQLiteCommitter
    do throws(SQLite.Failure) {
      committer = try SQLiteCommitter(configuration)
      reader = Mutex(try SQLiteReader(path: configuration.path))
    } catch { throw .refused("cannot open \(configuration.path): \(error.message)") }
    guard committer.format <= SQLiteCommitter.format else {
      throw .refused(
        "\(configuration.path) was written by a newer release (format \(committer.format)): start that release, or restore a backup"
      )
    }
    if let expected = configuration.expectedClusterID, expected != committer.clusterID {
      throw .refused(
        "\(configuration.path) belongs to cluster \(committer.clusterID), not \(expected): give another --data-dir or --datastore")
    }
    clusterID = committer.clusterID
    firstRevision = committer.revision
    oldest.store(committer.compacted, ordering: .relaxed)
    let box = UncheckedBox(committer)
    Thread.start { [self] in run(box.value) }
  }

  /// One process a file: the lock lives as long as its descriptor.
  private static func lock(_ path: String) throws(StoreError) {
    let file = open("\(path).lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw .refused("cannot open \(path).lock: \(String(cString: strerror(errno)))") }
    guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
      var buffer = [UInt8](repeating: 0, count: 16)
      let count = max(0, Glibc.read(file, &buffer, buffer.count))
      let pid = String(decoding: buffer.prefix(count), as: UTF8.self).trimmingSuffix { $0.isWhitespace }
      Glibc.close(file)
      throw .refused("\(path) is in use by process \(pid): stop it, or give another --data-dir")
    }
    let pid = Array("\(getpid())\n".utf8)
    ftruncate(file, 0)
    _ = pid.withUnsafeBytes { Glibc.pwrite(file, $0.baseAddress, $0.count, 0) }
    // The descriptor stays open until the process ends or close() is called; its number is remembered by path.
    locks.withLock { $0[path] = file }
  }

  private static let locks = Mutex<[String: Int32]>([:])

  package func observe(_ observer: @escaping @Sendable ([StoreEvent], Revision) -> Void) {
    self.observer.withLock { $0 = observer }
  }

  package func commit(_ transaction: Transaction, completion: @escaping @Sendable (Result<Revision, StoreError>) -> Void) {
    if let fault = fault(of: transaction) { return completion(.failure(fault)) }
    let isClosed = queue.withLock { queue in
      if !queue.isClosed { queue.waiting.append(Waiting(transaction: transaction, completion: completion)) }
      return queue.isClosed
    }
    if isClosed { completion(.failure(.closed)) } else { wake.signal() }
  }

  private func fault(of transaction: Transaction) -> StoreError? {
    if transaction.writes.count > Transaction.maximumKeys {
      return .tooLarge("a transaction writes at most \(Transaction.maximumKeys) keys")
    }
    for case .put(let key, let value) in transaction.writes where value.count > Transaction.maximumValue {
      return .tooLarge("\(key) has \(value.count) bytes; at most \(Transaction.maximumValue) are stored")
    }
    return nil
  }

  package func close() {
    let wasClosed = queue.withLock { queue in
      defer { queue.isClosed = true }
      return queue.isClosed
    }
    guard !wasClosed else { return }
    wake.signal()
    finished.wait()
    reader.withLock { $0.close() }
    if let file = Self.locks.withLock({ $0.removeValue(forKey: configuration.path) }) { Glibc.close(file) }
  }

  // MARK: The committer's thread

  private func run(_ committer: SQLiteCommitter) {
    while true {
      let (group, isClosed) = queue.withLock { queue -> ([Waiting], Bool) in
        let group = Array(queue.waiting.prefix(Self.maximumGroup))
        queue.waiting.removeFirst(group.count)
        return (group, queue.isClosed && queue.waiting.isEmpty)
      }
      if group.isEmpty {
        if isClosed { break }
        wake.wait()
        continue
      }
      settle(group, committer)
      if committer.wantsCompaction {
        do throws(SQLite.Failure) { try committer.compact() } catch {
          logger.warning("compaction failed", metadata: ["error": "\(error.message)"])
        }
        oldest.store(committer.compacted, ordering: .releasing)
      }
    }
    committer.close()
    finished.signal()
  }

  private func settle(_ group: [Waiting], _ committer: SQLiteCommitter) {
    do throws(SQLite.Failure) {
      let outcomes = try committer.commit(group.map(\.transaction))
      let events = outcomes.flatMap(\.events)
      if !events.isEmpty { observer.withLock { $0 }?(events, committer.revision) }
      for (waiting, outcome) in zip(group, outcomes) { waiting.completion(outcome.result) }
    } catch {
      if error.isDiskFault { configuration.onDiskFault(error.message) }
      let reason: StoreError = error.isFull ? .full(path: configuration.path) : .failed("commit failed: \(error.message)")
      logger.error("commit failed", metadata: ["error": "\(error.message)"])
      for waiting in group { waiting.completion(.failure(reason)) }
    }
  }

  // MARK: Reads

  package func load() throws(StoreError) -> (records: [StoreRecord], revision: Revision) {
    (try reading { reader throws(SQLite.Failure) in try reader.load() }, firstRevision)
  }

  package func events(after revision: Revision, limit: Int) throws(StoreError) -> [StoreEvent] {
    let oldest = oldest.load(ordering: .acquiring)
    guard revision >= oldest else { throw .compacted(oldest: oldest) }
    return try reading { reader throws(SQLite.Failure) in try reader.events(after: revision, limit: limit) }
  }

  package func history(uid: String) throws(StoreError) -> StoreRecord? {
    try reading { reader throws(SQLite.Failure) in try reader.history(uid) }
  }
  package func blob(_ name: String) throws(StoreError) -> [UInt8]? {
    try reading { reader throws(SQLite.Failure) in try reader.blob(name) }
  }
  package func setBlob(_ name: String, _ value: [UInt8]) throws(StoreError) {
    try reading { reader throws(SQLite.Failure) in try reader.setBlob(name, value) }
  }
  package func backup(to path: String) throws(StoreError) {
    try reading { reader throws(SQLite.Failure) in try reader.backup(to: path) }
  }

  private func reading<R: Sendable>(_ body: (SQLiteReader) throws(SQLite.Failure) -> R) throws(StoreError) -> R {
    let result: Result<R, SQLite.Failure> = reader.withLock { reader in
      do throws(SQLite.Failure) { return .success(try body(reader)) } catch { return .failure(error) }
    }
    do throws(SQLite.Failure) { return try result.get() } catch {
      throw error.isFull ? .full(path: configuration.path) : .failed("cannot read \(configuration.path): \(error.message)")
    }
  }
}

extension String {
  fileprivate func trimmingSuffix(while predicate: (Character) -> Bool) -> String {
    var text = self[...]
    while let last = text.last, predicate(last) { text.removeLast() }
    return String(text)
  }
}

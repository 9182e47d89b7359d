import CSQLite
import Glibc

/// A connection to one SQLite file. Not thread-safe: its owner keeps it on one thread or behind a lock.
final class SQLite {
  struct Failure: Error {
    var code: Int32
    var message: String
    /// Extended codes of SQLITE_IOERR that are about memory shared between connections (no room for it) and about locks and memory.
    private static let noRoom: Set<Int32> = [18, 19, 21]
    private static let noDisk: Set<Int32> = [8, 9, 12, 13, 14, 15, 20]

    private var detail: Int32 { code >> 8 }
    var isFull: Bool { code & 0xff == SQLITE_FULL || code & 0xff == SQLITE_IOERR && Self.noRoom.contains(detail) }
    /// An error of the disk itself, after which nothing is known about what was written.
    var isDiskFault: Bool { code & 0xff == SQLITE_IOERR && !Self.noRoom.contains(detail) && !Self.noDisk.contains(detail) }
    var isCorruption: Bool { code & 0xff == SQLITE_CORRUPT || code & 0xff == SQLITE_NOTADB }

    func storeError(path: String) -> StoreError {
      if isFull { return .full(path: path) }
      if isCorruption { return .corrupted(path: path, message) }
      return .failed("\(path): \(message)")
    }
  }

  private let handle: OpaquePointer

  /// Opens a file, or makes one that only its owner can read.
  init(path: String) throws(Failure) {
    // SQLite gives -wal and -shm the mode of the file itself. Only a file that is not there is opened here: closing any descriptor of one
    // that another connection of this process has open would drop that connection's record locks, and with them all protection from
    // other processes, who would take themselves for the last and delete the write-ahead log.
    let file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    if file >= 0 { Glibc.close(file) }
    var handle: OpaquePointer?
    let code = sqlite3_open_v2(
      path, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nil)
    guard code == SQLITE_OK, let handle else {
      let message = handle.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
      sqlite3_close(handle)
      throw Failure(code: code, message: message)
    }
    self.handle = handle
  }

  private(set) var isClosed = false

  /// Ends every statement too: a connection with one left over would keep the file locked.
  func close() {
    guard !isClosed else { return }
    isClosed = true
    while let statement = sqlite3_next_stmt(handle, nil) { sqlite3_finalize(statement) }
    sqlite3_close_v2(handle)
  }

  deinit { close() }

  var failure: Failure { Failure(code: sqlite3_extended_errcode(handle), message: String(cString: sqlite3_errmsg(handle))) }

  func run(_ sql: String) throws(Failure) {
    guard sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK else { throw failure }
  }

  var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

  func prepare(_ sql: String) throws(Failure) -> Statement {
    var statement: OpaquePointer?
    guard sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil) == SQLITE_OK, let statement else {
      throw failure
    }
    return Statement(statement, self)
  }

  /// Copies the whole database into another file while it is in use.
  func backup(to path: String) throws(Failure) {
    let target = try SQLite(path: path)
    defer { target.close() }
    guard let backup = sqlite3_backup_init(target.handle, "main", handle, "main") else { throw target.failure }
    let code = sqlite3_backup_step(backup, -1)
    sqlite3_backup_finish(backup)
    guard code == SQLITE_DONE else { throw target.failure }
  }

  final class Statement {
    private let statement: OpaquePointer
    private let database: SQLite

    init(_ statement: OpaquePointer, _ database: SQLite) {
      self.statement = statement
      self.database = database
    }

    deinit { if !database.isClosed { sqlite3_finalize(statement) } }

    enum Argument {
      case int(Int64)
      case bytes([UInt8])
      case text(String)
      case null
    }

    private static let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

    /// Binds, steps through every row and resets.
    func run(_ arguments: [Argument], _ row: (Statement) throws(Failure) -> Void = { _ in }) throws(Failure) {
      defer { sqlite3_reset(statement) }
      for (i, argument) in arguments.enumerated() {
        let position = Int32(i + 1)
        switch argument {
        case .int(let value): sqlite3_bind_int64(statement, position, value)
        case .text(let value): sqlite3_bind_text(statement, position, value, -1, Self.transient)
        case .null: sqlite3_bind_null(statement, position)
        case .bytes(let value):
          _ = value.withUnsafeBytes {
            sqlite3_bind_blob64(
              statement, position, $0.baseAddress ?? UnsafeRawPointer(bitPattern: 1), UInt64($0.count), Self.transient)
          }
        }
      }
      while true {
        switch sqlite3_step(statement) {
        case SQLITE_ROW: try row(self)
        case SQLITE_DONE: return
        default: throw database.failure
        }
      }
    }

    /// Binds a row of the log and inserts it. Nothing is copied: the bytes outlive the step.
    func insert(row: Int64, key: [UInt8], isDeleted: Bool, value: [UInt8]?) throws(Failure) {
      let code = key.withUnsafeBytes { key in
        func finish(_ value: UnsafeRawBufferPointer?) -> Int32 {
          sqlite3_bind_int64(statement, 1, row)
          sqlite3_bind_blob64(statement, 2, key.baseAddress, UInt64(key.count), nil)
          sqlite3_bind_int64(statement, 3, isDeleted ? 1 : 0)
          if let value {
            sqlite3_bind_blob64(statement, 4, value.baseAddress ?? UnsafeRawPointer(bitPattern: 1), UInt64(value.count), nil)
          } else {
            sqlite3_bind_null(statement, 4)
          }
          return sqlite3_step(statement)
        }
        return if let value { value.withUnsafeBytes { finish($0) } } else { finish(nil) }
      }
      let failure = code == SQLITE_DONE ? nil : database.failure
      sqlite3_reset(statement)
      sqlite3_clear_bindings(statement)
      if let failure { throw failure }
    }

    func int(_ column: Int32) -> Int64 { sqlite3_column_int64(statement, column) }
    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(statement, column) == SQLITE_NULL }

    func bytes(_ column: Int32) -> [UInt8] {
      guard let start = sqlite3_column_blob(statement, column) else { return [] }
      return Array(UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, column))))
    }
  }
}

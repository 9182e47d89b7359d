import Glibc
import Synchronization

/// One process a file: the lock lives as long as its descriptor.
final class FileLock: Sendable {
  private let descriptor: Mutex<Int32>
  private let path: String

  /// Makes the file's directory (0700) where it does not exist, and locks `PATH.lock`.
  /// - Throws: ``StoreError/refused(_:)`` that names the process which holds it.
  init(_ path: String) throws(StoreError) {
    self.path = path
    try Self.makeDirectory(of: path)
    let file = open("\(path).lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw .refused("cannot open \(path).lock: \(String(cString: strerror(errno)))") }
    // The holder may be on its way out: a process that was just killed, whose files the kernel closes a moment later, or a program that
    // this process is about to start, with a copy of our old descriptor until its exec. Both take milliseconds; a second is waited for
    // them, in small steps, since flock has no deadline of its own.
    let isOurs = Self.held.withLock { $0.contains(path) }
    var isFree = flock(file, LOCK_EX | LOCK_NB) == 0
    for _ in 0..<50 where !isFree && !isOurs {
      usleep(20_000)
      isFree = flock(file, LOCK_EX | LOCK_NB) == 0
    }
    guard isFree else {
      var buffer = [UInt8](repeating: 0, count: 16)
      let count = max(0, Glibc.read(file, &buffer, buffer.count))
      Glibc.close(file)
      let pid = String(decoding: buffer.prefix(count).prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
      throw .refused("\(path) is in use by process \(pid): stop it, or give another --data-dir")
    }
    let pid = Array("\(getpid())\n".utf8)
    ftruncate(file, 0)
    _ = pid.withUnsafeBytes { Glibc.pwrite(file, $0.baseAddress, $0.count, 0) }
    descriptor = Mutex(file)
    Self.held.withLock { _ = $0.insert(path) }
  }

  /// Paths that this process holds.
  private static let held = Mutex<Set<String>>([])

  deinit { release() }

  func release() {
    descriptor.withLock { file in
      guard file >= 0 else { return }
      Self.held.withLock { _ = $0.remove(path) }
      Glibc.close(file)
      file = -1
    }
  }

  private static func directory(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  static func makeDirectory(of path: String) throws(StoreError) {
    let directory = directory(of: path)
    guard mkdir(directory, 0o700) != 0, errno != EEXIST else { return }
    throw .refused("cannot make \(directory): \(String(cString: strerror(errno)))")
  }

  static func syncDirectory(of path: String) {
    let file = open(directory(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard file >= 0 else { return }
    fsync(file)
    Glibc.close(file)
  }
}

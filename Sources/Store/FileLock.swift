import CLinux
import Glibc
import Synchronization

/// One process a file: a lock that ends with its process, however that ends.
///
/// A record lock of fcntl, not flock: children never have a copy of it (a program that is being started holds nothing up), and the kernel
/// says who holds it. Its one trap, that closing any descriptor of the file lets go of it, is why everything that opens the file is here.
package final class FileLock: Sendable {
  package enum Failure: Error {
    /// Somebody else has it; 0 where that cannot be seen from here (another pid namespace).
    case held(by: pid_t)
    case unusable(String)
  }

  /// Milliseconds that a holder which is ending is waited for: its files are closed before its end is told.
  private static let patience: Int32 = 1000

  private struct Identity: Hashable {
    var device: UInt64
    var inode: UInt64
  }

  /// What this process holds: to itself, fcntl would give it again.
  private static let own = Mutex<Set<Identity>>([])

  private struct State {
    var descriptor: Int32
    var identity: Identity
  }
  private let state: Mutex<State?>

  /// Locks a file, which is made (0600) where it does not exist, and writes the pid into it for people who look.
  package init(_ path: String) throws(Failure) {
    state = Mutex(
      try Self.own.withLock { own throws(Failure) in
        if let identity = Self.identity(path), own.contains(identity) { throw .held(by: getpid()) }
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw .unusable("cannot open \(path): \(String(cString: strerror(errno)))") }
        if !Self.take(file) {
          // Killed a moment ago, it still dies: told by its pidfd, not by asking again and again.
          if let holder = Self.holder(file) { _ = gantry_wait_for_exit(holder, Self.patience) }
          if !Self.take(file) {
            let holder = Self.holder(file) ?? 0
            close(file)
            throw .held(by: holder)
          }
        }
        guard let identity = Self.identity(path) else {
          close(file)
          throw .unusable("\(path) went away while it was locked")
        }
        let line = Array("\(getpid())\n".utf8)
        ftruncate(file, 0)
        _ = line.withUnsafeBytes { pwrite(file, $0.baseAddress, $0.count, 0) }
        own.insert(identity)
        return State(descriptor: file, identity: identity)
      })
  }

  deinit { release() }

  package func release() {
    state.withLock { state in
      guard let held = state else { return }
      Self.own.withLock { own in
        own.remove(held.identity)
        close(held.descriptor)
      }
      state = nil
    }
  }

  /// Who holds a file; nil where nobody does or there is no such file.
  package static func holder(of path: String) -> pid_t? {
    own.withLock { own in
      if let identity = identity(path), own.contains(identity) { return getpid() }
      let file = open(path, O_RDONLY | O_CLOEXEC)
      guard file >= 0 else { return nil }
      defer { close(file) }
      return holder(file)
    }
  }

  private static func whole() -> flock {
    flock(l_type: Int16(F_WRLCK), l_whence: Int16(SEEK_SET), l_start: 0, l_len: 0, l_pid: 0)
  }

  private static func take(_ file: Int32) -> Bool {
    var region = whole()
    return fcntl(file, F_SETLK, &region) == 0
  }

  private static func holder(_ file: Int32) -> pid_t? {
    var region = whole()
    guard fcntl(file, F_GETLK, &region) == 0, region.l_type != Int16(F_UNLCK) else { return nil }
    return region.l_pid
  }

  private static func identity(_ path: String) -> Identity? {
    var status = stat()
    return stat(path, &status) == 0 ? Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino)) : nil
  }
}

import Glibc
import Store

/// The directory that holds one instance's state: made private, and told who runs from it.
struct DataDirectory {
  let path: String

  func prepare() throws {
    var made = ""
    for component in path.split(separator: "/") {
      made += "/\(component)"
      if mkdir(made, made == path ? 0o700 : 0o755) != 0, errno != EEXIST {
        throw StartFailure("cannot make \(made): \(String(cString: strerror(errno))); give another --data-dir")
      }
    }
    var facts = stat()
    guard stat(path, &facts) == 0, facts.st_mode & S_IFMT == S_IFDIR else {
      throw StartFailure("\(path) is not a directory; give another --data-dir")
    }
    guard access(path, W_OK) == 0 else {
      throw StartFailure("cannot write to \(path): \(String(cString: strerror(errno))); run as root or give another --data-dir")
    }
    chmod(path, 0o700)
  }

  /// Writes a file whole or not at all, also where the power goes.
  /// - Parameter mayKeep: where the disk is full, the file that is there stays, and the answer is false.
  @discardableResult
  func write(_ text: String, to name: String, mode: mode_t = 0o600, mayKeep: Bool = false) throws -> Bool {
    let target = "\(path)/\(name)"
    let part = "\(target).part"
    let file = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    defer {
      close(file)
      close(directory)
    }
    let bytes = Array(text.utf8)
    guard file >= 0, directory >= 0,
      bytes.withUnsafeBytes({ Glibc.write(file, $0.baseAddress, $0.count) }) == bytes.count, fsync(file) == 0,
      rename(part, target) == 0, fsync(directory) == 0
    else {
      let reason = errno
      unlink(part)
      // What stands there was good yesterday; a full disk must not keep a server down through which it can be freed.
      if reason == ENOSPC, mayKeep, access(target, F_OK) == 0 { return false }
      let advice = reason == ENOSPC ? "; free space on that disk and start again: nothing is lost" : ""
      throw StartFailure("cannot write \(target): \(String(cString: strerror(reason)))\(advice)")
    }
    return true
  }

  static let clusterFile = "cluster-id"

  /// The cluster that this directory has belonged to since its first start.
  var clusterID: String? {
    let text = contents(Self.clusterFile)?.prefix { !$0.isWhitespace } ?? ""
    return text.isEmpty ? nil : String(text)
  }

  private var lockPath: String { "\(path)/gantry.lock" }

  /// Claims the directory for this process, as long as the lock is kept.
  func lock() throws -> FileLock {
    do throws(FileLock.Failure) { return try FileLock(lockPath) } catch {
      switch error {
      case .held(let pid):
        throw StartFailure(
          "\(path) is in use by process \(pid): stop it (gantry down --data-dir \(path)), or give another --data-dir")
      case .unusable(let why): throw StartFailure(why)
      }
    }
  }

  /// False: it is there, and this user may not look into it.
  var isReadable: Bool { access(path, X_OK) == 0 || errno != EACCES }

  /// The process that runs from this directory, or nil: whoever holds the lock, so that a file that outlived its process counts for nothing.
  var runningProcess: pid_t? { FileLock.holder(of: lockPath) }

  /// A file of the directory, whole.
  func contents(_ name: String) -> String? { read("\(path)/\(name)") }

  func read(_ path: String) -> String? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    while true {
      let chunk = [UInt8](unsafeUninitializedCapacity: 16384) { buffer, count in
        count = max(0, Glibc.read(file, buffer.baseAddress, buffer.count))
      }
      if chunk.isEmpty { return String(decoding: bytes, as: UTF8.self) }
      bytes += chunk
    }
  }
}

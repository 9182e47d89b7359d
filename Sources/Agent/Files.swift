import CLinux
import NIOPosix

#if canImport(Glibc)
  import Glibc
#endif

/// The few things that the agent does with files. Paths come from the agent itself, never from a container.
package enum Files {
  /// Runs on a thread that may block: neither tasks nor event loops wait for a disk.
  static func offThread<R: Sendable>(_ body: @escaping @Sendable () -> R) async -> R {
    (try? await NIOThreadPool.singleton.runIfActive(body)) ?? body()
  }

  static func failure(_ what: String, _ path: String) -> AgentFailure {
    AgentFailure("\(what) \(path): \(String(cString: strerror(errno)))")
  }

  static func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
  }

  static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  static func makeDirectory(_ path: String, mode: mode_t = 0o750) throws(AgentFailure) {
    var made = ""
    for part in path.split(separator: "/") {
      made += "/\(part)"
      guard mkdir(made, made == path ? mode : 0o755) == 0 || errno == EEXIST || (errno == EROFS && isDirectory(made)) else {
        throw failure("cannot make directory", made)
      }
    }
  }

  /// - Returns: nil where there is none or it is longer than the limit.
  static func read(_ path: String, limit: Int = 64 << 20) -> [UInt8]? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    return read(file, limit: limit)
  }

  static func read(_ file: Int32, limit: Int) -> [UInt8]? {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = Glibc.read(file, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { return nil }
      if count == 0 { return bytes }
      bytes += chunk[..<count]
      if bytes.count > limit { return nil }
    }
  }

  static func text(_ path: String) -> String? {
    read(path, limit: 1 << 20).map { String(decoding: $0, as: UTF8.self) }
  }

  static func write(_ bytes: some Collection<UInt8>, to path: String, mode: mode_t = 0o644) throws(AgentFailure) {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
    guard file >= 0 else { throw failure("cannot write", path) }
    defer { close(file) }
    fchmod(file, mode)
    var rest = Array(bytes)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw failure("cannot write", path) }
      rest = rest.dropFirst(count)
    }
  }

  /// Written beside and renamed, so that a reader sees the old or the new.
  static func replace(_ bytes: some Collection<UInt8>, at path: String, mode: mode_t = 0o600) throws(AgentFailure) {
    try write(bytes, to: "\(path).part", mode: mode)
    guard rename("\(path).part", path) == 0 else { throw failure("cannot write", path) }
  }

  static func entries(_ path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Takes a tree away, however deep it is and whatever its names are; follows no link and leaves what is mounted.
  ///
  /// Two directories are open at a time: what lies deeper is moved up first.
  package static func remove(_ path: String) {
    if unlink(path) == 0 { return }
    guard let top = openDirectory(AT_FDCWD, path, resolve: 0) else { return }
    var moved: UInt64 = 0
    while clear(top, top: top, &moved) {}
    closedir(top)
    rmdir(path)
  }

  private static func openDirectory(_ directory: Int32, _ name: UnsafePointer<CChar>, resolve: Int32) -> OpaquePointer? {
    let flags = UInt64(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    let file = gantry_openat2(directory, name, flags, 0, UInt64(resolve))
    guard file >= 0 else { return nil }
    guard let stream = fdopendir(file) else {
      close(file)
      return nil
    }
    return stream
  }

  /// One pass through a directory: files go; directories are emptied into `top` and go, or are moved there.
  /// - Returns: whether anything has changed, and so whether another pass may do more.
  private static func clear(_ stream: OpaquePointer, top: OpaquePointer, _ moved: inout UInt64) -> Bool {
    let directory = dirfd(stream)
    var hasChanged = false
    rewinddir(stream)
    while let entry = readdir(stream) {
      withUnsafePointer(to: &entry.pointee.d_name) { field in
        // As bytes: a name need not be text.
        field.withMemoryRebound(to: CChar.self, capacity: 256) { name in
          if strcmp(name, ".") == 0 || strcmp(name, "..") == 0 { return }
          if unlinkat(directory, name, 0) == 0 || unlinkat(directory, name, AT_REMOVEDIR) == 0 { return hasChanged = true }
          guard errno == ENOTEMPTY || errno == EEXIST else { return }
          if stream != top {
            moved += 1
            if renameat(directory, name, dirfd(top), "..gantry-\(moved)") == 0 { hasChanged = true }
            return
          }
          let isMine = GANTRY_RESOLVE_BENEATH | GANTRY_RESOLVE_NO_XDEV
          guard let child = openDirectory(directory, name, resolve: isMine) else { return }
          while clear(child, top: top, &moved) { hasChanged = true }
          closedir(child)
          if unlinkat(directory, name, AT_REMOVEDIR) == 0 { hasChanged = true }
        }
      }
    }
    return hasChanged
  }

  /// Everything that is mounted at or beneath a directory, deepest first.
  static func mounts(beneath path: String) -> [String] {
    let lines = read("/proc/self/mountinfo").map { String(decoding: $0, as: UTF8.self) } ?? ""
    return lines.split(separator: "\n").compactMap { line -> String? in
      let fields = line.split(separator: " ")
      guard fields.count > 4 else { return nil }
      let point = String(fields[4]).replacing("\\040", with: " ").replacing("\\011", with: "\t").replacing("\\134", with: "\\")
      return point == path || point.hasPrefix(path + "/") ? point : nil
    }.reversed()
  }

  static func unmountAll(beneath path: String) {
    for point in mounts(beneath: path) { _ = gantry_unmount(point) }
  }
}

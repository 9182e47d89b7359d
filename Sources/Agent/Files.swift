import CLinux

#if canImport(Glibc)
  import Glibc
#endif

/// The few things that the agent does with files. Paths come from the agent itself, never from a container.
enum Files {
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

  /// Takes a tree away; follows no link and leaves what is mounted.
  static func remove(_ path: String) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    if status.st_mode & S_IFMT == S_IFDIR {
      for name in entries(path) { remove("\(path)/\(name)") }
      rmdir(path)
    } else {
      unlink(path)
    }
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

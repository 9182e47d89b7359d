import CLinux

#if canImport(Glibc)
  import Glibc
#endif

/// A directory or file inside a volume, bound to a place of the agent's own, so that a container that changes links in its volume
/// cannot lead the runtime out of it.
enum SubPath {
  private static let flags = UInt64(GANTRY_O_PATH | Int32(O_CLOEXEC))

  /// - Parameter target: where it is bound; made if missing.
  static func bind(volume: String, path: String, target: String) throws(AgentFailure) {
    guard !path.hasPrefix("/"), !path.split(separator: "/").contains("..") else {
      throw AgentFailure("subPath \"\(path)\" must be a relative path without '..'")
    }
    let root = open(volume, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard root >= 0 else { throw Files.failure("cannot open", volume) }
    defer { close(root) }
    var file = gantry_openat2(root, path, flags, 0, UInt64(GANTRY_RESOLVE_BENEATH))
    if file < 0, errno == ENOENT {
      // Made step by step, each beneath the one before.
      // With the permissions of the volume itself, so that who may write to it may write to its part.
      var whole = stat()
      let mode = fstat(root, &whole) == 0 ? whole.st_mode & 0o7777 : 0o750
      var directory = dup(root)
      for part in path.split(separator: "/") where part != "." {
        let isNew = mkdirat(directory, String(part), 0o750) == 0
        let next = gantry_openat2(
          directory, String(part), UInt64(O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0, UInt64(GANTRY_RESOLVE_BENEATH))
        close(directory)
        guard next >= 0 else { throw Files.failure("cannot make subPath", path) }
        if isNew {
          fchown(next, uid_t.max, whole.st_gid)
          fchmod(next, mode)
        }
        directory = next
      }
      close(directory)
      file = gantry_openat2(root, path, flags, 0, UInt64(GANTRY_RESOLVE_BENEATH))
    }
    guard file >= 0 else {
      if errno == EXDEV { throw AgentFailure("\(path) leads out of the volume") }
      throw Files.failure("cannot open subPath", path)
    }
    defer { close(file) }
    var status = stat()
    guard fstat(file, &status) == 0 else { throw Files.failure("cannot open subPath", path) }
    if Files.mounts(beneath: target).contains(target) { _ = gantry_unmount(target) }
    if status.st_mode & S_IFMT == S_IFDIR {
      try Files.makeDirectory(target, mode: 0o750)
    } else {
      if let slash = target.lastIndex(of: "/") { try Files.makeDirectory(String(target[..<slash]), mode: 0o750) }
      if !Files.exists(target) { try Files.write([], to: target, mode: 0o640) }
    }
    guard gantry_mount("/proc/self/fd/\(file)", target, nil, UInt(GANTRY_MS_BIND), nil) == 0 else {
      throw Files.failure("cannot bind subPath to", target)
    }
  }
}

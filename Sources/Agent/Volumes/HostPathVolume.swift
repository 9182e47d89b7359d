import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// A path of the node itself, checked or made as its `type` says.
enum HostPathVolume {
  static func check(_ source: Value) throws(AgentFailure) -> String {
    let path = source["path"].string ?? ""
    guard path.hasPrefix("/") else { throw AgentFailure("hostPath \"\(path)\" is not absolute") }
    var status = stat()
    let exists = stat(path, &status) == 0
    let kind = exists ? status.st_mode & S_IFMT : 0
    let type = source["type"].string ?? ""
    switch type {
    case "DirectoryOrCreate":
      if !exists { try Files.makeDirectory(path, mode: 0o755) } else if kind != S_IFDIR { throw wrong(path, "a directory") }
    case "FileOrCreate":
      if !exists { try Files.write([], to: path, mode: 0o644) } else if kind != S_IFREG { throw wrong(path, "a file") }
    case "Directory": if kind != S_IFDIR { throw wrong(path, "a directory") }
    case "File": if kind != S_IFREG { throw wrong(path, "a file") }
    case "Socket": if kind != S_IFSOCK { throw wrong(path, "a socket file") }
    case "CharDevice": if kind != S_IFCHR { throw wrong(path, "a character device") }
    case "BlockDevice": if kind != S_IFBLK { throw wrong(path, "a block device") }
    default: if !exists { try Files.makeDirectory(path, mode: 0o755) }
    }
    return path
  }

  private static func wrong(_ path: String, _ kind: String) -> AgentFailure {
    AgentFailure("hostPath type check failed: \(path) is not \(kind)")
  }
}

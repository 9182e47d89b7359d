#if canImport(Glibc)
  import Glibc
#endif

/// Files of a volume that change all at once: every name is a link into `..data`, which is a link to the newest directory.
/// Readers see the old set or the new one; the layout is upstream's, programs depend on it.
enum AtomicWriter {
  struct File: Sendable {
    /// Relative, without `..`.
    var path: String
    var bytes: [UInt8]
    var mode: mode_t
    /// nil: root.
    var owner: uid_t?
  }

  /// - Returns: false where everything was so already.
  @discardableResult
  static func write(_ files: [File], to directory: String, group: gid_t?) throws(AgentFailure) -> Bool {
    for file in files where file.path.isEmpty || file.path.hasPrefix("/") || file.path.split(separator: "/").contains("..") {
      throw AgentFailure("\"\(file.path)\" is no path inside a volume")
    }
    let link = "\(directory)/..data"
    if Files.exists(link), isCurrent(files, "\(directory)/..data") { return false }
    let time = Moment.now().nanoseconds
    let name = "..\(time)"
    let target = "\(directory)/\(name)"
    try Files.makeDirectory(target, mode: 0o755)
    for file in files {
      let path = "\(target)/\(file.path)"
      if let slash = path.lastIndex(of: "/") { try Files.makeDirectory(String(path[..<slash]), mode: 0o755) }
      try Files.write(file.bytes, to: path, mode: file.mode)
      if let owner = file.owner { chown(path, owner, gid_t.max) }
      if let group {
        chown(path, uid_t.max, group)
        chmod(path, file.mode | 0o440)
      }
    }
    let old = readLink(link)
    unlink("\(directory)/..data_tmp")
    guard symlink(name, "\(directory)/..data_tmp") == 0, rename("\(directory)/..data_tmp", link) == 0 else {
      throw Files.failure("cannot replace", link)
    }
    let wanted = Set(files.compactMap { $0.path.split(separator: "/").first.map(String.init) })
    for entry in wanted where !Files.exists("\(directory)/\(entry)") { symlink("..data/\(entry)", "\(directory)/\(entry)") }
    for entry in Files.entries(directory) where !entry.hasPrefix("..") && !wanted.contains(entry) {
      unlink("\(directory)/\(entry)")
    }
    if let old, old != name, old.hasPrefix(".."), !old.contains("/") { Files.remove("\(directory)/\(old)") }
    return true
  }

  private static func readLink(_ path: String) -> String? {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink(path, &buffer, buffer.count)
    return count > 0 ? String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
  }

  private static func isCurrent(_ files: [File], _ directory: String) -> Bool {
    func walk(_ path: String, _ prefix: String) -> [String] {
      Files.entries(path).flatMap { name in
        Files.isDirectory("\(path)/\(name)") ? walk("\(path)/\(name)", "\(prefix)\(name)/") : ["\(prefix)\(name)"]
      }
    }
    guard Set(walk(directory, "")) == Set(files.map(\.path)) else { return false }
    return files.allSatisfy { Files.read("\(directory)/\($0.path)") == $0.bytes }
  }
}

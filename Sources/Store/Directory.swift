import Glibc

/// The directory of a file.
enum Directory {
  private static func name(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Makes it (0700) where it does not exist.
  static func make(for path: String) throws(StoreError) {
    let directory = name(of: path)
    guard mkdir(directory, 0o700) != 0, errno != EEXIST else { return }
    throw .refused("cannot make \(directory): \(String(cString: strerror(errno)))")
  }

  /// Makes a rename or a new file in it durable.
  static func sync(for path: String) {
    let file = open(name(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard file >= 0 else { return }
    fsync(file)
    Glibc.close(file)
  }
}

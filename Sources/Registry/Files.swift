import Crypto
import Glibc

/// The few file operations that the registry needs: whole small files written atomically, digests, listings.
enum Files {
  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  static func size(_ path: String) -> Int? {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : nil
  }

  /// Seconds since 1970.
  static func modified(_ path: String) -> Int? {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_mtim.tv_sec) : nil
  }

  /// Makes a file as young as one that was just written.
  static func touch(_ path: String) { utimensat(AT_FDCWD, path, nil, 0) }

  static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Marks this process's unfinished files among those of earlier ones. No tag, repository, digest or upload begins with a point.
  private static let writer = String(UInt64.random(in: .min ... .max), radix: 16)

  static func isLeftover(_ name: String) -> Bool { name.hasPrefix(".") && !name.hasSuffix(".\(writer)") }

  /// The names in a directory.
  /// - Parameter parts: also those of files that are still being written.
  static func list(_ directory: String, parts: Bool = false) -> [String] {
    guard let handle = opendir(directory) else { return [] }
    defer { closedir(handle) }
    var names: [String] = []
    while let entry = readdir(handle) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." && (parts || !name.hasPrefix(".")) { names.append(name) }
    }
    return names
  }

  static func read(_ path: String) -> [UInt8]? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    while true {
      let chunk = [UInt8](unsafeUninitializedCapacity: 64 << 10) { buffer, count in
        count = max(0, Glibc.read(file, buffer.baseAddress, buffer.count))
      }
      if chunk.isEmpty { return bytes }
      bytes += chunk
    }
  }

  /// The first error becomes a refusal that says what to do.
  static func failure(_ what: String, _ path: String) -> RegistryError {
    let code = errno
    let reason = String(cString: strerror(code))
    return code == ENOSPC || code == EDQUOT
      ? RegistryError(.unavailable, "the registry's disk is full: free space at \(path), then push again")
      : RegistryError(.unavailable, "cannot \(what) \(path): \(reason)", status: 500)
  }

  static func makeDirectory(_ path: String) throws(RegistryError) {
    var made = path.hasPrefix("/") ? "" : "."
    for component in path.split(separator: "/") {
      made += "/\(component)"
      if mkdir(made, 0o700) != 0, errno != EEXIST { throw failure("make directory", made) }
    }
  }

  static func parent(_ path: String) -> String { String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) }

  /// Writes the whole file under another name, then renames: readers see the old or the new one.
  static func write(_ bytes: [UInt8], to path: String) throws(RegistryError) {
    let directory = parent(path)
    try makeDirectory(directory)
    let part = "\(directory)/.\(path.dropFirst(directory.utf8.count + 1)).\(UInt64.random(in: .min ... .max)).\(writer)"
    let file = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw failure("write", path) }
    var offset = 0
    while offset < bytes.count {
      let written = bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress! + offset, bytes.count - offset) }
      guard written > 0 else {
        let error = failure("write", path)
        close(file)
        unlink(part)
        throw error
      }
      offset += written
    }
    close(file)
    do throws(RegistryError) { try finish(part, as: path) } catch {
      unlink(part)
      throw error
    }
  }

  /// Gives a finished file its name and makes both durable.
  static func rename(_ path: String, to target: String) throws(RegistryError) {
    try makeDirectory(parent(target))
    try finish(path, as: target)
  }

  private static func finish(_ path: String, as target: String) throws(RegistryError) {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw failure("open", path) }
    let synced = fsync(file)
    close(file)
    guard synced == 0, Glibc.rename(path, target) == 0 else { throw failure("rename", path) }
    let directory = open(parent(target), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { throw failure("open", parent(target)) }
    defer { close(directory) }
    guard fsync(directory) == 0 else { throw failure("write", parent(target)) }
  }

  static func digest(of bytes: [UInt8]) -> Digest { digest(SHA256.hash(data: bytes)) }

  private static func digest(_ hash: SHA256.Digest) -> Digest {
    let digits = Array("0123456789abcdef".utf8)
    let hex = hash.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    guard let digest = Digest(hex: String(decoding: hex, as: UTF8.self)) else { preconditionFailure("SHA-256 has 32 bytes") }
    return digest
  }

  /// Reads a file in pieces of 1 MB.
  static func digest(_ path: String) throws(RegistryError) -> Digest {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw RegistryError(.blobUploadUnknown, "the upload is gone: start it again") }
    defer { close(file) }
    var hash = SHA256()
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { buffer.deallocate() }
    while true {
      let count = Glibc.read(file, buffer.baseAddress, buffer.count)
      if count < 0 { throw failure("read", path) }
      if count == 0 { return digest(hash.finalize()) }
      hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
  }
}

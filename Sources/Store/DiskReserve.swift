import Glibc

/// Room on the store's disk that is held back, so that a full disk can still be freed by deleting: a file beside the store's, let go when
/// a deletion finds no room, and held again before anything else is written.
///
/// Used by the committer's thread alone.
final class DiskReserve {
  private let path: String
  private let limit: Int64
  /// What is held, or was and is to be again; a small disk gives a quarter of what it has free when the store opens.
  private(set) var bytes: Int64 = 0
  private(set) var isHeld = false
  /// Given back, and not held again yet.
  private(set) var isReleased = false

  init(store: String, limit: Int64) {
    path = store + ".reserve"
    self.limit = limit
  }

  /// Takes the room, if an eighth of it is free beside it: else it would be let go and taken again with every deletion.
  /// - Returns: whether it is held.
  @discardableResult
  func hold() -> Bool {
    if isHeld || limit == 0 { return true }
    let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard file >= 0 else { return false }
    defer { Glibc.close(file) }
    // A process that was killed has left its own behind: that room is held already, however full the disk is.
    var info = stat()
    if fstat(file, &info) == 0, info.st_size > 0, info.st_blocks * 512 >= info.st_size {
      bytes = Int64(info.st_size)
      (isHeld, isReleased) = (true, false)
      return true
    }
    var system = statvfs()
    guard fstatvfs(file, &system) == 0 else { return false }
    let free = Int64(clamping: system.f_bavail) * Int64(clamping: system.f_frsize)
    if bytes == 0 { bytes = min(limit, free / 4) }
    guard bytes > 0, free >= bytes + bytes / 8, posix_fallocate(file, 0, off_t(bytes)) == 0 else {
      _ = ftruncate(file, 0)
      return false
    }
    (isHeld, isReleased) = (true, false)
    return true
  }

  /// Gives the room back to the disk.
  /// - Returns: false where there was none.
  func release() -> Bool {
    guard isHeld else { return false }
    (isHeld, isReleased) = (false, true)
    return truncate(path, 0) == 0
  }

  /// An orderly end leaves nothing: the next start may need the room itself.
  func remove() {
    isHeld = false
    unlink(path)
  }
}

import Glibc
import Wire

extension RegistryStorage {
  package struct Garbage: Equatable, Sendable {
    package var blobs: Int
    package var bytes: Int
    package var uploads: Int

    package init(blobs: Int = 0, bytes: Int = 0, uploads: Int = 0) {
      (self.blobs, self.bytes, self.uploads) = (blobs, bytes, uploads)
    }
  }

  /// Deletes what earlier processes had begun to write when they ended. Nobody else writes here.
  /// - Returns: how many files there were.
  @discardableResult
  package func removeLeftovers() -> Int {
    var count = 0
    var waiting = [directory]
    while let path = waiting.popLast() {
      for name in Files.list(path, parts: true) {
        if Files.isLeftover(name) {
          count += unlink("\(path)/\(name)") == 0 ? 1 : 0
        } else if Files.isDirectory("\(path)/\(name)") {
          waiting.append("\(path)/\(name)")
        }
      }
    }
    return count
  }

  /// Deletes blobs that no manifest names and uploads that nobody finished, where they have not been touched for `grace` seconds: a
  /// push uploads its blobs, or asks whether they are there, before the manifest that names them.
  /// - Parameter now: seconds since 1970.
  package func collectGarbage(now: Int, grace: Int = 24 * 3600) -> Garbage {
    var garbage = Garbage()
    var named: Set<String> = []
    for name in repositories() {
      for manifest in Files.list("\(directory)/repositories/\(name)/_manifests") {
        named.insert(manifest)
        guard let digest = Digest(hex: manifest), let bytes = Files.read(path(digest)), let value = try? Value(json: bytes) else {
          continue
        }
        for blob in [value["config"]] + (value["layers"].array ?? []) {
          if let digest = blob["digest"].string.flatMap({ Digest($0) }) { named.insert(digest.hex) }
        }
      }
    }
    for prefix in Files.list("\(directory)/blobs/sha256") {
      for hex in Files.list("\(directory)/blobs/sha256/\(prefix)") where !named.contains(hex) {
        let path = "\(directory)/blobs/sha256/\(prefix)/\(hex)"
        guard let touched = Files.modified(path), now - touched > grace else { continue }
        garbage.bytes += Files.size(path) ?? 0
        garbage.blobs += 1
        unlink(path)
      }
    }
    for id in Files.list("\(directory)/uploads") {
      guard let touched = Files.modified("\(directory)/uploads/\(id)"), now - touched > grace else { continue }
      garbage.uploads += 1
      unlink("\(directory)/uploads/\(id)")
    }
    return garbage
  }
}

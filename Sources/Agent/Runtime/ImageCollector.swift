import Logging
import RPC
import Wire

/// Takes images away that no container uses, once the disk is nearly full.
struct ImageCollector: Sendable {
  let cri: CRIClient
  let directory: String
  /// Per cent of the disk in use: at the first it begins, at the second it ends.
  let highThreshold: Int64
  let lowThreshold: Int64
  let log: Logger

  /// Which images go, in order: the largest first, until enough is free. Pure.
  static func choose(_ images: [Value], used: Set<String>, toFree bytes: Int64) -> [String] {
    var chosen: [String] = []
    var freed: Int64 = 0
    let candidates = images.filter { image in
      let names = (image["repo_tags"].array ?? []).compactMap(\.string)
      return image["pinned"].bool != true && !names.contains(PauseImage.name) && !used.contains(image["id"].string ?? "")
        && used.isDisjoint(with: names)
    }
    for image in candidates.sorted(by: { ($0["size"].int ?? 0) > ($1["size"].int ?? 0) }) where freed < bytes {
      guard let id = image["id"].string else { continue }
      chosen.append(id)
      freed += image["size"].int ?? 0
    }
    return chosen
  }

  func collect() async {
    let disk = NodeReporter.disk(directory)
    guard disk.total > 0, (disk.total - disk.available) / max(1, disk.total / 100) >= highThreshold else { return }
    guard let images = try? await cri.call("ListImages"), let containers = try? await cri.call("ListContainers") else { return }
    let used = Set(
      (containers["containers"].array ?? []).flatMap { [$0["image"]["image"].string, $0["image_ref"].string] }.compactMap(\.self))
    let target = disk.total / 100 * (100 - lowThreshold) - disk.available
    for id in Self.choose(images["images"].array ?? [], used: used, toFree: target) {
      log.info("removing unused image", metadata: ["image": "\(id)"])
      _ = try? await cri.call("RemoveImage", ["image": ["image": .string(id)]])
    }
  }
}

import CLinux
import Wire

#if canImport(Glibc)
  import Glibc
#endif

extension PodPlan {
  /// Bytes of an emptyDir in memory: no more than its limit, than the pod may use, and than pods may use on this node.
  package func memoryVolumeSize(_ source: Value, allocatable: [String: Int64]) -> Int64 {
    [source["sizeLimit"].quantity?.value, memoryLimit, allocatable["memory"].map { $0 / 1000 }].compactMap(\.self).filter { $0 > 0 }
      .min() ?? 1 << 30
  }
}

extension Volumes {
  /// On the node's disk, or in memory with a size.
  func prepareEmptyDirectory(_ source: Value, _ name: String) throws(AgentFailure) -> String {
    let path = directory("empty-dir", name)
    let isNew = !Files.exists(path)
    try Files.makeDirectory(path, mode: 0o777)
    if source["medium"].string == "Memory", !Files.mounts(beneath: path).contains(path) {
      let size = plan.memoryVolumeSize(source, allocatable: allocatable)
      guard gantry_mount("tmpfs", path, "tmpfs", UInt(GANTRY_MS_NOSUID | GANTRY_MS_NODEV), "mode=0777,size=\(size)") == 0 else {
        throw Files.failure("cannot mount tmpfs on", path)
      }
    }
    if isNew || source["medium"].string == "Memory" {
      chmod(path, 0o777)
      if let group {
        chown(path, uid_t.max, group)
        chmod(path, 0o2777)
      }
    }
    return path
  }
}

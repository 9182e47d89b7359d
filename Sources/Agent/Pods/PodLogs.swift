#if canImport(Glibc)
  import Glibc
#endif

/// The log directories of pods (`NAMESPACE_NAME_UID`) and the links to them that log collectors follow.
package enum PodLogs {
  /// One more than the number of the newest log in a container's directory (`0.log`, `1.log`, `1.log.2`); 0 where there is none.
  package static func next(in directory: String) -> Int {
    Files.entries(directory).compactMap { name -> Int? in
      let parts = name.split(separator: ".", omittingEmptySubsequences: false)
      return parts.count >= 2 && parts[1] == "log" ? Int(parts[0]) : nil
    }.max().map { $0 == .max ? $0 : max(0, $0 + 1) } ?? 0
  }

  /// Removes what belongs to no pod any more.
  /// - Parameter uids: of the pods that this node has.
  package static func removeAll(keeping uids: Set<String>, _ configuration: AgentConfiguration) {
    for name in Files.entries(configuration.podLogDirectory) {
      let parts = name.split(separator: "_", omittingEmptySubsequences: false)
      guard parts.count == 3, !uids.contains(String(parts[2])) else { continue }
      Files.remove("\(configuration.podLogDirectory)/\(name)")
    }
    for name in Files.entries(configuration.containerLogDirectory) {
      let link = "\(configuration.containerLogDirectory)/\(name)"
      // Only links that lead nowhere.
      if name.hasSuffix(".log"), access(link, F_OK) != 0 { unlink(link) }
    }
  }
}

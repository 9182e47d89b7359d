#if canImport(Glibc)
  import Glibc
#endif

/// The log directories of pods (`NAMESPACE_NAME_UID`) and the links to them that log collectors follow.
package enum PodLogs {
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

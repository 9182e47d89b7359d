import Client
import RPC
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// Takes away all that a pod had on this node.
enum PodCleanup {
  static func run(uid: String, node: NodeContext, plan: PodPlan?) async {
    await node.cri.removeSandboxes(of: uid, log: node.log)
    // Whoever comes next goes on with what is left.
    if Task.isCancelled { return }
    await Volumes.tearDown("\(node.configuration.podDirectory)/\(uid)")
    await TokenCache.shared.forget(pod: uid)
    guard let plan else { return }
    let configuration = node.configuration
    await Files.offThread {
      Files.remove(RuntimeConfiguration.logDirectory(plan, configuration))
      Cgroups.remove(plan, configuration)
      for name in Files.entries(configuration.containerLogDirectory)
      where name.hasPrefix("\(plan.key.name)_\(plan.key.namespace)_") {
        // Only links that lead nowhere any more: another pod may have had the name before.
        if access("\(configuration.containerLogDirectory)/\(name)", F_OK) != 0 {
          unlink("\(configuration.containerLogDirectory)/\(name)")
        }
      }
    }
  }
}

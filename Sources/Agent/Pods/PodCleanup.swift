import Client
import RPC
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// Takes away all that a pod had on this node.
enum PodCleanup {
  static func run(uid: String, key: ObjectKey?, node: NodeContext, plan: PodPlan?) async {
    let filter: Value = ["filter": ["label_selector": ["io.kubernetes.pod.uid": .string(uid)]]]
    if let list = try? await node.cri.call("ListPodSandbox", filter) {
      for sandbox in list["items"].array ?? [] {
        let id: Value = ["pod_sandbox_id": sandbox["id"]]
        _ = try? await node.cri.call("StopPodSandbox", id)
        _ = try? await node.cri.call("RemovePodSandbox", id)
      }
    }
    Volumes.tearDown("\(node.configuration.podDirectory)/\(uid)")
    await TokenCache.shared.forget(pod: uid)
    if let plan {
      Files.remove(RuntimeConfiguration.logDirectory(plan, node.configuration))
      Cgroups.remove(plan, node.configuration)
      for name in Files.entries(node.configuration.containerLogDirectory)
      where name.hasPrefix("\(plan.key.name)_\(plan.key.namespace)_") {
        // Only links that lead nowhere any more: another pod may have had the name before.
        if access("\(node.configuration.containerLogDirectory)/\(name)", F_OK) != 0 {
          unlink("\(node.configuration.containerLogDirectory)/\(name)")
        }
      }
    }
  }
}

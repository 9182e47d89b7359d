import CLinux
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// The cgroups of pods and QoS classes, of version 1 and 2: the runtime makes them, the agent gives them their weights and limits.
package enum Cgroups {
  /// How the kernel shows its controllers: a tree each (version 1), or one tree for all.
  package enum Hierarchy: Sendable { case split, unified }

  /// One file below `/sys/fs/cgroup` and what it is to say.
  package struct Setting: Equatable, Sendable {
    package var file: String
    package var text: String

    package init(file: String, text: String) {
      self.file = file
      self.text = text
    }
  }

  static var hierarchy: Hierarchy { Files.exists("/sys/fs/cgroup/cgroup.controllers") ? .unified : .split }
  private static var controllers: [String] {
    hierarchy == .unified
      ? [""] : Files.entries("/sys/fs/cgroup").filter { Files.isDirectory("/sys/fs/cgroup/\($0)") }.map { "\($0)/" }
  }

  /// What a pod's cgroup is to say: what its containers request as weight; their limits where every container has one. Pure.
  /// - Source: Kubernetes "Configure Quality of Service for Pods"; weights of version 2 by KEP-2254: 1 + (shares − 2) · 9999 / 262142.
  package static func settings(_ plan: PodPlan, _ configuration: AgentConfiguration, _ hierarchy: Hierarchy) -> [Setting] {
    let path = RuntimeConfiguration.cgroupParent(plan, configuration)
    let requests = plan.total { $0["resources"]["requests"]["cpu"].cpuMilli ?? $0["resources"]["limits"]["cpu"].cpuMilli ?? 0 }
    let quota = plan.total { $0["resources"]["limits"]["cpu"].cpuMilli }
    let shares = min(262_144, max(2, min(requests ?? 0, 1 << 40) * 1024 / 1000))
    let quotaMicroseconds = quota.flatMap { $0 > 0 ? max(1000, min($0, 1 << 40) * 100) : nil }
    let memoryBytes = plan.memoryLimit
    var settings: [Setting] = []
    switch hierarchy {
    case .split:
      settings.append(Setting(file: "cpu\(path)/cpu.shares", text: "\(shares)"))
      if let quotaMicroseconds { settings.append(Setting(file: "cpu\(path)/cpu.cfs_quota_us", text: "\(quotaMicroseconds)")) }
      if let memoryBytes { settings.append(Setting(file: "memory\(path)/memory.limit_in_bytes", text: "\(memoryBytes)")) }
      if plan.qosClass == "BestEffort" {
        settings.append(Setting(file: "cpu\(configuration.cgroupRoot)/besteffort/cpu.shares", text: "2"))
      }
    case .unified:
      let path = path.dropFirst()
      settings.append(Setting(file: "\(path)/cpu.weight", text: "\(1 + (shares - 2) * 9999 / 262_142)"))
      if let quotaMicroseconds { settings.append(Setting(file: "\(path)/cpu.max", text: "\(quotaMicroseconds) 100000")) }
      if let memoryBytes { settings.append(Setting(file: "\(path)/memory.max", text: "\(memoryBytes)")) }
      if plan.qosClass == "BestEffort" {
        settings.append(Setting(file: "\(configuration.cgroupRoot.dropFirst())/besteffort/cpu.weight", text: "1"))
      }
    }
    return settings
  }

  /// A controller that the kernel does not have has no file, and its limit is not kept.
  static func apply(_ plan: PodPlan, _ configuration: AgentConfiguration) {
    for setting in settings(plan, configuration, hierarchy) {
      let file = "/sys/fs/cgroup/\(setting.file)"
      if Files.exists(file) { try? Files.write(Array(setting.text.utf8), to: file) }
    }
  }

  static func remove(_ plan: PodPlan, _ configuration: AgentConfiguration) {
    let path = RuntimeConfiguration.cgroupParent(plan, configuration)
    for controller in controllers { removeTree("/sys/fs/cgroup/\(controller)\(path.dropFirst())") }
  }

  /// Everything under the agent's root. What still runs there has lost its runtime and is killed.
  static func removeAll(_ configuration: AgentConfiguration) {
    let root = configuration.cgroupRoot.split(separator: "/").first.map(String.init) ?? ""
    guard !root.isEmpty else { return }
    for tree in controllers.map({ "/sys/fs/cgroup/\($0)\(root)" }) {
      // A process that has been killed keeps its cgroup busy until it has ended; one that forks meanwhile is found in the next round.
      for _ in 0..<10 {
        let processes = processes(in: tree)
        for pid in processes { kill(pid, SIGKILL) }
        for pid in processes { _ = gantry_wait_for_exit(pid, 2000) }
        if processes.isEmpty { break }
      }
      removeTree(tree)
    }
  }

  private static func processes(in path: String) -> [pid_t] {
    guard Files.isDirectory(path) else { return [] }
    let own = (Files.text("\(path)/cgroup.procs") ?? "").split(separator: "\n").compactMap { pid_t($0) }.filter { $0 > 1 }
    return own + Files.entries(path).filter { Files.isDirectory("\(path)/\($0)") }.flatMap { processes(in: "\(path)/\($0)") }
  }

  private static func removeTree(_ path: String) {
    guard Files.isDirectory(path) else { return }
    for name in Files.entries(path) where Files.isDirectory("\(path)/\(name)") { removeTree("\(path)/\(name)") }
    rmdir(path)
  }
}

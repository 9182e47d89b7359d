import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// The cgroups of pods and QoS classes, of version 1 and 2: the runtime makes them, the agent gives them their weights and limits.
enum Cgroups {
  private static var isUnified: Bool { Files.exists("/sys/fs/cgroup/cgroup.controllers") }
  private static var controllers: [String] {
    isUnified ? [""] : Files.entries("/sys/fs/cgroup").filter { Files.isDirectory("/sys/fs/cgroup/\($0)") }.map { "\($0)/" }
  }

  private static func set(_ controller: String, _ path: String, _ file: String, _ value: Int64) {
    let full = "/sys/fs/cgroup/\(controller)\(path)/\(file)"
    if Files.exists(full) { try? Files.write(Array("\(value)".utf8), to: full) }
  }

  static func apply(_ plan: PodPlan, _ configuration: AgentConfiguration) {
    let path = RuntimeConfiguration.cgroupParent(plan, configuration)
    let main = plan.containers.filter { !$0.isInit || $0.isSidecar }
    var requests: Int64 = 0
    var quota: Int64? = 0
    var memory: Int64? = 0
    for container in main {
      let limits = container.spec["resources"]["limits"]
      requests += container.spec["resources"]["requests"]["cpu"].cpuMilli ?? limits["cpu"].cpuMilli ?? 0
      if let limit = limits["cpu"].cpuMilli, let sum = quota { quota = sum + limit } else { quota = nil }
      if let limit = limits["memory"].quantity?.value, let sum = memory {
        memory = sum.addingReportingOverflow(limit).overflow ? .max : sum + limit
      } else {
        memory = nil
      }
    }
    let shares = min(262_144, max(2, requests * 1024 / 1000))
    if isUnified {
      set("", path, "cpu.weight", 1 + (shares - 2) * 9999 / 262_142)
      if let memory, memory > 0 { set("", path, "memory.max", memory) }
      if let quota, quota > 0 { try? Files.write(Array("\(quota * 100) 100000".utf8), to: "/sys/fs/cgroup\(path)/cpu.max") }
    } else {
      set("cpu", path, "cpu.shares", shares)
      if let quota, quota > 0 { set("cpu", path, "cpu.cfs_quota_us", max(1000, quota * 100)) }
      if let memory, memory > 0 { set("memory", path, "memory.limit_in_bytes", memory) }
      if plan.qosClass == "BestEffort" { set("cpu", "\(configuration.cgroupRoot)/besteffort", "cpu.shares", 2) }
    }
  }

  static func remove(_ plan: PodPlan, _ configuration: AgentConfiguration) {
    let path = RuntimeConfiguration.cgroupParent(plan, configuration)
    for controller in controllers { removeTree("/sys/fs/cgroup/\(controller)\(path.dropFirst())") }
  }

  /// Everything under the agent's root. What still runs there has lost its runtime and is killed.
  static func removeAll(_ configuration: AgentConfiguration) async {
    let root = configuration.cgroupRoot.split(separator: "/").first.map(String.init) ?? ""
    guard !root.isEmpty else { return }
    let trees = controllers.map { "/sys/fs/cgroup/\($0)\(root)" }
    // A process that has just been killed keeps its cgroup busy for a moment.
    for _ in 0..<40 {
      for tree in trees {
        killAll(tree)
        removeTree(tree)
      }
      if trees.allSatisfy({ !Files.isDirectory($0) }) { return }
      try? await Task.sleep(for: .milliseconds(50))
    }
  }

  private static func killAll(_ path: String) {
    guard Files.isDirectory(path) else { return }
    for line in (Files.text("\(path)/cgroup.procs") ?? "").split(separator: "\n") {
      if let pid = pid_t(line), pid > 1 { kill(pid, SIGKILL) }
    }
    for name in Files.entries(path) where Files.isDirectory("\(path)/\(name)") { killAll("\(path)/\(name)") }
  }

  private static func removeTree(_ path: String) {
    guard Files.isDirectory(path) else { return }
    for name in Files.entries(path) where Files.isDirectory("\(path)/\(name)") { removeTree("\(path)/\(name)") }
    rmdir(path)
  }
}

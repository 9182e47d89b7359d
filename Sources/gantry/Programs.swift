import Glibc

/// What a node needs besides Gantry itself: looked for before anything is started.
enum Programs {
  static func check(_ node: NodeOptions) throws {
    var wanted: [(program: String, package: String)] = [("nft", "nftables"), ("ip", "iproute2")]
    if node.containerd == nil { wanted += [("containerd", "containerd"), ("runc", "runc")] }
    let missing = wanted.filter { find($0.program) == nil }.map(\.package)
    let plugins: [String] = ["/usr/lib/cni/ptp", "/opt/cni/bin/ptp"]
    let hasPlugins = plugins.contains { access($0, X_OK) == 0 }
    let packages = missing + (hasPlugins ? [] : ["containernetworking-plugins"])
    guard packages.isEmpty else {
      throw StartFailure(
        "not installed: \(packages.joined(separator: ", ")); install with: apt-get install \(packages.joined(separator: " "))")
    }
  }

  private static func find(_ program: String) -> String? {
    let path = getenv("PATH").map { String(cString: $0) } ?? ""
    let directories = path.split(separator: ":").map(String.init) + ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"]
    return directories.map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
  }
}

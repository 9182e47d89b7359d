import Glibc
import Network

/// What a node needs besides Gantry itself: looked for before anything is started.
enum Programs {
  static func check(_ node: NodeOptions) throws {
    var wanted: [(program: String, package: String)] = [("nft", "nftables"), ("ip", "iproute2")]
    if node.containerd == nil { wanted += [("containerd", "containerd"), ("runc", "runc")] }
    let missing = wanted.filter { Command.find($0.program) == nil }.map(\.package)
    let plugins: [String] = ["/usr/lib/cni/ptp", "/opt/cni/bin/ptp"]
    let hasPlugins = plugins.contains { access($0, X_OK) == 0 }
    let packages = missing + (hasPlugins ? [] : ["containernetworking-plugins"])
    guard packages.isEmpty else {
      throw StartFailure(
        "not installed: \(packages.joined(separator: ", ")); install with: apt-get install \(packages.joined(separator: " "))")
    }
  }
}

import Glibc
import Network

/// What a node needs besides Gantry itself: looked for before anything is started.
enum Programs {
  /// Where CNI plugins are, on Debian and elsewhere.
  static let pluginDirectories = ["/usr/lib/cni", "/opt/cni/bin"]

  /// The first that has what Gantry uses.
  static var pluginDirectory: String? { pluginDirectories.first { access("\($0)/ptp", X_OK) == 0 } }

  static func check(_ node: NodeOptions) throws {
    var wanted: [(program: String, package: String)] = [("nft", "nftables"), ("ip", "iproute2")]
    if node.containerd == nil { wanted += [("containerd", "containerd"), ("runc", "runc")] }
    let missing = wanted.filter { Command.find($0.program) == nil }.map(\.package)
    let packages = missing + (pluginDirectory == nil ? ["containernetworking-plugins"] : [])
    guard packages.isEmpty else {
      throw StartFailure(
        "not installed: \(packages.joined(separator: ", ")); install with: apt-get install \(packages.joined(separator: " "))")
    }
  }
}

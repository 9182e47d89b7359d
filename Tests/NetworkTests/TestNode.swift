import Network
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// A node with pods and a client outside, each in a network namespace of its own, wired as CNI `ptp` wires them.
struct TestNode: Sendable {
  let name: String
  let inNode: Command
  let host = Command()
  static let pods = ["10.244.0.2", "10.244.0.3"]
  static let nodeAddress = "192.0.2.1"

  static var isPossible: Bool { geteuid() == 0 && Command.find("nft") != nil && Command.find("busybox") != nil }

  /// A path of this node's own.
  var pipe: String { "/tmp/\(name)-pipe" }

  private var namespaces: [String] { [name, "\(name)-out"] + Self.pods.indices.map { "\(name)-p\($0)" } }
  func pod(_ i: Int) -> Command { Command(prefix: ["ip", "netns", "exec", "\(name)-p\(i)"]) }
  var outside: Command { Command(prefix: ["ip", "netns", "exec", "\(name)-out"]) }

  /// Runs the body on a node of its own and takes everything away after it.
  static func with(_ label: String, _ body: (TestNode) async throws -> Void) async throws {
    let name = "gt\(getpid())-\(label)"
    let node = TestNode(name: name, inNode: Command(prefix: ["ip", "netns", "exec", name]))
    do {
      try await node.build()
      try await body(node)
    } catch {
      await Task { await node.remove() }.value
      throw error
    }
    await node.remove()
  }

  private func build() async throws {
    for namespace in namespaces {
      try await host.run("ip", "netns", "add", namespace)
      try await host.run("ip", "-n", namespace, "link", "set", "lo", "up")
    }
    try await inNode.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.route_localnet=1")
    for (i, address) in Self.pods.enumerated() {
      let inside = "\(name)-p\(i)"
      try await host.run("ip", "-n", name, "link", "add", "v\(i)", "type", "veth", "peer", "name", "eth0", "netns", inside)
      try await host.run("ip", "-n", name, "address", "add", "10.244.0.1/32", "dev", "v\(i)")
      try await host.run("ip", "-n", name, "link", "set", "v\(i)", "up")
      try await host.run("ip", "-n", name, "route", "add", "\(address)/32", "dev", "v\(i)")
      try await host.run("ip", "-n", inside, "address", "add", "\(address)/32", "dev", "eth0")
      try await host.run("ip", "-n", inside, "link", "set", "eth0", "up")
      try await host.run("ip", "-n", inside, "route", "add", "10.244.0.1", "dev", "eth0")
      try await host.run("ip", "-n", inside, "route", "add", "default", "via", "10.244.0.1")
    }
    try await host.run("ip", "-n", name, "link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", "\(name)-out")
    try await host.run("ip", "-n", name, "address", "add", "\(Self.nodeAddress)/24", "dev", "uplink")
    try await host.run("ip", "-n", name, "link", "set", "uplink", "up")
    try await outside.run("ip", "address", "add", "192.0.2.2/24", "dev", "eth0")
    try await outside.run("ip", "link", "set", "eth0", "up")
  }

  private func remove() async {
    for namespace in namespaces {
      let pids = ((try? await host.run("ip", "netns", "pids", namespace)) ?? "").split(separator: "\n").compactMap { pid_t($0) }
      for pid in pids { kill(pid, SIGKILL) }
      _ = try? await host.run("ip", "netns", "delete", namespace)
    }
  }

  /// A server in a pod that greets every connection with the pod's number and the addresses connected to it, then echoes.
  func serve(pod i: Int, port: Int) async throws {
    try await serve(pod(i), port: port, "echo pod\(i) $(ss -Hnt state established sport = :\(port) | awk '{print $4}'); exec cat")
  }

  /// A server that runs a script for every connection. Returns when it listens; a machine that is slow has a minute for it.
  func serve(_ place: Command, port: Int, _ script: String) async throws {
    try await place.run("sh", "-c", "busybox nc -ll -p \(port) -e sh -c \"$0\" </dev/null >/dev/null 2>&1 &", script)
    let wait = "until ss -Hltn sport = :\(port) | grep -q .; do sleep 0.01; done"
    try await place.run("sh", "-c", wait)
  }

  /// What a server says to whoever connects; "" where it does not take the connection.
  func ask(_ from: Command, _ address: String, _ port: Int) async -> String {
    let script = "exec 3<>/dev/tcp/\(address)/\(port) && read -t 50 line <&3 && echo $line"
    return ((try? await from.run("timeout", "55", "bash", "-c", script)) ?? "").trimmed
  }
}

extension String {
  var trimmed: String { String(drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed()) }
}

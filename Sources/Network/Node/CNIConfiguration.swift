#if canImport(Glibc)
  import Glibc
#endif

import Wire

/// The CNI configuration list of this node: a routed veth per pod (`ptp`), addresses from the node's own blocks (`host-local`),
/// host ports (`portmap`) where iptables is there to serve it. No bridge.
package struct CNIConfiguration: Sendable {
  package struct Failure: Error, CustomStringConvertible {
    package var description: String
  }

  /// `/etc/cni/net.d` by default; another data directory has its own.
  package var confDirectory: String
  package var binDirectories: [String]
  /// Where `host-local` keeps which address is taken.
  package var stateDirectory: String
  package var podCIDRs: [CIDR]
  /// Bytes; nil leaves it to the plugin.
  package var mtu: Int?

  package init(confDirectory: String, binDirectories: [String], stateDirectory: String, podCIDRs: [CIDR], mtu: Int? = nil) {
    self.confDirectory = confDirectory
    self.binDirectories = binDirectories
    self.stateDirectory = stateDirectory
    self.podCIDRs = podCIDRs
    self.mtu = mtu
  }

  package static let fileName = "10-gantry.conflist"
  package var path: String { "\(confDirectory)/\(Self.fileName)" }

  /// Plugins that the configuration names and that no directory has.
  package var missingPlugins: [String] {
    ["ptp", "host-local", "loopback"].filter { plugin in !binDirectories.contains { access("\($0)/\(plugin)", X_OK) == 0 } }
  }

  package func value(withPortMappings: Bool) -> Value {
    let ranges = podCIDRs.map { block -> Value in [["subnet": .string(block.description)]] }
    let routes = Set(podCIDRs.map(\.family)).sorted { $0.rawValue < $1.rawValue }.map { family -> Value in
      ["dst": family == .v4 ? "0.0.0.0/0" : "::/0"]
    }
    var ptp: Value = [
      "type": "ptp", "ipMasq": false,
      "ipam": ["type": "host-local", "dataDir": .string(stateDirectory), "ranges": .array(ranges), "routes": .array(routes)],
    ]
    if let mtu { ptp["mtu"] = .int(Int64(mtu)) }
    var plugins = [ptp]
    if withPortMappings { plugins.append(["type": "portmap", "capabilities": ["portMappings": true], "snat": true]) }
    return ["cniVersion": "1.0.0", "name": "gantry", "plugins": .array(plugins)]
  }

  /// Writes the file as a whole or not at all. Other configurations in the directory are left alone.
  /// - Throws: ``Failure`` naming what is missing and the way out.
  package func write() throws(Failure) {
    let missing = missingPlugins
    guard missing.isEmpty else {
      throw Failure(
        description: "CNI plugins \(missing.joined(separator: ", ")) are in none of \(binDirectories.joined(separator: ", ")); "
          + "install containernetworking-plugins (scripts/install-deps does)")
    }
    let hasPortMappings = Command.find("iptables") != nil && binDirectories.contains { access("\($0)/portmap", X_OK) == 0 }
    try Self.makeDirectory(confDirectory, mode: 0o755)
    try Self.makeDirectory(stateDirectory, mode: 0o700)
    let bytes = value(withPortMappings: hasPortMappings).jsonBytes + [10]
    let temporary = "\(confDirectory)/.\(Self.fileName).\(getpid())"
    let file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw Self.failure("create", temporary) }
    let written = bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
    let isSynced = fsync(file) == 0
    close(file)
    guard written == bytes.count, isSynced, rename(temporary, path) == 0 else {
      let failure = Self.failure("write", path)
      unlink(temporary)
      throw failure
    }
  }

  /// Takes the file away, and what `host-local` remembers.
  package func remove() {
    unlink(path)
    Self.removeTree("\(stateDirectory)/gantry")
    rmdir(stateDirectory)
  }

  private static func failure(_ verb: String, _ path: String) -> Failure {
    Failure(description: "cannot \(verb) \(path): \(String(cString: strerror(errno)))")
  }

  private static func makeDirectory(_ path: String, mode: mode_t) throws(Failure) {
    var partial = ""
    for part in path.split(separator: "/") {
      partial += "/\(part)"
      if mkdir(partial, mode) != 0, errno != EEXIST { throw failure("create", partial) }
    }
  }

  /// One level of files: all that `host-local` makes.
  private static func removeTree(_ path: String) {
    guard let directory = opendir(path) else { return }
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { unlink("\(path)/\(name)") }
    }
    closedir(directory)
    rmdir(path)
  }
}

import ArgumentParser
import Glibc
import Logging
import Wire

/// What every command takes.
struct CommonOptions: ParsableArguments {
  @Option(help: "Where state, sockets and credentials live.")
  var dataDir = "/var/lib/gantry"

  @Option(help: "trace, debug, info, notice, warning, error or critical.")
  var logLevel = "info"

  var kubeconfigPath: String { "\(dataDir)/admin.kubeconfig" }

  func validate() throws {
    guard Logger.Level(rawValue: logLevel) != nil else {
      throw ValidationError("--log-level \(logLevel): use one of \(Logger.Level.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    guard dataDir.hasPrefix("/") else { throw ValidationError("--data-dir \(dataDir): give an absolute path") }
  }

  /// Logs go to standard error, one line each; standard output is for what was asked.
  func startLogging() {
    let level = Logger.Level(rawValue: logLevel) ?? .info
    LoggingSystem.bootstrap { label in
      var handler = StreamLogHandler.standardError(label: label)
      handler.logLevel = level
      return handler
    }
  }
}

/// What a control plane takes.
struct ServerOptions: ParsableArguments {
  @Option(help: "Address and port of the API, the image registry and everything else.")
  var listen = "127.0.0.1:6443"

  @Option(help: "Address that others reach this server at; the listen address if that is one.")
  var advertiseAddress: String?

  @Option(help: "Further names or addresses for the serving certificate.")
  var tlsSan: [String] = []

  @Option(help: DatastoreOption.help)
  var datastore: String?

  @Option(help: "Addresses of services.")
  var serviceCidr = "10.96.0.0/12"

  @Option(help: "Addresses of pods; each node gets a /24 of it.")
  var clusterCidr = "10.42.0.0/16"

  @Option(help: "The cluster's DNS domain.")
  var clusterDomain = "cluster.local"

  @Option(help: "Hours that the certificates live which this server issues; it renews its own after two thirds.")
  var certificateLifetime = 365 * 24.0

  @Option(help: "Write one line to this file (or fifo) when ready.")
  var readyFile: String?

  func validate() throws {
    _ = try address()
    try DatastoreOption.validate(datastore)
    let services = try block("--service-cidr", serviceCidr, longestPrefix: 28, "the block must hold at least sixteen addresses")
    let pods = try block("--cluster-cidr", clusterCidr, longestPrefix: 24, "each node gets a /24 of it, so it must hold one")
    guard !services.overlaps(pods) else {
      throw ValidationError("--cluster-cidr \(clusterCidr): overlaps the addresses of services, --service-cidr \(serviceCidr)")
    }
    if let advertiseAddress, IPAddress(advertiseAddress) == nil {
      throw ValidationError("--advertise-address \(advertiseAddress): give an IP address")
    }
    for name in tlsSan where IPAddress(name) == nil && !DNSName.isValid(name, wildcard: true) {
      throw ValidationError("--tls-san \(name): give an IP address or a DNS name")
    }
    guard DNSName.isValid(clusterDomain) else {
      throw ValidationError("--cluster-domain \(clusterDomain): \(DNSName.rule)")
    }
    // The authorities themselves live for ten years.
    guard certificateLifetime > 0, certificateLifetime <= 5 * 365 * 24 else {
      throw ValidationError("--certificate-lifetime \(certificateLifetime): hours, more than 0 and at most 43800 (five years)")
    }
  }

  private func block(_ option: String, _ text: String, longestPrefix: Int, _ rule: String) throws -> CIDR {
    guard let block = CIDR(text), block.family == .v4 else {
      throw ValidationError("\(option) \(text): give an IPv4 block such as 10.42.0.0/16")
    }
    guard block.prefix <= longestPrefix else { throw ValidationError("\(option) \(text): \(rule), such as 10.42.0.0/16 does") }
    return block
  }

  /// Splits `--listen`: `1.2.3.4:6443`, `[::1]:6443`, `:6443`.
  func address() throws -> (host: String, port: Int) {
    guard let colon = listen.lastIndex(of: ":"), let port = Int(listen[listen.index(after: colon)...]), (1...65535).contains(port)
    else {
      throw ValidationError("--listen \(listen): give ADDRESS:PORT, for example 127.0.0.1:6443")
    }
    var host = String(listen[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    return (host.isEmpty ? "0.0.0.0" : host, port)
  }
}

/// What a node takes.
struct NodeOptions: ParsableArguments {
  @Option(help: "The node's name; the host's name where none is given.")
  var nodeName: String?

  @Option(help: "Socket of a containerd to use; Gantry starts its own where none is given.")
  var containerd: String?

  @Option(help: "The node's own address; found from the routes where none is given.")
  var nodeIp: String?

  @Option(help: "gantry: pods get their addresses from Gantry. external: another CNI provider writes its own configuration.")
  var network = Provider.gantry

  @Option(help: "gantry: services are carried by Gantry's nftables rules. off: another proxy carries them.")
  var serviceProxy = Switch.gantry

  @Option(help: "A label that the node gets when it registers: KEY=VALUE. May be given several times.")
  var nodeLabel: [String] = []

  enum Provider: String, ExpressibleByArgument, CaseIterable { case gantry, external }
  enum Switch: String, ExpressibleByArgument, CaseIterable { case gantry, off }

  func validate() throws {
    for label in nodeLabel where self.label(label) == nil {
      throw ValidationError("--node-label \(label): give KEY=VALUE, for example disk=ssd")
    }
    if let nodeName, !DNSName.isValid(nodeName) { throw ValidationError("--node-name \(nodeName): \(DNSName.rule)") }
    if let nodeIp, IPAddress(nodeIp) == nil { throw ValidationError("--node-ip \(nodeIp): give an IP address") }
    if let containerd, !containerd.hasPrefix("/") {
      throw ValidationError(
        "--containerd \(containerd): give the absolute path of its socket, such as /run/containerd/containerd.sock")
    }
  }

  /// The labels that were given; ``validate()`` has seen them.
  var labels: [String: String] { Dictionary(nodeLabel.compactMap(label), uniquingKeysWith: { $1 }) }

  private func label(_ text: String) -> (String, String)? {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, !parts[0].isEmpty else { return nil }
    return (parts[0], parts[1])
  }

  func name() throws -> String {
    if let nodeName { return nodeName }
    guard let name = Self.hostName else { throw StartFailure("the host has no name: give --node-name") }
    return name
  }

  /// The host's own name, in lower case.
  static var hostName: String? {
    var buffer = [CChar](repeating: 0, count: 256)
    guard gethostname(&buffer, buffer.count - 1) == 0 else { return nil }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).lowercased()
  }
}

/// Names as certificates, node objects and domains hold them (RFC 1123, lower case).
enum DNSName {
  static let rule = "lower-case letters, digits, - and . between them (a DNS name), at most 253 characters"

  /// - Parameter wildcard: the first label may be `*`.
  static func isValid(_ name: String, wildcard: Bool = false) -> Bool {
    let labels = name.split(separator: ".", omittingEmptySubsequences: false)
    return name.utf8.count <= 253
      && labels.enumerated().allSatisfy { index, label in
        if wildcard, index == 0, label == "*" { return labels.count > 1 }
        return !label.isEmpty && label.utf8.count <= 63 && label.first != "-" && label.last != "-"
          && label.utf8.allSatisfy { $0 &- 48 < 10 || $0 &- 97 < 26 || $0 == UInt8(ascii: "-") }
      }
  }
}

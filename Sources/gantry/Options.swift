import ArgumentParser
import Glibc
import Logging

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

  @Option(help: "sqlite:///PATH; a file in the data directory where none is given.")
  var datastore: String?

  @Option(help: "Addresses of services.")
  var serviceCidr = "10.96.0.0/12"

  @Option(help: "Addresses of pods; each node gets a /24 of it.")
  var clusterCidr = "10.42.0.0/16"

  @Option(help: "The cluster's DNS domain.")
  var clusterDomain = "cluster.local"

  @Option(help: "Write one line to this file (or fifo) when ready.")
  var readyFile: String?

  func validate() throws {
    _ = try address()
    if let datastore, !datastore.hasPrefix("sqlite:///") {
      throw ValidationError("--datastore \(datastore): this version knows sqlite:///PATH (etcd comes later)")
    }
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

  func validate() throws {
    let name = nodeName ?? "n"
    let isLabel = { (label: Substring) in
      label.utf8.count <= 63 && label.first != "-" && label.last != "-" && !label.isEmpty
        && label.utf8.allSatisfy { $0 &- 48 < 10 || $0 &- 97 < 26 || $0 == UInt8(ascii: "-") }
    }
    guard name.utf8.count <= 253, name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy(isLabel) else {
      throw ValidationError(
        "--node-name \(name): lower-case letters, digits, - and . between them (a DNS name), at most 253 characters")
    }
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

import Client
import ControlPlane
import FoundationEssentials
import Glibc
import HTTP
import Logging
import Store

/// The certificates that one server issues to itself, its administrator and its node, renewed before they run out.
///
/// In: the cluster's authorities. Out: what the listener presents, and the files of the data directory: `ca.crt`, `admin.kubeconfig`,
/// `node.crt`, `node.key`. Never: keeps the serving key on disk.
struct Credentials: Sendable {
  let directory: DataDirectory
  let identity: ServerIdentity
  /// DNS names and addresses that clients use for this server.
  let names: [String]
  let url: String
  /// nil: a control plane alone.
  let nodeName: String?
  /// Seconds.
  let lifetime: Double

  /// Issues everything anew.
  func renew() throws -> ServerTLS {
    let admin = try identity.client.client("kubernetes-admin", groups: ["system:masters"], lifetime: lifetime)
    try put(Kubeconfig.text(server: url, caPEM: identity.server.certificatePEM, client: admin), "admin.kubeconfig")
    try put(identity.server.certificatePEM, "ca.crt", mode: 0o644)
    if let nodeName {
      let node = try identity.client.client(
        "system:node:\(nodeName)", groups: ["system:nodes"], keyPEM: directory.read("\(directory.path)/node.key"),
        lifetime: lifetime)
      try put(node.certificatePEM, "node.crt")
      try put(node.keyPEM, "node.key")
    }
    let serving = try identity.server.server("gantry", names: names, lifetime: lifetime)
    return ServerTLS(
      certificateChain: Array((serving.certificatePEM + identity.server.certificatePEM).utf8),
      privateKey: Array(serving.keyPEM.utf8), clientCAs: Array(identity.client.certificatePEM.utf8))
  }

  private func put(_ text: String, _ name: String, mode: mode_t = 0o600) throws {
    if try directory.write(text, to: name, mode: mode, mayKeep: true) { return }
    Logger(label: "gantry").warning("the disk is full: the file of an earlier start stays", metadata: ["file": "\(name)"])
  }

  /// Ties the node's name to the node's key, which stays the same through renewals and restarts.
  func claimNode(_ plane: ControlPlane) async throws {
    guard let nodeName else { return }
    let known = directory.read("\(directory.path)/node.key")
    let key = known ?? CertificateAuthority.makeKey()
    if known == nil { try directory.write(key, to: "node.key") }
    do {
      try await plane.claimNode(nodeName, keyHash: try CertificateAuthority.keyHash(keyPEM: key), isOwn: known == nil)
    } catch let error as APIError { throw StartFailure(error.message) }
  }

  /// Renews after two thirds of the lifetime, for ever; a renewal that fails (a full disk) is tried again before the rest is over.
  func keepFresh(_ logger: Logger, present: @Sendable (ServerTLS) throws(HTTPServerError) -> Void) async {
    var wait = lifetime * 2 / 3
    while (try? await Task.sleep(for: .seconds(wait))) != nil {
      do {
        try present(try renew())
        logger.info("certificates renewed", metadata: ["hours": "\(lifetime / 3600)"])
        wait = lifetime * 2 / 3
      } catch {
        logger.error("certificates not renewed, to be tried again", metadata: ["error": "\(error)"])
        wait = lifetime / 30
      }
    }
  }
}

/// The authorities and the key that seals them, from the datastore.
struct ServerIdentity {
  let sealer: Sealer
  let server, client, frontProxy: CertificateAuthority

  init(store: any StoreEngine, sealer: Sealer) throws {
    self.sealer = sealer
    do {
      server = try CertificateAuthority(.server, store: store, sealer: sealer)
      client = try CertificateAuthority(.client, store: store, sealer: sealer)
      frontProxy = try CertificateAuthority(.frontProxy, store: store, sealer: sealer)
    } catch { throw StartFailure("\(error)") }
  }
}

extension DataDirectory {
  /// The secret that servers share, kept beside the data, never in it.
  /// - Throws: ``StartFailure`` where the datastore is there and the token is not: a new one would open nothing of it.
  func serverToken(of datastore: String) throws -> String {
    guard let token = read("\(path)/server-token")?.prefix(while: { !$0.isWhitespace }), token.count >= 16 else {
      throw StartFailure(
        "\(datastore) is sealed with \(path)/server-token, which is missing or damaged: restore that file from where you keep it, or give another --data-dir"
      )
    }
    return String(token)
  }

  /// For a datastore that is yet to be made.
  func makeServerToken() throws {
    guard (read("\(path)/server-token") ?? "").count < 16 else { return }
    var random = SystemRandomNumberGenerator()
    let digits = Array("0123456789abcdefghijklmnopqrstuvwxyz")
    let token = String((0..<40).map { _ in digits[Int(random.next(upperBound: UInt(digits.count)))] })
    try write(token + "\n", to: "server-token")
  }
}

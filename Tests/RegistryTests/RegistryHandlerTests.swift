import Client
import ControlPlane
import Glibc
import HTTP
import NIOCore
import NIOPosix
import Registry
import Store
import Testing
import Wire

/// The registry's door over a real control plane and real TLS: who may do what.
@Suite(.timeLimit(.minutes(5))) struct RegistryHandlerTests {
  private struct Door {
    let plane: ControlPlane
    let directory: String
    let client: @Sendable (_ user: String?, _ groups: [String]) throws -> HTTPClient
  }

  private static func with(_ body: (Door) async throws -> Void) async throws {
    var template = Array("/tmp/gantry-door-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw RegistryError(.unavailable, "mkdtemp") }
    let directory = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    defer { RegistryStorageTests.remove(directory) }
    let store = try SQLiteStore(.init(path: "\(directory)/state.db"))
    let sealer = Sealer(token: "a-test-token-of-some-length")
    let plane = try ControlPlane(.init(), store: store, sealer: sealer)
    try await plane.bootstrap()
    plane.setAuditLog(try AuditLog(.init(directory: "\(directory)/audit")))
    let servers = try CertificateAuthority(.server, store: store, sealer: sealer)
    let clients = try CertificateAuthority(.client, store: store, sealer: sealer)
    let serving = try servers.server("gantry", names: ["127.0.0.1"])
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    let tls = ServerTLS(
      certificateChain: Array(serving.certificatePEM.utf8), privateKey: Array(serving.keyPEM.utf8),
      clientCAs: Array(clients.certificatePEM.utf8))
    let server = try await HTTPServer.start(
      .init(host: "127.0.0.1", port: 0, tls: tls),
      handler: try RegistryHandler(controlPlane: plane, directory: "\(directory)/registry"), group: group)
    let port = server.port
    var failure: (any Error)?
    do {
      try await body(
        Door(plane: plane, directory: directory) { user, groups in
          var tls = ClientTLS(trustRoots: Array(servers.certificatePEM.utf8))
          if let user {
            let pair = try clients.client(user, groups: groups)
            tls.certificateChain = Array(pair.certificatePEM.utf8)
            tls.privateKey = Array(pair.keyPEM.utf8)
          }
          return HTTPClient(group: group, host: "127.0.0.1", port: port, tls: tls)
        })
    } catch { failure = error }
    await server.shutdown(within: .milliseconds(200))
    store.close()
    try await group.shutdownGracefully()
    if let failure { throw failure }
  }

  private static let digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

  @Test("a blob is mounted only for those who may read it where it is")
  func mount() async throws {
    try await Self.with { door in
      let admin = try door.client("admin", ["system:masters"])
      let bob = try door.client("bob", ["system:authenticated"])
      defer { for client in [admin, bob] { client.close() } }
      let pushed = try await admin.request(
        "POST", "/v2/private/app/blobs/uploads/?digest=\(Self.digest)", body: Array("hello".utf8))
      #expect(pushed.status == 201)
      let plane = door.plane.client(as: Identity(name: "admin", groups: ["system:masters", "system:authenticated"]))
      let rbac = GroupVersionResource(group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterroles")
      func grant(_ name: String, _ paths: [Value]) async throws {
        let rules: Value = [["nonResourceURLs": .array(paths), "verbs": ["*"]]]
        _ = try await plane.create(
          rbac, namespace: "", body: ["metadata": ["name": .string(name)], "rules": rules], WriteOptions())
        var bindings = rbac
        bindings.resource = "clusterrolebindings"
        let body: Value = [
          "metadata": ["name": .string(name)],
          "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": .string(name)],
          "subjects": [["kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob"]],
        ]
        _ = try await plane.create(bindings, namespace: "", body: body, WriteOptions())
      }
      try await grant("own", ["/v2/bob/*"])
      let mount = "/v2/bob/app/blobs/uploads/?mount=\(Self.digest)&from=private/app"
      // An upload begins instead: what the specification has for a mount that cannot be.
      #expect(try await bob.request("POST", mount, body: []).status == 202)
      #expect(try await bob.request("HEAD", "/v2/bob/app/blobs/\(Self.digest)").status == 404)
      try await grant("private", ["/v2/private/*"])
      #expect(try await bob.request("POST", mount, body: []).status == 201)
      #expect(try await bob.request("HEAD", "/v2/bob/app/blobs/\(Self.digest)").status == 200)
    }
  }

  @Test("nobody's body is taken who may not push; what was pushed is on record")
  func refusedBody() async throws {
    try await Self.with { door in
      let admin = try door.client("admin", ["system:masters"])
      let bob = try door.client("bob", ["system:authenticated"])
      let nobody = try door.client(nil, [])
      defer { for client in [admin, bob, nobody] { client.close() } }
      let manifest: Value = ["schemaVersion": 2, "layers": []]
      let type = [("content-type", "application/vnd.oci.image.manifest.v1+json")]
      for (client, status) in [(admin, 201), (bob, 403), (nobody, 401)] {
        let answer = try await client.request("PUT", "/v2/app/manifests/1", headers: type, body: manifest.jsonBytes)
        #expect(answer.status == status)
      }
      for (query, status) in [("n=1", 200), ("n=-1", 400), ("n=abc", 400)] {
        #expect(try await admin.request("GET", "/v2/app/tags/list?\(query)").status == status)
      }
      let large = try await admin.request("PUT", "/v2/app/manifests/1", headers: type, body: [UInt8](repeating: 1, count: 5 << 20))
      let text = try await large.text()
      #expect(large.status == 413 && text.contains("request body is larger than 4194304 bytes"), "\(text)")
      // A push of its own that does not become a blob leaves nothing behind.
      let wrong = "/v2/app/blobs/uploads/?digest=\(Self.digest)"
      #expect(try await admin.request("POST", wrong, body: Array("other".utf8)).status == 400)
      let uploads = try #require(opendir("\(door.directory)/registry/uploads"))
      defer { closedir(uploads) }
      var entries = 0
      while readdir(uploads) != nil { entries += 1 }
      #expect(entries == 2, "only . and ..")
      let log = try #require(fopen("\(door.directory)/audit/audit.log", "r"))
      defer { fclose(log) }
      var bytes = [UInt8](repeating: 0, count: 1 << 20)
      bytes.removeSubrange(fread(&bytes, 1, bytes.count, log)...)
      let lines = bytes.split(separator: UInt8(ascii: "\n")).compactMap { try? Value(json: Array($0)) }
      let puts = lines.filter { $0["requestURI"] == "/v2/app/manifests/1" }
      #expect(puts.contains { $0["user"]["username"] == "admin" && $0["verb"] == "put" && $0["responseStatus"]["code"] == 201 })
    }
  }
}

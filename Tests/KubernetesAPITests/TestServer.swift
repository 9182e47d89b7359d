import Client
import ControlPlane
import Glibc
import HTTP
import KubernetesAPI
import NIOCore
import NIOPosix
import Store
import Testing
import Wire

/// The door over a real control plane, a real store, real TLS and real sockets.
struct TestServer {
  let plane: ControlPlane
  let server: HTTPServer
  let caPEM: String
  let adminPair: CertificateAuthority.Pair
  let clientCA: CertificateAuthority
  /// As a member of system:masters, over HTTP/2.
  let client: HTTPClient
  let group: any EventLoopGroup
  let directory: String

  static func with(_ body: (TestServer) async throws -> Void) async throws {
    var template = Array("/tmp/gantry-api-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw StoreError.failed("mkdtemp") }
    let directory = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    let store = try SQLiteStore(.init(path: "\(directory)/state.db"))
    let sealer = Sealer(token: "a-test-token-of-some-length")
    let plane = try ControlPlane(.init(), store: store, sealer: sealer)
    try await plane.bootstrap()
    let serverCA = try CertificateAuthority(.server, store: store, sealer: sealer)
    let clientCA = try CertificateAuthority(.client, store: store, sealer: sealer)
    let serving = try serverCA.server("gantry", names: ["127.0.0.1", "localhost"])
    let admin = try clientCA.client("admin", groups: ["system:masters"])
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    let tls = ServerTLS(
      certificateChain: Array(serving.certificatePEM.utf8), privateKey: Array(serving.keyPEM.utf8),
      clientCAs: Array(clientCA.certificatePEM.utf8))
    let server = try await HTTPServer.start(
      .init(host: "127.0.0.1", port: 0, tls: tls), handler: KubernetesAPI(plane), group: group)
    var clientTLS = ClientTLS(trustRoots: Array(serverCA.certificatePEM.utf8))
    clientTLS.certificateChain = Array(admin.certificatePEM.utf8)
    clientTLS.privateKey = Array(admin.keyPEM.utf8)
    let client = HTTPClient(group: group, host: "127.0.0.1", port: server.port, tls: clientTLS)
    let test = TestServer(
      plane: plane, server: server, caPEM: serverCA.certificatePEM, adminPair: admin, clientCA: clientCA, client: client,
      group: group,
      directory: directory)
    var failure: (any Error)?
    do {
      try await body(test)
    } catch { failure = error }
    client.close()
    await server.shutdown(within: .seconds(1))
    store.close()
    try await group.shutdownGracefully()
    for file in ["state.db", "state.db-wal", "state.db-shm", "state.db.lock", "kubeconfig"] { unlink("\(directory)/\(file)") }
    rmdir(directory)
    if let failure { throw failure }
  }

  /// A client of somebody else, over HTTP/1.1 or 2.
  func client(user: String?, groups: [String] = [], version: HTTPClient.Version = .automatic) throws -> HTTPClient {
    var tls = ClientTLS(trustRoots: Array(caPEM.utf8))
    if let user {
      let pair = try clientCA.client(user, groups: groups)
      tls.certificateChain = Array(pair.certificatePEM.utf8)
      tls.privateKey = Array(pair.keyPEM.utf8)
    }
    return HTTPClient(group: group, host: "127.0.0.1", port: server.port, tls: tls, version: version)
  }

  struct Answer {
    var status: Int
    var headers: [(name: String, value: String)]
    var bytes: [UInt8]
    var text: String { String(decoding: bytes, as: UTF8.self) }
    var json: Value { (try? Value(json: bytes)) ?? .null }
    func header(_ name: String) -> String? { headers.first { $0.name.lowercased() == name }?.value }
  }

  func call(
    _ method: String = "GET", _ target: String, _ body: Value? = nil, headers: [(String, String)] = [], client: HTTPClient? = nil
  ) async throws -> Answer {
    var headers = headers
    if body != nil, !headers.contains(where: { $0.0 == "content-type" }) { headers.append(("content-type", "application/json")) }
    let response = try await (client ?? self.client).request(method, target, headers: headers, body: body?.jsonBytes)
    return Answer(status: response.status, headers: response.headers, bytes: try await response.bytes())
  }

  func call(_ method: String, _ target: String, text: String, type: String) async throws -> Answer {
    let response = try await client.request(method, target, headers: [("content-type", type)], body: Array(text.utf8))
    return Answer(status: response.status, headers: response.headers, bytes: try await response.bytes())
  }

  /// Writes a kubeconfig and gives its path.
  func kubeconfig() throws -> String {
    let text = Kubeconfig.text(server: "https://127.0.0.1:\(server.port)", caPEM: caPEM, client: adminPair)
    let path = "\(directory)/kubeconfig"
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    guard file >= 0 else { throw StoreError.failed("kubeconfig") }
    defer { close(file) }
    let bytes = Array(text.utf8)
    guard write(file, bytes, bytes.count) == bytes.count else { throw StoreError.failed("kubeconfig") }
    return path
  }

  static func configMap(_ name: String, _ data: Value = ["a": "b"]) -> Value {
    ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": .string(name)], "data": data]
  }

  static func pod(_ name: String, labels: Value = ["app": "a"]) -> Value {
    [
      "apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string(name), "labels": labels],
      "spec": ["containers": [["name": "c", "image": "registry.gantry.internal/x:1"]]],
    ]
  }

  static func deployment(_ name: String, replicas: Int64) -> Value {
    [
      "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": .string(name)],
      "spec": [
        "replicas": .int(replicas), "selector": ["matchLabels": ["app": .string(name)]],
        "template": ["metadata": ["labels": ["app": .string(name)]], "spec": ["containers": [["name": "c", "image": "x:1"]]]],
      ],
    ]
  }
}

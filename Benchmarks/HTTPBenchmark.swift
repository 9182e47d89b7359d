import Client
import ControlPlane
import Glibc
import HTTP
import KubernetesAPI
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Store
import Wire

/// GET and LIST of the API against a bare SwiftNIO server that sends the same bytes: same TLS, same client, same run.
enum HTTPBenchmark {
  private static let objects = 2_000
  private static let gets = 40_000
  private static let lists = 80
  private static let connections = 8

  static func run() async throws {
    var template = Array("/tmp/gantry-bench-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { return print("http        skipped: no temporary directory") }
    let directory = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    let store = try SQLiteStore(.init(path: "\(directory)/state.db"))
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    let sealer = Sealer(token: "a-token-for-a-benchmark")
    let plane = try ControlPlane(.init(), store: store, sealer: sealer)
    try await plane.bootstrap()
    try await fill(plane)
    let serving = try CertificateAuthority(.server, store: store, sealer: sealer)
    let clients = try CertificateAuthority(.client, store: store, sealer: sealer)
    let pair = try serving.server("bench", names: ["127.0.0.1"])
    let admin = try clients.client("admin", groups: ["system:masters"])
    let tls = ServerTLS(
      certificateChain: Array(pair.certificatePEM.utf8), privateKey: Array(pair.keyPEM.utf8),
      clientCAs: Array(clients.certificatePEM.utf8))
    let server = try await HTTPServer.start(
      .init(host: "127.0.0.1", port: 0, tls: tls), handler: KubernetesAPI(plane), group: group)
    let clientTLS = ClientTLS(
      trustRoots: Array(serving.certificatePEM.utf8), certificateChain: Array(admin.certificatePEM.utf8),
      privateKey: Array(admin.keyPEM.utf8))
    func client(_ port: Int) -> HTTPClient {
      HTTPClient(group: group, host: "127.0.0.1", port: port, tls: clientTLS, version: .http1)
    }
    let target = "/api/v1/namespaces/default/configmaps"
    let api = client(server.port)
    let one = try await api.request("GET", "\(target)/m7").bytes()
    let all = try await api.request("GET", target).bytes()
    let bare = try await BareServer.start(["/one": one, "/all": all], pair, group)
    let floor = client(bare.localAddress?.port ?? 0)
    _ = try await rate(floor, "/one", count: 2_000, concurrency: connections)
    // In turns, the better of each: a busy machine slows both.
    func compare(_ target: String, _ floorTarget: String, count: Int, concurrency: Int) async throws -> (
      ours: Double, floor: Double
    ) {
      var (ours, bare) = (0.0, 0.0)
      for _ in 0..<4 {
        bare = max(bare, try await rate(floor, floorTarget, count: count / 4, concurrency: concurrency))
        ours = max(ours, try await rate(api, target, count: count / 4, concurrency: concurrency))
      }
      return (ours, bare)
    }
    let get = try await compare("\(target)/m7", "/one", count: gets, concurrency: connections)
    let list = try await compare(target, "/all", count: lists, concurrency: 2)
    for (name, rate, bytes) in [("GET of \(one.count) bytes", get, one.count), ("LIST of \(objects) objects", list, all.count)] {
      Report.line(
        "http: \(name) over TLS", "\(Report.count(rate.ours))/s, \(megabytes(rate.ours, bytes)) MB/s",
        against: "a bare NIO server with the same bytes \(Report.count(rate.floor))/s, \(megabytes(rate.floor, bytes)) MB/s",
        ratio: rate.ours / rate.floor, .atLeast(0.8))
    }
    api.close()
    floor.close()
    try await bare.close()
    await server.shutdown(within: .seconds(1))
    store.close()
    try await group.shutdownGracefully()
    for file in ["state.db", "state.db-wal", "state.db-shm", "state.db.lock"] { unlink("\(directory)/\(file)") }
    rmdir(directory)
  }

  private static func megabytes(_ perSecond: Double, _ bytes: Int) -> Int { Int(perSecond * Double(bytes) / 1e6) }

  private static func fill(_ plane: ControlPlane) async throws {
    let admin = plane.client(as: Identity(name: "admin", groups: ["system:masters"]))
    let operations = (0..<objects).map { i in
      Operation.create(
        GroupVersionResource(resource: "configmaps"), namespace: "default",
        body: [
          "metadata": ["name": .string("m\(i)")], "data": ["filling": .string(String(repeating: "0123456789abcdef", count: 250))],
        ])
    }
    for result in await admin.submit(operations) { _ = try result.get() }
  }

  /// Requests a second.
  private static func rate(_ client: HTTPClient, _ target: String, count: Int, concurrency: Int) async throws -> Double {
    let clock = ContinuousClock()
    let time = try await clock.measure {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<concurrency {
          group.addTask {
            for _ in 0..<count / concurrency {
              let response = try await client.request("GET", target)
              for try await _ in response.body {}
            }
          }
        }
        try await group.waitForAll()
      }
    }
    return Double(count) / seconds(time)
  }
}

/// The floor: NIO's own HTTP/1.1 pipeline over TLS, and bytes made beforehand.
private enum BareServer {
  static func start(_ bodies: [String: [UInt8]], _ pair: CertificateAuthority.Pair, _ group: any EventLoopGroup) async throws
    -> any Channel
  {
    let configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(pair.certificatePEM.utf8)).map { .certificate($0) },
      privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(pair.keyPEM.utf8), format: .pem)))
    let context = try NIOSSLContext(configuration: configuration)
    let buffers = bodies.mapValues { ByteBuffer(bytes: $0) }
    return try await ServerBootstrap(group: group)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
          try channel.pipeline.syncOperations.configureHTTPServerPipeline()
          try channel.pipeline.syncOperations.addHandler(Answer(buffers))
        }
      }.bind(host: "127.0.0.1", port: 0).get()
  }

  private final class Answer: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart
    private let bodies: [String: ByteBuffer]
    private var path = ""
    init(_ bodies: [String: ByteBuffer]) { self.bodies = bodies }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head(let head): path = head.uri
      case .body: break
      case .end:
        let body = bodies[path] ?? ByteBuffer()
        let headers: HTTPHeaders = ["content-type": "application/json", "content-length": String(body.readableBytes)]
        context.write(wrapOutboundOut(.head(.init(version: .http1_1, status: .ok, headers: headers))), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
      }
    }
  }
}

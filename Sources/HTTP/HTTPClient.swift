import NIOCore
import NIOHPACK
import NIOHTTP1
import NIOHTTP2
import NIOPosix
import NIOSSL
import NIOTLS
import Synchronization

package enum HTTPClientError: Error, Equatable, CustomStringConvertible {
  case connect(String)
  case closed
  case noUpgrade(status: Int)

  package var description: String {
    switch self {
    case .connect(let why): "cannot connect: \(why)"
    case .closed: "the server closed the connection"
    case .noUpgrade(let status): "the server answered the upgrade with status \(status)"
    }
  }
}

/// A small HTTP client: HTTP/2 on one connection where the server speaks it, else HTTP/1.1 on kept connections; streaming both in and out.
///
/// One client talks to one server. It reconnects when the next request finds the connection gone; it never retries a request.
package final class HTTPClient: Sendable {
  package enum Version: Sendable { case http1, http2, automatic }

  package struct Response: Sendable {
    package let status: Int
    package let headers: [(name: String, value: String)]
    package let body: InboundBytes

    /// The first header of that name (names come in lower case over HTTP/2, as sent over HTTP/1.1).
    package subscript(name: String) -> String? {
      let name = name.lowercased()
      return headers.first { $0.name.lowercased() == name }?.value
    }

    /// The whole body.
    package func bytes(limit: Int = 64 << 20) async throws -> [UInt8] {
      Array(try await body.collect(limit: limit).readableBytesView)
    }
    package func text() async throws -> String { String(decoding: try await bytes(), as: UTF8.self) }
  }

  private let group: any EventLoopGroup
  private let host: String
  private let port: Int
  private let tls: ClientTLS?
  private let version: Version
  private let state = Mutex(State())

  private struct State {
    var http2: Task<ClientConnection, any Error>?
    /// What ``http2`` gave, so that it can be closed at once.
    var shared: ClientConnection?
    var idle: [ClientConnection] = []
    var isHTTP1 = false
    var isClosed = false
  }

  /// - Parameter tls: nil: no TLS; then `.automatic` means HTTP/1.1.
  package init(group: any EventLoopGroup, host: String, port: Int, tls: ClientTLS? = nil, version: Version = .automatic) {
    self.group = group
    self.host = host
    self.port = port
    self.tls = tls
    self.version = version
  }

  /// Sends a request and returns when the head of the answer is there. Cancelling the task, or dropping the body unread, ends the
  /// exchange (HTTP/2: resets the stream).
  package func request(
    _ method: String = "GET", _ target: String, headers: [(String, String)] = [], body: [UInt8]? = nil
  ) async throws -> Response {
    let connection = try await connection()
    return try await connection.send(method, target, headers: headers, body: body, authority: authority) { [weak self] in
      self?.giveBack(connection)
    }
  }

  /// Opens a WebSocket on a connection of its own.
  package func webSocket(
    _ target: String, headers: [(String, String)] = [], subprotocols: [String] = []
  ) async throws -> WebSocket {
    let connection = try await connect(protocols: ["http/1.1"])
    return try await connection.openWebSocket(target, headers: headers, subprotocols: subprotocols, authority: authority)
  }

  package func close() {
    let open = state.withLock { state in
      state.isClosed = true
      defer { (state.http2, state.shared, state.idle) = (nil, nil, []) }
      return state.idle + (state.shared.map { [$0] } ?? [])
    }
    for connection in open { connection.channel.close(promise: nil) }
  }

  private var authority: String { (host.contains(":") ? "[\(host)]" : host) + ":\(port)" }

  private func giveBack(_ connection: ClientConnection) {
    let isKept = state.withLock { state in
      guard !state.isClosed, connection.channel.isActive, state.idle.count < 64 else { return false }
      state.idle.append(connection)
      return true
    }
    if !isKept { connection.channel.close(promise: nil) }
  }

  private func connection() async throws -> ClientConnection {
    let mayBeHTTP2 = version == .http2 || (version == .automatic && tls != nil)
    if mayBeHTTP2, !state.withLock({ $0.isHTTP1 }) {
      for _ in 0..<2 {
        let task = state.withLock { state in
          if let task = state.http2 { return task }
          let task = Task {
            let connection = try await self.connect(protocols: self.version == .http2 ? ["h2"] : ["h2", "http/1.1"])
            let isWanted = self.state.withLock { state in
              if !state.isClosed { state.shared = connection }
              return !state.isClosed
            }
            if !isWanted { connection.channel.close(promise: nil) }
            return connection
          }
          state.http2 = task
          return task
        }
        do {
          let connection = try await task.value
          if !connection.isHTTP2 {
            state.withLock {
              $0.isHTTP1 = true
              if $0.http2 == task { $0.http2 = nil }
            }
            return connection
          }
          if connection.channel.isActive { return connection }
        } catch {
          state.withLock { if $0.http2 == task { $0.http2 = nil } }
          throw error
        }
        state.withLock { if $0.http2 == task { $0.http2 = nil } }
      }
      throw HTTPClientError.closed
    }
    while let idle = state.withLock({ $0.idle.popLast() }) {
      if idle.channel.isActive { return idle }
    }
    return try await connect(protocols: ["http/1.1"])
  }

  private func connect(protocols: [String]) async throws -> ClientConnection {
    let loop = group.next()
    let promise = loop.makePromise(of: ClientConnection.self)
    let context = try tls?.context(protocols: protocols)
    let serverName = tls?.serverName ?? host
    let assumesHTTP2 = version == .http2
    let bootstrap = ClientBootstrap(group: loop)
      .connectTimeout(.seconds(10))
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          guard let context else {
            return promise.succeed(try ClientConnection.configure(channel, isHTTP2: assumesHTTP2))
          }
          let pipeline = channel.pipeline.syncOperations
          let isAddress = (try? SocketAddress(ipAddress: serverName, port: 0)) != nil
          try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : serverName))
          try pipeline.addHandler(
            ApplicationProtocolNegotiationHandler { result, channel in
              channel.eventLoop.makeCompletedFuture {
                promise.succeed(try ClientConnection.configure(channel, isHTTP2: result == .negotiated("h2")))
              }
            })
          try pipeline.addHandler(FailOnError(promise))
        }
      }
    do {
      let channel = try await bootstrap.connect(host: host, port: port).get()
      channel.closeFuture.whenComplete { _ in promise.fail(HTTPClientError.closed) }
    } catch {
      promise.fail(error)
      throw HTTPClientError.connect("\(host):\(port): \(error)")
    }
    do { return try await promise.futureResult.get() } catch { throw HTTPClientError.connect("\(host):\(port): \(error)") }
  }
}

/// Says why a handshake failed, and closes what is broken.
private final class FailOnError: ChannelInboundHandler {
  typealias InboundIn = Any
  private let promise: EventLoopPromise<ClientConnection>
  init(_ promise: EventLoopPromise<ClientConnection>) { self.promise = promise }
  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if error is NIOHTTP2Errors.StreamError { return }
    promise.fail(error)
    context.close(promise: nil)
  }
}

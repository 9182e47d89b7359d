import Client
import ControlPlane
import HTTP
import NIOCore
import Schema
import Wire

/// The channels of exec and attach. Source: kubernetes remotecommand, `v4.channel.k8s.io` and `v5.channel.k8s.io`.
enum ExecChannel {
  static let stdin: UInt8 = 0
  static let stdout: UInt8 = 1
  static let stderr: UInt8 = 2
  static let error: UInt8 = 3
  static let resize: UInt8 = 4
  /// v5: the next byte names a channel that its sender has ended.
  static let close: UInt8 = 255
}

enum WebSocketProtocols {
  /// In the order of preference.
  static let supported = ["v5.channel.k8s.io", "v4.channel.k8s.io"]

  static func offered(_ head: RequestHead) -> [String] {
    head.fields.all("sec-websocket-protocol").flatMap { $0.split(separator: ",").map { String($0).trimmed } }
  }

  static func chosen(_ head: RequestHead) -> String? {
    let offered = offered(head)
    return supported.first(where: offered.contains)
  }
}

/// `pods/exec` and `pods/attach` over a WebSocket.
extension KubernetesAPI {
  func podStream(_ request: Request) throws(APIError) -> RequestPolicy {
    let head = request.head
    // As upstream: first the pod, then the connection. Clients that fall back to another protocol are told the same.
    let pod = try controlPlane.get(request.kind, request.key)
    guard pod.withView({ $0["spec"]["nodeName"].string?.isEmpty == false }) else {
      throw .badRequest("pod \(request.key.name) does not have a host assigned")
    }
    guard head.upgrade == "websocket" else {
      let wants = head.upgrade ?? ""
      if wants.hasPrefix("spdy"), let reason = streamFailures.recall(request) { throw reason }
      throw APIError(
        .badRequest,
        wants.hasPrefix("spdy")
          ? "unable to upgrade to SPDY: Gantry serves \(request.target.path.subresource) over WebSockets (v5.channel.k8s.io), which kubectl 1.30 and newer speak"
          : "Upgrade request required")
    }
    guard let subprotocol = WebSocketProtocols.chosen(head) else {
      throw .badRequest(
        "unable to negotiate protocol: client supports \(WebSocketProtocols.offered(head)), server accepts \(WebSocketProtocols.supported)"
      )
    }
    if request.target.path.subresource == "exec", request.query["command"] == nil {
      throw .badRequest("you must specify at least 1 command for the container")
    }
    return RequestPolicy(isLongLived: true) { [self] exchange in
      Task.detached {
        do throws(APIError) {
          let stream = try await self.controlPlane.connect(
            request.key, subresource: request.target.path.subresource, query: request.query.pairs, identity: request.identity)
          guard let socket = await Self.upgrade(exchange, subprotocol) else {
            stream.close()
            return self.fail(exchange, .badRequest("the connection cannot be upgraded to a WebSocket"))
          }
          await ExecRelay(stream: stream, socket: socket, isVersion5: subprotocol.hasPrefix("v5")).run()
        } catch {
          self.streamFailures.remember(error, for: request)
          self.fail(exchange, error)
        }
      }
    }
  }

  private static func upgrade(_ exchange: Exchange, _ subprotocol: String) async -> WebSocket? {
    try? await exchange.eventLoop.submit { try exchange.upgradeToWebSocket(subprotocol: subprotocol) }.get()
  }
}

/// Carries frames between a node's stream and a WebSocket, both ways, until one of them ends.
struct ExecRelay: Sendable {
  let stream: any ByteStream
  let socket: WebSocket
  let isVersion5: Bool

  func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await toClient() }
      group.addTask { await fromClient() }
      // The process's end, or the client's, ends the other direction too.
      await group.next()
      group.cancelAll()
      stream.close()
      socket.close()
    }
  }

  private func toClient() async {
    // One Status ends the command; clients read the error channel as one document.
    var hasStatus = false
    do {
      for try await frame in stream.frames {
        if frame.channel == ExecChannel.error, !frame.bytes.isEmpty {
          if hasStatus { continue }
          hasStatus = true
        }
        if frame.bytes.isEmpty {
          if frame.isEnd, isVersion5, frame.channel != ExecChannel.error {
            try await socket.send([ExecChannel.close, frame.channel])
          }
          continue
        }
        var message = ByteBuffer()
        message.reserveCapacity(frame.bytes.count + 1)
        message.writeInteger(frame.channel)
        message.writeBytes(frame.bytes)
        try await socket.send(message)
      }
    } catch let error as APIError {
      if !hasStatus { await tell(error) }
    } catch is WebSocketError {
      // The client went away.
    } catch {
      if !hasStatus { await tell(.internalError("\(error)")) }
    }
  }

  private func tell(_ error: APIError) async {
    var message = ByteBuffer()
    message.writeInteger(ExecChannel.error)
    message.writeBytes(StatusBody.value(error).jsonBytes)
    try? await socket.send(message)
  }

  private func fromClient() async {
    do {
      for try await var message in socket.messages {
        guard let channel = message.readInteger(as: UInt8.self) else { continue }
        switch channel {
        case ExecChannel.close where isVersion5:
          if let ended = message.readInteger(as: UInt8.self) { try await stream.finish(channel: ended) }
        case ExecChannel.stdin, ExecChannel.resize:
          if message.readableBytes > 0 {
            try await stream.send(StreamFrame(channel: channel, bytes: Array(message.readableBytesView)))
          }
        default: break
        }
      }
    } catch {
      // Either side broke off; the relay ends both.
    }
  }
}

import CLinux
import Client
import NIOCore
import NIOPosix
import RPC
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// Connections into a pod: a socket made inside its network namespace, to its own loopback.
///
/// Frames: for the n-th port channel 2n carries data and 2n+1 what went wrong, as upstream numbers them.
struct PortForward: Sendable {
  let cri: CRIClient
  let sandboxID: String
  let isHostNetwork: Bool
  let ports: [Int]

  func run(_ pipe: FramePipe) async {
    var channels: [UInt8: any Channel] = [:]
    for (i, port) in ports.prefix(100).enumerated() {
      let data = UInt8(clamping: i * 2)
      do {
        channels[data] = try await connect(port: port, channel: data, pipe)
      } catch {
        pipe.write(data + 1, Array("an error occurred forwarding \(port): \(Prober.words(error))".utf8))
        pipe.end(data + 1)
        pipe.end(data)
      }
    }
    let open = channels
    pipe.onClose { for channel in open.values { channel.close(promise: nil) } }
    for await frame in pipe.input {
      guard let channel = channels[frame.channel] else { continue }
      if !frame.bytes.isEmpty { try? await channel.writeAndFlush(ByteBuffer(bytes: frame.bytes)) }
      if frame.isEnd { try? await channel.close(mode: .output) }
    }
  }

  private func connect(port: Int, channel: UInt8, _ pipe: FramePipe) async throws -> any Channel {
    let loop = MultiThreadedEventLoopGroup.singleton
    let bootstrap = ClientBootstrap(group: loop).connectTimeout(.seconds(10)).channelOption(.allowRemoteHalfClosure, value: true)
      .channelInitializer { stream in
        stream.eventLoop.makeCompletedFuture { try stream.pipeline.syncOperations.addHandler(Relay(channel: channel, pipe: pipe)) }
      }
    if isHostNetwork { return try await bootstrap.connect(host: "127.0.0.1", port: port).get() }
    let answer = try await cri.call("PodSandboxStatus", ["pod_sandbox_id": .string(sandboxID), "verbose": true])
    let info = try Value(json: answer["info"]["info"].string ?? "{}")
    let spaces = info["runtimeSpec"]["linux"]["namespaces"].array ?? []
    guard let path = spaces.first(where: { $0["type"].string == "network" })?["path"].string else {
      throw AgentFailure("the sandbox has no network namespace")
    }
    let file = gantry_socket_in(path, AF_INET, Int32(SOCK_STREAM.rawValue))
    guard file >= 0 else { throw Files.failure("cannot enter", path) }
    // Connected by hand: loopback of the namespace answers at once.
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(clamping: port).bigEndian)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(file, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
    guard result == 0 else {
      let error = errno
      close(file)
      throw IOError(errnoCode: error, reason: "connect")
    }
    return try await bootstrap.withConnectedSocket(file).get()
  }

  private final class Relay: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    let channel: UInt8
    let pipe: FramePipe
    init(channel: UInt8, pipe: FramePipe) {
      self.channel = channel
      self.pipe = pipe
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      pipe.write(channel, Array(unwrapInboundIn(data).readableBytesView))
      pipe.throttle(context.channel)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      if let event = event as? ChannelEvent, case .inputClosed = event { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
      pipe.end(channel)
      pipe.end(channel + 1)
      context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
}

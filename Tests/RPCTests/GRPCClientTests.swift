import NIOCore
import NIOPosix
import RPC
import Testing

@Suite(.timeLimit(.minutes(5))) struct GRPCClientTests {
  @Test("answers to many calls that were given up meanwhile do not end the connection")
  func lateAnswers() async throws {
    let count = 100
    let server = try await LateServer(answeringLate: count)
    let client = GRPCClient(.tcp(host: "127.0.0.1", port: server.port))
    let calls = (0..<count).map { _ in Task { try await client.unary("/a.B/C", [], deadline: nil) } }
    var came = server.came.makeAsyncIterator()
    await came.next()
    for call in calls { call.cancel() }
    for call in calls { await #expect(throws: GRPCError.self) { try await call.value } }
    #expect(try await client.unary("/a.B/C", []) == [7])
    client.close()
    try await server.close()
  }
}

/// HTTP/2 by hand: answers its first calls only once all of them have been reset, and every later one at once. Takes one connection.
private final class LateServer: Sendable {
  let came: AsyncStream<Void>
  let port: Int
  private let listener: any Channel

  init(answeringLate count: Int) async throws {
    let (came, continuation) = AsyncStream.makeStream(of: Void.self)
    self.came = came
    listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Frames(count, continuation)) }
      }.bind(host: "127.0.0.1", port: 0).get()
    port = listener.localAddress?.port ?? 0
  }

  func close() async throws { try await listener.close().get() }

  private final class Frames: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let count: Int
    private let came: AsyncStream<Void>.Continuation
    private var input = ByteBuffer()
    private var hasPreface = false
    private var late: [UInt32] = []
    private var resets = 0

    init(_ count: Int, _ came: AsyncStream<Void>.Continuation) {
      self.count = count
      self.came = came
    }

    func channelActive(context: ChannelHandlerContext) { send(context, type: 4, flags: 0, stream: 0, []) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      var piece = unwrapInboundIn(data)
      input.writeBuffer(&piece)
      if !hasPreface {
        guard input.readableBytes >= 24 else { return }
        input.moveReaderIndex(forwardBy: 24)
        hasPreface = true
      }
      while let head = input.getBytes(at: input.readerIndex, length: 9) {
        let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
        guard input.readableBytes >= 9 + length else { return }
        input.moveReaderIndex(forwardBy: 9 + length)
        let stream = head[5...].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        switch head[3] {
        case 1 where late.count < count:
          late.append(stream)
          if late.count == count { came.yield() }
        case 1: answer(context, stream)
        case 3:
          resets += 1
          if resets == count { for stream in late { answer(context, stream) } }
        case 4 where head[4] == 0: send(context, type: 4, flags: 1, stream: 0, [])
        default: break
        }
      }
    }

    /// `:status 200`; a message of one byte; `grpc-status: 0`.
    private func answer(_ context: ChannelHandlerContext, _ stream: UInt32) {
      send(context, type: 1, flags: 4, stream: stream, [0x88])
      send(context, type: 0, flags: 0, stream: stream, [0, 0, 0, 0, 1, 7])
      send(context, type: 1, flags: 5, stream: stream, [0, 11] + Array("grpc-status".utf8) + [1, UInt8(ascii: "0")])
    }

    private func send(_ context: ChannelHandlerContext, type: UInt8, flags: UInt8, stream: UInt32, _ payload: [UInt8]) {
      var frame = ByteBuffer(bytes: [0, 0, UInt8(payload.count), type, flags])
      frame.writeInteger(stream)
      frame.writeBytes(payload)
      context.writeAndFlush(wrapOutboundOut(frame), promise: nil)
    }
  }
}

import Client
import ControlPlane
import HTTP
import NIOCore
import Synchronization
import Testing
import Wire

/// A node that answers what a test wrote down, and keeps what it was sent.
private final class ScriptedNode: NodeEndpoint {
  final class Stream: ByteStream {
    let frames: AsyncThrowingStream<StreamFrame, any Error>
    let output: AsyncThrowingStream<StreamFrame, any Error>.Continuation
    /// Everything that the client sent, in order; an ended channel is an empty frame.
    let received: AsyncStream<StreamFrame>
    private let input: AsyncStream<StreamFrame>.Continuation
    private let closed = Atomic<Bool>(false)
    var isClosed: Bool { closed.load(ordering: .relaxed) }

    init() {
      (frames, output) = AsyncThrowingStream.makeStream()
      (received, input) = AsyncStream.makeStream()
    }

    func send(_ frame: StreamFrame) async throws { input.yield(frame) }
    func finish(channel: UInt8) async throws { input.yield(StreamFrame(channel: channel, bytes: [], isEnd: true)) }
    func close() {
      closed.store(true, ordering: .relaxed)
      output.finish()
      input.finish()
    }
  }

  struct Call: Sendable {
    var pod: ObjectKey
    var subresource: String
    var query: [(name: String, value: String)]
    var stream: Stream
  }

  let calls: AsyncStream<Call>
  private let continuation: AsyncStream<Call>.Continuation
  /// Runs when a stream is opened, before the client is told.
  private let refusal = Mutex<APIError?>(nil)

  init() { (calls, continuation) = AsyncStream.makeStream() }

  func refuse(_ error: APIError) { refusal.withLock { $0 = error } }

  func connect(
    pod: ObjectKey, uid: String, subresource: String, query: [(name: String, value: String)]
  ) async throws(APIError) -> any ByteStream {
    if let error = refusal.withLock({ $0 }) { throw error }
    let stream = Stream()
    continuation.yield(Call(pod: pod, subresource: subresource, query: query, stream: stream))
    return stream
  }
}

private struct OneNode: Dialer {
  let endpoint: ScriptedNode
  func node(_ name: String) throws(APIError) -> any NodeEndpoint { endpoint }
}

/// Streams to a pod's node over the real server, as client-go opens them.
@Suite(.timeLimit(.minutes(5))) struct StreamTests {
  private static let pod = "/api/v1/namespaces/default/pods/p"
  private static let success: [UInt8] = Array(#"{"metadata":{},"status":"Success"}"#.utf8)

  /// A pod on a scripted node.
  private func with(
    _ body: (TestServer, ScriptedNode, inout AsyncStream<ScriptedNode.Call>.AsyncIterator) async throws -> Void
  ) async throws {
    try await TestServer.with { test in
      let node = ScriptedNode()
      test.plane.setDialer(OneNode(endpoint: node))
      _ = try await test.call("POST", "/api/v1/namespaces/default/pods", TestServer.pod("p"))
      let bound = try await test.call(
        "POST", "\(Self.pod)/binding",
        ["apiVersion": "v1", "kind": "Binding", "metadata": ["name": "p"], "target": ["kind": "Node", "name": "n1"]])
      #expect(bound.status == 201, "\(bound.text)")
      var calls = node.calls.makeAsyncIterator()
      try await body(test, node, &calls)
    }
  }

  private func next(_ messages: inout InboundBytes.AsyncIterator) async throws -> [UInt8]? {
    try await messages.next().map { Array($0.readableBytesView) }
  }

  @Test("exec over v5: input, its end, sizes, output and the status each on its channel")
  func exec() async throws {
    try await with { test, _, calls in
      let client = try test.client(user: "admin", groups: ["system:masters"], version: .http1)
      defer { client.close() }
      let socket = try await client.webSocket(
        "\(Self.pod)/exec?command=sh&command=-c&command=cat&stdin=true&stdout=true&stderr=true", subprotocols: ["v5.channel.k8s.io"]
      )
      #expect(socket.subprotocol == "v5.channel.k8s.io")
      let call = try #require(await calls.next())
      #expect(call.subresource == "exec" && call.pod == ObjectKey(namespace: "default", name: "p"))
      #expect(call.query.filter { $0.name == "command" }.map(\.value) == ["sh", "-c", "cat"])
      // The only container is the one that is meant.
      #expect(call.query.first { $0.name == "container" }?.value == "c")
      try await socket.send([0] + Array("hello".utf8))
      try await socket.send([4] + Array(#"{"Width":80,"Height":24}"#.utf8))
      try await socket.send([255, 0])
      var received = call.stream.received.makeAsyncIterator()
      let text = try #require(await received.next())
      #expect(text.channel == 0 && text.bytes == Array("hello".utf8))
      let size = try #require(await received.next())
      #expect(size.channel == 4 && size.bytes == Array(#"{"Width":80,"Height":24}"#.utf8))
      let end = try #require(await received.next())
      #expect(end.channel == 0 && end.isEnd)
      call.stream.output.yield(StreamFrame(channel: 1, bytes: Array("out".utf8)))
      call.stream.output.yield(StreamFrame(channel: 2, bytes: Array("err".utf8)))
      call.stream.output.yield(StreamFrame(channel: 1, bytes: [], isEnd: true))
      call.stream.output.yield(StreamFrame(channel: 3, bytes: Self.success))
      // A second status would be one document too many for the client.
      call.stream.output.yield(StreamFrame(channel: 3, bytes: Self.success))
      call.stream.output.finish()
      var messages = socket.messages.makeAsyncIterator()
      #expect(try await next(&messages) == [1] + Array("out".utf8))
      #expect(try await next(&messages) == [2] + Array("err".utf8))
      #expect(try await next(&messages) == [255, 1])
      #expect(try await next(&messages) == [3] + Self.success)
      #expect(try await next(&messages) == nil)
      #expect(call.stream.isClosed)
    }
  }

  @Test(
    "a log since the beginning of the world asks the node for no more than it can count", arguments: ["9223372036854775807", "60"])
  func since(seconds: String) async throws {
    try await with { test, _, calls in
      async let answer = test.call("GET", "\(Self.pod)/log?sinceSeconds=\(seconds)&tailLines=1")
      let call = try #require(await calls.next())
      call.stream.output.finish()
      #expect(try await answer.status == 200)
      let asked = try #require(call.query.first { $0.name == "sinceSeconds" }.flatMap { Int64($0.value) })
      #expect(!asked.multipliedReportingOverflow(by: 1_000_000_000).overflow && (asked == 60) == (seconds == "60"))
      #expect(call.query.contains { $0.name == "tailLines" && $0.value == "1" })
    }
  }

  @Test("attach over v4 has no ends of channels; a node that breaks off says so on the error channel")
  func attach() async throws {
    try await with { test, _, calls in
      let client = try test.client(user: "admin", groups: ["system:masters"], version: .http1)
      defer { client.close() }
      let socket = try await client.webSocket(
        "\(Self.pod)/attach?container=c&stdout=true", subprotocols: ["unknown.example", "v4.channel.k8s.io"])
      #expect(socket.subprotocol == "v4.channel.k8s.io")
      let call = try #require(await calls.next())
      #expect(call.subresource == "attach")
      call.stream.output.yield(StreamFrame(channel: 1, bytes: [1, 2, 3]))
      call.stream.output.yield(StreamFrame(channel: 1, bytes: [], isEnd: true))
      call.stream.output.finish(throwing: APIError.internalError("the container is gone"))
      var messages = socket.messages.makeAsyncIterator()
      #expect(try await next(&messages) == [1, 1, 2, 3])
      let last = try #require(try await next(&messages))
      #expect(last.first == 3)
      let status = try Value(json: Array(last.dropFirst()))
      #expect(status["status"] == "Failure" && status["message"].string?.contains("the container is gone") == true)
      #expect(try await next(&messages) == nil)
    }
  }

  @Test("a client that leaves ends the node's side")
  func leaves() async throws {
    try await with { test, _, calls in
      let client = try test.client(user: "admin", groups: ["system:masters"], version: .http1)
      defer { client.close() }
      let socket = try await client.webSocket("\(Self.pod)/attach?stdin=true", subprotocols: ["v5.channel.k8s.io"])
      let call = try #require(await calls.next())
      socket.close()
      var received = call.stream.received.makeAsyncIterator()
      #expect(await received.next() == nil)
      #expect(call.stream.isClosed)
    }
  }

  @Test("logs come as they are written, with the options that were asked for; what was refused is a Status")
  func log() async throws {
    try await with { test, node, calls in
      async let answer = test.client.request("GET", "\(Self.pod)/log?follow=true&tailLines=5&invented=1")
      let call = try #require(await calls.next())
      #expect(call.subresource == "log")
      #expect(call.query.map(\.name).sorted() == ["container", "follow", "tailLines"])
      call.stream.output.yield(StreamFrame(channel: 1, bytes: []))
      let response = try await answer
      #expect(response.status == 200 && response["content-type"] == "text/plain")
      var body = response.body.makeAsyncIterator()
      for line in ["one\n", "two\n"] {
        call.stream.output.yield(StreamFrame(channel: 1, bytes: Array(line.utf8)))
        let piece = try #require(try await body.next())
        #expect(String(buffer: piece) == line)
      }
      call.stream.output.finish()
      #expect(try await body.next() == nil)
      let wrong = try await test.call("GET", "\(Self.pod)/log?tailLines=-1")
      #expect(wrong.status == 422 && wrong.json["details"]["causes"][0]["field"] == "tailLines")
      node.refuse(.badRequest("container \"c\" in pod \"p\" is waiting to start: ContainerCreating"))
      let refused = try await test.call("GET", "\(Self.pod)/log")
      #expect(refused.status == 400 && refused.json["message"].string?.hasSuffix("ContainerCreating") == true)
    }
  }

  @Test("what cannot be opened is refused before the upgrade, in words; a stream needs the right to create it")
  func refusals() async throws {
    try await with { test, node, _ in
      let admin = try test.client(user: "admin", groups: ["system:masters"], version: .http1)
      let bob = try test.client(user: "bob", version: .http1)
      defer {
        admin.close()
        bob.close()
      }
      func status(_ client: HTTPClient, _ target: String, _ protocols: [String] = ["v5.channel.k8s.io"]) async throws -> Int {
        do {
          _ = try await client.webSocket(target, subprotocols: protocols)
          return 101
        } catch HTTPClientError.noUpgrade(let status) { return status }
      }
      #expect(try await status(bob, "\(Self.pod)/exec?command=ls") == 403)
      #expect(try await status(admin, "\(Self.pod)/exec") == 400)
      #expect(try await status(admin, "\(Self.pod)/exec?command=ls&container=none") == 400)
      #expect(try await status(admin, "\(Self.pod)/exec?command=ls", ["v1.channel.example"]) == 400)
      #expect(try await status(admin, "/api/v1/namespaces/default/pods/none/exec?command=ls") == 404)
      node.refuse(APIError.internalError("the container is not running"))
      #expect(try await status(admin, "\(Self.pod)/exec?command=ls") == 500)
    }
  }
}

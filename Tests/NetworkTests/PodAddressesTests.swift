import Client
import Logging
import Network
import Synchronization
import Testing
import Wire

@Suite("addresses for pods") struct PodAddressesTests {
  @Test("a node that waits says so in its condition, once, and takes it back when it has its block")
  func waiting() async throws {
    let client = NodeClient()
    client.put([])
    let (worth, patience) = AsyncStream<Void>.makeStream()
    let waiting = PodAddresses(
      node: "n", client: client, clusterCIDRs: [try #require(CIDR("10.42.0.0/24"))], log: Logger(label: "test"),
      patience: { for await _ in worth { return } })
    async let blocks = waiting.wait()
    patience.yield()
    let complaint = try #require(await client.patches.first { _ in true })
    #expect(complaint["type"] == "NetworkUnavailable" && complaint["status"] == "True")
    #expect(complaint["message"].string?.contains("10.42.0.0/24") == true)
    client.put(["10.42.0.0/24"])
    #expect(try await blocks == [try #require(CIDR("10.42.0.0/24"))])
    let taken = try #require(await client.patches.first { _ in true })
    #expect(taken["type"] == "NetworkUnavailable" && taken["status"] == "False")
  }

  @Test("a node that is ended while it waits has no network, instead of one without addresses")
  func cancelled() async throws {
    let client = NodeClient()
    client.put([])
    let waiting = PodAddresses(
      node: "n", client: client, clusterCIDRs: [], log: Logger(label: "test"),
      patience: { try await Task.sleep(for: .seconds(1e6)) })
    let task = Task { try await waiting.wait() }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
  }

  @Test("several resources count as known when the last has been told whole, once")
  func feeds() async throws {
    let client = NodeClient()
    client.put([])
    let (events, told) = AsyncStream.makeStream(of: String.self)
    let task = Task {
      await ObjectFeeds(client: client, .nodes, .services).run {
        told.yield("synced")
      } _: { resource, changes in
        for change in changes { if case .synced = change { told.yield(resource.resource) } }
      }
    }
    let first = await events.prefix(3).reduce(into: []) { $0.append($1) }
    #expect(Set(first) == ["nodes", "services", "synced"] && first.last == "synced", "\(first)")
    task.cancel()
  }
}

/// One Node that can be listed, watched and patched; nothing of anything else.
private final class NodeClient: Client {
  private struct State {
    var node: EncodedObject?
    var revision: Int64 = 1
    var watchers: [WatchStream.Continuation] = []
  }
  let identity = Identity.node("n")
  /// Conditions that were written.
  let patches: AsyncStream<Value>
  private let patched: AsyncStream<Value>.Continuation
  private let state = Mutex(State())

  init() { (patches, patched) = AsyncStream.makeStream() }

  func put(_ blocks: [String]) {
    let value: Value = [
      "metadata": ["name": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"],
      "spec": ["podCIDRs": .array(blocks.map { .string($0) })],
    ]
    state.withLock { state in
      state.revision += 1
      guard let node = try? EncodedObject(bytes: value.jsonBytes, revision: state.revision) else { return }
      state.node = node
      for watcher in state.watchers { watcher.yield([.modified(node)]) }
    }
  }

  func get(_ resource: GroupVersionResource, _ key: ObjectKey) async throws(APIError) -> EncodedObject { throw Self.unused }

  func list(_ resource: GroupVersionResource, namespace: String?, _ options: ListOptions) async throws(APIError) -> ObjectList {
    state.withLock { ObjectList(revision: $0.revision, items: resource == .nodes ? [$0.node].compactMap { $0 } : []) }
  }

  func watch(_ resource: GroupVersionResource, namespace: String?, _ options: ListOptions) async throws(APIError) -> WatchStream {
    let (stream, continuation) = WatchStream.makeStream()
    state.withLock { state in
      // What was written between the list and the watch.
      if let node = state.node, node.revision > Int64(options.resourceVersion ?? "") ?? 0 { continuation.yield([.modified(node)]) }
      state.watchers.append(continuation)
    }
    return stream
  }

  func create(_ resource: GroupVersionResource, namespace: String, body: Value, _ options: WriteOptions)
    async throws(APIError) -> EncodedObject
  { throw Self.unused }

  func update(_ resource: GroupVersionResource, _ key: ObjectKey, subresource: String?, body: Value, _ options: WriteOptions)
    async throws(APIError) -> EncodedObject
  { throw Self.unused }

  func patch(_ resource: GroupVersionResource, _ key: ObjectKey, subresource: String?, _ patch: Patch, _ options: WriteOptions)
    async throws(APIError) -> EncodedObject
  {
    guard subresource == "status", let node = state.withLock({ $0.node }) else { throw Self.unused }
    patched.yield(patch.body["status"]["conditions"][0])
    return node
  }

  func delete(_ resource: GroupVersionResource, _ key: ObjectKey, _ options: DeleteOptions)
    async throws(APIError) -> EncodedObject?
  { throw Self.unused }

  func createSubresource(
    _ resource: GroupVersionResource, _ key: ObjectKey, subresource: String, body: Value, _ options: WriteOptions
  ) async throws(APIError) -> Value { throw Self.unused }

  func submit(_ operations: [Operation]) async -> [Result<EncodedObject?, APIError>] { [] }

  func connect(
    _ resource: GroupVersionResource, _ key: ObjectKey, subresource: String, query: [(name: String, value: String)]
  ) async throws(APIError) -> any ByteStream { throw Self.unused }

  private static var unused: APIError { APIError(.internalError, "not in this test") }
}

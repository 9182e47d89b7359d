import Client
import Synchronization
import Testing
import Wire

/// A server that lists nothing and whose watches do as they are told.
private final class Script: Client {
  enum Watch {
    case refused(APIError.Reason)
    case events([WatchEvent])
  }

  let identity = Identity(name: "test", groups: [])
  private let watches: Mutex<[Watch]>
  init(_ watches: [Watch]) { self.watches = Mutex(watches) }

  func list(_: GroupVersionResource, namespace: String?, _: ListOptions) async throws(APIError) -> ObjectList {
    ObjectList(revision: 1, items: [])
  }

  func watch(_: GroupVersionResource, namespace: String?, _: ListOptions) async throws(APIError) -> WatchStream {
    switch watches.withLock({ $0.isEmpty ? .refused(.gone) : $0.removeFirst() }) {
    case .refused(let reason): throw APIError(reason, "no")
    case .events(let events):
      return WatchStream { continuation in
        continuation.yield(events)
        continuation.finish()
      }
    }
  }

  private static let unused = APIError(.methodNotAllowed, "not here")
  func get(_: GroupVersionResource, _: ObjectKey) async throws(APIError) -> EncodedObject { throw Self.unused }
  func create(
    _: GroupVersionResource, namespace: String, body: Value, _: WriteOptions
  ) async throws(APIError) -> EncodedObject { throw Self.unused }
  func update(
    _: GroupVersionResource, _: ObjectKey, subresource: String?, body: Value, _: WriteOptions
  ) async throws(APIError) -> EncodedObject { throw Self.unused }
  func patch(
    _: GroupVersionResource, _: ObjectKey, subresource: String?, _: Patch, _: WriteOptions
  ) async throws(APIError) -> EncodedObject { throw Self.unused }
  func delete(_: GroupVersionResource, _: ObjectKey, _: DeleteOptions) async throws(APIError) -> EncodedObject? {
    throw Self.unused
  }
  func createSubresource(
    _: GroupVersionResource, _: ObjectKey, subresource: String, body: Value, _: WriteOptions
  ) async throws(APIError) -> Value { throw Self.unused }
  func submit(_ operations: [Operation]) async -> [Result<EncodedObject?, APIError>] {
    operations.map { _ in .failure(Self.unused) }
  }
  func connect(
    _: GroupVersionResource, _: ObjectKey, subresource: String, query: [(name: String, value: String)]
  ) async throws(APIError) -> any ByteStream { throw Self.unused }
}

@Suite("a feed's patience")
struct ObjectFeedTests {
  /// How long the feed waits, in milliseconds, until it has waited so often.
  private func pauses(_ watches: [Script.Watch], count: Int) async -> [Int] {
    let waited = Mutex<[Int]>([])
    let feed = ObjectFeed(client: Script(watches), resource: .pods) { duration in
      let enough = waited.withLock { waited in
        waited.append(Int(duration / .milliseconds(1)))
        return waited.count >= count
      }
      if enough { withUnsafeCurrentTask { $0?.cancel() } }
    }
    await Task { await feed.run { _ in } }.value
    return waited.withLock { $0 }
  }

  @Test("a list that succeeds does not end the patience with its watch", arguments: [APIError.Reason.forbidden, .expired, .gone])
  func refused(reason: APIError.Reason) async {
    let refused = [Script.Watch](repeating: .refused(reason), count: 9)
    #expect(await pauses(refused, count: 9) == [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000])
  }

  @Test("a stream that begins with its end is a failure too; one that has told something starts anew")
  func streams() async {
    let lost = Script.Watch.events([.error(APIError(.expired, "too old"))])
    let alive = Script.Watch.events([.bookmark(revision: 5, initialEventsEnd: false)])
    #expect(await pauses([lost, lost, lost, alive, lost, lost], count: 5) == [100, 200, 400, 100, 200])
  }
}

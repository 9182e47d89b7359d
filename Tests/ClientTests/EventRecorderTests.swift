import Client
import Synchronization
import Testing
import Wire

/// Answers nothing; the recorder's decisions are in the operations that it makes.
private struct NoServer: Client {
  let identity = Identity.anonymous
  private var away: APIError { APIError(.serviceUnavailable, "no server") }

  func get(_: GroupVersionResource, _: ObjectKey) async throws(APIError) -> EncodedObject { throw away }
  func list(_: GroupVersionResource, namespace: String?, _: ListOptions) async throws(APIError) -> ObjectList { throw away }
  func watch(_: GroupVersionResource, namespace: String?, _: ListOptions) async throws(APIError) -> WatchStream { throw away }
  func create(_: GroupVersionResource, namespace: String, body: Value, _: WriteOptions) async throws(APIError) -> EncodedObject {
    throw away
  }
  func update(
    _: GroupVersionResource, _: ObjectKey, subresource: String?, body: Value, _: WriteOptions
  ) async throws(APIError) -> EncodedObject { throw away }
  func patch(
    _: GroupVersionResource, _: ObjectKey, subresource: String?, _: Patch, _: WriteOptions
  ) async throws(APIError) -> EncodedObject { throw away }
  func delete(_: GroupVersionResource, _: ObjectKey, _: DeleteOptions) async throws(APIError) -> EncodedObject? { throw away }
  func createSubresource(
    _: GroupVersionResource, _: ObjectKey, subresource: String, body: Value, _: WriteOptions
  ) async throws(APIError) -> Value { throw away }
  func submit(_ operations: [Operation]) async -> [Result<EncodedObject?, APIError>] { operations.map { _ in .failure(away) } }
  func connect(
    _: GroupVersionResource, _: ObjectKey, subresource: String, query: [(name: String, value: String)]
  ) async throws(APIError) -> any ByteStream { throw away }
}

private final class Clock: Sendable {
  private let seconds = Mutex<Int64>(1_700_000_000)
  var time: WallTime { WallTime(seconds: seconds.withLock { $0 }) }
  func advance(_ by: Int64) { seconds.withLock { $0 += by } }
}

@Suite("events")
struct EventRecorderTests {
  private let clock = Clock()
  private let about = ObjectReference.pod(.init(namespace: "shop", name: "web-1"), uid: "u1", container: "c")

  private func recorder() -> EventRecorder {
    EventRecorder(client: NoServer(), controller: "kubelet", instance: "n1", now: { [clock] in clock.time })
  }

  @Test("an event has the fields that kubectl shows")
  func fields() {
    guard case .create(let resource, let namespace, let body)? = recorder().operation(about, .warning, reason: "BackOff", "again")
    else {
      Issue.record("nothing told")
      return
    }
    #expect(resource == .coreEvents && namespace == "shop" && body["metadata"]["namespace"] == "shop")
    let about = body["involvedObject"]
    #expect(
      about["fieldPath"] == "spec.containers{c}" && about["uid"] == "u1" && about["kind"] == "Pod" && about["namespace"] == "shop")
    #expect(body["type"] == "Warning" && body["reason"] == "BackOff" && body["message"] == "again" && body["count"] == 1)
    #expect(body["source"] == ["component": "kubelet", "host": "n1"] && body["reportingComponent"] == "kubelet")
    #expect(body["firstTimestamp"] == "2023-11-14T22:13:20Z" && body["lastTimestamp"] == body["firstTimestamp"])
  }

  @Test("what is said again is counted, written at once and then every half minute; after six minutes it is news again")
  func series() {
    let recorder = recorder()
    guard case .create(_, _, let body)? = recorder.operation(about, .normal, reason: "Pulling", "x") else {
      Issue.record("nothing told")
      return
    }
    clock.advance(1)
    guard case .patch(_, let key, nil, let patch)? = recorder.operation(about, .normal, reason: "Pulling", "x") else {
      Issue.record("no count")
      return
    }
    #expect(key.name == body["metadata"]["name"].string && patch.body["count"] == 2)
    clock.advance(1)
    #expect(recorder.operation(about, .normal, reason: "Pulling", "x") == nil)
    clock.advance(30)
    guard case .patch(_, _, nil, let later)? = recorder.operation(about, .normal, reason: "Pulling", "x") else {
      Issue.record("no count")
      return
    }
    #expect(later.body["count"] == 4 && later.body["lastTimestamp"] == "2023-11-14T22:13:52Z")
    clock.advance(361)
    guard case .create? = recorder.operation(about, .normal, reason: "Pulling", "x") else {
      Issue.record("no news")
      return
    }
  }

  @Test("one object tells 25 things at once and then one in five minutes; others are not held back by it")
  func allowance() {
    let recorder = recorder()
    let told = (0..<100).count { recorder.operation(about, .normal, reason: "SuccessfulCreate", "pod \($0)") != nil }
    #expect(told == 25)
    #expect(recorder.operation(.pod(.init(namespace: "shop", name: "web-2"), uid: "u2"), .normal, reason: "Pulling", "x") != nil)
    clock.advance(301)
    #expect((100..<110).count { recorder.operation(about, .normal, reason: "SuccessfulCreate", "pod \($0)") != nil } == 1)
  }
}

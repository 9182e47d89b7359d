import Client
import Synchronization
import Wire

/// Just enough of an API for one node: objects in memory, merge patches, watches. For tests of the agent against a real runtime.
final class MemoryClient: Client {
  struct State {
    var objects: [GroupVersionResource: [ObjectKey: (value: Value, revision: Int64)]] = [:]
    var revision: Int64 = 1
    var watchers: [(GroupVersionResource, AsyncStream<[WatchEvent]>.Continuation)] = []
    /// Everything that happened: whoever watches from a revision is told what came after it.
    var past: [(resource: GroupVersionResource, revision: Int64, event: WatchEvent)] = []

    mutating func tell(_ resource: GroupVersionResource, _ event: WatchEvent) {
      past.append((resource, revision, event))
      for (other, stream) in watchers where other == resource { stream.yield([event]) }
    }
  }

  let identity = Identity.node("test")
  let state = Mutex(State())

  static func encode(_ value: Value, _ revision: Int64) -> EncodedObject {
    var value = value
    var metadata = value["metadata"]
    metadata.remove("resourceVersion")
    value["metadata"] = metadata
    guard let object = try? EncodedObject(bytes: value.jsonBytes, revision: revision) else { preconditionFailure("test object") }
    return object
  }

  @discardableResult
  func put(_ resource: GroupVersionResource, _ value: Value) -> EncodedObject {
    state.withLock { state in
      state.revision += 1
      var value = value
      value["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
      let key = ObjectKey(namespace: value["metadata"]["namespace"].string ?? "", name: value["metadata"]["name"].string ?? "")
      if value["metadata"]["uid"].string == nil { value["metadata"]["uid"] = .string("uid-\(state.revision)") }
      let isNew = state.objects[resource]?[key] == nil
      state.objects[resource, default: [:]][key] = (value, state.revision)
      let object = Self.encode(value, state.revision)
      state.tell(resource, isNew ? .added(object) : .modified(object))
      return object
    }
  }

  func value(_ resource: GroupVersionResource, _ key: ObjectKey) -> Value? { state.withLock { $0.objects[resource]?[key]?.value } }

  func get(_ resource: GroupVersionResource, _ key: ObjectKey) async throws(APIError) -> EncodedObject {
    let found = state.withLock { $0.objects[resource]?[key] }
    guard let found else { throw .notFound(GroupResource(group: resource.group, resource: resource.resource), key.name) }
    return Self.encode(found.value, found.revision)
  }

  func list(_ resource: GroupVersionResource, namespace: String?, _ options: ListOptions) async throws(APIError) -> ObjectList {
    state.withLock { state in
      let items = (state.objects[resource] ?? [:]).filter { namespace == nil || $0.key.namespace == namespace }
      return ObjectList(revision: state.revision, items: items.map { Self.encode($0.value.value, $0.value.revision) })
    }
  }

  func watch(_ resource: GroupVersionResource, namespace: String?, _ options: ListOptions) async throws(APIError) -> WatchStream {
    let (stream, continuation) = AsyncStream<[WatchEvent]>.makeStream()
    let from = options.resourceVersion.flatMap { Int64($0) } ?? .max
    state.withLock { state in
      for (_, _, event) in state.past.filter({ $0.resource == resource && $0.revision > from }) { continuation.yield([event]) }
      state.watchers.append((resource, continuation))
    }
    return stream
  }

  func create(
    _ resource: GroupVersionResource, namespace: String, body: Value, _ options: WriteOptions
  ) async throws(APIError) -> EncodedObject { put(resource, body) }

  func update(
    _ resource: GroupVersionResource, _ key: ObjectKey, subresource: String?, body: Value, _ options: WriteOptions
  ) async throws(APIError) -> EncodedObject { put(resource, body) }

  func patch(
    _ resource: GroupVersionResource, _ key: ObjectKey, subresource: String?, _ patch: Patch, _ options: WriteOptions
  ) async throws(APIError) -> EncodedObject {
    guard let present = value(resource, key) else {
      throw .notFound(GroupResource(group: resource.group, resource: resource.resource), key.name)
    }
    return put(resource, Self.merge(patch.body, into: present))
  }

  static func merge(_ patch: Value, into target: Value) -> Value {
    guard case .object(let members) = patch else { return patch }
    var result = target.object == nil ? Value.emptyObject : target
    for member in members.members {
      if member.value.isNull {
        result.remove(member.key)
      } else {
        result[member.key] = merge(member.value, into: result[member.key])
      }
    }
    return result
  }

  func delete(_ resource: GroupVersionResource, _ key: ObjectKey, _ options: DeleteOptions) async throws(APIError) -> EncodedObject?
  {
    state.withLock { state in
      guard let removed = state.objects[resource]?.removeValue(forKey: key) else { return }
      state.revision += 1
      let object = Self.encode(removed.value, state.revision)
      state.tell(resource, .deleted(object))
    }
    return nil
  }

  func createSubresource(
    _ resource: GroupVersionResource, _ key: ObjectKey, subresource: String, body: Value, _ options: WriteOptions
  ) async throws(APIError) -> Value { ["status": ["token": "a-token"]] }

  func submit(_ operations: [Operation]) async -> [Result<EncodedObject?, APIError>] {
    operations.map { operation in
      if case .create(let resource, _, let body) = operation { return .success(put(resource, body)) }
      return .success(nil)
    }
  }

  func connect(
    _ resource: GroupVersionResource, _ key: ObjectKey, subresource: String, query: [(name: String, value: String)]
  ) async throws(APIError) -> any ByteStream { throw APIError(.methodNotAllowed, "not in this test") }

  /// Waits until an object looks as wanted, looking at every write; nil where that does not come within the time.
  func wait(
    _ resource: GroupVersionResource, _ key: ObjectKey, limit: Duration = .seconds(180),
    until condition: @escaping @Sendable (Value?) -> Bool
  ) async -> Value? {
    // Before the first look: what is written after it is told.
    let (writes, continuation) = AsyncStream<[WatchEvent]>.makeStream()
    state.withLock { $0.watchers.append((resource, continuation)) }
    let net = Task {
      try? await Task.sleep(for: limit)
      continuation.finish()
    }
    defer {
      net.cancel()
      continuation.finish()
    }
    let found = value(resource, key)
    if condition(found) { return found ?? .emptyObject }
    for await _ in writes {
      let found = value(resource, key)
      if condition(found) { return found ?? .emptyObject }
    }
    return nil
  }
}

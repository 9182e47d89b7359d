import Cache
import Client
import Schema
import Store
import Wire

/// The ``Client`` of one process: the same authorization and admission as over HTTP, without HTTP.
final class LocalClient: Client {
  /// Writes of one `submit` that are under way at once; the committer groups them.
  private static let concurrency = 256

  private let controlPlane: ControlPlane
  let identity: Identity

  init(_ controlPlane: ControlPlane, _ identity: Identity) {
    self.controlPlane = controlPlane
    self.identity = identity
  }

  private func authorize(
    _ verb: String, _ resource: GroupVersionResource, namespace: String, name: String = "", subresource: String? = nil,
    fieldSelector: String = ""
  ) throws(APIError) {
    try controlPlane.authorize(
      RequestAttributes(
        user: identity, verb: verb, group: resource.group, resource: resource.resource, subresource: subresource ?? "",
        namespace: namespace, name: name,
        fieldSelector: fieldSelector))
  }

  private func writer(_ options: WriteOptions) -> WriteOptions {
    var options = options
    if options.fieldManager.isEmpty { options.fieldManager = identity.name.split(separator: ":").last.map(String.init) ?? "gantry" }
    return options
  }

  func get(_ resource: GroupVersionResource, _ key: ObjectKey) async throws(APIError) -> EncodedObject {
    try authorize("get", resource, namespace: key.namespace, name: key.name)
    return try controlPlane.get(controlPlane.kind(resource), key)
  }

  func list(_ resource: GroupVersionResource, namespace: String?, _ options: ListOptions) async throws(APIError) -> ObjectList {
    try authorize("list", resource, namespace: namespace ?? "", fieldSelector: options.fieldSelector)
    var cursor = try controlPlane.list(ReadRequest(kind: controlPlane.kind(resource), namespace: namespace, options))
    var items: [EncodedObject] = []
    while let object = cursor.next() { items.append(object) }
    let remaining = cursor.remainingItemCount
    return ObjectList(revision: cursor.revision, items: items, continue: cursor.continueToken(), remainingItemCount: remaining)
  }

  func watch(_ resource: GroupVersionResource, namespace: String?, _ options: ListOptions) async throws(APIError) -> WatchStream {
    try authorize("watch", resource, namespace: namespace ?? "", fieldSelector: options.fieldSelector)
    let request = ReadRequest(kind: try controlPlane.kind(resource), namespace: namespace, options)
    let pull = WatchPull()
    pull.start(try controlPlane.watch(request, target: controlPlane.streams) { [weak pull] in pull?.wake() })
    return WatchStream(unfolding: { await pull.next() }, onCancel: { pull.end() })
  }

  func create(_ resource: GroupVersionResource, namespace: String, body: Value, _ options: WriteOptions) async throws(APIError)
    -> EncodedObject
  {
    try authorize("create", resource, namespace: namespace)
    let kind = try controlPlane.kind(resource)
    let request = WriteRequest(
      kind: kind, key: ObjectKey(namespace: namespace, name: ""), verb: .create(try pruned(body, kind.type)), identity: identity,
      options: writer(options))
    return try await controlPlane.write(request).object
  }

  func update(
    _ resource: GroupVersionResource, _ key: ObjectKey, subresource: String?, body: Value, _ options: WriteOptions
  ) async throws(APIError) -> EncodedObject {
    try authorize("update", resource, namespace: key.namespace, name: key.name, subresource: subresource)
    let kind = try controlPlane.kind(resource)
    if subresource == "scale" {
      return try await controlPlane.scale(kind, key, identity: identity, writer(options)) { _ throws(APIError) in body }
    }
    let request = WriteRequest(
      kind: kind, key: key, subresource: subresource, verb: .update(try pruned(body, kind.type)), identity: identity,
      options: writer(options))
    return try await controlPlane.write(request).object
  }

  func patch(
    _ resource: GroupVersionResource, _ key: ObjectKey, subresource: String?, _ patch: Patch, _ options: WriteOptions
  ) async throws(APIError) -> EncodedObject {
    try authorize("patch", resource, namespace: key.namespace, name: key.name, subresource: subresource)
    let kind = try controlPlane.kind(resource)
    if subresource == "scale" {
      return try await controlPlane.scale(kind, key, identity: identity, writer(options)) { scale throws(APIError) in
        do throws(PatchError) {
          return patch.kind == .json ? try JSONPatch.apply(patch.body, to: scale) : try MergePatch.apply(patch.body, to: scale)
        } catch { throw .badRequest(error.message) }
      }
    }
    let request = WriteRequest(
      kind: kind, key: key, subresource: subresource, verb: .patch(patch), identity: identity, options: writer(options))
    return try await controlPlane.write(request).object
  }

  func delete(_ resource: GroupVersionResource, _ key: ObjectKey, _ options: DeleteOptions) async throws(APIError) -> EncodedObject?
  {
    try authorize("delete", resource, namespace: key.namespace, name: key.name)
    return try await controlPlane.delete(controlPlane.kind(resource), key, options, identity: identity).remaining
  }

  func createSubresource(
    _ resource: GroupVersionResource, _ key: ObjectKey, subresource: String, body: Value, _ options: WriteOptions
  ) async throws(APIError) -> Value {
    try authorize("create", resource, namespace: key.namespace, name: key.name, subresource: subresource)
    return try await controlPlane.act(
      controlPlane.kind(resource), key, subresource: subresource, body: body, identity: identity, options: writer(options))
  }

  private struct Settled: Sendable {
    var position: Int
    var result: Result<EncodedObject?, APIError>
  }

  func submit(_ operations: [Operation]) async -> [Result<EncodedObject?, APIError>] {
    await withTaskGroup(of: Settled.self) { group in
      var results = [Result<EncodedObject?, APIError>](repeating: .success(nil), count: operations.count)
      var next = min(Self.concurrency, operations.count)
      for position in 0..<next { group.addTask { await self.settle(operations[position], position) } }
      while let settled = await group.next() {
        results[settled.position] = settled.result
        if next < operations.count {
          let position = next
          next += 1
          group.addTask { await self.settle(operations[position], position) }
        }
      }
      return results
    }
  }

  private func settle(_ operation: Operation, _ position: Int) async -> Settled {
    do throws(APIError) { return Settled(position: position, result: .success(try await run(operation))) } catch {
      return Settled(position: position, result: .failure(error))
    }
  }

  private func run(_ operation: Operation) async throws(APIError) -> EncodedObject? {
    switch operation {
    case .create(let resource, let namespace, let body):
      return try await create(resource, namespace: namespace, body: body, WriteOptions())
    case .update(let resource, let key, let subresource, let body):
      return try await update(resource, key, subresource: subresource, body: body, WriteOptions())
    case .patch(let resource, let key, let subresource, let patch):
      return try await self.patch(resource, key, subresource: subresource, patch, WriteOptions())
    case .delete(let resource, let key, let options): return try await delete(resource, key, options)
    case .bind(let pod, let uid, let node):
      try authorize("create", .pods, namespace: pod.namespace, name: pod.name, subresource: "binding")
      return try await controlPlane.bind(pod, uid: uid, node: node, identity: identity, writer(WriteOptions()))
    }
  }

  func connect(
    _ resource: GroupVersionResource, _ key: ObjectKey, subresource: String, query: [(name: String, value: String)]
  ) async throws(APIError) -> any ByteStream {
    // Exec, attach and port-forward are `create`, whatever verb brought them.
    try authorize(
      subresource == "log" ? "get" : "create", resource, namespace: key.namespace, name: key.name, subresource: subresource)
    return try await controlPlane.connect(key, subresource: subresource, query: query, identity: identity)
  }

  private func pruned(_ body: Value, _ type: TypeID) throws(APIError) -> Value {
    var body = body
    do throws(DecodeError) { _ = try controlPlane.schema.prune(&body, type: type) } catch { throw .badRequest(error.message) }
    return body
  }
}

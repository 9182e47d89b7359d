import Wire

/// List and watch of one resource as batches of changes, for consumers that keep their own projection (``Informer`` keeps one for you).
///
/// In: a client and what to follow. Out: the whole state, `.synced`, then every change in order. After a gap (the revision expired,
/// the server was away) the state is listed again and what vanished meanwhile is told as deleted. Never: gives up before its task is cancelled.
package struct ObjectFeed: Sendable {
  package enum Change: Sendable {
    /// New or changed.
    case set(EncodedObject)
    case deleted(ObjectKey)
    /// Everything that exists has been told; comes again after every new list.
    case synced
  }

  private let client: any Client
  private let resource: GroupVersionResource
  private let namespace: String?
  private let labelSelector: String
  private let fieldSelector: String
  private let sleep: @Sendable (Duration) async throws -> Void

  package init(
    client: any Client, resource: GroupVersionResource, namespace: String? = nil, labelSelector: String = "",
    fieldSelector: String = "", sleep: @escaping @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }
  ) {
    self.client = client
    self.resource = resource
    self.namespace = namespace
    self.labelSelector = labelSelector
    self.fieldSelector = fieldSelector
    self.sleep = sleep
  }

  /// Runs until the task is cancelled. Failures are answered with 100 ms, 200 ms, … 10 s of patience, until a watch has told something:
  /// a list that succeeds is no sign that its watch will.
  package func run(_ body: @Sendable ([Change]) async -> Void) async {
    var known: Set<ObjectKey> = []
    var failures = 0
    while !Task.isCancelled {
      do throws(APIError) {
        let list = try await client.list(
          resource, namespace: namespace, ListOptions(labelSelector: labelSelector, fieldSelector: fieldSelector))
        let present = Set(list.items.map(\.key))
        await body(known.subtracting(present).sorted().map { .deleted($0) } + list.items.map { .set($0) } + [.synced])
        known = present
        try await follow(from: list.revision, &known, &failures, body)
      } catch { await pause(&failures) }
    }
  }

  private func pause(_ failures: inout Int) async {
    failures += 1
    try? await sleep(min(.seconds(10), .milliseconds(100 << min(failures - 1, 7))))
  }

  /// Watches until the position is lost. A stream that merely ends is opened again where it ended.
  private func follow(
    from revision: Int64, _ known: inout Set<ObjectKey>, _ failures: inout Int, _ body: ([Change]) async -> Void
  ) async throws(APIError) {
    var revision = revision
    while !Task.isCancelled {
      let stream = try await client.watch(
        resource, namespace: namespace,
        ListOptions(
          labelSelector: labelSelector, fieldSelector: fieldSelector, resourceVersion: String(revision), allowWatchBookmarks: true))
      var isEmpty = true
      for await events in stream {
        var changes: [Change] = []
        var failure: APIError?
        for event in events {
          switch event {
          case .added(let object), .modified(let object):
            known.insert(object.key)
            revision = max(revision, object.revision)
            changes.append(.set(object))
          case .deleted(let object):
            known.remove(object.key)
            revision = max(revision, object.revision)
            changes.append(.deleted(object.key))
          case .bookmark(let mark, _): revision = max(revision, mark)
          case .error(let error): failure = error
          }
        }
        if !changes.isEmpty { await body(changes) }
        if let failure { throw failure }
        isEmpty = false
        failures = 0
      }
      // A server that ends every stream at once is not to be asked in a tight loop.
      if isEmpty { await pause(&failures) }
    }
  }
}

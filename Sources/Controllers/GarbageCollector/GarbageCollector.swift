import Client
import Logging
import Schema
import Synchronization
import Wire

/// Deletes what nobody owns any more, and carries out foreground and orphan deletion. Follows every kind, and of each object only its
/// metadata.
final class GarbageCollector: Sendable {
  private let client: any Client
  private let recorder: EventRecorder
  private let log: Logger
  private let kinds: [GroupVersionResource]
  private let graph = Mutex(OwnerGraph())
  private let wakes: AsyncStream<Void>
  private let wake: AsyncStream<Void>.Continuation
  private let unsynced: Mutex<Set<GroupVersionResource>>

  /// Objects looked at in one go.
  private static let batch = 512

  init(_ context: ControllerContext) {
    client = context.clients(.controller("generic-garbage-collector"))
    recorder = EventRecorder(client: client, controller: "garbage-collector-controller", now: context.now)
    log = context.log
    // Events own nothing and are owned by nobody; they are most of the writes.
    kinds = SchemaTable.builtin.stored.filter {
      $0.gvr.resource != "events" && $0.verbs.contains("watch") && $0.verbs.contains("delete")
    }
    .map(\.gvr)
    unsynced = Mutex(Set(kinds))
    (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  func run() async {
    await withDiscardingTaskGroup { group in
      for kind in kinds {
        group.addTask { [self] in await ObjectFeed(client: client, resource: kind).run { [self] in self.observe(kind, $0) } }
      }
      var patience = Backoff(base: .milliseconds(200), limit: .seconds(30))
      for await _ in wakes {
        guard unsynced.withLock({ $0.isEmpty }) else { continue }
        var failed: [String] = []
        while !Task.isCancelled {
          let uids = graph.withLock { $0.takeDirty(Self.batch) }
          if uids.isEmpty { break }
          failed += await work(uids)
        }
        guard !failed.isEmpty else {
          patience.reset()
          continue
        }
        let delay = patience.next()
        group.addTask { [self, failed] in
          try? await Task.sleep(for: delay)
          graph.withLock { graph in for uid in failed { graph.lookAgain(uid) } }
          wake.yield()
        }
      }
      wake.finish()
    }
  }

  private func observe(_ kind: GroupVersionResource, _ changes: [ObjectFeed.Change]) {
    let hasWork = graph.withLock { graph in
      for change in changes {
        switch change {
        case .set(let object): graph.set(kind, object.withView { Meta(object, $0) })
        case .deleted(let key): graph.remove(kind, key)
        case .synced: unsynced.withLock { _ = $0.remove(kind) }
        }
      }
      return !graph.dirty.isEmpty
    }
    if hasWork { wake.yield() }
  }

  /// - Returns: objects to look at again later.
  private func work(_ uids: [String]) async -> [String] {
    var operations: [(uid: String, Operation)] = []
    var unsure: [(uid: String, owners: [Meta.Owner])] = []
    for uid in uids {
      switch graph.withLock({ $0.judge(uid, absent: []) }) {
      case .nothing: break
      case .operations(let list): operations += list.map { (uid, $0) }
      case .verify(let owners): unsure.append((uid, owners))
      }
      await tellStrangers(of: uid)
    }
    var failed: [String] = []
    // An owner that no feed knows is asked for by name, once a namespace however many dependents it has there.
    var known: [ObjectKey: Bool] = [:]
    for (uid, owners) in unsure {
      let namespace = graph.withLock { $0.nodes[uid]?.meta.key.namespace } ?? ""
      var isSure = true
      var absent: Set<String> = []
      var isOwned = false
      for owner in owners {
        let place = ObjectKey(namespace: namespace, name: owner.uid)
        if known[place] == nil { known[place] = await isAbsent(owner, of: uid) }
        switch known[place] {
        case true?: absent.insert(owner.uid)
        case false?: isOwned = true
        case nil: isSure = false
        }
      }
      guard isSure else {
        failed.append(uid)
        continue
      }
      // Its own event is on its way.
      if isOwned { continue }
      if case .operations(let list) = graph.withLock({ $0.judge(uid, absent: absent) }) { operations += list.map { (uid, $0) } }
    }
    let results = await client.submit(operations.map(\.1))
    for (operation, result) in zip(operations, results) {
      guard case .failure(let error) = result, error.reason != .notFound else { continue }
      failed.append(operation.uid)
      if error.reason != .conflict {
        log.warning("garbage is kept", metadata: ["uid": "\(operation.uid)", "error": "\(error.message)"])
      }
    }
    return failed
  }

  private func tellStrangers(of uid: String) async {
    guard let (node, owners) = graph.withLock({ $0.strangers(of: uid) }),
      let kind = SchemaTable.builtin.resource(node.resource)
    else { return }
    let version = kind.gvr.group.isEmpty ? kind.gvr.version : "\(kind.gvr.group)/\(kind.gvr.version)"
    let about = ObjectReference(
      apiVersion: version, kind: kind.kind, namespace: node.meta.key.namespace, name: node.meta.key.name, uid: uid)
    for owner in owners {
      let place = "namespace: \(node.meta.key.namespace), name: \(owner.name), uid: \(owner.uid)"
      await recorder.record(
        about, .warning, reason: "OwnerRefInvalidNamespace",
        "ownerRef [\(owner.apiVersion)/\(owner.kind), \(place)] does not exist in namespace \"\(node.meta.key.namespace)\"")
    }
  }

  /// nil: could not be found out.
  private func isAbsent(_ owner: Meta.Owner, of uid: String) async -> Bool? {
    let parts = owner.apiVersion.split(separator: "/")
    let (group, version) = parts.count == 2 ? (String(parts[0]), String(parts[1])) : ("", owner.apiVersion)
    // A kind that is not served may be served tomorrow: its dependents stay.
    guard let kind = SchemaTable.builtin.kind(group: group, version: version, kind: owner.kind),
      let node = graph.withLock({ $0.nodes[uid] })
    else { return false }
    // What belongs to no namespace cannot be owned by something of one: there is no telling which, so it stays.
    if kind.isNamespaced, node.meta.key.namespace.isEmpty { return false }
    let key = ObjectKey(namespace: kind.isNamespaced ? node.meta.key.namespace : "", name: owner.name)
    do throws(APIError) {
      return try await client.get(kind.gvr, key).uid != owner.uid
    } catch {
      return error.reason == .notFound ? true : nil
    }
  }
}

import Client
import Wire

/// A config map or a secret that a pod names.
struct PodSource: Hashable, Sendable {
  var resource: GroupVersionResource
  var key: ObjectKey

  /// Everything that a pod's volumes and environments are made from.
  static func named(by pod: Value, namespace: String) -> Set<PodSource> {
    var found: Set<PodSource> = []
    func add(_ resource: GroupVersionResource, _ name: Value) {
      if let name = name.string, !name.isEmpty {
        found.insert(PodSource(resource: resource, key: ObjectKey(namespace: namespace, name: name)))
      }
    }
    let spec = pod["spec"]
    for volume in spec["volumes"].array ?? [] {
      add(.configMaps, volume["configMap"]["name"])
      add(.secrets, volume["secret"]["secretName"])
      for source in volume["projected"]["sources"].array ?? [] {
        add(.configMaps, source["configMap"]["name"])
        add(.secrets, source["secret"]["name"])
      }
    }
    for container in (spec["initContainers"].array ?? []) + (spec["containers"].array ?? []) {
      for source in container["envFrom"].array ?? [] {
        add(.configMaps, source["configMapRef"]["name"])
        add(.secrets, source["secretRef"]["name"])
      }
      for variable in container["env"].array ?? [] {
        add(.configMaps, variable["valueFrom"]["configMapKeyRef"]["name"])
        add(.secrets, variable["valueFrom"]["secretKeyRef"]["name"])
      }
    }
    return found
  }
}

/// Watches what the pods of this node name: one watch for an object, however many pods name it, and none when no pod does.
///
/// So a change is in a running pod's volumes at once, and a pod that waits for an object starts when it appears; nothing is polled.
actor SourceFeeds {
  private struct Feed {
    var task: Task<Void, Never>
    var pods: [String: @Sendable () async -> Void] = [:]
  }

  private let client: any Client
  private var feeds: [PodSource: Feed] = [:]

  init(client: any Client) { self.client = client }

  /// - Parameter changed: called after every change of one of the sources, also for what is there already.
  func follow(_ sources: Set<PodSource>, pod uid: String, changed: @escaping @Sendable () async -> Void) {
    for source in sources {
      if feeds[source] == nil {
        let feed = ObjectFeed(
          client: client, resource: source.resource, namespace: source.key.namespace,
          fieldSelector: "metadata.name=\(source.key.name)")
        feeds[source] = Feed(
          task: Task { [weak self] in
            await feed.run { [weak self] changes in
              // An object that is not there yet changes nothing.
              let isNews = changes.contains { if case .synced = $0 { false } else { true } }
              if isNews { await self?.tell(source) }
            }
          })
      }
      feeds[source]?.pods[uid] = changed
    }
  }

  func forget(pod uid: String) {
    for (source, feed) in feeds where feed.pods[uid] != nil {
      feeds[source]?.pods[uid] = nil
      if feed.pods.count == 1 {
        feed.task.cancel()
        feeds[source] = nil
      }
    }
  }

  func stop() {
    for feed in feeds.values { feed.task.cancel() }
    feeds = [:]
  }

  private func tell(_ source: PodSource) async {
    for changed in (feeds[source]?.pods ?? [:]).values { await changed() }
  }
}

import Cache
import Client
import Logging
import Schema
import Store
import Synchronization
import Wire

/// What the control plane does by itself: events end after an hour, and what every cluster has comes back when somebody takes it away.
extension ControlPlane {
  /// How long an event is kept after it was last written. Source: kube-apiserver's `--event-ttl`.
  static let eventLifetime: Int64 = 3600
  /// Looks no more often than this, so that an idle server sleeps.
  private static let shortestSleep: Int64 = 10
  /// Deletions under way at once; the committer groups them.
  private static let deletionsAtOnce = 256

  /// Runs until it is cancelled. One a server.
  /// - Parameter clientAuthority: signs the requests of users; nil: nobody does.
  package func run(clientAuthority: CertificateAuthority? = nil) async {
    await withDiscardingTaskGroup { group in
      if let clientAuthority {
        let signer = CertificateSigner(
          authority: clientAuthority, client: client(as: .controller("certificate-controller")), logger: logger)
        group.addTask { await signer.run() }
      }
      group.addTask { await self.expireEvents() }
      group.addTask { await self.keepKubernetesService() }
      group.addTask { await self.countQuotas() }
    }
  }

  // MARK: Events

  private func expireEvents() async {
    while !Task.isCancelled {
      let next = await expireEvents(now: clock.now().seconds)
      let wait = max(Self.shortestSleep, min(next.map { $0 - clock.now().seconds } ?? Self.eventLifetime, Self.eventLifetime))
      guard (try? await Task.sleep(for: .seconds(wait))) != nil else { return }
    }
  }

  /// Removes the events that are over.
  /// - Returns: when the next ones will be (those of half a minute together), in seconds since 1970; nil where there are none.
  package func expireEvents(now: Int64) async -> Int64? {
    var iterator = cache.resource(GroupResource(resource: "events")).snapshot(revision: 0).tree.iterate()
    var expired: [EncodedObject] = []
    var next: Int64?
    while let entry = iterator.next() {
      let end = entry.object.withView(Self.lastWritten) + Self.eventLifetime
      if end <= now { expired.append(entry.object) } else { next = min(next ?? .max, end + 30) }
    }
    if !expired.isEmpty { await remove(expired) }
    return next
  }

  /// The newest of an event's times, in seconds since 1970.
  private static func lastWritten(_ view: JSONView) -> Int64 {
    let texts = [
      view["lastTimestamp"].string, view["series"]["lastObservedTime"].string, view["eventTime"].string,
      view["metadata"]["creationTimestamp"].string,
    ]
    return texts.reduce(0) { newest, text in max(newest, text.flatMap { Timestamp($0) }?.seconds ?? 0) }
  }

  private func remove(_ objects: [EncodedObject]) async {
    await withTaskGroup(of: Void.self) { group in
      for (i, object) in objects.enumerated() {
        if i >= Self.deletionsAtOnce { await group.next() }
        group.addTask {
          let key = StoreKey(GroupResource(resource: "events"), object.key)
          // Somebody who writes it meanwhile keeps it.
          _ = try? await self.store.commit(
            Transaction(compares: [.revision(key, object.revision)], writes: [.delete(key, uid: nil)]))
        }
      }
    }
  }

  // MARK: What every cluster has

  private func keepKubernetesService() async {
    let admin = client(as: Self.bootstrapper)
    await withDiscardingTaskGroup { group in
      for resource in [GroupVersionResource.services, .endpoints, .endpointSlices] {
        group.addTask {
          while !Task.isCancelled {
            let options = ListOptions(fieldSelector: "metadata.name=kubernetes")
            if let stream = try? await admin.watch(resource, namespace: "default", options) {
              for await batch in stream where batch.contains(where: { if case .added = $0 { false } else { true } }) {
                do throws(APIError) { try await self.ensureService() } catch {
                  self.logger.warning("cannot keep the kubernetes service", metadata: ["error": "\(error.message)"])
                }
              }
            }
            guard (try? await Task.sleep(for: .seconds(Self.shortestSleep))) != nil else { return }
          }
        }
      }
    }
  }

  // MARK: Quotas

  /// Something in a namespace changed that a quota may count.
  func noteUsage(_ kind: ResourceKind, _ key: ObjectKey) {
    guard kind.isNamespaced, kind.typeName != "coordination/v1.Lease", kind.gvr.resource != "events" else { return }
    var iterator = cache.resource(GroupResource(resource: "resourcequotas")).snapshot(revision: 0).tree.iterate(
      namespace: key.namespace)
    if iterator.next() != nil { quotaLedger.note(key.namespace) }
  }

  /// Keeps `status.hard` and `status.used` of every quota, at most once a second.
  private func countQuotas() async {
    var iterator = cache.resource(GroupResource(resource: "resourcequotas")).snapshot(revision: 0).tree.iterate()
    while let entry = iterator.next() { quotaLedger.note(entry.object.key.namespace) }
    for await _ in quotaLedger.changes {
      for namespace in quotaLedger.takeChanged() { await countQuotas(in: namespace) }
      guard (try? await Task.sleep(for: .seconds(1))) != nil else { return }
    }
  }

  func countQuotas(in namespace: String) async {
    guard let kind = try? kind(GroupVersionResource(resource: "resourcequotas")) else { return }
    for quota in QuotaUsage.quotas(in: namespace, cache) {
      let used = QuotaUsage.total(quota, namespace, cache)
      func list(_ values: [String: Quantity]) -> Value {
        .object(Object(values.sorted { $0.key < $1.key }.map { .init(key: $0.key, value: .string($0.value.description)) }))
      }
      let status: Value = ["status": ["hard": list(quota.hard), "used": list(used)]]
      let request = WriteRequest(
        kind: kind, key: ObjectKey(namespace: namespace, name: quota.name), subresource: "status",
        verb: .patch(Patch(.merge, status)),
        identity: Self.bootstrapper, options: WriteOptions(fieldManager: "gantry"))
      do throws(APIError) { _ = try await write(request) } catch {
        logger.debug("quota not counted", metadata: ["quota": "\(namespace)/\(quota.name)", "error": "\(error.message)"])
      }
    }
  }

  // MARK: Accounts of new namespaces

  /// A pod that comes right after its namespace waits a moment for the default account, which a controller makes.
  /// Source: admission ServiceAccount looks ten times.
  func awaitDefaultAccount(_ request: WriteRequest) async throws(APIError) {
    guard request.kind.typeName == "core/v1.Pod", case .create(let pod) = request.verb, request.subresource == nil else { return }
    let name = pod["spec"]["serviceAccountName"].string ?? ""
    guard name.isEmpty || name == "default" else { return }
    let account = ObjectKey(namespace: request.key.namespace, name: "default")
    let accounts = cache.resource(GroupResource(resource: "serviceaccounts"))
    for _ in 0..<20 {
      if accounts.get(account) != nil { return }
      let namespace = cache.resource(GroupResource(resource: "namespaces")).get(ObjectKey(name: request.key.namespace))
      guard let namespace, namespace.withView({ $0["metadata"]["deletionTimestamp"].isNull }) else { return }
      guard (try? await Task.sleep(for: .milliseconds(50))) != nil else { return }
    }
  }
}

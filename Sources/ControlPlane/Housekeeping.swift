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
  /// - Parameters:
  ///   - clientAuthority: signs the requests of users; nil: nobody does.
  ///   - serverAuthority: what clients verify the server with, in PEM; nil: no secrets are filled with tokens.
  package func run(clientAuthority: CertificateAuthority? = nil, serverAuthority: String? = nil) async {
    await withDiscardingTaskGroup { group in
      if let serverAuthority {
        group.addTask { await TokenSecrets(self, serverAuthority: serverAuthority).run() }
      }
      if let clientAuthority {
        let signer = CertificateSigner(
          authority: clientAuthority, client: client(as: .controller("certificate-controller")), logger: logger)
        group.addTask { await signer.run() }
        group.addTask { await self.publishAuthentication(clientAuthority.certificatePEM) }
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
      let end = entry.object.withView { Self.lastWritten($0, now: now) } + Self.eventLifetime
      if end <= now { expired.append(entry.object) } else { next = min(next ?? .max, end + 30) }
    }
    if !expired.isEmpty { await remove(expired) }
    return next
  }

  /// The newest of an event's times, in seconds since 1970. The first three are the client's word: of a clock that is wrong by more than
  /// an event's life nothing is believed, or the event would stay for ever.
  private static func lastWritten(_ view: JSONView, now: Int64) -> Int64 {
    let told = [view["lastTimestamp"].string, view["series"]["lastObservedTime"].string, view["eventTime"].string]
    let seconds = told.compactMap { $0.flatMap { Timestamp($0) }?.seconds }.filter { $0 <= now + eventLifetime }
    let created = view["metadata"]["creationTimestamp"].string.flatMap { Timestamp($0) }?.seconds ?? 0
    return seconds.reduce(created, max)
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
    await withDiscardingTaskGroup { group in
      for resource in [GroupVersionResource.services, .endpoints, .endpointSlices] {
        group.addTask {
          while !Task.isCancelled {
            do throws(APIError) { try await self.keepKubernetesService(resource) } catch {
              self.logger.warning("cannot keep the kubernetes service", metadata: ["error": "\(error.message)"])
            }
            guard (try? await Task.sleep(for: .seconds(Self.shortestSleep))) != nil else { return }
          }
        }
      }
    }
  }

  /// Writes anew what is changed or gone, until the watch ends.
  private func keepKubernetesService(_ resource: GroupVersionResource) async throws(APIError) {
    let options = ListOptions(fieldSelector: "metadata.name=kubernetes")
    let stream = try await client(as: Self.serviceKeeper).watch(resource, namespace: "default", options)
    // What changed before the watch, or could not be written in the last round.
    var isWanted = true
    var batches = stream.makeAsyncIterator()
    repeat {
      if isWanted {
        // Who was faster comes by the watch.
        do throws(APIError) { try await ensureService(as: Self.serviceKeeper) } catch {
          if error.reason != .conflict { throw error }
        }
      }
      guard let batch = await batches.next() else { return }
      isWanted = batch.contains { if case .added = $0 { false } else { true } }
    } while true
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
      do throws(APIError) {
        _ = try await client(as: .controller("resourcequota-controller")).patch(
          kind.gvr, ObjectKey(namespace: namespace, name: quota.name), subresource: "status", Patch(.merge, status), WriteOptions())
      } catch {
        if error.reason == .notFound { continue }
        logger.warning("quota not counted", metadata: ["quota": "\(namespace)/\(quota.name)", "error": "\(error.message)"])
      }
    }
  }

  // MARK: Accounts of new namespaces

  /// A pod that comes right after its namespace waits a second at most for the default account, which a controller makes.
  /// Source: admission ServiceAccount looks ten times, 100 ms apart.
  func awaitDefaultAccount(_ request: WriteRequest) async throws(APIError) {
    guard request.kind.typeName == "core/v1.Pod", case .create(let pod) = request.verb, request.subresource == nil else { return }
    let name = pod["spec"]["serviceAccountName"].string ?? ""
    guard name.isEmpty || name == "default" else { return }
    let account = ObjectKey(namespace: request.key.namespace, name: "default")
    let accounts = cache.resource(GroupResource(resource: "serviceaccounts"))
    if accounts.get(account) != nil { return }
    let namespace = cache.resource(GroupResource(resource: "namespaces")).get(ObjectKey(name: request.key.namespace))
    guard let namespace, namespace.withView({ $0["metadata"]["deletionTimestamp"].isNull }) else { return }
    let options = ListOptions(fieldSelector: "metadata.name=default", sendInitialEvents: true)
    let events = try await client(as: .controller("service-account-controller")).watch(
      .serviceAccounts, namespace: account.namespace, options)
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        for await batch in events where batch.contains(where: { if case .added = $0 { true } else { false } }) { return }
      }
      group.addTask { try? await Task.sleep(for: .seconds(1)) }
      await group.next()
      group.cancelAll()
    }
  }
}

import Cache
import Client
import Schema
import Store
import Synchronization
import Wire

/// What a namespace may use in all: numbers of objects, and requests and limits of pods.
///
/// Exact under contention: every write that counts also rewrites the namespace's ledger key, and compares it, so that two of them never
/// decide on one state. Usage is computed from the cache, never carried on, so nothing drifts; `status.used` follows (``QuotaUsage``).
enum ResourceQuotaAdmission {
  private static let quotas = GroupResource(resource: "resourcequotas")

  static func admit(_ object: Value, old: Value?, _ context: inout WriteContext) throws(APIError) {
    let kind = context.kind
    guard kind.isNamespaced, context.request.subresource == nil, kind.storage != quotas else { return }
    let namespace = context.request.key.namespace
    let limits = QuotaUsage.quotas(in: namespace, context.controlPlane.cache)
    if limits.isEmpty { return }
    let before = old.map { QuotaUsage.of($0, kind.storage) } ?? [:]
    let after = QuotaUsage.of(object, kind.storage)
    let added = after.filter { $0.value > before[$0.key] ?? Quantity.zero }
    if added.isEmpty { return }
    // Read before the usage: who changed it since makes the commit fail, and this attempt begins again.
    let ledger = context.controlPlane.quotaLedger.expectation(namespace)
    for quota in limits where quota.covers(object, kind.storage) {
      let named = quota.hard.filter { after[$0.key] != nil && kind.typeName == "core/v1.Pod" || added[$0.key] != nil }
      try demand(quota, object, context)
      let used = QuotaUsage.total(quota, namespace, context.controlPlane.cache)
      let exceeded = named.keys.sorted().filter { name in
        guard let more = added[name], let hard = quota.hard[name] else { return false }
        let total = (used[name] ?? .zero) + more - (before[name] ?? .zero)
        return total > hard
      }
      if !exceeded.isEmpty { throw refusal(quota, exceeded, added, before, used, object, context) }
    }
    context.compares.append(ledger)
    context.writes.append(.put(QuotaLedger.key(namespace), []))
  }

  /// A quota on a pod's resource makes every pod say what it wants of it.
  private static func demand(_ quota: QuotaUsage.Quota, _ object: Value, _ context: WriteContext) throws(APIError) {
    guard context.kind.typeName == "core/v1.Pod" else { return }
    let constrained = quota.hard.keys.filter { QuotaUsage.isCompute($0) }.sorted()
    let missing = constrained.filter { name in
      let (section, resource) = QuotaUsage.section(name)
      let containers = (object["spec"]["containers"].array ?? []) + (object["spec"]["initContainers"].array ?? [])
      return containers.contains { $0["resources"][section][resource].isNull }
    }
    guard !missing.isEmpty else { return }
    let names = (object["spec"]["containers"].array ?? []).compactMap { $0["name"].string }
    throw forbidden(
      object, context,
      "failed quota: \(quota.name): must specify \(missing.map { "\($0) for: \(names.joined(separator: ","))" }.joined(separator: "; "))"
    )
  }

  private static func refusal(
    _ quota: QuotaUsage.Quota, _ exceeded: [String], _ added: [String: Quantity], _ before: [String: Quantity],
    _ used: [String: Quantity], _ object: Value,
    _ context: WriteContext
  ) -> APIError {
    func list(_ values: (String) -> Quantity) -> String { exceeded.map { "\($0)=\(values($0))" }.joined(separator: ",") }
    let requested = list { (added[$0] ?? .zero) - (before[$0] ?? .zero) }
    return forbidden(
      object, context,
      "exceeded quota: \(quota.name), requested: \(requested), used: \(list { used[$0] ?? .zero }), limited: \(list { quota.hard[$0] ?? .zero })"
    )
  }

  private static func forbidden(_ object: Value, _ context: WriteContext, _ why: String) -> APIError {
    let resource = context.kind.gvr.groupResource
    let name = object["metadata"]["name"].string ?? ""
    return APIError(.forbidden, resource, name, "\(resource) \"\(name)\" is forbidden: \(why)")
  }
}

/// One key a namespace that every counted write rewrites, and the revision at which this server knows it.
final class QuotaLedger: Sendable {
  private static let resource = GroupResource(group: "~", resource: "quotas")
  private let revisions = Mutex<[String: Revision]>([:])
  /// Namespaces whose `status.used` is to be counted again, and who is told.
  private let changed = Mutex<Set<String>>([])
  let changes: AsyncStream<Void>
  private let signal: AsyncStream<Void>.Continuation

  init() { (changes, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

  static func key(_ namespace: String) -> StoreKey { StoreKey(resource, ObjectKey(namespace: namespace, name: "ledger")) }

  func expectation(_ namespace: String) -> Transaction.Compare {
    let key = Self.key(namespace)
    return revisions.withLock { $0[namespace] }.map { .revision(key, $0) } ?? .absent(key)
  }

  /// Learns from a commit that another server's commit refused.
  func learn(_ key: StoreKey, _ revision: Revision?) {
    guard key.resource == Self.resource else { return }
    revisions.withLock { $0[key.key.namespace] = revision }
  }

  /// Learns from a commit that went through: a ledger goes with its namespace.
  func learn(_ write: Transaction.Write, _ revision: Revision) {
    if case .put = write { learn(write.key, revision) } else { learn(write.key, nil) }
  }

  /// Namespaces whose ledger is known.
  var namespaces: Set<String> { revisions.withLock { Set($0.keys) } }

  func note(_ namespace: String) {
    _ = changed.withLock { $0.insert(namespace) }
    signal.yield()
  }

  func takeChanged() -> Set<String> {
    changed.withLock { changed in
      defer { changed = [] }
      return changed
    }
  }
}

/// What objects use of a quota, from the objects alone.
enum QuotaUsage {
  struct Quota: Sendable {
    var name: String
    var hard: [String: Quantity]
    var scopes: [String]

    /// Scopes speak of pods: a quota with scopes counts nothing else.
    func covers(_ object: Value, _ resource: GroupResource) -> Bool {
      if scopes.isEmpty { return true }
      guard resource == GroupResource(resource: "pods") else { return false }
      let isTerminating = !object["spec"]["activeDeadlineSeconds"].isNull
      let isBestEffort = PodStrategy.qualityOfService(object["spec"]) == "BestEffort"
      return scopes.allSatisfy { scope in
        switch scope {
        case "Terminating": isTerminating
        case "NotTerminating": !isTerminating
        case "BestEffort": isBestEffort
        case "NotBestEffort": !isBestEffort
        default: true
        }
      }
    }
  }

  static func quotas(in namespace: String, _ cache: Cache) -> [Quota] {
    var iterator = cache.resource(GroupResource(resource: "resourcequotas")).snapshot(revision: 0).tree.iterate(
      namespace: namespace)
    var quotas: [Quota] = []
    while let entry = iterator.next() {
      entry.object.withView { view in
        var hard: [String: Quantity] = [:]
        for member in view["spec"]["hard"].value.object?.members ?? [] {
          if let quantity = member.value.string.flatMap({ Quantity($0) }) { hard[member.key] = quantity }
        }
        quotas.append(Quota(name: entry.object.key.name, hard: hard, scopes: view["spec"]["scopes"].compactMap(\.string)))
      }
    }
    return quotas
  }

  static func isCompute(_ name: String) -> Bool {
    [
      "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory", "requests.ephemeral-storage",
      "limits.ephemeral-storage",
    ].contains(name)
  }

  /// Where a container says it: `limits.cpu` → ("limits", "cpu").
  static func section(_ name: String) -> (section: String, resource: String) {
    if name.hasPrefix("limits.") { return ("limits", String(name.dropFirst(7))) }
    if name.hasPrefix("requests.") { return ("requests", String(name.dropFirst(9))) }
    return ("requests", name)
  }

  private static let one = Quantity("1") ?? .zero

  /// What one object counts for, under every name a quota may use.
  static func of(_ object: Value, _ resource: GroupResource) -> [String: Quantity] {
    var usage: [String: Quantity] = [:]
    let plural = resource.description
    usage["count/\(plural)"] = one
    switch (resource.group, resource.resource) {
    case ("", "pods"):
      let phase = object["status"]["phase"].string
      if phase == "Succeeded" || phase == "Failed" { return ["count/pods": one] }
      usage["pods"] = one
      for section in ["requests", "limits"] {
        for (resource, quantity) in PodResources.total(object["spec"], section) {
          usage["\(section).\(resource)"] = quantity
          if section == "requests" { usage[resource] = quantity }
        }
      }
    case ("", "services"):
      usage["services"] = one
      let type = object["spec"]["type"].string
      if type == "LoadBalancer" { usage["services.loadbalancers"] = one }
      if type == "NodePort" || type == "LoadBalancer" {
        usage["services.nodeports"] = Quantity(String(object["spec"]["ports"].array?.count ?? 0))
      }
    case ("", "persistentvolumeclaims"):
      usage["persistentvolumeclaims"] = one
      usage["requests.storage"] = object["spec"]["resources"]["requests"]["storage"].string.flatMap { Quantity($0) }
    case ("", "configmaps"), ("", "secrets"), ("", "replicationcontrollers"), ("", "resourcequotas"): usage[resource.resource] = one
    default: break
    }
    return usage
  }

  /// What a namespace uses of everything that the quota names.
  static func total(_ quota: Quota, _ namespace: String, _ cache: Cache) -> [String: Quantity] {
    var total: [String: Quantity] = [:]
    for name in quota.hard.keys { total[name] = .zero }
    for resource in resources(quota.hard.keys) {
      var iterator = cache.resource(resource).snapshot(revision: 0).tree.iterate(namespace: namespace)
      while let entry = iterator.next() {
        let object = entry.object.withView(\.value)
        guard quota.covers(object, resource) else { continue }
        for (name, quantity) in of(object, resource) { if let known = total[name] { total[name] = known + quantity } }
      }
    }
    return total
  }

  private static func resources(_ names: some Sequence<String>) -> Set<GroupResource> {
    var resources: Set<GroupResource> = []
    for name in names {
      if name.hasPrefix("count/") {
        let parts = name.dropFirst(6).split(separator: ".", maxSplits: 1)
        resources.insert(
          GroupResource(group: parts.count > 1 ? String(parts[1]) : "", resource: parts.first.map(String.init) ?? ""))
      } else if name.hasPrefix("services") {
        resources.insert(GroupResource(resource: "services"))
      } else if name == "requests.storage" || name == "persistentvolumeclaims" {
        resources.insert(GroupResource(resource: "persistentvolumeclaims"))
      } else if name == "pods" || isCompute(name) || name.hasPrefix("requests.") || name.hasPrefix("limits.") {
        resources.insert(GroupResource(resource: "pods"))
      } else {
        resources.insert(GroupResource(resource: name))
      }
    }
    return resources
  }
}

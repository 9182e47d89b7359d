import Cache
import Client
import Synchronization
import Wire

/// The chain that decides: system:masters, nodes, RBAC. Synchronous, from the cache.
final class Authorizer: Sendable {
  private let rbac: RBAC
  private let nodes: NodeAuthorizer

  init(cache: Cache) {
    rbac = RBAC(cache: cache)
    nodes = NodeAuthorizer(cache: cache)
  }

  func decide(_ attributes: RequestAttributes) -> Decision {
    if attributes.user.groups.contains("system:masters") { return .allow(reason: "") }
    let byNode = nodes.decide(attributes)
    if case .noOpinion = byNode {} else { return byNode }
    return rbac.decide(attributes)
  }

  /// Every rule that holds for somebody, for SelfSubjectRulesReview and for the escalation check.
  func rules(for user: Identity, namespace: String) -> [RBAC.Rule] { rbac.rules(for: user, namespace: namespace) }

  /// What a role grants, with what it aggregates; nil where there is none.
  func rules(ofRole resource: String, _ key: ObjectKey) -> [RBAC.Rule]? { rbac.rules(ofRole: resource, key) }
}

extension ControlPlane {
  package func decide(_ attributes: RequestAttributes) -> Decision { authorizer.decide(attributes) }

  /// - Throws: `.forbidden` in upstream's words.
  package func authorize(_ attributes: RequestAttributes) throws(APIError) {
    guard authorizer.decide(attributes).isAllowed else {
      record(attributes, code: 403)
      throw attributes.refusal
    }
  }
}

/// Roles and bindings, compiled when they have changed since the last question.
final class RBAC: Sendable {
  struct Rule: Sendable, Equatable {
    var verbs: [String]
    var groups: [String]
    var resources: [String]
    var names: [String]
    var paths: [String]

    init(verbs: [String], groups: [String] = [], resources: [String] = [], names: [String] = [], paths: [String] = []) {
      self.verbs = verbs
      self.groups = groups
      self.resources = resources
      self.names = names
      self.paths = paths
    }

    init(_ view: JSONView) {
      verbs = view["verbs"].compactMap(\.string)
      groups = view["apiGroups"].compactMap(\.string)
      resources = view["resources"].compactMap(\.string)
      names = view["resourceNames"].compactMap(\.string)
      paths = view["nonResourceURLs"].compactMap(\.string)
    }

    func allows(_ a: RequestAttributes) -> Bool {
      guard verbs.contains(a.verb) || verbs.contains("*") else { return false }
      if let path = a.path {
        return paths.contains { $0 == "*" || $0 == path || $0.hasSuffix("*") && path.hasPrefix($0.dropLast()) }
      }
      guard groups.contains(a.group) || groups.contains("*") else { return false }
      let full = a.subresource.isEmpty ? a.resource : "\(a.resource)/\(a.subresource)"
      guard resources.contains(where: { $0 == "*" || $0 == full || !a.subresource.isEmpty && $0 == "*/\(a.subresource)" }) else {
        return false
      }
      return names.isEmpty || names.contains(a.name)
    }

    /// One rule for each verb, group and resource (or path): what is granted is compared piece by piece.
    var parts: [Rule] {
      if !paths.isEmpty { return verbs.flatMap { verb in paths.map { Rule(verbs: [verb], paths: [$0]) } } }
      return groups.flatMap { group in
        resources.flatMap { resource in
          verbs.map { verb in Rule(verbs: [verb], groups: [group], resources: [resource], names: names) }
        }
      }
    }

    /// Parts that differ in their verb alone, as one rule each. Source: upstream's CompactRules.
    static func compact(_ parts: [Rule]) -> [Rule] {
      var merged: [Rule] = []
      for part in parts {
        let same = merged.firstIndex {
          part.paths.isEmpty && $0.paths.isEmpty && $0.groups == part.groups && $0.resources == part.resources
            && $0.names == part.names
        }
        guard let same else {
          merged.append(part)
          continue
        }
        merged[same].verbs += part.verbs.filter { !merged[same].verbs.contains($0) }
      }
      return merged
    }

    /// As upstream prints a rule: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
    var description: String {
      var fields: [String] = []
      for (name, list) in [
        ("APIGroups", groups), ("Resources", resources), ("NonResourceURLs", paths), ("ResourceNames", names), ("Verbs", verbs),
      ]
      where !list.isEmpty { fields.append("\(name):\(Self.go(list))") }
      return "{\(fields.joined(separator: ", "))}"
    }

    static func go(_ list: [String]) -> String { "[\(list.map { "\"\($0)\"" }.joined(separator: " "))]" }

    /// True where everything the other rule allows is allowed by this one.
    func covers(_ other: Rule) -> Bool {
      func all(_ wanted: [String], in held: [String]) -> Bool { held.contains("*") || wanted.allSatisfy { held.contains($0) } }
      guard all(other.verbs, in: verbs) else { return false }
      if !other.paths.isEmpty {
        return other.paths.allSatisfy { path in
          paths.contains { $0 == "*" || $0 == path || $0.hasSuffix("*") && path.hasPrefix($0.dropLast()) }
        }
      }
      guard all(other.groups, in: groups) else { return false }
      let hasAll = other.resources.allSatisfy { wanted in
        if resources.contains("*") || resources.contains(wanted) { return true }
        guard let slash = wanted.firstIndex(of: "/") else { return false }
        return resources.contains("*" + wanted[slash...])
      }
      guard hasAll else { return false }
      return names.isEmpty || !other.names.isEmpty && other.names.allSatisfy { names.contains($0) }
    }
  }

  private struct Binding {
    var namespace: String?
    var rules: [Rule]
    /// What an answer names as its reason.
    var reason: String
  }

  private struct Index {
    var stamp: [Int64]
    var byUser: [String: [Binding]] = [:]
    var byGroup: [String: [Binding]] = [:]
    /// Cluster roles have no namespace.
    var roles: [ObjectKey: [Rule]] = [:]
  }

  private static let resources = ["clusterroles", "clusterrolebindings", "roles", "rolebindings"].map {
    GroupResource(group: "rbac.authorization.k8s.io", resource: $0)
  }

  private let caches: [ResourceCache]
  private let index = Mutex<Index?>(nil)

  init(cache: Cache) { caches = Self.resources.map { cache.resource($0) } }

  func decide(_ attributes: RequestAttributes) -> Decision {
    for binding in bindings(of: attributes.user) {
      if let namespace = binding.namespace, attributes.path != nil || namespace != attributes.namespace { continue }
      if binding.rules.contains(where: { $0.allows(attributes) }) { return .allow(reason: binding.reason) }
    }
    return .noOpinion(reason: "")
  }

  func rules(for user: Identity, namespace: String) -> [Rule] {
    bindings(of: user).filter { $0.namespace == nil || $0.namespace == namespace }.flatMap(\.rules)
  }

  func rules(ofRole resource: String, _ key: ObjectKey) -> [Rule]? {
    withIndex { $0.roles[resource == "clusterroles" ? ObjectKey(name: key.name) : key] }
  }

  private func bindings(of user: Identity) -> [Binding] {
    withIndex { current in (current.byUser[user.name] ?? []) + user.groups.flatMap { current.byGroup[$0] ?? [] } }
  }

  /// The compiled roles and bindings as they are now.
  private func withIndex<R>(_ body: (Index) -> R) -> R {
    let stamp = caches.map(\.lastRevision)
    let current = index.withLock { index -> Index in
      if let known = index, known.stamp == stamp { return known }
      let made = compile(stamp)
      index = made
      return made
    }
    return body(current)
  }

  private func objects(_ position: Int) -> [EncodedObject] {
    var iterator = caches[position].snapshot(revision: 0).tree.iterate()
    var all: [EncodedObject] = []
    while let entry = iterator.next() { all.append(entry.object) }
    return all
  }

  private func compile(_ stamp: [Int64]) -> Index {
    var index = Index(stamp: stamp)
    var clusterRoles: [String: [Rule]] = [:]
    var roles: [ObjectKey: [Rule]] = [:]
    var labels: [(name: String, labels: [String: String])] = []
    var aggregated: [(name: String, selectors: [LabelSelector])] = []
    for object in objects(0) {
      object.withView { view in
        clusterRoles[object.key.name] = view["rules"].map(Rule.init)
        labels.append((object.key.name, view["metadata"]["labels"].stringMap))
        let selectors = view["aggregationRule"]["clusterRoleSelectors"].compactMap { LabelSelector($0) }
        if !selectors.isEmpty { aggregated.append((object.key.name, selectors)) }
      }
    }
    // Aggregated roles may aggregate aggregated ones (admin ⊃ edit ⊃ view): a few rounds reach everything.
    for _ in 0..<3 {
      for (name, selectors) in aggregated {
        for (other, labels) in labels where other != name && selectors.contains(where: { $0.matches(labels) }) {
          for rule in clusterRoles[other] ?? [] where clusterRoles[name]?.contains(rule) != true {
            clusterRoles[name, default: []].append(rule)
          }
        }
      }
    }
    for object in objects(2) { roles[object.key] = object.withView { $0["rules"].map(Rule.init) } }
    index.roles = roles
    for (name, rules) in clusterRoles { index.roles[ObjectKey(name: name)] = rules }
    for (position, isCluster) in [(1, true), (3, false)] {
      for object in objects(position) {
        object.withView { view in
          let reference = view["roleRef"]["name"].string ?? ""
          let namespace = isCluster ? nil : object.key.namespace
          let rules =
            view["roleRef"]["kind"].equals("ClusterRole")
            ? clusterRoles[reference] : roles[ObjectKey(namespace: object.key.namespace, name: reference)]
          guard let rules else { return }
          let kind = isCluster ? "ClusterRoleBinding" : "RoleBinding"
          let bindingName = isCluster ? object.key.name : "\(object.key.name)/\(object.key.namespace)"
          let origin =
            "RBAC: allowed by \(kind) \"\(bindingName)\" of \(view["roleRef"]["kind"].string ?? "") \"\(reference)\" to"
          view["subjects"].forEach { subject in
            let name = subject["name"].string ?? ""
            let kind = subject["kind"].string ?? ""
            let space = subject["namespace"].string ?? object.key.namespace
            let shown = kind == "ServiceAccount" ? "\(name)/\(space)" : name
            let binding = Binding(namespace: namespace, rules: rules, reason: "\(origin) \(kind) \"\(shown)\"")
            switch kind {
            case "User": index.byUser[name, default: []].append(binding)
            case "Group": index.byGroup[name, default: []].append(binding)
            case "ServiceAccount": index.byUser["system:serviceaccount:\(space):\(name)", default: []].append(binding)
            default: break
            }
          }
        }
      }
    }
    return index
  }
}

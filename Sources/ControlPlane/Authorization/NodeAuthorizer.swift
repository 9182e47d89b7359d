import Cache
import Client
import Wire

/// What a node may do: read what its own pods name, write its own node, lease, pods' status and events.
///
/// Source: upstream's node authorizer and NodeRestriction, with selectors (1.32): a node lists and watches only its own pods.
final class NodeAuthorizer: Sendable {
  private let cache: Cache
  private let pods: ResourceCache

  init(cache: Cache) {
    self.cache = cache
    pods = cache.resource(GroupResource(resource: "pods"))
  }

  static func nodeName(_ user: Identity) -> String? {
    guard user.groups.contains("system:nodes"), user.name.hasPrefix("system:node:") else { return nil }
    return String(user.name.dropFirst("system:node:".count))
  }

  func decide(_ a: RequestAttributes) -> Decision {
    guard a.path == nil, let node = Self.nodeName(a.user) else { return .noOpinion(reason: "") }
    let isRead = a.verb == "get" || a.verb == "list" || a.verb == "watch"
    let allowed: Bool
    switch (a.group, a.resource, a.subresource) {
    case ("", "nodes", ""): allowed = a.verb == "create" || a.name == node || isRead && a.selects("metadata.name", node)
    case ("", "nodes", "status"): allowed = a.name == node
    case ("", "pods", ""):
      switch a.verb {
      case "list", "watch": allowed = a.selects("spec.nodeName", node)
      case "get", "delete": allowed = owns(a, node)
      default: allowed = false
      }
    case ("", "pods", "status"): allowed = owns(a, node)
    case ("", "pods", "eviction"): allowed = owns(a, node)
    case ("", "services", ""), ("", "endpoints", ""), ("discovery.k8s.io", "endpointslices", ""), ("", "namespaces", ""),
      ("node.k8s.io", "runtimeclasses", ""),
      ("storage.k8s.io", "csidrivers", ""):
      allowed = isRead
    case ("", "secrets", ""), ("", "configmaps", ""), ("", "persistentvolumeclaims", ""):
      allowed = isRead && !(a.name.isEmpty) && names(a.resource, a.namespace, a.name, node)
    case ("", "serviceaccounts", "token"): allowed = a.verb == "create" && names("serviceaccounts", a.namespace, a.name, node)
    case ("", "serviceaccounts", ""): allowed = a.verb == "get" && names("serviceaccounts", a.namespace, a.name, node)
    case ("", "events", ""), ("events.k8s.io", "events", ""): allowed = ["create", "patch", "update"].contains(a.verb)
    case ("coordination.k8s.io", "leases", ""): allowed = a.namespace == "kube-node-lease" && (a.name == node || a.verb == "create")
    case ("authentication.k8s.io", "tokenreviews", ""), ("authorization.k8s.io", "subjectaccessreviews", ""):
      allowed = a.verb == "create"
    default: return .noOpinion(reason: "")
    }
    // What the graph does not show may still be granted by RBAC: the chain goes on.
    return allowed ? .allow(reason: "") : .noOpinion(reason: "node '\(node)' has no relationship to this object")
  }

  private func owns(_ a: RequestAttributes, _ node: String) -> Bool {
    pods.get(ObjectKey(namespace: a.namespace, name: a.name))?.withView { $0["spec"]["nodeName"].string == node } ?? false
  }

  /// True where a pod of the node, in the namespace, names the object.
  private func names(_ resource: String, _ namespace: String, _ name: String, _ node: String) -> Bool {
    var iterator = pods.snapshot(revision: 0).tree.iterate(term: node)
    while let entry = iterator.next() {
      guard entry.object.key.namespace == namespace else { continue }
      if entry.object.withView({ PodReferences.contains(resource, name, $0) }) { return true }
    }
    return false
  }
}

/// What a pod's spec names.
enum PodReferences {
  static func contains(_ resource: String, _ name: String, _ pod: JSONView) -> Bool {
    let spec = pod["spec"]
    if resource == "serviceaccounts" { return spec["serviceAccountName"].string ?? "default" == name }
    // The certificate authority that every pod's token volume carries.
    var found = false
    func check(_ view: JSONView, _ key: StaticString) { if view[key].string == name { found = true } }
    if resource == "secrets" { spec["imagePullSecrets"].forEach { check($0, "name") } }
    spec["volumes"].forEach { volume in
      switch resource {
      case "secrets":
        check(volume["secret"], "secretName")
        volume["projected"]["sources"].forEach { check($0["secret"], "name") }
      case "configmaps":
        check(volume["configMap"], "name")
        volume["projected"]["sources"].forEach { check($0["configMap"], "name") }
      default: check(volume["persistentVolumeClaim"], "claimName")
      }
    }
    if found || resource == "persistentvolumeclaims" { return found }
    func container(_ view: JSONView) {
      view["env"].forEach { variable in
        check(resource == "secrets" ? variable["valueFrom"]["secretKeyRef"] : variable["valueFrom"]["configMapKeyRef"], "name")
      }
      view["envFrom"].forEach { check(resource == "secrets" ? $0["secretRef"] : $0["configMapRef"], "name") }
    }
    spec["containers"].forEach(container)
    spec["initContainers"].forEach(container)
    spec["ephemeralContainers"].forEach(container)
    return found
  }
}

import Cache
import Client
import Schema
import Wire

/// A node writes what is its own: its Node, its lease, the status of its pods.
enum NodeRestriction {
  static func admit(_ object: Value, old: Value?, _ context: WriteContext) throws(APIError) {
    guard let node = NodeAuthorizer.nodeName(context.request.identity) else { return }
    let name = object["metadata"]["name"].string ?? ""
    switch context.kind.typeName {
    case "core/v1.Node" where name != node:
      throw refusal(context, name, "node \"\(node)\" is not allowed to modify node \"\(name)\"")
    case "core/v1.Node": try admitNode(object, old: old, node, context)
    case "coordination/v1.Lease" where context.request.key.namespace != "kube-node-lease" || name != node:
      throw refusal(context, name, "can only access node lease with the same name as the requesting node")
    case "core/v1.Pod" where (old ?? object)["spec"]["nodeName"].string != node:
      throw refusal(context, name, "node \"\(node)\" can only update pods that are assigned to it")
    case "core/v1.Pod"
    where old != nil && context.request.subresource == "status" && object["metadata"]["labels"] != old?["metadata"]["labels"]:
      throw refusal(context, name, "node \"\(node)\" cannot update labels through pod status")
    default: break
    }
  }

  private static func admitNode(_ object: Value, old: Value?, _ node: String, _ context: WriteContext) throws(APIError) {
    func taints(_ object: Value) -> Set<String> { Set((object["spec"]["taints"].array ?? []).map(\.json)) }
    // It could draw workloads to itself that were kept away.
    if let old, taints(object) != taints(old) { throw refusal(context, node, "node \"\(node)\" is not allowed to modify taints") }
    // It could have itself deleted, and come back without labels and taints.
    if let old, object["metadata"]["ownerReferences"] != old["metadata"]["ownerReferences"] {
      throw refusal(context, node, "node \"\(node)\" is not allowed to modify ownerReferences")
    }
    let labels = NodeLabels.changed(object["metadata"]["labels"], old?["metadata"]["labels"] ?? .null)
      .filter { !NodeLabels.mayBeSetByNode($0) }.sorted()
    guard !labels.isEmpty else { return }
    let list = labels.joined(separator: ", ")
    throw refusal(
      context, node,
      old == nil
        ? "node \"\(node)\" is not allowed to set the following labels: \(list)" : "is not allowed to modify labels: \(list)")
  }

  /// A node asks for tokens of its pods' accounts only, bound to the pod.
  static func admitToken(_ account: ObjectKey, _ body: Value, _ identity: Identity, _ cache: Cache) throws(APIError) {
    guard let node = NodeAuthorizer.nodeName(identity) else { return }
    let resource = GroupResource(resource: "serviceaccounts")
    func refusal(_ why: String) -> APIError {
      APIError(.forbidden, resource, account.name, "serviceaccounts \"\(account.name)\" is forbidden: \(why)")
    }
    let bound = body["spec"]["boundObjectRef"]
    guard bound["kind"].string == "Pod", let name = bound["name"].string, !name.isEmpty else {
      throw refusal("node requested token not bound to a pod")
    }
    guard let uid = bound["uid"].string, !uid.isEmpty else {
      throw refusal("node requested token with a pod binding without a uid")
    }
    let pods = GroupResource(resource: "pods")
    guard let pod = cache.resource(pods).get(ObjectKey(namespace: account.namespace, name: name)) else {
      throw .notFound(pods, name)
    }
    guard pod.uid == uid else { throw refusal("the UID in the bound object reference (\(uid)) does not match the UID in record") }
    let (assigned, uses) = pod.withView { ($0["spec"]["nodeName"].string, $0["spec"]["serviceAccountName"].string ?? "default") }
    guard assigned == node else { throw refusal("node requested token bound to a pod scheduled on a different node") }
    guard uses == account.name else { throw refusal("node requested token of an account that the pod does not run as") }
  }

  static func admitDeletion(_ object: EncodedObject, _ context: WriteContext) throws(APIError) {
    guard let node = NodeAuthorizer.nodeName(context.request.identity) else { return }
    switch context.kind.typeName {
    case "core/v1.Pod":
      if object.withView({ $0["spec"]["nodeName"].string }) != node {
        throw refusal(context, object.key.name, "node \"\(node)\" can only delete pods with spec.nodeName set to itself")
      }
    case "core/v1.Node": throw refusal(context, object.key.name, "node \"\(node)\" is not allowed to delete nodes")
    default: break
    }
  }

  private static func refusal(_ context: WriteContext, _ name: String, _ why: String) -> APIError {
    APIError(.forbidden, context.kind.gvr.groupResource, name, "\(context.kind.gvr.groupResource) \"\(name)\" is forbidden: \(why)")
  }
}

/// Which labels a node gives itself. What steers workloads (roles, restrictions) is the administrator's.
///
/// Source: upstream's NodeRestriction and `k8s.io/kubelet/pkg/apis`: the kubelet's labels and its two namespaces.
enum NodeLabels {
  private static let own: Set<String> = [
    "kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region", "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type", "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
  ]

  /// True where the key lies outside `kubernetes.io` and `k8s.io`, or is one of the kubelet's.
  static func mayBeSetByNode(_ key: String) -> Bool {
    guard let slash = key.firstIndex(of: "/") else { return true }
    let namespace = key[..<slash]
    func lies(in other: String) -> Bool { namespace == other || namespace.hasSuffix("." + other) }
    if lies(in: "node-restriction.kubernetes.io") { return false }
    guard lies(in: "kubernetes.io") || lies(in: "k8s.io") else { return true }
    return own.contains(key) || lies(in: "kubelet.kubernetes.io") || lies(in: "node.kubernetes.io")
  }

  /// Keys that were added, taken away or got another value.
  static func changed(_ new: Value, _ old: Value) -> Set<String> {
    let keys = (new.object?.members ?? []).map(\.key) + (old.object?.members ?? []).map(\.key)
    return Set(keys.filter { new[$0] != old[$0] })
  }
}

import Cache
import Client
import Schema
import Wire

/// What every write passes, whichever door it came through: first what may change the object, then what may refuse it.
enum Admission {
  static func mutate(_ object: inout Value, old: Value?, _ context: inout WriteContext) throws(APIError) {
    if old == nil { try NamespaceLifecycle.admit(object, context) }
    try NodeRestriction.admit(object, old: old, context)
    guard context.kind.typeName == "core/v1.Pod", old == nil else { return }
    try ServiceAccountAdmission.admit(&object, context)
    try PriorityAdmission.admit(&object, context)
    DefaultTolerations.admit(&object)
    try LimitRanger.admit(&object, context)
  }

  static func validate(_ object: Value, old: Value?, _ context: inout WriteContext) throws(APIError) {
    if context.kind.typeName == "core/v1.Pod", old == nil { try LimitRanger.check(object, context) }
    // Last: what is refused for another reason uses no quota.
    try ResourceQuotaAdmission.admit(object, old: old, &context)
  }

  static func validateDeletion(_ object: EncodedObject, _ context: WriteContext) throws(APIError) {
    try NamespaceLifecycle.admitDeletion(object, context)
    try NodeRestriction.admitDeletion(object, context)
  }
}

/// Nothing is made in a namespace that is not there or is going; the namespaces of the system stay.
enum NamespaceLifecycle {
  private static let immortal: Set<String> = ["default", "kube-system", "kube-public"]

  static func admit(_ object: Value, _ context: WriteContext) throws(APIError) {
    guard context.kind.isNamespaced else { return }
    let namespaces = GroupResource(resource: "namespaces")
    let name = context.request.key.namespace
    guard let namespace = context.object(namespaces, ObjectKey(name: name)) else { throw .notFound(namespaces, name) }
    guard namespace.withView({ !$0["metadata"]["deletionTimestamp"].isNull }) else { return }
    let resource = context.kind.gvr.groupResource
    let objectName = object["metadata"]["name"].string ?? ""
    let why = "unable to create new content in namespace \(name) because it is being terminated"
    var error = APIError(
      .forbidden, resource, objectName, "\(resource) \"\(objectName)\" is forbidden: \(why)")
    error.causes = [
      .init(reason: "NamespaceTerminating", message: "namespace \(name) is being terminated", field: "metadata.namespace")
    ]
    throw error
  }

  static func admitDeletion(_ object: EncodedObject, _ context: WriteContext) throws(APIError) {
    guard context.kind.typeName == "core/v1.Namespace", immortal.contains(object.key.name) else { return }
    throw APIError(
      .forbidden, context.kind.gvr.groupResource, object.key.name,
      "namespaces \"\(object.key.name)\" is forbidden: this namespace may not be deleted")
  }
}

/// A node writes what is its own: its Node, its lease, the status of its pods.
enum NodeRestriction {
  static func admit(_ object: Value, old: Value?, _ context: WriteContext) throws(APIError) {
    guard let node = NodeAuthorizer.nodeName(context.request.identity) else { return }
    let name = object["metadata"]["name"].string ?? ""
    switch context.kind.typeName {
    case "core/v1.Node" where name != node:
      throw refusal(context, name, "node \"\(node)\" is not allowed to modify node \"\(name)\"")
    case "core/v1.Node":
      let changed = Set((object["spec"]["taints"].array ?? []).map(\.json)) != Set((old?["spec"]["taints"].array ?? []).map(\.json))
      if old != nil, context.request.subresource == nil, changed {
        throw refusal(context, name, "node \"\(node)\" is not allowed to modify taints")
      }
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

/// Pods tolerate a node that is not ready or not reachable for five minutes.
enum DefaultTolerations {
  static func admit(_ object: inout Value) {
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
      let isTolerated = (object["spec"]["tolerations"].array ?? []).contains { toleration in
        let effect = toleration["effect"].string ?? ""
        let other = toleration["key"].string ?? ""
        return (other == key || other.isEmpty) && (effect == "NoExecute" || effect.isEmpty)
      }
      if !isTolerated {
        object["spec"]["tolerations"].append([
          "key": .string(key), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
        ])
      }
    }
  }
}

/// A priority class's name becomes its number.
enum PriorityAdmission {
  private static func check(_ object: Value, _ computed: Int64, _ context: WriteContext) throws(APIError) {
    guard let given = object["spec"]["priority"].int, given != computed else { return }
    let name = object["metadata"]["name"].string ?? ""
    throw APIError(
      .forbidden, context.kind.gvr.groupResource, name,
      "pods \"\(name)\" is forbidden: the integer value of priority (\(given)) must not be provided in pod spec; priority admission controller computed \(computed) from the given PriorityClass name"
    )
  }

  static func admit(_ object: inout Value, _ context: WriteContext) throws(APIError) {
    let resource = GroupResource(group: "scheduling.k8s.io", resource: "priorityclasses")
    if let name = object["spec"]["priorityClassName"].string, !name.isEmpty {
      guard let found = context.object(resource, ObjectKey(name: name)) else {
        throw APIError(
          .forbidden, context.kind.gvr.groupResource, context.request.key.name,
          "pods \"\(object["metadata"]["name"].string ?? "")\" is forbidden: no PriorityClass with name \(name) was found")
      }
      let (value, policy) = found.withView { ($0["value"].int ?? 0, $0["preemptionPolicy"].string ?? "PreemptLowerPriority") }
      try check(object, value, context)
      object["spec"]["priority"] = .int(value)
      object["spec"]["preemptionPolicy"] = .string(policy)
      return
    }
    var iterator = context.controlPlane.cache.resource(resource).snapshot(revision: 0).tree.iterate()
    var standard: (name: String, value: Int64, policy: String)?
    while let entry = iterator.next() {
      entry.object.withView { view in
        guard view["globalDefault"].bool == true else { return }
        standard = (entry.object.key.name, view["value"].int ?? 0, view["preemptionPolicy"].string ?? "PreemptLowerPriority")
      }
    }
    try check(object, standard?.value ?? 0, context)
    if let standard { object["spec"]["priorityClassName"] = .string(standard.name) }
    object["spec"]["priority"] = .int(standard?.value ?? 0)
    object["spec"]["preemptionPolicy"] = .string(standard?.policy ?? "PreemptLowerPriority")
  }
}

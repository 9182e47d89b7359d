import Cache
import Client
import Schema
import Wire

/// What every write passes, whichever door it came through: first what may change the object, then what may refuse it.
enum Admission {
  static func mutate(_ object: inout Value, old: Value?, _ context: inout WriteContext) throws(APIError) {
    if old == nil { try NamespaceLifecycle.admit(object, context) }
    try NodeRestriction.admit(object, old: old, context)
    try CertificateAdmission.admit(object, old: old, context)
    guard context.kind.typeName == "core/v1.Pod", context.request.subresource == nil else { return }
    DefaultTolerations.admit(&object)
    guard old == nil else { return }
    try ServiceAccountAdmission.admit(&object, context)
    try PriorityAdmission.admit(&object, context)
    try RuntimeClassAdmission.admit(&object, context)
    try LimitRanger.admit(&object, context)
  }

  static func validate(_ object: Value, old: Value?, _ context: inout WriteContext) throws(APIError) {
    // A pod's resources were checked when it was made; a claim may grow.
    let isBounded = old == nil || context.kind.typeName == "core/v1.PersistentVolumeClaim"
    if isBounded, context.request.subresource == nil { try LimitRanger.check(object, context) }
    // Last: what is refused for another reason uses no quota.
    try ResourceQuotaAdmission.admit(object, old: old, &context)
  }

  static func validateDeletion(_ object: EncodedObject, _ context: WriteContext) throws(APIError) {
    try NamespaceLifecycle.admitDeletion(object, context)
    try PriorityAdmission.admitDeletion(object, context)
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
    let objectName = context.objectName(object)
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
  /// The system's own classes stay.
  static func admitDeletion(_ object: EncodedObject, _ context: WriteContext) throws(APIError) {
    guard context.kind.typeName == "scheduling/v1.PriorityClass", object.key.name.hasPrefix("system-") else { return }
    throw APIError(
      .forbidden, context.kind.gvr.groupResource, object.key.name,
      "\(context.kind.gvr.groupResource) \"\(object.key.name)\" is forbidden: this is a system priority class and cannot be deleted"
    )
  }

  private static func check(_ object: Value, _ computed: Int64, _ policy: String, _ context: WriteContext) throws(APIError) {
    let name = object["metadata"]["name"].string ?? ""
    func refusal(_ what: String, _ given: String, _ computed: String) -> APIError {
      APIError(
        .forbidden, context.kind.gvr.groupResource, name,
        "pods \"\(name)\" is forbidden: the \(what) (\(given)) must not be provided in pod spec; priority admission controller computed \(computed) from the given PriorityClass name"
      )
    }
    if let given = object["spec"]["priority"].int, given != computed {
      throw refusal("integer value of priority", "\(given)", "\(computed)")
    }
    if let given = object["spec"]["preemptionPolicy"].string, given != policy {
      throw refusal("string value of PreemptionPolicy", given, policy)
    }
  }

  static func admit(_ object: inout Value, _ context: WriteContext) throws(APIError) {
    let resource = GroupResource(group: "scheduling.k8s.io", resource: "priorityclasses")
    if let name = object["spec"]["priorityClassName"].string, !name.isEmpty {
      guard let found = context.object(resource, ObjectKey(name: name)) else {
        throw APIError(
          .forbidden, context.kind.gvr.groupResource, object["metadata"]["name"].string ?? "",
          "pods \"\(object["metadata"]["name"].string ?? "")\" is forbidden: no PriorityClass with name \(name) was found")
      }
      let (value, policy) = found.withView { ($0["value"].int ?? 0, $0["preemptionPolicy"].string ?? "PreemptLowerPriority") }
      try check(object, value, policy, context)
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
    try check(object, standard?.value ?? 0, standard?.policy ?? "PreemptLowerPriority", context)
    if let standard { object["spec"]["priorityClassName"] = .string(standard.name) }
    object["spec"]["priority"] = .int(standard?.value ?? 0)
    object["spec"]["preemptionPolicy"] = .string(standard?.policy ?? "PreemptLowerPriority")
  }
}

/// A runtime class must be there; what it costs and where it runs becomes the pod's.
/// Source: Kubernetes "Runtime Class" and "Pod Overhead".
enum RuntimeClassAdmission {
  static func admit(_ object: inout Value, _ context: WriteContext) throws(APIError) {
    let overhead = object["spec"]["overhead"]
    let name = object["spec"]["runtimeClassName"].string ?? ""
    guard !name.isEmpty else {
      if overhead.object?.isEmpty == false {
        throw refusal(object, context, "Pod Overhead set without corresponding RuntimeClass defined Overhead")
      }
      return
    }
    let resource = GroupResource(group: "node.k8s.io", resource: "runtimeclasses")
    guard let found = context.object(resource, ObjectKey(name: name)) else {
      throw refusal(object, context, "RuntimeClass \"\(name)\" not found")
    }
    let (fixed, scheduling) = found.withView { ($0["overhead"]["podFixed"].value, $0["scheduling"].value) }
    if overhead.object?.isEmpty == false, overhead != fixed {
      throw refusal(object, context, "Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    }
    if fixed.object?.isEmpty == false { object["spec"]["overhead"] = fixed }
    for label in scheduling["nodeSelector"].object?.members ?? [] {
      let own = object["spec"]["nodeSelector"][label.key]
      guard own.isNull || own == label.value else {
        throw refusal(
          object, context,
          "conflict: runtimeClass.scheduling.nodeSelector[\(label.key)] = \(label.value.string ?? ""); pod.spec.nodeSelector[\(label.key)] = \(own.string ?? "")"
        )
      }
      object["spec"]["nodeSelector"][label.key] = label.value
    }
    let known = object["spec"]["tolerations"].array ?? []
    for toleration in scheduling["tolerations"].array ?? [] where !known.contains(toleration) {
      object["spec"]["tolerations"].append(toleration)
    }
  }

  private static func refusal(_ object: Value, _ context: WriteContext, _ why: String) -> APIError {
    let name = object["metadata"]["name"].string ?? ""
    return APIError(.forbidden, context.kind.gvr.groupResource, name, "pods \"\(name)\" is forbidden: pod rejected: \(why)")
  }
}

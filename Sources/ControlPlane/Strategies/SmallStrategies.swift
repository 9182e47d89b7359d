import Cache
import Client
import Schema
import Wire

struct NamespaceStrategy: KindStrategy {
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) {
    object["status"] = ["phase": "Active"]
    var finalizers = (object["spec"]["finalizers"].array ?? []).compactMap(\.string)
    if !finalizers.contains("kubernetes") { finalizers.append("kubernetes") }
    object["spec"]["finalizers"] = .array(finalizers.map { .string($0) })
  }
}

struct SecretStrategy: KindStrategy {
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) { Self.fold(&object) }

  func prepareForUpdate(_ object: inout Value, old: Value, _ context: inout WriteContext) throws(APIError) { Self.fold(&object) }

  /// What is written as text becomes data and is not stored.
  private static func fold(_ object: inout Value) {
    guard let text = object.remove("stringData")?.object else { return }
    for member in text.members { object["data"][member.key] = .string(Base64.encode((member.value.string ?? "").utf8)) }
  }

  func validate(_ object: Value, old: Value?, _ context: WriteContext) -> [FieldFault] {
    guard let old else { return [] }
    return Immutability.faults(object, old: old, fields: ["data"])
  }
}

struct ConfigMapStrategy: KindStrategy {
  func validate(_ object: Value, old: Value?, _ context: WriteContext) -> [FieldFault] {
    guard let old else { return [] }
    return Immutability.faults(object, old: old, fields: ["data", "binaryData"])
  }
}

/// Once a config map or secret says `immutable: true`, its data and that word stay.
private enum Immutability {
  static func faults(_ object: Value, old: Value, fields: [String]) -> [FieldFault] {
    guard old["immutable"].bool == true else { return [] }
    let detail = "field is immutable when `immutable` is set"
    var faults: [FieldFault] = []
    if object["immutable"].bool != true { faults.append(.forbidden("immutable", detail)) }
    for field in fields where object[field] != old[field] { faults.append(.forbidden(field, detail)) }
    return faults
  }
}

struct NodeStrategy: KindStrategy {
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) {
    // Nothing is scheduled to a node before it has said that it is ready. Source: admission TaintNodesByCondition.
    let taint: Value = ["key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"]
    let isTainted = (object["spec"]["taints"].array ?? []).contains {
      $0["key"].string == "node.kubernetes.io/not-ready" && $0["effect"].string == "NoSchedule"
    }
    if !isTainted { object["spec"]["taints"].append(taint) }
  }

  func validate(_ object: Value, old: Value?, _ context: WriteContext) -> [FieldFault] {
    guard let old, context.request.subresource == nil else { return [] }
    var faults: [FieldFault] = []
    for field in ["podCIDR", "podCIDRs", "providerID"]
    where !old["spec"][field].isNull && object["spec"][field] != old["spec"][field] {
      faults.append(.forbidden("spec.\(field)", "node updates may not change \(field) except from \"\" to valid"))
    }
    return faults
  }
}

struct PriorityClassStrategy: KindStrategy {
  func validate(_ object: Value, old: Value?, _ context: WriteContext) -> [FieldFault] {
    guard let old else { return [] }
    return ["value", "preemptionPolicy"].filter { object[$0] != old[$0] }.map { .forbidden($0, "may not be changed in an update.") }
  }
}

struct JobStrategy: KindStrategy {
  /// The labels by which a job finds its pods.
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) {
    defer { Self.takeLabels(&object) }
    guard object["spec"]["manualSelector"].bool != true else { return }
    let uid = object["metadata"]["uid"]
    let name = object["metadata"]["name"]
    for (key, value) in [
      ("batch.kubernetes.io/controller-uid", uid), ("controller-uid", uid), ("batch.kubernetes.io/job-name", name),
      ("job-name", name),
    ] { object["spec"]["template"]["metadata"]["labels"][key] = value }
    object["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"] = uid
  }

  /// A job without labels has those of its pods.
  private static func takeLabels(_ object: inout Value) {
    let labels = object["spec"]["template"]["metadata"]["labels"]
    if object["metadata"]["labels"].object?.isEmpty != false, labels.object?.isEmpty == false {
      object["metadata"]["labels"] = labels
    }
  }
}

struct CertificateSigningRequestStrategy: KindStrategy {
  /// Who asks is what the server knows of the caller, not what the body says.
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) {
    let caller = context.request.identity
    object["spec"]["username"] = .string(caller.name)
    for field in ["uid", "groups", "extra"] { object["spec"].remove(field) }
    if !caller.uid.isEmpty { object["spec"]["uid"] = .string(caller.uid) }
    if !caller.groups.isEmpty { object["spec"]["groups"] = .array(caller.groups.map { .string($0) }) }
    for (key, values) in caller.extra.sorted(by: { $0.key < $1.key }) {
      object["spec"]["extra"][key] = .array(values.map { .string($0) })
    }
  }

  func prepareForUpdate(_ object: inout Value, old: Value, _ context: inout WriteContext) throws(APIError) {
    object["spec"] = old["spec"]
    guard context.request.subresource == "status" else { return }
    // Approval has an endpoint of its own.
    let decided = (old["status"]["conditions"].array ?? []).filter { $0["type"] == "Approved" || $0["type"] == "Denied" }
    let others = (object["status"]["conditions"].array ?? []).filter { $0["type"] != "Approved" && $0["type"] != "Denied" }
    if !decided.isEmpty || !others.isEmpty {
      object["status"]["conditions"] = .array(decided + others)
    } else {
      object["status"].remove("conditions")
    }
  }
}

struct VolumeStrategy: KindStrategy {
  /// What `status.phase` begins with.
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) {
    object["status"] = ["phase": "Pending"]
  }
}

/// Nobody hands out what he does not hold, unless he may `escalate`.
struct RoleStrategy: KindStrategy {
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) { try check(object, context) }
  func prepareForUpdate(_ object: inout Value, old: Value, _ context: inout WriteContext) throws(APIError) {
    if object["rules"] != old["rules"] || object["aggregationRule"] != old["aggregationRule"] { try check(object, context) }
  }

  private func check(_ object: Value, _ context: WriteContext) throws(APIError) {
    if !object["aggregationRule"].isNull {
      // What it will gather is not known yet: only who holds everything may say so.
      let everything = [RBAC.Rule(verbs: ["*"], groups: ["*"], resources: ["*"]), RBAC.Rule(verbs: ["*"], paths: ["*"])]
      try Escalation.check(everything, verb: "escalate", name: object["metadata"]["name"].string ?? "", context)
    }
    let rules = (object["rules"].array ?? []).map { RBAC.Rule($0) }
    try Escalation.check(rules, verb: "escalate", name: object["metadata"]["name"].string ?? "", context)
  }
}

struct RoleBindingStrategy: KindStrategy {
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) { try check(object, context) }
  func prepareForUpdate(_ object: inout Value, old: Value, _ context: inout WriteContext) throws(APIError) {
    if object["roleRef"] != old["roleRef"] || object["subjects"] != old["subjects"] { try check(object, context) }
  }

  func validate(_ object: Value, old: Value?, _ context: WriteContext) -> [FieldFault] {
    guard let old, object["roleRef"] != old["roleRef"] else { return [] }
    return [.invalid("roleRef", object["roleRef"], "cannot change roleRef")]
  }

  private func check(_ object: Value, _ context: WriteContext) throws(APIError) {
    let name = object["roleRef"]["name"].string ?? ""
    let isCluster = object["roleRef"]["kind"].string == "ClusterRole"
    let key = ObjectKey(namespace: isCluster ? "" : context.request.key.namespace, name: name)
    let resource = GroupResource(group: "rbac.authorization.k8s.io", resource: isCluster ? "clusterroles" : "roles")
    if Escalation.mayGrantAnything(verb: "bind", name: name, context, resource: resource.resource) { return }
    guard let rules = context.controlPlane.authorizer.rules(ofRole: resource.resource, key) else { throw .notFound(resource, name) }
    try Escalation.check(rules, verb: "bind", name: name, context, resource: resource.resource)
  }
}

private enum Escalation {
  /// - Throws: `.forbidden` naming every rule that the caller would hand out without holding it.
  static func check(_ rules: [RBAC.Rule], verb: String, name: String, _ context: WriteContext, resource: String? = nil)
    throws(APIError)
  {
    let user = context.request.identity
    if mayGrantAnything(verb: verb, name: name, context, resource: resource) { return }
    let held = context.controlPlane.authorizer.rules(for: user, namespace: context.request.key.namespace)
    let missing = rules.flatMap(\.parts).filter { part in !held.contains { $0.covers(part) } }
    guard !missing.isEmpty else { return }
    let target = context.kind.gvr.groupResource
    throw APIError(
      .forbidden, target, objectName(context),
      "\(target) \"\(objectName(context))\" is forbidden: user \"\(user.name)\" (groups=\(RBAC.Rule.go(user.groups))) is attempting to grant RBAC permissions not currently held:\n\(missing.map(\.description).joined(separator: "\n"))"
    )
  }

  static func mayGrantAnything(verb: String, name: String, _ context: WriteContext, resource: String? = nil) -> Bool {
    let user = context.request.identity
    if user.groups.contains("system:masters") { return true }
    let attributes = RequestAttributes(
      user: user, verb: verb, group: "rbac.authorization.k8s.io", resource: resource ?? context.kind.gvr.resource,
      namespace: context.request.key.namespace, name: name)
    return context.controlPlane.decide(attributes).isAllowed
  }

  private static func objectName(_ context: WriteContext) -> String {
    if case .create(let value) = context.request.verb { return value["metadata"]["name"].string ?? context.request.key.name }
    return context.request.key.name
  }
}

extension RBAC.Rule {
  init(_ value: Value) {
    func strings(_ key: String) -> [String] { (value[key].array ?? []).compactMap(\.string) }
    self.init(
      verbs: strings("verbs"), groups: strings("apiGroups"), resources: strings("resources"), names: strings("resourceNames"),
      paths: strings("nonResourceURLs"))
  }
}

import Cache
import Client
import Schema
import Wire

/// Roles: their rules may only be what the writer holds.
struct RoleStrategy: KindStrategy {
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) { try check(object, context) }
  func prepareForUpdate(_ object: inout Value, old: Value, _ context: inout WriteContext) throws(APIError) {
    if object["rules"] != old["rules"] || object["aggregationRule"] != old["aggregationRule"] { try check(object, context) }
  }

  private func check(_ object: Value, _ context: WriteContext) throws(APIError) {
    if !object["aggregationRule"].isNull {
      // What it will gather is not known yet: only who holds everything may say so.
      let everything = [RBAC.Rule(verbs: ["*"], groups: ["*"], resources: ["*"]), RBAC.Rule(verbs: ["*"], paths: ["*"])]
      try Escalation.check(everything, verb: "escalate", role: object["metadata"]["name"].string ?? "", object, context)
    }
    let rules = (object["rules"].array ?? []).map { RBAC.Rule($0) }
    try Escalation.check(rules, verb: "escalate", role: object["metadata"]["name"].string ?? "", object, context)
  }
}

/// Bindings: the role behind one may only grant what the writer holds.
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
    if Escalation.mayGrantAnything(verb: "bind", role: name, context, resource: resource.resource) { return }
    guard let rules = context.controlPlane.authorizer.rules(ofRole: resource.resource, key) else { throw .notFound(resource, name) }
    try Escalation.check(rules, verb: "bind", role: name, object, context, resource: resource.resource)
  }
}

/// Nobody hands out what he does not hold, unless he may `bind` or `escalate`.
private enum Escalation {
  /// - Throws: `.forbidden` naming every rule that the caller would hand out without holding it.
  static func check(
    _ rules: [RBAC.Rule], verb: String, role: String, _ object: Value, _ context: WriteContext, resource: String? = nil
  ) throws(APIError) {
    let user = context.request.identity
    if mayGrantAnything(verb: verb, role: role, context, resource: resource) { return }
    let held = context.controlPlane.authorizer.rules(for: user, namespace: context.request.key.namespace)
    let missing = rules.flatMap(\.parts).filter { part in !held.contains { $0.covers(part) } }
    guard !missing.isEmpty else { return }
    let target = context.kind.gvr.groupResource
    let name = context.objectName(object)
    let lines = Set(RBAC.Rule.compact(missing).map(\.description)).sorted().joined(separator: "\n")
    throw APIError(
      .forbidden, target, name,
      "\(target) \"\(name)\" is forbidden: user \"\(user.name)\" (groups=\(RBAC.Rule.go(user.groups))) is attempting to grant RBAC permissions not currently held:\n\(lines)"
    )
  }

  static func mayGrantAnything(verb: String, role: String, _ context: WriteContext, resource: String? = nil) -> Bool {
    let user = context.request.identity
    if user.groups.contains("system:masters") { return true }
    let attributes = RequestAttributes(
      user: user, verb: verb, group: "rbac.authorization.k8s.io", resource: resource ?? context.kind.gvr.resource,
      namespace: context.request.key.namespace, name: role)
    return context.controlPlane.decide(attributes).isAllowed
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

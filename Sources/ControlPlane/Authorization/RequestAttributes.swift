import Cache
import Client
import Wire

/// What authorization decides on: who does what to which thing.
package struct RequestAttributes: Sendable {
  package var user: Identity
  /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, `impersonate`, `bind`, `escalate`, …
  package var verb: String
  package var group = ""
  package var resource = ""
  package var subresource = ""
  package var namespace = ""
  package var name = ""
  /// Set for paths that are no resource: `/healthz`, `/api`.
  package var path: String?
  /// What a list or watch is limited to; the node authorizer wants a node's own.
  package var fieldSelector = ""

  package init(
    user: Identity, verb: String, group: String = "", resource: String = "", subresource: String = "", namespace: String = "",
    name: String = "",
    fieldSelector: String = ""
  ) {
    self.user = user
    self.verb = verb
    self.group = group
    self.resource = resource
    self.subresource = subresource
    // A namespace lies in itself: a role in it may let people see it.
    self.namespace = namespace.isEmpty && group.isEmpty && resource == "namespaces" ? name : namespace
    self.name = name
    self.fieldSelector = fieldSelector
    // A list of one named object is a question about that object: roles with resourceNames may allow it.
    if name.isEmpty, !fieldSelector.isEmpty, ["list", "watch", "deletecollection"].contains(verb),
      let wanted = try? FieldSelector(parsing: fieldSelector)
    {
      self.name = wanted.requirements.first { $0.field == "metadata.name" && $0.isEqual }?.value ?? ""
    }
  }

  package init(user: Identity, verb: String, path: String) {
    self.user = user
    self.verb = verb
    self.path = path
  }

  /// True where the field selector allows nothing but this value of a field.
  func selects(_ field: String, _ value: String) -> Bool {
    guard !fieldSelector.isEmpty, let selector = try? FieldSelector(parsing: fieldSelector) else { return false }
    return selector.requirements.contains { $0.field == field && $0.isEqual && $0.value == value }
  }

  /// The refusal in upstream's words.
  package var refusal: APIError {
    if let path { return Self.forbidden("", "", "User \"\(user.name)\" cannot \(verb) path \"\(path)\"") }
    let full = subresource.isEmpty ? resource : "\(resource)/\(subresource)"
    let scope = namespace.isEmpty ? " at the cluster scope" : " in the namespace \"\(namespace)\""
    var error = Self.forbidden(
      GroupResource(group: group, resource: resource).description, name,
      "User \"\(user.name)\" cannot \(verb) resource \"\(full)\" in API group \"\(group)\"\(scope)")
    error.group = group
    error.kind = resource
    error.name = name
    return error
  }

  private static func forbidden(_ resource: String, _ name: String, _ why: String) -> APIError {
    if resource.isEmpty { return APIError(.forbidden, "forbidden: \(why)") }
    return APIError(.forbidden, name.isEmpty ? "\(resource) is forbidden: \(why)" : "\(resource) \"\(name)\" is forbidden: \(why)")
  }
}

package enum Decision: Sendable, Equatable {
  case allow(reason: String)
  case deny(reason: String)
  case noOpinion(reason: String)

  package var isAllowed: Bool { if case .allow = self { true } else { false } }
  package var reason: String {
    switch self {
    case .allow(let reason), .deny(let reason), .noOpinion(let reason): reason
    }
  }
}

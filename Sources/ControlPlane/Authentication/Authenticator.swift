import Cache
import Client
import Schema
import Wire

/// What a door knows of a caller before it is authenticated.
package struct AuthenticationInput: Sendable {
  /// Subject of a client certificate that TLS has verified against the clients' CA.
  package var certificate: (name: String, groups: [String], keyHash: String)?
  /// The token of `Authorization: Bearer …`.
  package var bearerToken: String?
  /// `Impersonate-User`, `-Group`, `-Uid`, `-Extra-*`.
  package var impersonation: Identity?

  package init(
    certificate: (name: String, groups: [String], keyHash: String)? = nil, bearerToken: String? = nil,
    impersonation: Identity? = nil
  ) {
    self.certificate = certificate
    self.bearerToken = bearerToken
    self.impersonation = impersonation
  }
}

extension ControlPlane {
  /// Who is calling. Synchronous: signatures are checked in about 100 µs, everything else is in the cache.
  /// - Throws: `.unauthorized` for a token that is not valid, `.forbidden` for an impersonation that is not allowed.
  package func authenticate(_ input: AuthenticationInput) throws(APIError) -> Identity {
    var identity = Identity.anonymous
    if let certificate = input.certificate {
      identity = Identity(name: certificate.name, groups: certificate.groups + ["system:authenticated"])
      if let node = NodeAuthorizer.nodeName(identity), !mayBe(node: node, keyHash: certificate.keyHash) {
        throw APIError(.unauthorized, "Unauthorized")
      }
    } else if let token = input.bearerToken {
      guard let found = authenticate(token: token, audiences: [tokens.issuer]) else {
        throw APIError(.unauthorized, "Unauthorized")
      }
      identity = found
    }
    guard let other = input.impersonation else { return identity }
    return try impersonate(other, by: identity)
  }

  /// A service account's token, while everything it is bound to exists.
  func authenticate(token: String, audiences: [String]) -> Identity? {
    guard let payload = tokens.verify(token, audiences: audiences) else {
      return authenticate(unending: token, audiences: audiences)
    }
    let claims = payload["kubernetes.io"]
    guard let namespace = claims["namespace"].string, let name = claims["serviceaccount"]["name"].string,
      let uid = claims["serviceaccount"]["uid"].string,
      cache.resource(GroupResource(resource: "serviceaccounts")).get(ObjectKey(namespace: namespace, name: name))?.uid == uid
    else { return nil }
    var identity = Identity.serviceAccount(namespace: namespace, name: name, uid: uid)
    identity.extra["authentication.kubernetes.io/credential-id"] = payload["jti"].string.map { ["JTI=\($0)"] }
    for (claim, resource) in [("pod", "pods"), ("secret", "secrets"), ("node", "nodes")] {
      guard let bound = claims[claim]["name"].string else { continue }
      let key = ObjectKey(namespace: resource == "nodes" ? "" : namespace, name: bound)
      // A token ends with its pod or secret; a node is only told about.
      let exists = cache.resource(GroupResource(resource: resource)).get(key)?.uid == claims[claim]["uid"].string
      if !exists, resource != "nodes" || claims["pod"].isNull { return nil }
      identity.extra["authentication.kubernetes.io/\(claim)-name"] = [bound]
      identity.extra["authentication.kubernetes.io/\(claim)-uid"] = claims[claim]["uid"].string.map { [$0] }
    }
    return identity
  }

  private func impersonate(_ other: Identity, by caller: Identity) throws(APIError) -> Identity {
    let account = other.name.split(separator: ":", omittingEmptySubsequences: false)
    if account.count == 4, account[0] == "system", account[1] == "serviceaccount" {
      try authorize(
        RequestAttributes(
          user: caller, verb: "impersonate", resource: "serviceaccounts", namespace: String(account[2]), name: String(account[3])))
    } else {
      try authorize(RequestAttributes(user: caller, verb: "impersonate", resource: "users", name: other.name))
    }
    for group in other.groups {
      try authorize(RequestAttributes(user: caller, verb: "impersonate", resource: "groups", name: group))
    }
    if !other.uid.isEmpty {
      try authorize(
        RequestAttributes(user: caller, verb: "impersonate", group: "authentication.k8s.io", resource: "uids", name: other.uid))
    }
    for (key, values) in other.extra {
      for value in values {
        try authorize(
          RequestAttributes(
            user: caller, verb: "impersonate", group: "authentication.k8s.io", resource: "userextras", subresource: key, name: value
          ))
      }
    }
    var identity = other
    if account.count == 4, account[0] == "system", account[1] == "serviceaccount", identity.groups.isEmpty {
      identity.groups = ["system:serviceaccounts", "system:serviceaccounts:\(account[2])"]
    }
    if other.name != Identity.anonymous.name { identity.groups.append("system:authenticated") }
    return identity
  }

  // MARK: Reviews

  /// Answers a kind that is a question: token, subject access, rules and self reviews. The caller has authorized the create.
  package func review(_ kind: ResourceKind, _ body: Value, namespace: String, identity: Identity) throws(APIError) -> Value {
    var answer = body
    answer["kind"] = .string(kind.kind)
    answer["apiVersion"] = .string(kind.apiVersion)
    answer["metadata"]["creationTimestamp"] = .null
    answer["metadata"].remove("creationTimestamp")
    try Self.check(kind, body, namespace: namespace)
    switch kind.kind {
    case "SelfSubjectAccessReview": answer["status"] = status(decide(attributes(body["spec"], user: identity)))
    case "SubjectAccessReview", "LocalSubjectAccessReview":
      let user = Self.subject(body["spec"])
      answer["status"] = status(decide(attributes(body["spec"], user: user)))
    case "SelfSubjectRulesReview": answer["status"] = rules(identity, namespace: body["spec"]["namespace"].string ?? "")
    case "SelfSubjectReview": answer["status"] = ["userInfo": userInfo(identity)]
    case "TokenReview":
      let asked = (body["spec"]["audiences"].array ?? []).compactMap(\.string)
      let audiences = asked.isEmpty ? [tokens.issuer] : asked
      if let user = authenticate(token: body["spec"]["token"].string ?? "", audiences: audiences) {
        answer["status"] = ["authenticated": true, "user": userInfo(user), "audiences": .array(audiences.map { .string($0) })]
      } else {
        answer["status"] = ["authenticated": false, "error": "invalid bearer token"]
      }
    default: throw APIError(.methodNotAllowed, "\(kind.kind) cannot be answered")
    }
    return answer
  }

  /// What a review must say to be answered.
  private static func check(_ kind: ResourceKind, _ body: Value, namespace: String) throws(APIError) {
    let spec = body["spec"]
    switch kind.kind {
    case "SelfSubjectAccessReview", "SubjectAccessReview", "LocalSubjectAccessReview":
      if kind.kind == "LocalSubjectAccessReview" {
        guard spec["resourceAttributes"]["namespace"].string ?? "" == namespace else {
          throw .badRequest("spec.resourceAttributes.namespace must match namespace: \(namespace)")
        }
      }
      var faults: [FieldFault] = []
      switch (spec["resourceAttributes"].isNull, spec["nonResourceAttributes"].isNull) {
      case (true, true):
        let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        faults.append(.invalid("spec.resourceAttributes", .null, detail))
      case (false, false):
        faults.append(
          .invalid(
            "spec.nonResourceAttributes", spec["nonResourceAttributes"],
            "cannot be specified in combination with resourceAttributes"))
      default: break
      }
      let asksAboutOthers = kind.kind != "SelfSubjectAccessReview"
      if asksAboutOthers, spec["user"].string?.isEmpty != false, spec["groups"].array?.isEmpty != false {
        faults.append(
          .invalid("spec.user", spec["user"].isNull ? "" : spec["user"], "at least one of user or group must be specified"))
      }
      if !faults.isEmpty { throw .invalid(kind, "", faults) }
    case "SelfSubjectRulesReview" where spec["namespace"].string?.isEmpty != false: throw .badRequest("no namespace on request")
    case "TokenReview" where spec["token"].string?.isEmpty != false:
      throw .badRequest("token is required for TokenReview in authentication")
    default: break
    }
  }

  private static func subject(_ spec: Value) -> Identity {
    Identity(
      name: spec["user"].string ?? "", uid: spec["uid"].string ?? "", groups: (spec["groups"].array ?? []).compactMap(\.string))
  }

  private func attributes(_ spec: Value, user: Identity) -> RequestAttributes {
    let resource = spec["resourceAttributes"]
    if !resource.isNull {
      return RequestAttributes(
        user: user, verb: resource["verb"].string ?? "", group: resource["group"].string ?? "",
        resource: resource["resource"].string ?? "",
        subresource: resource["subresource"].string ?? "", namespace: resource["namespace"].string ?? "",
        name: resource["name"].string ?? "")
    }
    let other = spec["nonResourceAttributes"]
    return RequestAttributes(user: user, verb: other["verb"].string ?? "", path: other["path"].string ?? "")
  }

  private func status(_ decision: Decision) -> Value {
    var status: Value = ["allowed": .bool(decision.isAllowed)]
    if case .deny = decision { status["denied"] = true }
    if !decision.reason.isEmpty { status["reason"] = .string(decision.reason) }
    return status
  }

  private func rules(_ identity: Identity, namespace: String) -> Value {
    func list(_ strings: [String]) -> Value { .array(strings.map { .string($0) }) }
    var rules = authorizer.rules(for: identity, namespace: namespace)
    if identity.groups.contains("system:masters") {
      // They may do everything, also where no binding says so.
      let everything = [RBAC.Rule(verbs: ["*"], groups: ["*"], resources: ["*"]), RBAC.Rule(verbs: ["*"], paths: ["*"])]
      rules += everything.filter { !rules.contains($0) }
    }
    return [
      "resourceRules": .array(
        rules.filter { $0.paths.isEmpty }.map { rule in
          var row: Value = ["verbs": list(rule.verbs), "apiGroups": list(rule.groups), "resources": list(rule.resources)]
          if !rule.names.isEmpty { row["resourceNames"] = list(rule.names) }
          return row
        }),
      "nonResourceRules": .array(
        rules.filter { !$0.paths.isEmpty }.map { ["verbs": list($0.verbs), "nonResourceURLs": list($0.paths)] }),
      "incomplete": false,
    ]
  }

  private func userInfo(_ identity: Identity) -> Value {
    var info: Value = ["username": .string(identity.name), "groups": .array(identity.groups.map { .string($0) })]
    if !identity.uid.isEmpty { info["uid"] = .string(identity.uid) }
    for (key, values) in identity.extra.sorted(by: { $0.key < $1.key }) { info["extra"][key] = .array(values.map { .string($0) }) }
    return info
  }

  /// The public keys of service-account tokens, and the document that leads to them.
  package var tokenKeySet: Value { tokens.keySet }
  package var tokenDiscovery: Value { tokens.discovery }
}

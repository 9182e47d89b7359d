import Cache
import Client
import Schema
import Store
import Wire

/// Subresources that are actions, and `scale`.
extension ControlPlane {
  /// `pods/binding`, `pods/eviction`, `serviceaccounts/token`, and kinds that are questions.
  /// - Returns: the action's own answer.
  package func act(
    _ kind: ResourceKind, _ key: ObjectKey, subresource: String, body: Value, identity: Identity, options: WriteOptions
  ) async throws(APIError) -> Value {
    do throws(APIError) {
      let answer = try await perform(kind, key, subresource: subresource, body: body, identity: identity, options: options)
      record(identity, "create", kind, key, subresource: subresource, dryRun: options.dryRun, code: 201)
      return answer
    } catch {
      record(identity, "create", kind, key, subresource: subresource, dryRun: options.dryRun, code: error.code)
      throw error
    }
  }

  private func perform(
    _ kind: ResourceKind, _ key: ObjectKey, subresource: String, body: Value, identity: Identity, options: WriteOptions
  ) async throws(APIError) -> Value {
    switch (kind.typeName, subresource) {
    case ("core/v1.Pod", "binding"):
      let target = body["target"]
      guard let node = target["name"].string, !node.isEmpty else {
        throw .invalid(kind, key.name, [.required("target.name")])
      }
      guard target["kind"].string ?? "Node" == "Node" else {
        throw .invalid(kind, key.name, [.notSupported("target.kind", target["kind"], ["Node", "<empty>"])])
      }
      _ = try await bind(
        key, uid: body["metadata"]["uid"].string ?? "", node: node, annotations: body["metadata"]["annotations"].object,
        identity: identity, options)
      return Self.success
    case ("core/v1.Pod", "eviction"): return try await evict(kind, key, body, identity: identity, options)
    case ("core/v1.ServiceAccount", "token"):
      try NodeRestriction.admitToken(key, body, identity, cache)
      return try token(key, body)
    default:
      throw APIError(.methodNotAllowed, "create is not supported on resources of kind \"\(kind.gvr.groupResource)/\(subresource)\"")
    }
  }

  private static let success: Value = [
    "kind": "Status", "apiVersion": "v1", "metadata": .emptyObject, "status": "Success", "code": 201,
  ]

  private static let bindings = GroupResource(resource: "pods/binding")

  /// Gives a pod its node, once.
  func bind(
    _ key: ObjectKey, uid: String, node: String, annotations: Object?, identity: Identity, _ options: WriteOptions
  ) async throws(APIError) -> EncodedObject {
    let kind = try kind(.pods)
    guard !node.isEmpty else { throw .invalid(kind, key.name, [.required("target.name")]) }
    for _ in 0..<16 {
      guard let current = cache.resource(kind.storage).get(key) else { throw .notFound(kind.gvr.groupResource, key.name) }
      if !uid.isEmpty, uid != current.uid {
        throw .conflict(
          kind.gvr.groupResource, key.name, "Precondition failed: UID in precondition: \(uid), UID in object meta: \(current.uid)")
      }
      var object = current.withView(\.value)
      let assigned = object["spec"]["nodeName"].string ?? ""
      guard assigned.isEmpty else {
        throw .conflict(Self.bindings, key.name, "pod \(key.name) is already assigned to node \"\(assigned)\"")
      }
      guard object["metadata"]["deletionTimestamp"].isNull else {
        throw .conflict(Self.bindings, key.name, "pod \(key.name) is being deleted, cannot be assigned to a host")
      }
      guard object["spec"]["schedulingGates"].array?.isEmpty != false else {
        throw .conflict(Self.bindings, key.name, "pod \(key.name) has non-empty .spec.schedulingGates")
      }
      let now = clock.now()
      object["spec"]["nodeName"] = .string(node)
      for annotation in annotations?.members ?? [] { object["metadata"]["annotations"][annotation.key] = annotation.value }
      var conditions = (object["status"]["conditions"].array ?? []).filter { $0["type"].string != "PodScheduled" }
      conditions.append([
        "type": "PodScheduled", "status": "True", "lastTransitionTime": .string(now.description),
        "observedGeneration": object["metadata"]["generation"],
      ])
      object["status"]["conditions"] = .array(conditions)
      let request = WriteRequest(
        kind: kind, key: key, subresource: "binding", verb: .update(object), identity: identity, options: options)
      Ownership.record(&object, old: current.withView(\.value), WriteContext(controlPlane: self, request: request, now: now))
      let bytes = schema.encodeForStorage(object, kind: kind)
      if options.dryRun { return current }
      let storeKey = StoreKey(kind.storage, key)
      let sealed = try seal(bytes, storeKey)
      do throws(StoreError) {
        let revision = try await store.commit(
          Transaction(compares: [.revision(storeKey, current.revision)], writes: [.put(storeKey, sealed)]))
        do throws(JSONError) { return try EncodedObject(bytes: bytes, revision: revision) } catch {
          throw StoreError.failed("\(error)")
        }
      } catch {
        guard case .conflict = error else { throw Self.failure(error) }
      }
    }
    throw .conflict(kind.gvr.groupResource, key.name, APIError.objectModified)
  }

  /// Deletes a pod if its disruption budgets allow it.
  private func evict(_ kind: ResourceKind, _ key: ObjectKey, _ body: Value, identity: Identity, _ options: WriteOptions)
    async throws(APIError) -> Value
  {
    let pod = try get(kind, key)
    let (labels, phase, isMarked) = pod.withView {
      ($0["metadata"]["labels"].stringMap, $0["status"]["phase"].string ?? "", !$0["metadata"]["deletionTimestamp"].isNull)
    }
    // What no longer runs, or goes already, disrupts nothing.
    let isFree = isMarked || phase == "Succeeded" || phase == "Failed" || phase == "Pending"
    var iterator = cache.resource(GroupResource(group: "policy", resource: "poddisruptionbudgets")).snapshot(revision: 0).tree
      .iterate(namespace: key.namespace)
    while !isFree, let entry = iterator.next() {
      let (selector, allowed, desired, current) = entry.object.withView { view in
        let status = view["status"]
        return (
          LabelSelector(view["spec"]["selector"]), status["disruptionsAllowed"].int ?? 0, status["desiredHealthy"].int ?? 0,
          status["currentHealthy"].int ?? 0
        )
      }
      guard let selector, selector.matches(labels), allowed <= 0 else { continue }
      var error = APIError(.tooManyRequests, "Cannot evict pod as it would violate the pod's disruption budget.")
      error.causes = [
        .init(
          reason: "DisruptionBudget",
          message: "The disruption budget \(entry.object.key.name) needs \(desired) healthy pods and has \(current) currently",
          field: "")
      ]
      error.retryAfterSeconds = 10
      throw error
    }
    var deletion = DeleteOptions(gracePeriodSeconds: body["deleteOptions"]["gracePeriodSeconds"].int)
    deletion.dryRun = options.dryRun
    deletion.preconditionUID = body["deleteOptions"]["preconditions"]["uid"].string
    _ = try await delete(kind, key, deletion, identity: identity)
    return Self.success
  }

  /// A token for a service account, bound to what the request names.
  private func token(_ key: ObjectKey, _ body: Value) throws(APIError) -> Value {
    let resource = GroupResource(resource: "serviceaccounts")
    guard let account = cache.resource(resource).get(key) else { throw .notFound(resource, key.name) }
    let seconds = body["spec"]["expirationSeconds"].int ?? 3600
    let kind = try kind(.serviceAccounts)
    guard seconds >= 600, seconds <= 1 << 32 else {
      throw .invalid(
        kind, key.name,
        [
          .invalid(
            "spec.expirationSeconds", .int(seconds),
            seconds < 600
              ? "may not specify a duration less than 10 minutes" : "may not specify a duration larger than 2^32 seconds")
        ])
    }
    var claims = TokenAuthority.Claims(
      namespace: key.namespace, account: key.name, accountUID: account.uid,
      audiences: (body["spec"]["audiences"].array ?? []).compactMap(\.string).filter { !$0.isEmpty }, expirationSeconds: seconds)
    if claims.audiences.isEmpty { claims.audiences = [tokens.issuer] }
    let bound = body["spec"]["boundObjectRef"]
    if let name = bound["name"].string {
      let isPod = bound["kind"].string == "Pod"
      let target = GroupResource(resource: isPod ? "pods" : bound["kind"].string == "Node" ? "nodes" : "secrets")
      let targetKey = ObjectKey(namespace: target.resource == "nodes" ? "" : key.namespace, name: name)
      guard let object = cache.resource(target).get(targetKey) else { throw .notFound(target, name) }
      if let uid = bound["uid"].string, !uid.isEmpty, uid != object.uid {
        throw .conflict(
          target, name,
          "the UID in the bound object reference (\(uid)) does not match the UID in record. The object might have been deleted and then recreated"
        )
      }
      claims.bound = (isPod ? "pod" : target.resource == "nodes" ? "node" : "secret", name, object.uid)
      if isPod, let node = object.withView({ $0["spec"]["nodeName"].string }),
        let nodeObject = cache.resource(GroupResource(resource: "nodes")).get(ObjectKey(name: node))
      {
        claims.node = (node, nodeObject.uid)
      }
    }
    let (token, expires) = try tokens.issue(claims)
    return [
      "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
      "metadata": [
        "name": .string(key.name), "namespace": .string(key.namespace), "creationTimestamp": .string(clock.now().description),
      ],
      "spec": [
        "audiences": .array(claims.audiences.map { .string($0) }), "expirationSeconds": .int(seconds), "boundObjectRef": bound,
      ],
      "status": ["token": .string(token), "expirationTimestamp": .string(expires.description)],
    ]
  }

  // MARK: Scale

  /// The Scale of a workload.
  package func scale(_ kind: ResourceKind, _ key: ObjectKey) throws(APIError) -> Value { Self.scale(of: try get(kind, key), kind) }

  static func scale(of object: EncodedObject, _ kind: ResourceKind) -> Value {
    object.withView { view in
      let metadata = view["metadata"]
      let selector =
        kind.typeName == "core/v1.ReplicationController"
        ? LabelSelector(labels: view["spec"]["selector"].stringMap).text : LabelSelector(view["spec"]["selector"])?.text ?? ""
      return [
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": [
          "name": .string(object.key.name), "namespace": .string(object.key.namespace), "uid": .string(object.uid),
          "resourceVersion": .string(String(object.revision)), "creationTimestamp": metadata["creationTimestamp"].value,
        ], "spec": ["replicas": .int(view["spec"]["replicas"].int ?? 0)],
        "status": ["replicas": .int(view["status"]["replicas"].int ?? 0), "selector": .string(selector)],
      ]
    }
  }

  /// Changes `spec.replicas` through the Scale that `change` makes of the current one.
  /// - Returns: the workload after the change.
  package func scale(
    _ kind: ResourceKind, _ key: ObjectKey, identity: Identity, _ options: WriteOptions,
    _ change: @Sendable (Value) throws(APIError) -> Value
  ) async throws(APIError) -> EncodedObject {
    for _ in 0..<16 {
      let current = try get(kind, key)
      let before = Self.scale(of: current, kind)
      let scale = try change(before)
      if let version = scale["metadata"]["resourceVersion"].string, !version.isEmpty, version != String(current.revision),
        scale["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
      {
        throw .conflict(kind.gvr.groupResource, key.name, APIError.objectModified)
      }
      let replicas = scale["spec"]["replicas"].int ?? 0
      guard replicas >= 0, replicas <= Int64(Int32.max) else {
        var error = APIError.invalid(
          kind, key.name, [.invalid("spec.replicas", .int(replicas), "must be greater than or equal to 0")])
        error.message = error.message.replacing("\(kind.kind).\(kind.gvr.group)", with: "Scale.autoscaling")
        throw error
      }
      var object = current.value
      object["spec"]["replicas"] = .int(replicas)
      do throws(APIError) {
        return try await write(
          WriteRequest(kind: kind, key: key, subresource: "scale", verb: .update(object), identity: identity, options: options)
        ).object
      } catch { if error.reason != .conflict { throw error } }
    }
    throw .conflict(kind.gvr.groupResource, key.name, APIError.objectModified)
  }

  // MARK: Streams

  /// Opens a stream to a pod: the node answers.
  /// - Parameter identity: who opens it, for the audit log.
  package func connect(
    _ key: ObjectKey, subresource: String, query: [(name: String, value: String)], identity: Identity? = nil
  ) async throws(APIError) -> any ByteStream {
    if let identity, subresource != "log" {
      record(
        RequestAttributes(
          user: identity, verb: "create", resource: "pods", subresource: subresource, namespace: key.namespace, name: key.name),
        code: 101)
    }
    let pod = try get(kind(.pods), key)
    let (node, containers) = pod.withView { view in
      (
        view["spec"]["nodeName"].string ?? "",
        view["spec"]["containers"].compactMap { $0["name"].string }
          + view["spec"]["initContainers"].compactMap { $0["name"].string }
      )
    }
    var query = query
    let asked = query.first { $0.name == "container" }?.value ?? ""
    if asked.isEmpty {
      guard let first = containers.first else { throw .badRequest("pod \(key.name) has no containers") }
      let regular = pod.withView { $0["spec"]["containers"].compactMap { $0["name"].string } }
      let preferred = pod.withView { $0["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].string }
      if regular.count > 1, preferred == nil, subresource != "portforward" {
        throw .badRequest(
          "a container name must be specified for pod \(key.name), choose one of: [\(regular.joined(separator: " "))]")
      }
      query.append(("container", preferred ?? first))
    } else if !containers.contains(asked) {
      throw .badRequest("container \(asked) is not valid for pod \(key.name)")
    }
    guard !node.isEmpty else { throw .badRequest("pod \(key.name) does not have a host assigned") }
    return try await self.node(node).connect(pod: key, uid: pod.uid, subresource: subresource, query: query)
  }
}

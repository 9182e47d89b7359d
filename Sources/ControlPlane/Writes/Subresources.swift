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
    let start = ContinuousClock.now
    do throws(APIError) {
      let answer = try await perform(kind, key, subresource: subresource, body: body, identity: identity, options: options)
      measure(subresource, since: start)
      record(identity, "create", kind, key, subresource: subresource, dryRun: options.dryRun, code: 201)
      return answer
    } catch {
      record(identity, "create", kind, key, subresource: subresource, dryRun: options.dryRun, code: error.code)
      throw error
    }
  }

  /// How long a write took.
  func measure(_ verb: String, since start: ContinuousClock.Instant) {
    let passed = (ContinuousClock.now - start).components
    metrics.observe(
      "gantry_write_duration_seconds", [("verb", verb)], seconds: Double(passed.seconds) + Double(passed.attoseconds) / 1e18)
  }

  private func perform(
    _ kind: ResourceKind, _ key: ObjectKey, subresource: String, body: Value, identity: Identity, options: WriteOptions
  ) async throws(APIError) -> Value {
    if let namespace = body["metadata"]["namespace"].string, !namespace.isEmpty, kind.isNamespaced, namespace != key.namespace {
      throw .badRequest("the namespace of the provided object does not match the namespace sent on the request")
    }
    switch (kind.typeName, subresource) {
    case ("core/v1.Pod", "binding"):
      guard body["metadata"]["name"].string ?? "" == key.name else {
        throw .badRequest("name in URL does not match name in Binding object")
      }
      let target = body["target"]
      guard let node = target["name"].string, !node.isEmpty else {
        throw .invalid(kind, key.name, [.required("target.name")])
      }
      guard target["kind"].string ?? "Node" == "Node" else {
        throw .invalid(kind, key.name, [.notSupported("target.kind", target["kind"], ["Node", "<empty>"])])
      }
      _ = try await assign(
        key, uid: body["metadata"]["uid"].string ?? "", node: node, annotations: body["metadata"]["annotations"].object,
        identity: identity, options)
      return Self.success
    case ("core/v1.Pod", "eviction"): return try await evict(kind, key, body, identity: identity, options)
    case ("core/v1.ServiceAccount", "token"):
      if let name = body["metadata"]["name"].string, !name.isEmpty, name != key.name {
        throw .badRequest("the name of the object (\(name)) does not match the name on the URL (\(key.name))")
      }
      try NodeRestriction.admitToken(key, body, identity, cache)
      return try token(key, body)
    default:
      throw APIError(.methodNotAllowed, "create is not supported on resources of kind \"\(kind.gvr.groupResource)/\(subresource)\"")
    }
  }

  static let success: Value = [
    "kind": "Status", "apiVersion": "v1", "metadata": .emptyObject, "status": "Success", "code": 201,
  ]

  private static let bindings = GroupResource(resource: "pods/binding")

  /// `pods/binding` of those inside, who have no body.
  func bind(_ key: ObjectKey, uid: String, node: String, identity: Identity, _ options: WriteOptions) async throws(APIError)
    -> EncodedObject
  {
    let kind = try kind(.pods)
    let start = ContinuousClock.now
    do throws(APIError) {
      let pod = try await assign(key, uid: uid, node: node, annotations: nil, identity: identity, options)
      measure("binding", since: start)
      record(identity, "create", kind, key, subresource: "binding", dryRun: options.dryRun, code: 201)
      return pod
    } catch {
      record(identity, "create", kind, key, subresource: "binding", dryRun: options.dryRun, code: error.code)
      throw error
    }
  }

  /// Gives a pod its node, once.
  private func assign(
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

  /// The grace period that a client asks for; -1 stands for the object's own. Source: upstream's ValidateDeleteOptions.
  package static func gracePeriod(_ seconds: Int64?) throws(APIError) -> Int64? {
    guard let seconds, seconds < -1 else { return seconds }
    throw .invalidOptions(
      "DeleteOptions",
      [
        .init(
          reason: "FieldValueInvalid", message: "Invalid value: \(seconds): must be greater than or equal to 0",
          field: "gracePeriodSeconds")
      ])
  }

  /// Deletes a pod if its disruption budgets allow it.
  private func evict(_ kind: ResourceKind, _ key: ObjectKey, _ body: Value, identity: Identity, _ options: WriteOptions)
    async throws(APIError) -> Value
  {
    guard body["metadata"]["name"].string ?? "" == key.name else {
      throw .badRequest("name in URL does not match name in Eviction object")
    }
    let dryRun = body["deleteOptions"]["dryRun"].array ?? []
    guard dryRun.allSatisfy({ $0 == "All" }) else {
      throw .invalidOptions(
        "DeleteOptions",
        [
          .init(
            reason: "FieldValueNotSupported", message: "Unsupported value: \(Value.array(dryRun).json): supported values: \"All\"",
            field: "dryRun")
        ])
    }
    let isDryRun = options.dryRun || !dryRun.isEmpty
    let pod = try get(kind, key)
    let (labels, phase, isMarked, isReady) = pod.withView { view in
      var isReady = false
      view["status"]["conditions"].forEach { if $0["type"].equals("Ready") { isReady = $0["status"].equals("True") } }
      return (
        view["metadata"]["labels"].stringMap, view["status"]["phase"].string ?? "",
        !view["metadata"]["deletionTimestamp"].isNull, isReady
      )
    }
    // What no longer runs, or goes already, disrupts nothing.
    if !isMarked, !["Succeeded", "Failed", "Pending"].contains(phase) {
      try await takeDisruption(key, labels, isReady: isReady, identity: identity, dryRun: isDryRun)
    }
    var deletion = DeleteOptions(gracePeriodSeconds: try Self.gracePeriod(body["deleteOptions"]["gracePeriodSeconds"].int))
    deletion.dryRun = isDryRun
    deletion.preconditionUID = body["deleteOptions"]["preconditions"]["uid"].string
    _ = try await delete(kind, key, deletion, identity: identity)
    return Self.success
  }

  /// Takes one disruption from the budget that covers a pod: of two evictions at once only as many pass as are allowed.
  /// - Throws: `.tooManyRequests` where none is left.
  private func takeDisruption(
    _ pod: ObjectKey, _ labels: [String: String], isReady: Bool, identity: Identity, dryRun: Bool
  ) async throws(APIError) {
    let kind = try kind(GroupVersionResource(group: "policy", resource: "poddisruptionbudgets"))
    for _ in 0..<16 {
      var budgets: [EncodedObject] = []
      var iterator = cache.resource(kind.storage).snapshot(revision: 0).tree.iterate(namespace: pod.namespace)
      while let entry = iterator.next() {
        let covers = entry.object.withView { LabelSelector($0["spec"]["selector"])?.matches(labels) ?? false }
        if covers { budgets.append(entry.object) }
      }
      guard let budget = budgets.first else { return }
      guard budgets.count == 1 else {
        throw APIError(
          .internalError, "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
      }
      var object = budget.value
      let status = object["status"]
      let desired = status["desiredHealthy"].int ?? 0
      let current = status["currentHealthy"].int ?? 0
      // A pod that is not ready serves nobody; unless the budget says otherwise it may go where enough others serve.
      if !isReady, object["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow" || current >= desired && desired > 0 { return }
      guard (status["observedGeneration"].int ?? 0) >= (object["metadata"]["generation"].int ?? 0) else {
        throw refusal("The disruption budget \(budget.key.name) is still being processed by the server.", again: 10)
      }
      let allowed = status["disruptionsAllowed"].int ?? 0
      guard allowed > 0 else {
        throw refusal(
          "The disruption budget \(budget.key.name) needs \(desired) healthy pods and has \(current) currently", again: nil)
      }
      if dryRun { return }
      object["status"]["disruptionsAllowed"] = .int(allowed - 1)
      object["status"]["disruptedPods"][pod.name] = .string(clock.now().description)
      do throws(APIError) {
        _ = try await write(
          WriteRequest(
            kind: kind, key: budget.key, subresource: "status", verb: .update(object), identity: identity, options: WriteOptions()))
        return
      } catch { if error.reason != .conflict { throw error } }
    }
    throw .conflict(kind.gvr.groupResource, pod.name, APIError.objectModified)
  }

  private func refusal(_ why: String, again: Int?) -> APIError {
    var error = APIError(.tooManyRequests, "Cannot evict pod as it would violate the pod's disruption budget.")
    error.causes = [.init(reason: "DisruptionBudget", message: why, field: "")]
    error.retryAfterSeconds = again
    return error
  }

  /// A token for a service account, bound to what the request names.
  private func token(_ key: ObjectKey, _ body: Value) throws(APIError) -> Value {
    let resource = GroupResource(resource: "serviceaccounts")
    guard let account = cache.resource(resource).get(key) else { throw .notFound(resource, key.name) }
    let seconds = body["spec"]["expirationSeconds"].int ?? 3600
    guard seconds >= 600, seconds <= 1 << 32 else {
      let detail =
        seconds < 600 ? "may not specify a duration less than 10 minutes" : "may not specify a duration larger than 2^32 seconds"
      throw .invalid(
        "TokenRequest", group: "authentication.k8s.io", "", [.invalid("spec.expirationSeconds", .int(seconds), detail)])
    }
    var claims = TokenAuthority.Claims(
      namespace: key.namespace, account: key.name, accountUID: account.uid,
      audiences: (body["spec"]["audiences"].array ?? []).compactMap(\.string).filter { !$0.isEmpty }, expirationSeconds: seconds)
    if claims.audiences.isEmpty { claims.audiences = [tokens.issuer] }
    let bound = body["spec"]["boundObjectRef"]
    if let name = bound["name"].string {
      let boundKind = bound["kind"].string ?? ""
      guard ["Pod", "Node", "Secret"].contains(boundKind) else {
        throw .badRequest("cannot bind token to object of type /\(bound["apiVersion"].string ?? ""), Kind=\(boundKind)")
      }
      let isPod = boundKind == "Pod"
      let target = GroupResource(resource: isPod ? "pods" : boundKind == "Node" ? "nodes" : "secrets")
      let targetKey = ObjectKey(namespace: target.resource == "nodes" ? "" : key.namespace, name: name)
      guard let object = cache.resource(target).get(targetKey) else { throw .notFound(target, name) }
      if let uid = bound["uid"].string, !uid.isEmpty, uid != object.uid {
        throw .conflict(
          target, name,
          "the UID in the bound object reference (\(uid)) does not match the UID in record. The object might have been deleted and then recreated"
        )
      }
      let account = isPod ? object.withView({ $0["spec"]["serviceAccountName"].string ?? "" }) : key.name
      guard account == key.name else {
        throw .badRequest(
          "cannot bind token for serviceaccount \"\(key.name)\" to pod running with different serviceaccount name.")
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
      try checkName(scale, key, kind)
      if let uid = scale["metadata"]["uid"].string, !uid.isEmpty, uid != current.uid {
        throw .conflict(
          kind.gvr.groupResource, key.name, "Precondition failed: UID in precondition: \(uid), UID in object meta: \(current.uid)")
      }
      if let version = scale["metadata"]["resourceVersion"].string, !version.isEmpty, version != String(current.revision),
        scale["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
      {
        throw .conflict(kind.gvr.groupResource, key.name, APIError.objectModified)
      }
      let replicas = scale["spec"]["replicas"].int ?? 0
      guard replicas >= 0, replicas <= Int64(Int32.max) else {
        throw .invalid(
          "Scale", group: "autoscaling", key.name, [.invalid("spec.replicas", .int(replicas), "must be greater than or equal to 0")]
        )
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
    guard !node.isEmpty else {
      // A pod without a node has written nothing: no log is no error.
      if subresource == "log" { return EmptyStream() }
      throw .badRequest("pod \(key.name) does not have a host assigned")
    }
    return try await self.node(node).connect(pod: key, uid: pod.uid, subresource: subresource, query: query)
  }
}

/// A stream on which nothing comes.
private struct EmptyStream: ByteStream {
  var frames: AsyncThrowingStream<StreamFrame, any Error> { AsyncThrowingStream { $0.finish() } }
  func send(_ frame: StreamFrame) async throws {}
  func finish(channel: UInt8) async throws {}
  func close() {}
}

import Cache
import Client
import Schema
import Store
import Wire

/// The one way a write goes, whichever door it came through (DESIGN section 4): read, merge, decode, default, own, admit, check, commit.
/// A conflict that the caller did not ask for starts the attempt again.
extension ControlPlane {
  /// Attempts of one write under contention.
  private static let maximumAttempts = 32

  /// Create, update and patch. The caller has authorized.
  package func write(_ request: WriteRequest) async throws(APIError) -> WriteResult {
    let name = request.key.name
    let start = ContinuousClock.now
    do throws(APIError) {
      let result = try await commit(request)
      measure(request.verb.auditVerb, since: start)
      record(
        request.identity, request.verb.auditVerb, request.kind, result.object.key, subresource: request.subresource,
        dryRun: request.options.dryRun, code: result.isCreated ? 201 : 200)
      return result
    } catch {
      record(
        request.identity, request.verb.auditVerb, request.kind, ObjectKey(namespace: request.key.namespace, name: name),
        subresource: request.subresource,
        dryRun: request.options.dryRun, code: error.code)
      throw error
    }
  }

  private func commit(_ request: WriteRequest) async throws(APIError) -> WriteResult {
    try check(request)
    try await awaitDefaultAccount(request)
    var turn: StoreKey?
    defer { if let turn { gates.leave(turn) } }
    for attempt in 1...Self.maximumAttempts {
      var context = WriteContext(controlPlane: self, request: request, now: clock.now())
      let plan = try plan(request, &context)
      guard case .commit(let commit) = plan else {
        if case .done(let object) = plan {
          return WriteResult(object: converted(object, to: request.kind), isCreated: false, warnings: context.warnings)
        }
        continue
      }
      if request.options.dryRun {
        let object = try encoded(commit.bytes, revision: commit.old?.revision ?? 0)
        return WriteResult(object: converted(object, to: request.kind), isCreated: commit.old == nil, warnings: context.warnings)
      }
      do throws(StoreError) {
        let revision = try await store.commit(commit.transaction)
        learn(commit.transaction, revision)
        noteUsage(request.kind, commit.key)
        let object = try encodedOrFail(commit.bytes, revision: revision)
        return WriteResult(object: converted(object, to: request.kind), isCreated: commit.old == nil, warnings: context.warnings)
      } catch {
        guard case .conflict(let key, let current) = error else { throw Self.failure(error) }
        quotaLedger.learn(key, current)
        metrics.count("gantry_write_conflicts_total")
        // A PUT that lost the race to create becomes an update.
        let isCreate = if case .create = request.verb { true } else { false }
        if isCreate, key == commit.storeKey, !commit.hasGeneratedName { throw taken(commit.key, request.kind) }
        if commit.isConditional, key == commit.storeKey {
          throw .conflict(request.kind.gvr.groupResource, commit.key.name, APIError.objectModified)
        }
        if attempt == Self.maximumAttempts {
          throw .conflict(request.kind.gvr.groupResource, commit.key.name, APIError.objectModified)
        }
        if attempt > 1, turn == nil {
          await gates.enter(key)
          turn = key
        }
      }
    }
    throw .internalError("write did not settle")
  }

  private func taken(_ key: ObjectKey, _ kind: ResourceKind) -> APIError {
    var error = APIError.alreadyExists(kind.gvr.groupResource, key.name)
    let isGoing = cache.resource(kind.storage).get(key)?.withView { !$0["metadata"]["deletionTimestamp"].isNull } ?? false
    if isGoing { error.message = "object is being deleted: \(error.message)" }
    return error
  }

  static func failure(_ error: StoreError) -> APIError {
    switch error {
    // Upstream has no reason for a full disk; those that it has promise that a retry helps, and clients would retry.
    case .full: APIError(.unknown, "the server's store cannot take the write: \(error)", code: 507)
    case .tooLarge: APIError(.requestEntityTooLarge, "Request entity too large: \(error)")
    case .busy: APIError(.tooManyRequests, "\(error)")
    case .closed: APIError(.serviceUnavailable, "the server is shutting down")
    default: .internalError("\(error)")
    }
  }

  private func encodedOrFail(_ bytes: [UInt8], revision: Revision) throws(StoreError) -> EncodedObject {
    do throws(JSONError) { return try EncodedObject(bytes: bytes, revision: revision) } catch {
      throw .failed("canonical bytes do not parse: \(error)")
    }
  }

  private func encoded(_ bytes: [UInt8], revision: Revision) throws(APIError) -> EncodedObject {
    do throws(JSONError) { return try EncodedObject(bytes: bytes, revision: revision) } catch {
      throw .internalError("canonical bytes do not parse: \(error)")
    }
  }

  // MARK: One attempt

  struct PlannedCommit {
    var key: ObjectKey
    var storeKey: StoreKey
    var bytes: [UInt8]
    var old: EncodedObject?
    /// The caller named the revision it wants to replace.
    var isConditional = false
    var hasGeneratedName = false
    var transaction: Transaction
  }

  enum Plan {
    case commit(PlannedCommit)
    /// Nothing changes.
    case done(EncodedObject)
  }

  private func check(_ request: WriteRequest) throws(APIError) {
    if case .patch(let patch) = request.verb, patch.kind == .apply {
      throw Self.applyIsMissing
    }
    if request.kind.typeName == "core/v1.Pod", let subresource = request.subresource,
      ["ephemeralcontainers", "resize"].contains(subresource)
    {
      throw APIError(
        .methodNotAllowed,
        "pods/\(subresource) is not served by this release of Gantry: change the pod's template, or delete and create the pod")
    }
    guard !request.findings.isEmpty, request.options.fieldValidation == "Strict" else { return }
    let kind = request.kind
    throw .badRequest(
      "\(kind.kind) in version \"\(kind.gvr.version)\" cannot be handled as a \(kind.kind): strict decoding error: \(request.findings.joined(separator: ", "))"
    )
  }

  private func plan(_ request: WriteRequest, _ context: inout WriteContext) throws(APIError) -> Plan {
    if request.options.fieldValidation == "Warn" { context.warnings += request.findings }
    switch request.verb {
    case .create(let value): return try planCreate(value, &context)
    case .update(var value):
      Conversion.write(&value, from: request.kind, table: schema)
      return try planUpdate(&context) { _, _ throws(APIError) in value }
    case .patch(let patch):
      return try planUpdate(&context) { current, context throws(APIError) in try self.patched(current, patch, &context) }
    }
  }

  private func planCreate(_ value: Value, _ context: inout WriteContext) throws(APIError) -> Plan {
    let request = context.request
    let kind = request.kind
    var object = value
    Conversion.write(&object, from: kind, table: schema)
    object.remove("kind")
    object.remove("apiVersion")
    let metadata = object["metadata"]
    if let namespace = metadata["namespace"].string, kind.isNamespaced, !namespace.isEmpty, namespace != request.key.namespace {
      throw .badRequest("the namespace of the provided object does not match the namespace sent on the request")
    }
    if metadata["resourceVersion"].string?.isEmpty == false {
      throw .badRequest("resourceVersion should not be set on objects to be created")
    }
    var name = metadata["name"].string ?? ""
    if !request.key.name.isEmpty, name != request.key.name {
      guard name.isEmpty else {
        throw .badRequest("the name of the object (\(name)) does not match the name on the URL (\(request.key.name))")
      }
      name = request.key.name
    }
    let generateName = metadata["generateName"].string ?? ""
    let hasGeneratedName = name.isEmpty && !generateName.isEmpty
    if hasGeneratedName { name = generateName.prefix(58) + clock.suffix() }
    let key = ObjectKey(namespace: kind.isNamespaced ? request.key.namespace : "", name: name)
    object["metadata"]["name"] = .string(name)
    if kind.isNamespaced {
      object["metadata"]["namespace"] = .string(key.namespace)
    } else {
      object["metadata"].remove("namespace")
    }
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion", "generation"] {
      object["metadata"].remove(field)
    }
    object["metadata"]["uid"] = .string(clock.uuid())
    object["metadata"]["creationTimestamp"] = .string(context.now.description)
    if kind.strategy.generation != nil { object["metadata"]["generation"] = 1 }
    if kind.subresource("status") != nil, kind.typeName != "core/v1.Node" { object.remove("status") }
    let storage = schema.storageKind(of: kind)
    schema.applyDefaults(&object, kind: storage)
    let strategy = Strategies.of(kind)
    strategy.normalize(&object)
    // Who asks owns what he asked for and its defaults, not what admission and allocation add.
    Ownership.record(&object, old: nil, context)
    // Admission first: what it adds (limits of a LimitRange) counts in what the strategy computes (the QoS class).
    try Admission.mutate(&object, old: nil, &context)
    schema.applyDefaults(&object, kind: storage)
    try strategy.prepareForCreate(&object, &context)
    try validate(object, old: nil, strategy, context, name: name)
    try Admission.validate(object, old: nil, &context)
    return .commit(try planned(object, key: key, old: nil, hasGeneratedName: hasGeneratedName, context))
  }

  private func planned(
    _ object: Value, key: ObjectKey, old: EncodedObject?, isConditional: Bool = false, hasGeneratedName: Bool = false,
    _ context: WriteContext
  ) throws(APIError) -> PlannedCommit {
    let storeKey = StoreKey(context.kind.storage, key)
    let bytes = schema.encodeForStorage(object, kind: schema.storageKind(of: context.kind))
    let compare: Transaction.Compare = old.map { .revision(storeKey, $0.revision) } ?? .absent(storeKey)
    let isLease = context.kind.typeName == "coordination/v1.Lease" && key.namespace == "kube-node-lease"
    return PlannedCommit(
      key: key, storeKey: storeKey, bytes: bytes, old: old, isConditional: isConditional, hasGeneratedName: hasGeneratedName,
      transaction: Transaction(
        compares: [compare] + context.compares, writes: [.put(storeKey, try seal(bytes, storeKey))] + context.writes,
        isVolatile: isLease && old != nil,
        // The steps of a deletion (finalizers that are taken away, the last status) lead to room.
        frees: old?.withView { !$0["metadata"]["deletionTimestamp"].isNull } ?? false))
  }

  private func validate(_ object: Value, old: Value?, _ strategy: any KindStrategy, _ context: WriteContext, name: String)
    throws(APIError)
  {
    let faults = Validation.check(object, old: old, context) + strategy.validate(object, old: old, context)
    if !faults.isEmpty { throw .invalid(context.kind, name, faults) }
  }

  private func planUpdate(_ context: inout WriteContext, _ change: (Value, inout WriteContext) throws(APIError) -> Value)
    throws(APIError) -> Plan
  {
    let request = context.request
    let kind = request.kind
    let key = ObjectKey(namespace: kind.isNamespaced ? request.key.namespace : "", name: request.key.name)
    if case .update(let value) = request.verb { try checkName(value, key, kind) }
    guard let current = cache.resource(kind.storage).get(key) else {
      if case .update(let value) = request.verb, kind.strategy.allowsCreateOnUpdate, request.subresource == nil {
        try authorize(
          RequestAttributes(
            user: request.identity, verb: "create", group: kind.gvr.group, resource: kind.gvr.resource, namespace: key.namespace,
            name: key.name))
        var value = value
        value["metadata"]["name"] = .string(key.name)
        return try planCreate(value, &context)
      }
      throw .notFound(kind.gvr.groupResource, key.name)
    }
    let old = current.withView(\.value)
    var object = try change(current.value, &context)
    object.remove("kind")
    object.remove("apiVersion")
    let version = object["metadata"]["resourceVersion"].string ?? ""
    let isUpdate = if case .update = request.verb { true } else { false }
    let namesRevision = isUpdate ? !version.isEmpty && version != "0" : version != String(current.revision)
    if namesRevision, version != String(current.revision) {
      if !version.isEmpty { throw .conflict(kind.gvr.groupResource, key.name, APIError.objectModified) }
    }
    if isUpdate, version.isEmpty, !kind.strategy.allowsUnconditionalUpdate {
      throw .invalid(kind, key.name, [.invalid("metadata.resourceVersion", 0, "must be specified for an update")])
    }
    if let uid = object["metadata"]["uid"].string, !uid.isEmpty, uid != current.uid {
      // A PUT names the object it means; a patch would change it.
      guard isUpdate else { throw .invalid(kind, key.name, [.invalid("metadata.uid", .string(uid), FieldFault.immutable)]) }
      throw .conflict(
        kind.gvr.groupResource, key.name, "Precondition failed: UID in precondition: \(uid), UID in object meta: \(current.uid)")
    }
    try checkName(object, key, kind)
    object["metadata"].remove("resourceVersion")
    let strategy = Strategies.of(kind)
    strategy.normalize(&object)
    let forgets = Ownership.isReset(object["metadata"]["managedFields"])
    let storage = schema.storageKind(of: kind)
    try keepWhatClientsCannotChange(&object, old: old, context)
    schema.applyDefaults(&object, kind: storage)
    try Admission.mutate(&object, old: old, &context)
    try strategy.prepareForUpdate(&object, old: old, &context)
    schema.applyDefaults(&object, kind: storage)
    raiseGeneration(&object, old: old, kind, subresource: request.subresource)
    if forgets { object["metadata"].remove("managedFields") }
    if schema.encodeForStorage(object, kind: storage) == schema.encodeForStorage(old, kind: storage) { return .done(current) }
    if !forgets { Ownership.record(&object, old: old, context) }
    try validate(object, old: old, strategy, context, name: key.name)
    try Admission.validate(object, old: old, &context)
    let planned = try planned(object, key: key, old: current, isConditional: isUpdate && !version.isEmpty, context)
    if isFinished(object) { return try removal(planned, object, &context) }
    return .commit(planned)
  }

  /// An object without a name is none that anybody means to write: an empty body would take everything away.
  func checkName(_ object: Value, _ key: ObjectKey, _ kind: ResourceKind) throws(APIError) {
    let name = object["metadata"]["name"].string ?? ""
    if name.isEmpty {
      throw .badRequest("the name of the object (\(key.name) based on URL) was undeterminable: name must be provided")
    }
    if name != key.name {
      throw .badRequest("the name of the object (\(name)) does not match the name on the URL (\(key.name))")
    }
    if let namespace = object["metadata"]["namespace"].string, !namespace.isEmpty, kind.isNamespaced, namespace != key.namespace {
      throw .badRequest("the namespace of the provided object does not match the namespace sent on the request")
    }
  }

  // MARK: The end of an object

  /// Being deleted, and nothing holds it any more.
  func isFinished(_ object: Value) -> Bool {
    guard !object["metadata"]["deletionTimestamp"].isNull else { return false }
    if object["metadata"]["finalizers"].array?.isEmpty == false { return false }
    if (object["metadata"]["deletionGracePeriodSeconds"].int ?? 0) > 0 { return false }
    return object["spec"]["finalizers"].array?.isEmpty != false
  }

  private func removal(_ planned: PlannedCommit, _ object: Value, _ context: inout WriteContext) throws(APIError) -> Plan {
    Strategies.of(context.kind).release(object, &context)
    var planned = planned
    planned.transaction.frees = true
    planned.transaction.writes = [.delete(planned.storeKey, uid: object["metadata"]["uid"].string)] + context.writes
    return .commit(planned)
  }
}

import Cache
import Client
import Schema
import Store
import Wire

extension ControlPlane {
  private static let maximumAttempts = 32
  /// Seconds: 68 years. What is longer has no end that a timestamp can say.
  private static let longestGrace = Int64(Int32.max)

  /// Deletes an object, or begins to: a grace period or finalizers keep it, marked.
  package func delete(
    _ kind: ResourceKind, _ key: ObjectKey, _ options: DeleteOptions, identity: Identity
  ) async throws(APIError) -> DeleteResult {
    do throws(APIError) {
      let result = try await remove(kind, key, options, identity: identity)
      record(identity, "delete", kind, key, subresource: nil, dryRun: options.dryRun, code: 200)
      return result
    } catch {
      record(identity, "delete", kind, key, subresource: nil, dryRun: options.dryRun, code: error.code)
      throw error
    }
  }

  private func remove(
    _ kind: ResourceKind, _ key: ObjectKey, _ options: DeleteOptions, identity: Identity
  ) async throws(APIError) -> DeleteResult {
    let request = WriteRequest(
      kind: kind, key: key, verb: .update(.emptyObject), identity: identity, options: WriteOptions(dryRun: options.dryRun))
    for _ in 0..<Self.maximumAttempts {
      guard let current = cache.resource(kind.storage).get(key) else { throw .notFound(kind.gvr.groupResource, key.name) }
      try check(options, current, kind)
      var context = WriteContext(controlPlane: self, request: request, now: clock.now())
      try Admission.validateDeletion(current, context)
      let old = current.withView(\.value)
      var object = old
      let isGone = mark(&object, options, context)
      let storeKey = StoreKey(kind.storage, key)
      if !isGone, object == old { return DeleteResult(remaining: converted(current, to: kind), uid: current.uid) }
      let deleted = isGone ? converted(current, to: kind) : nil
      if options.dryRun {
        return DeleteResult(remaining: isGone ? nil : converted(current, to: kind), deleted: deleted, uid: current.uid)
      }
      let write: Transaction.Write
      if isGone {
        Strategies.of(kind).release(old, &context)
        write = .delete(storeKey, uid: current.uid)
      } else {
        write = .put(storeKey, try seal(schema.encodeForStorage(object, kind: schema.storageKind(of: kind)), storeKey))
      }
      do throws(StoreError) {
        let transaction = Transaction(
          compares: [.revision(storeKey, current.revision)], writes: [write] + context.writes, frees: true)
        learn(transaction, try await store.commit(transaction))
        noteUsage(kind, key)
        guard !isGone, let remaining = cache.resource(kind.storage).get(key) else {
          return DeleteResult(remaining: nil, deleted: deleted, uid: current.uid)
        }
        return DeleteResult(remaining: converted(remaining, to: kind), uid: current.uid)
      } catch {
        guard case .conflict = error else { throw Self.failure(error) }
      }
    }
    throw .conflict(kind.gvr.groupResource, key.name, APIError.objectModified)
  }

  private func check(_ options: DeleteOptions, _ current: EncodedObject, _ kind: ResourceKind) throws(APIError) {
    // Upstream names the kind here, not the resource.
    let named = GroupResource(group: kind.gvr.group, resource: kind.kind)
    if let uid = options.preconditionUID, uid != current.uid {
      throw .conflict(
        named, current.key.name,
        "the UID in the precondition (\(uid)) does not match the UID in record (\(current.uid)). The object might have been deleted and then recreated"
      )
    }
    if let version = options.preconditionResourceVersion, version != String(current.revision) {
      throw .conflict(
        named, current.key.name,
        "the ResourceVersion in the precondition (\(version)) does not match the ResourceVersion in record (\(current.revision)). The object might have been modified"
      )
    }
  }

  /// Brings an object on its way out.
  /// - Returns: true where nothing holds it and it goes at once.
  private func mark(_ object: inout Value, _ options: DeleteOptions, _ context: WriteContext) -> Bool {
    let kind = context.kind
    setPropagation(&object, options.propagation ?? Self.defaultPropagation(object, kind))
    let isMarked = !object["metadata"]["deletionTimestamp"].isNull
    let known = object["metadata"]["deletionGracePeriodSeconds"].int ?? 0
    var grace = gracePeriod(object, options, kind)
    if isMarked {
      // A later request can only shorten the time, and only one that names a time does.
      grace = min(known, options.gracePeriodSeconds.map { $0 < 0 ? 1 : $0 } ?? known)
      if grace < known {
        let began =
          object["metadata"]["deletionTimestamp"].string.flatMap { Timestamp($0) }.map { $0.seconds - known } ?? context.now.seconds
        object["metadata"]["deletionTimestamp"] = .string(Timestamp(seconds: began + grace).description)
        object["metadata"]["deletionGracePeriodSeconds"] = .int(grace)
      }
    }
    let isNamespace = kind.typeName == "core/v1.Namespace"
    let isHeld =
      object["metadata"]["finalizers"].array?.isEmpty == false
      || isNamespace && object["spec"]["finalizers"].array?.isEmpty == false
    if grace == 0, !isHeld { return true }
    if !isMarked {
      object["metadata"]["deletionTimestamp"] = .string(Timestamp(seconds: context.now.seconds + grace).description)
      if !isNamespace { object["metadata"]["deletionGracePeriodSeconds"] = .int(grace) }
      if let generation = object["metadata"]["generation"].int, generation > 0 {
        object["metadata"]["generation"] = .int(generation + 1)
      }
    }
    if isNamespace { object["status"]["phase"] = "Terminating" }
    return false
  }

  /// What happens to the dependents of an object when nobody says: its finalizers decide, and jobs and replication controllers keep
  /// their pods in the versions that always did.
  private static func defaultPropagation(_ object: Value, _ kind: ResourceKind) -> DeleteOptions.Propagation? {
    guard ["batch/v1.Job", "core/v1.ReplicationController"].contains(kind.typeName) else { return nil }
    let held = (object["metadata"]["finalizers"].array ?? []).contains { $0 == "orphan" || $0 == "foregroundDeletion" }
    return held || !object["metadata"]["deletionTimestamp"].isNull ? nil : .orphan
  }

  private func setPropagation(_ object: inout Value, _ propagation: DeleteOptions.Propagation?) {
    guard let propagation else { return }
    var finalizers = (object["metadata"]["finalizers"].array ?? []).compactMap(\.string).filter {
      $0 != "orphan" && $0 != "foregroundDeletion"
    }
    switch propagation {
    case .background: break
    case .orphan: finalizers.append("orphan")
    case .foreground: finalizers.append("foregroundDeletion")
    }
    if finalizers.isEmpty {
      object["metadata"].remove("finalizers")
    } else {
      object["metadata"]["finalizers"] = .array(finalizers.map { .string($0) })
    }
  }

  /// Seconds that a pod may take to end: 0 where nothing runs. Other kinds go at once.
  private func gracePeriod(_ object: Value, _ options: DeleteOptions, _ kind: ResourceKind) -> Int64 {
    guard kind.typeName == "core/v1.Pod" else { return 0 }
    let isUnassigned = object["spec"]["nodeName"].string?.isEmpty != false
    let phase = object["status"]["phase"].string
    if isUnassigned || phase == "Succeeded" || phase == "Failed" { return 0 }
    let asked = options.gracePeriodSeconds ?? object["spec"]["terminationGracePeriodSeconds"].int ?? 30
    return asked < 0 ? 1 : min(asked, Self.longestGrace)
  }
}

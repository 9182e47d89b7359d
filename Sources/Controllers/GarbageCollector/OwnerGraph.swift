import Client
import Wire

/// Who owns whom, over every kind. A plain value: takes objects, says which are to be looked at, and what is to be done with one.
package struct OwnerGraph: Sendable {
  package struct Node: Sendable {
    package var resource: GroupVersionResource
    package var meta: Meta

    package var isForeground: Bool { meta.isDeleting && meta.finalizers.contains(OwnerGraph.foreground) }
    package var isOrphaning: Bool { meta.isDeleting && meta.finalizers.contains(OwnerGraph.orphan) }
  }

  package init() {}

  package static let foreground = "foregroundDeletion"
  package static let orphan = "orphan"

  package private(set) var nodes: [String: Node] = [:]
  private var dependents: [String: Set<String>] = [:]
  /// By resource and key, to notice that a name has a new uid.
  private var uids: [GroupVersionResource: [ObjectKey: String]] = [:]
  /// What must be looked at.
  package private(set) var dirty: Set<String> = []

  /// Dependents whose reference means this owner: not those of other namespaces.
  package func dependents(of uid: String) -> [Node] {
    (dependents[uid] ?? []).compactMap { nodes[$0] }.filter { node in
      node.meta.owners.contains { $0.uid == uid && owner($0, of: node) != nil }
    }
  }

  /// The owner that a reference means, where a feed has shown it. An owner with a namespace owns within it alone: in another one its name
  /// means something else, or nothing.
  private func owner(_ reference: Meta.Owner, of dependent: Node) -> Node? {
    guard let found = nodes[reference.uid] else { return nil }
    let (namespace, own) = (found.meta.key.namespace, dependent.meta.key.namespace)
    // What belongs to no namespace cannot be owned by something of one: there is no telling what was meant, so it stays.
    return namespace.isEmpty || own.isEmpty || namespace == own ? found : nil
  }

  /// References to owners of other namespaces, which mean nothing.
  package func strangers(of uid: String) -> (node: Node, owners: [Meta.Owner])? {
    guard let node = nodes[uid] else { return nil }
    let strangers = node.meta.owners.filter { nodes[$0.uid] != nil && owner($0, of: node) == nil }
    return strangers.isEmpty ? nil : (node, strangers)
  }

  package mutating func set(_ resource: GroupVersionResource, _ meta: Meta) {
    if let old = uids[resource]?[meta.key], old != meta.uid { forget(old) }
    uids[resource, default: [:]][meta.key] = meta.uid
    let old = nodes[meta.uid]
    for owner in old?.meta.owners ?? [] { unlink(meta.uid, from: owner.uid) }
    let node = Node(resource: resource, meta: meta)
    nodes[meta.uid] = node
    for owner in meta.owners { dependents[owner.uid, default: []].insert(meta.uid) }
    let needsLook =
      meta.isDeleting && !meta.finalizers.isEmpty || meta.owners.contains { owner($0, of: node).map(\.isForeground) ?? true }
    if needsLook { dirty.insert(meta.uid) }
    // Whose deletion waits for it may go on when it stopped being in the way.
    if old?.meta.owners != meta.owners {
      for owner in old?.meta.owners ?? [] { lookAtWaiting(owner.uid) }
      for owner in meta.owners where nodes[owner.uid]?.isOrphaning == true { dirty.insert(owner.uid) }
    }
  }

  package mutating func remove(_ resource: GroupVersionResource, _ key: ObjectKey) {
    if let uid = uids[resource]?[key] { forget(uid) }
  }

  private mutating func forget(_ uid: String) {
    guard let node = nodes.removeValue(forKey: uid) else { return }
    uids[node.resource]?[node.meta.key] = nil
    dirty.remove(uid)
    for owner in node.meta.owners {
      unlink(uid, from: owner.uid)
      lookAtWaiting(owner.uid)
    }
    dirty.formUnion(dependents[uid] ?? [])
  }

  private mutating func unlink(_ uid: String, from owner: String) {
    dependents[owner]?.remove(uid)
    if dependents[owner]?.isEmpty == true { dependents[owner] = nil }
  }

  private mutating func lookAtWaiting(_ uid: String) {
    guard let node = nodes[uid] else { return }
    if node.isForeground || node.isOrphaning && dependents[uid] == nil { dirty.insert(uid) }
  }

  package mutating func takeDirty(_ limit: Int) -> [String] {
    let taken = Array(dirty.prefix(limit))
    dirty.subtract(taken)
    return taken
  }

  package mutating func lookAgain(_ uid: String) { if nodes[uid] != nil { dirty.insert(uid) } }

  /// What is to be done with one object.
  package enum Verdict: Sendable {
    case nothing
    /// It seems that none of these owners exists: to be made sure of before anything is done.
    case verify([Meta.Owner])
    case operations([Operation])
  }

  /// - Parameter absent: owners that are known not to exist, although nothing of the graph may say so yet.
  package mutating func judge(_ uid: String, absent: Set<String>) -> Verdict {
    guard let node = nodes[uid] else { return .nothing }
    if node.isOrphaning { return .operations(orphan(node)) }
    if node.isForeground {
      let all = dependents(of: uid)
      if all.allSatisfy({ dependent in !dependent.meta.owners.contains { $0.uid == uid && $0.blocksDeletion } }) {
        return .operations([removeFinalizer(Self.foreground, node)])
      }
      for dependent in all where !dependent.meta.isDeleting { dirty.insert(dependent.meta.uid) }
      return .nothing
    }
    if node.meta.isDeleting || node.meta.owners.isEmpty { return .nothing }
    let dangling = node.meta.owners.filter { owner($0, of: node) == nil }
    let unknown = dangling.filter { !absent.contains($0.uid) }
    if !unknown.isEmpty { return .verify(unknown) }
    let waiting = node.meta.owners.filter { owner($0, of: node)?.isForeground == true }
    let solid = node.meta.owners.count - dangling.count - waiting.count
    if dangling.isEmpty && waiting.isEmpty { return .nothing }
    if solid > 0 {
      let gone = Set((dangling + waiting).map(\.uid))
      return .operations([dropOwners(node, gone)])
    }
    // What owns something itself goes in the foreground too where its owner waits for it.
    let ownDependents = waiting.isEmpty ? [] : dependents(of: uid)
    // A circle: a dependent waits for its own dependents too, at the end for this one. Nobody waits for it any more.
    if ownDependents.contains(where: \.isForeground), node.meta.owners.contains(where: \.blocksDeletion) {
      return .operations([unblock(node)])
    }
    let policy: DeleteOptions.Propagation =
      !ownDependents.isEmpty || node.meta.finalizers.contains(Self.foreground)
      ? .foreground : node.meta.finalizers.contains(Self.orphan) ? .orphan : .background
    // Only as it was seen: somebody may have adopted it since.
    let options = DeleteOptions(propagation: policy, preconditionUID: uid, preconditionResourceVersion: String(node.meta.revision))
    return .operations([.delete(node.resource, node.meta.key, options)])
  }

  /// First the dependents lose their owner; when all have been seen without it, the owner loses its finalizer. The other way round
  /// a dependent whose write fails would be garbage.
  private func orphan(_ node: Node) -> [Operation] {
    let all = dependents(of: node.meta.uid)
    return all.isEmpty ? [removeFinalizer(Self.orphan, node)] : all.map { dropOwners($0, [node.meta.uid]) }
  }

  /// Its owners need not wait for it any more.
  private func unblock(_ node: Node) -> Operation {
    let references = node.meta.owners.filter(\.blocksDeletion).map { owner -> Value in
      ["uid": .string(owner.uid), "blockOwnerDeletion": false]
    }
    return .patch(
      node.resource, node.meta.key, subresource: nil,
      Patch(.strategic, ["metadata": ["uid": .string(node.meta.uid), "ownerReferences": .array(references)]]))
  }

  /// Needs no lock: what it takes out is named by uid.
  private func dropOwners(_ node: Node, _ owners: Set<String>) -> Operation {
    let references = node.meta.owners.filter { owners.contains($0.uid) }.map { owner -> Value in
      ["$patch": "delete", "uid": .string(owner.uid)]
    }
    return .patch(
      node.resource, node.meta.key, subresource: nil,
      Patch(.strategic, ["metadata": ["uid": .string(node.meta.uid), "ownerReferences": .array(references)]]))
  }

  private func removeFinalizer(_ finalizer: String, _ node: Node) -> Operation {
    let finalizers = node.meta.finalizers.filter { $0 != finalizer }
    return patch(node, "finalizers", finalizers.isEmpty ? .null : .array(finalizers.map { .string($0) }))
  }

  /// Only where the object is still as it was seen.
  private func patch(_ node: Node, _ field: String, _ value: Value) -> Operation {
    var metadata: Value = ["uid": .string(node.meta.uid), "resourceVersion": .string(String(node.meta.revision))]
    metadata[field] = value
    return .patch(node.resource, node.meta.key, subresource: nil, Patch(.merge, ["metadata": metadata]))
  }
}

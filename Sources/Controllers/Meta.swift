import Client
import Wire

/// What controllers read of every object's metadata.
package struct Meta: Sendable, Hashable {
  package struct Owner: Sendable, Hashable {
    package var apiVersion: String
    package var kind: String
    package var name: String
    package var uid: String
    package var isController: Bool
    package var blocksDeletion: Bool
  }

  package var key: ObjectKey
  package var uid: String
  package var revision: Int64
  package var generation: Int64
  package var labels: [String: String]
  package var owners: [Owner]
  package var finalizers: [String]
  /// Seconds since 1970.
  package var created: Int64
  package var isDeleting: Bool

  private static let sharedLabels = Interner<[String: String]>()
  private static let sharedOwners = Interner<[Owner]>()

  package init(_ object: EncodedObject, _ view: JSONView) {
    let metadata = view["metadata"]
    key = object.key
    uid = object.uid
    revision = object.revision
    generation = metadata["generation"].int ?? 0
    labels = Self.sharedLabels(metadata["labels"].stringMap)
    let owners = metadata["ownerReferences"].compactMap { reference -> Owner? in
      guard let uid = reference["uid"].string else { return nil }
      return Owner(
        apiVersion: reference["apiVersion"].string ?? "", kind: reference["kind"].string ?? "",
        name: reference["name"].string ?? "",
        uid: uid, isController: reference["controller"].bool ?? false, blocksDeletion: reference["blockOwnerDeletion"].bool ?? false
      )
    }
    self.owners = owners.isEmpty ? [] : Self.sharedOwners(owners)
    finalizers = metadata["finalizers"].compactMap(\.string)
    created = metadata["creationTimestamp"].string.flatMap { Timestamp($0)?.seconds } ?? 0
    isDeleting = metadata["deletionTimestamp"].isPresent
  }

  package var controller: Owner? { owners.first(where: \.isController) }
}

/// An owner reference that makes `owner` the controller.
package func controllerReference(apiVersion: String, kind: String, _ owner: Meta) -> Value {
  [
    "apiVersion": .string(apiVersion), "kind": .string(kind), "name": .string(owner.key.name), "uid": .string(owner.uid),
    "controller": true, "blockOwnerDeletion": true,
  ]
}

/// What a reconciler wants done, in the order in which it is to be done.
package enum Action: Sendable {
  case write(Operation)
  case event(ObjectReference, EventRecorder.Kind, reason: String, note: String)
  /// Look again, at the latest after so many seconds.
  case requeue(Int64)
}

extension Value {
  package init(_ labels: [String: String]) {
    self = .object(Object(labels.sorted { $0.key < $1.key }.map { Object.Member(key: $0.key, value: .string($0.value)) }))
  }

  /// A merge patch that makes one set of labels the other.
  package init(changing old: [String: String], to new: [String: String]) {
    var members = old.keys.filter { new[$0] == nil }.map { Object.Member(key: $0, value: .null) }
    members += new.filter { old[$0.key] != $0.value }.map { Object.Member(key: $0.key, value: .string($0.value)) }
    self = .object(Object(members.sorted { $0.key < $1.key }))
  }
}

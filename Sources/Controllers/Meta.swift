import Client
import Wire

/// What controllers read of every object's metadata.
struct Meta: Sendable, Hashable {
  struct Owner: Sendable, Hashable {
    var apiVersion: String
    var kind: String
    var name: String
    var uid: String
    var isController: Bool
    var blocksDeletion: Bool
  }

  var key: ObjectKey
  var uid: String
  var revision: Int64
  var generation: Int64
  var labels: [String: String]
  var owners: [Owner]
  var finalizers: [String]
  /// Seconds since 1970.
  var created: Int64
  var isDeleting: Bool

  init(_ object: EncodedObject, _ view: JSONView) {
    let metadata = view["metadata"]
    key = object.key
    uid = object.uid
    revision = object.revision
    generation = metadata["generation"].int ?? 0
    labels = metadata["labels"].stringMap
    owners = metadata["ownerReferences"].compactMap { reference in
      guard let uid = reference["uid"].string else { return nil }
      return Owner(
        apiVersion: reference["apiVersion"].string ?? "", kind: reference["kind"].string ?? "", name: reference["name"].string ?? "",
        uid: uid, isController: reference["controller"].bool ?? false, blocksDeletion: reference["blockOwnerDeletion"].bool ?? false)
    }
    finalizers = metadata["finalizers"].compactMap(\.string)
    created = metadata["creationTimestamp"].string.flatMap(RFC3339.seconds) ?? 0
    isDeleting = metadata["deletionTimestamp"].isPresent
  }

  var controller: Owner? { owners.first(where: \.isController) }
}

/// An owner reference that makes `owner` the controller.
func controllerReference(apiVersion: String, kind: String, _ owner: Meta) -> Value {
  [
    "apiVersion": .string(apiVersion), "kind": .string(kind), "name": .string(owner.key.name), "uid": .string(owner.uid),
    "controller": true, "blockOwnerDeletion": true,
  ]
}

/// What a reconciler wants done, in the order in which it is to be done.
enum Action: Sendable {
  case write(Operation)
  /// Creates that are made in growing batches, so that a refusal (quota, webhook) is noticed before thousands are sent.
  case createMany([Operation])
  case event(ObjectReference, EventRecorder.Kind, reason: String, note: String)
  /// Look again, at the latest after so many seconds.
  case requeue(Int64)
}

extension Value {
  init(_ labels: [String: String]) {
    self = .object(Object(labels.sorted { $0.key < $1.key }.map { Object.Member(key: $0.key, value: .string($0.value)) }))
  }
}

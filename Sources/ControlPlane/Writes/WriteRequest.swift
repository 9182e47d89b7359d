import Cache
import Client
import Schema
import Wire

/// A write as a door (or the in-process client) has understood it.
package struct WriteRequest: Sendable {
  package enum Verb: Sendable {
    /// - Parameter Value: decoded and pruned for the kind; `kind` and `apiVersion` may be absent.
    case create(Value)
    case update(Value)
    case patch(Patch)

    var auditVerb: String {
      switch self {
      case .create: "create"
      case .update: "update"
      case .patch: "patch"
      }
    }
  }

  package var kind: ResourceKind
  /// The name is "" for a create whose body names the object.
  package var key: ObjectKey
  package var subresource: String?
  package var verb: Verb
  package var identity: Identity
  package var options: WriteOptions
  /// What strict decoding found in the body.
  package var findings: [String]

  package init(
    kind: ResourceKind, key: ObjectKey, subresource: String? = nil, verb: Verb, identity: Identity, options: WriteOptions,
    findings: [String] = []
  ) {
    self.kind = kind
    self.key = key
    self.subresource = subresource
    self.verb = verb
    self.identity = identity
    self.options = options
    self.findings = findings
  }
}

package struct WriteResult: Sendable {
  /// The state that stands now, in the version of the request.
  package var object: EncodedObject
  package var isCreated: Bool
  /// For `Warning` headers.
  package var warnings: [String]
}

package struct DeleteResult: Sendable {
  /// What stays while a grace period or finalizers hold it, or nil where it is gone.
  package var remaining: EncodedObject?
  /// What it was, where it is gone.
  package var deleted: EncodedObject?
  package var uid: String
}

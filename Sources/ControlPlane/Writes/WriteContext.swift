import Cache
import Client
import Schema
import Store
import Wire

/// One attempt at a write: what strategies and admission may look at and add to.
struct WriteContext {
  let controlPlane: ControlPlane
  let request: WriteRequest
  let now: Timestamp
  /// Committed together with the object: addresses, ports, quota.
  var writes: [Transaction.Write] = []
  var compares: [Transaction.Compare] = []
  var warnings: [String] = []

  var kind: ResourceKind { request.kind }

  /// How a refusal names the object: its name, or what its name will begin with.
  func objectName(_ object: Value) -> String {
    if !request.key.name.isEmpty { return request.key.name }
    if case .create(let value) = request.verb, value["metadata"]["name"].string?.isEmpty != false,
      let prefix = value["metadata"]["generateName"].string, !prefix.isEmpty
    {
      return prefix
    }
    return object["metadata"]["name"].string ?? ""
  }

  /// An object of another kind, as it is now.
  func object(_ resource: GroupResource, _ key: ObjectKey) -> EncodedObject? { controlPlane.cache.resource(resource).get(key) }
}

/// What a kind does that rows of the table cannot say. One small file a kind under Strategies/.
protocol KindStrategy: Sendable {
  /// Brings what a client wrote into the form that is stored, where a kind has two (a secret's `stringData`).
  func normalize(_ object: inout Value)
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError)
  func prepareForUpdate(_ object: inout Value, old: Value, _ context: inout WriteContext) throws(APIError)
  /// - Parameter old: nil on create.
  func validate(_ object: Value, old: Value?, _ context: WriteContext) -> [FieldFault]
  /// Told when the object is removed for good: what it had reserved goes with it.
  func release(_ object: Value, _ context: inout WriteContext)
}

extension KindStrategy {
  func normalize(_ object: inout Value) {}
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) {}
  func prepareForUpdate(_ object: inout Value, old: Value, _ context: inout WriteContext) throws(APIError) {}
  func validate(_ object: Value, old: Value?, _ context: WriteContext) -> [FieldFault] { [] }
  func release(_ object: Value, _ context: inout WriteContext) {}
}

private struct PlainStrategy: KindStrategy {}

enum Strategies {
  private static let byType: [String: any KindStrategy] = [
    "core/v1.Pod": PodStrategy(), "core/v1.Service": ServiceStrategy(), "core/v1.Namespace": NamespaceStrategy(),
    "core/v1.Secret": SecretStrategy(),
    "core/v1.ConfigMap": ConfigMapStrategy(), "core/v1.Node": NodeStrategy(),
    "rbac/v1.Role": RoleStrategy(), "rbac/v1.ClusterRole": RoleStrategy(), "rbac/v1.RoleBinding": RoleBindingStrategy(),
    "rbac/v1.ClusterRoleBinding": RoleBindingStrategy(), "batch/v1.Job": JobStrategy(),
    "certificates/v1.CertificateSigningRequest": CertificateSigningRequestStrategy(), "core/v1.PersistentVolume": VolumeStrategy(),
    "core/v1.PersistentVolumeClaim": VolumeStrategy(), "apps/v1.ControllerRevision": ControllerRevisionStrategy(),
  ]

  static func of(_ kind: ResourceKind) -> any KindStrategy { byType[kind.typeName] ?? PlainStrategy() }
}

import Client
import Wire

/// Every namespace has the service account `default` and the config map `kube-root-ca.crt`; what is deleted comes back.
final class ServiceAccountControllers: Sendable {
  private let accountLoop: ControllerLoop
  private let rootCALoop: ControllerLoop
  private let namespaces: SharedInformer<NamespaceView>
  private let accounts: SharedInformer<Meta>
  private let configMaps: SharedInformer<[String: String]>
  /// What the config map holds.
  private let bundle: [String: String]

  static let configMap = "kube-root-ca.crt"

  /// - Parameter caBundle: PEM of the authorities that clients in pods trust.
  init(_ context: ControllerContext, caBundle: String) {
    accountLoop = ControllerLoop("service-account-controller", context)
    rootCALoop = ControllerLoop("root-ca-cert-publisher", context)
    namespaces = context.namespaces
    bundle = caBundle.isEmpty ? [:] : ["ca.crt": caBundle]
    let reader = context.clients(ControllerContext.reader)
    accounts = SharedInformer(client: reader, resource: .serviceAccounts, fieldSelector: "metadata.name=default") { object in
      object.withView { Meta(object, $0) }
    }
    configMaps = SharedInformer(client: reader, resource: .configMaps, fieldSelector: "metadata.name=\(Self.configMap)") { object in
      object.withView { $0["data"].stringMap }
    }
    namespaces.onChange { [self] changes in
      for change in changes where change.new != nil {
        accountLoop.queue.add(change.key)
        rootCALoop.queue.add(change.key)
      }
    }
    accounts.onChange { [self] changes in
      for change in changes where change.new == nil { accountLoop.queue.add(ObjectKey(name: change.key.namespace)) }
    }
    configMaps.onChange { [self] changes in
      for change in changes where change.new != bundle { rootCALoop.queue.add(ObjectKey(name: change.key.namespace)) }
    }
  }

  func run() async {
    await withDiscardingTaskGroup { group in
      group.addTask { await self.accounts.run() }
      group.addTask { await self.configMaps.run() }
      await namespaces.synced()
      await accounts.synced()
      await configMaps.synced()
      group.addTask { await self.accountLoop.run { [self] (key) async throws(APIError) in syncAccount(key) } }
      group.addTask { await self.rootCALoop.run { [self] (key) async throws(APIError) in syncBundle(key) } }
    }
  }

  private func syncAccount(_ key: ObjectKey) -> [Action] {
    guard let namespace = namespaces.get(key), !namespace.isTerminating else { return [] }
    guard accounts.get(ObjectKey(namespace: key.name, name: "default")) == nil else { return [] }
    return [
      .write(
        .create(.serviceAccounts, namespace: key.name, body: ["metadata": ["name": "default", "namespace": .string(key.name)]]))
    ]
  }

  private func syncBundle(_ key: ObjectKey) -> [Action] {
    guard let namespace = namespaces.get(key), !namespace.isTerminating, !bundle.isEmpty else { return [] }
    let name = ObjectKey(namespace: key.name, name: Self.configMap)
    switch configMaps.get(name) {
    case bundle: return []
    case nil:
      let body: Value = [
        "metadata": [
          "name": .string(Self.configMap), "namespace": .string(key.name),
          "annotations": [
            "kubernetes.io/description": "The authorities that pods of this namespace trust when they talk to the API server."
          ],
        ], "data": Value(bundle),
      ]
      return [.write(.create(.configMaps, namespace: key.name, body: body))]
    case let old?:
      return [.write(.patch(.configMaps, name, subresource: nil, Patch(.merge, ["data": Value(changing: old, to: bundle)])))]
    }
  }
}

import Cache
import Client
import Logging
import Schema
import Wire

/// Fills secrets of the type `kubernetes.io/service-account-token`: tokens without an end, for those that cannot ask for one.
///
/// In: such secrets, and the accounts that they name. Out: their `token`, `ca.crt` and `namespace`; a secret whose account is gone goes.
/// Never: makes a secret. Source: upstream's tokens controller.
struct TokenSecrets: Sendable {
  static let type = "kubernetes.io/service-account-token"
  static let account = "kubernetes.io/service-account.name"
  private static let accountUID = "kubernetes.io/service-account.uid"

  let controlPlane: ControlPlane
  let client: any Client
  /// What clients verify the server with, in PEM.
  let serverAuthority: String

  init(_ controlPlane: ControlPlane, serverAuthority: String) {
    self.controlPlane = controlPlane
    self.serverAuthority = serverAuthority
    client = controlPlane.client(as: .controller("tokens-controller"))
  }

  /// Runs until the task is cancelled.
  func run() async {
    await withDiscardingTaskGroup { group in
      group.addTask {
        await follow(.secrets, ListOptions(fieldSelector: "type=\(Self.type)", sendInitialEvents: true)) { event throws(APIError) in
          switch event {
          case .added(let secret), .modified(let secret): try await fill(secret)
          default: break
          }
        }
      }
      group.addTask {
        await follow(.serviceAccounts, ListOptions()) { event throws(APIError) in
          if case .deleted(let account) = event { try await removeSecrets(of: account) }
        }
      }
    }
  }

  /// A watch that begins anew when it ends, and looks at everything again where something could not be written.
  private func follow(
    _ resource: GroupVersionResource, _ options: ListOptions, _ body: (WatchEvent) async throws(APIError) -> Void
  ) async {
    while !Task.isCancelled {
      do throws(APIError) {
        for await batch in try await client.watch(resource, namespace: nil, options) {
          for event in batch { try await body(event) }
        }
      } catch {
        controlPlane.logger.warning("token secrets are looked at again in 10 s", metadata: ["error": "\(error.message)"])
      }
      guard (try? await Task.sleep(for: .seconds(10))) != nil else { return }
    }
  }

  private func fill(_ secret: EncodedObject) async throws(APIError) {
    var object = secret.value
    guard object["metadata"]["deletionTimestamp"].isNull else { return }
    let annotations = object["metadata"]["annotations"]
    let name = annotations[Self.account].string ?? ""
    let uid = annotations[Self.accountUID].string ?? ""
    let accounts = controlPlane.cache.resource(GroupResource(resource: "serviceaccounts"))
    let account = accounts.get(ObjectKey(namespace: secret.key.namespace, name: name))
    guard let account, uid.isEmpty || uid == account.uid else { return try await remove(secret) }
    for (field, text) in [("ca.crt", serverAuthority), ("namespace", secret.key.namespace)] {
      object["data"][field] = .string(Base64.encode(Array(text.utf8)))
    }
    if object["data"]["token"].string?.isEmpty != false {
      let token = try controlPlane.tokens.issueUnending(
        namespace: secret.key.namespace, account: name, accountUID: account.uid, secret: secret.key.name)
      object["data"]["token"] = .string(Base64.encode(Array(token.utf8)))
    }
    object["metadata"]["annotations"][Self.accountUID] = .string(account.uid)
    if object == secret.value { return }
    try await settle {
      () async throws(APIError) in
      _ = try await client.update(.secrets, secret.key, subresource: nil, body: object, WriteOptions())
    }
  }

  private func removeSecrets(of account: EncodedObject) async throws(APIError) {
    var iterator = controlPlane.cache.resource(GroupResource(resource: "secrets")).snapshot(revision: 0).tree.iterate(
      namespace: account.key.namespace)
    while let entry = iterator.next() {
      let names = entry.object.withView { view in
        view["type"].string == Self.type && view["metadata"]["annotations"][dynamic: Self.account].string == account.key.name
      }
      if names { try await fill(entry.object) }
    }
  }

  private func remove(_ secret: EncodedObject) async throws(APIError) {
    var options = DeleteOptions()
    options.preconditionUID = secret.uid
    options.preconditionResourceVersion = String(secret.revision)
    try await settle { () async throws(APIError) in try await client.delete(.secrets, secret.key, options) }
  }

  /// What changed meanwhile comes by the watch.
  private func settle(_ write: () async throws(APIError) -> Void) async throws(APIError) {
    do throws(APIError) { try await write() } catch {
      if error.reason != .conflict, error.reason != .notFound { throw error }
    }
  }
}

extension ControlPlane {
  /// The account of a token that stands in a secret, while both exist. Such a token is for this server and for no other audience.
  func authenticate(unending token: String, audiences: [String]) -> Identity? {
    guard audiences.contains(tokens.issuer), let claims = tokens.verifyUnending(token),
      let secret = cache.resource(GroupResource(resource: "secrets")).get(claims.secret),
      let account = cache.resource(GroupResource(resource: "serviceaccounts")).get(claims.account), account.uid == claims.accountUID
    else { return nil }
    let holds = secret.withView { view in
      view["metadata"]["deletionTimestamp"].isNull && view["data"]["token"].string == Base64.encode(Array(token.utf8))
    }
    guard holds, account.withView({ $0["metadata"]["deletionTimestamp"].isNull }) else { return nil }
    return .serviceAccount(namespace: account.key.namespace, name: account.key.name, uid: account.uid)
  }
}

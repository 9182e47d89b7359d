import Client
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// Volumes whose files come from the API: config maps, secrets, the downward API, tokens, and projections of them.
extension Volumes {
  func content(_ volume: Value, addresses: [String]) async throws(AgentFailure) -> [AtomicWriter.File] {
    if !volume["configMap"].isNull {
      return try await configMap(volume["configMap"], volume["configMap"]["name"], mode: mode(volume["configMap"]["defaultMode"]))
    }
    if !volume["secret"].isNull {
      return try await secret(volume["secret"], volume["secret"]["secretName"], mode: mode(volume["secret"]["defaultMode"]))
    }
    if !volume["downwardAPI"].isNull {
      return try downward(volume["downwardAPI"], mode: mode(volume["downwardAPI"]["defaultMode"]), addresses: addresses)
    }
    let projected = volume["projected"]
    let mode = mode(projected["defaultMode"])
    var files: [AtomicWriter.File] = []
    for source in projected["sources"].array ?? [] {
      if !source["configMap"].isNull { files += try await configMap(source["configMap"], source["configMap"]["name"], mode: mode) }
      if !source["secret"].isNull { files += try await secret(source["secret"], source["secret"]["name"], mode: mode) }
      if !source["downwardAPI"].isNull { files += try downward(source["downwardAPI"], mode: mode, addresses: addresses) }
      if !source["serviceAccountToken"].isNull { files.append(try await token(source["serviceAccountToken"], mode: mode)) }
    }
    return files
  }

  private func mode(_ value: Value) -> mode_t { mode_t(clamping: value.int ?? 0o644) & 0o777 }

  private func configMap(_ source: Value, _ name: Value, mode: mode_t) async throws(AgentFailure) -> [AtomicWriter.File] {
    let name = name.string ?? ""
    guard let object = try await sources.configMap(plan.key.namespace, name) else {
      if source["optional"].bool == true { return [] }
      throw AgentFailure("configmap \"\(name)\" not found")
    }
    return try select(source, PodSources.data(configMap: object), mode, "configmap references non-existent config key")
  }

  private func secret(_ source: Value, _ name: Value, mode: mode_t) async throws(AgentFailure) -> [AtomicWriter.File] {
    let name = name.string ?? ""
    guard let object = try await sources.secret(plan.key.namespace, name) else {
      if source["optional"].bool == true { return [] }
      throw AgentFailure("secret \"\(name)\" not found")
    }
    return try select(source, PodSources.data(secret: object), mode, "references non-existent secret key")
  }

  private func select(
    _ source: Value, _ data: [(key: String, bytes: [UInt8])], _ mode: mode_t, _ missing: String
  ) throws(AgentFailure) -> [AtomicWriter.File] {
    guard let items = source["items"].array, !items.isEmpty else {
      return data.map { .init(path: $0.key, bytes: $0.bytes, mode: mode) }
    }
    var files: [AtomicWriter.File] = []
    for item in items {
      let key = item["key"].string ?? ""
      guard let entry = data.first(where: { $0.key == key }) else {
        if source["optional"].bool == true { continue }
        throw AgentFailure("\(missing): \(key)")
      }
      files.append(
        .init(path: item["path"].string ?? key, bytes: entry.bytes, mode: item["mode"].isNull ? mode : self.mode(item["mode"])))
    }
    return files
  }

  private func downward(_ source: Value, mode: mode_t, addresses: [String]) throws(AgentFailure) -> [AtomicWriter.File] {
    var files: [AtomicWriter.File] = []
    for item in source["items"].array ?? [] {
      let path = item["path"].string ?? ""
      var text: String?
      if let field = item["fieldRef"]["fieldPath"].string {
        text = ContainerEnvironment.field(field, pod: plan.object, addresses: addresses, hostAddress: hostAddress)
      } else if let container = plan.containers.first(where: { $0.name == item["resourceFieldRef"]["containerName"].string }) {
        text = ContainerEnvironment.resource(item["resourceFieldRef"], container: container.spec, allocatable: allocatable)
      }
      guard let text else { throw AgentFailure("item \"\(path)\" of the downward API names no field that a volume can carry") }
      files.append(.init(path: path, bytes: Array(text.utf8), mode: item["mode"].isNull ? mode : self.mode(item["mode"])))
    }
    return files
  }

  /// A bound token, asked for anew when four fifths of its life are over.
  private func token(_ source: Value, mode: mode_t) async throws(AgentFailure) -> AtomicWriter.File {
    let path = source["path"].string ?? "token"
    let seconds = max(600, source["expirationSeconds"].int ?? 3600)
    let audience = source["audience"].string ?? ""
    let account = plan.object["spec"]["serviceAccountName"].string ?? "default"
    let bytes = try await TokenCache.shared.token(
      TokenCache.Key(pod: plan.uid, account: account, audience: audience, seconds: seconds), now: Moment.now()
    ) { () async throws(AgentFailure) in
      var spec: Value = [
        "expirationSeconds": .int(seconds),
        "boundObjectRef": ["kind": "Pod", "apiVersion": "v1", "name": .string(plan.key.name), "uid": .string(plan.uid)],
      ]
      if !audience.isEmpty { spec["audiences"] = [.string(audience)] }
      do throws(APIError) {
        let answer = try await sources.client.createSubresource(
          .serviceAccounts, ObjectKey(namespace: plan.key.namespace, name: account), subresource: "token",
          body: ["apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec],
          WriteOptions(fieldManager: "kubelet"))
        guard let token = answer["status"]["token"].string else { throw APIError(.internalError, "the answer holds no token") }
        return token
      } catch {
        throw AgentFailure("failed to fetch token: \(error.message)")
      }
    }
    let owner = plan.commonUser.flatMap { uid_t(exactly: $0) }
    // A group adds its own right to read.
    return .init(path: path, bytes: Array(bytes.utf8), mode: owner != nil || group != nil ? 0o600 : mode, owner: owner)
  }
}

extension PodPlan {
  /// The user that all of a pod's containers are to run as; nil where they differ or one does not say.
  package var commonUser: Int64? {
    let context = object["spec"]["securityContext"]
    let users = containers.map { $0.spec["securityContext"]["runAsUser"].int ?? context["runAsUser"].int }
    guard let first = users.first, users.allSatisfy({ $0 == first }) else { return nil }
    return first
  }
}

/// Tokens of pods that run here, in memory only. One entry a pod and audience.
actor TokenCache {
  static let shared = TokenCache()

  struct Key: Hashable, Sendable {
    var pod: String
    var account: String
    var audience: String
    var seconds: Int64
  }

  private var tokens: [Key: (text: String, renew: Moment)] = [:]

  func token(
    _ key: Key, now: Moment, request: @Sendable () async throws(AgentFailure) -> String
  ) async throws(AgentFailure) -> String {
    if let known = tokens[key], now < known.renew { return known.text }
    let text = try await request()
    tokens[key] = (text, now + Double(key.seconds) * 0.8)
    return text
  }

  /// When the next token of a pod is to be asked for anew; nil where it has none.
  func renewal(pod: String) -> Moment? { tokens.filter { $0.key.pod == pod }.map(\.value.renew).min() }

  func forget(pod: String) { tokens = tokens.filter { $0.key.pod != pod } }
}

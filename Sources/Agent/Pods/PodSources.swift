import Client
import Wire

/// What pods refer to: config maps, secrets, services, tokens. Read as the node, which sees only what its own pods name.
struct PodSources: Sendable {
  let client: any Client

  func configMap(_ namespace: String, _ name: String) async throws(AgentFailure) -> Value? {
    try await object(.configMaps, namespace, name)
  }

  func secret(_ namespace: String, _ name: String) async throws(AgentFailure) -> Value? {
    try await object(.secrets, namespace, name)
  }

  private func object(_ resource: GroupVersionResource, _ namespace: String, _ name: String) async throws(AgentFailure) -> Value? {
    do throws(APIError) {
      return try await client.get(resource, ObjectKey(namespace: namespace, name: name)).value
    } catch {
      if error.reason == .notFound { return nil }
      throw AgentFailure(error.message)
    }
  }

  /// What a config map gives to the environment: its text; what is binary is for volumes.
  static func text(configMap: Value) -> [(key: String, bytes: [UInt8])] {
    (configMap["data"].object?.members ?? []).map { ($0.key, Array(($0.value.string ?? "").utf8)) }
  }

  /// Content of a config map by key.
  static func data(configMap: Value) -> [(key: String, bytes: [UInt8])] {
    text(configMap: configMap)
      + (configMap["binaryData"].object?.members ?? []).map { ($0.key, Base64.decode($0.value.string ?? "") ?? []) }
  }

  static func data(secret: Value) -> [(key: String, bytes: [UInt8])] {
    (secret["data"].object?.members ?? []).map { ($0.key, Base64.decode($0.value.string ?? "") ?? []) }
  }

  /// The variables of services, as upstream makes them (`WEB_SERVICE_HOST`, `WEB_PORT_80_TCP_ADDR`, …).
  func serviceVariables(_ namespace: String, all: Bool) async -> [(String, String)] {
    var services: [Value] = []
    if namespace != "default",
      let kubernetes = try? await client.get(.services, ObjectKey(namespace: "default", name: "kubernetes"))
    {
      services.append(kubernetes.value)
    }
    if let list = try? await client.list(.services, namespace: namespace, ListOptions()) {
      services += list.items.map(\.value).filter {
        all || (namespace == "default" && $0["metadata"]["name"].string == "kubernetes")
      }
    }
    var variables: [(String, String)] = []
    for service in services {
      let spec = service["spec"]
      guard let address = spec["clusterIP"].string, !address.isEmpty, address != "None",
        let name = service["metadata"]["name"].string
      else { continue }
      let prefix = name.uppercased().replacing("-", with: "_")
      let ports = spec["ports"].array ?? []
      guard let first = ports.first else { continue }
      func protocolOf(_ port: Value) -> String { port["protocol"].string ?? "TCP" }
      let firstPort = first["port"].int ?? 0
      variables.append(("\(prefix)_SERVICE_HOST", address))
      variables.append(("\(prefix)_SERVICE_PORT", "\(firstPort)"))
      for port in ports {
        if let name = port["name"].string, !name.isEmpty {
          variables.append(("\(prefix)_SERVICE_PORT_\(name.uppercased().replacing("-", with: "_"))", "\(port["port"].int ?? 0)"))
        }
      }
      variables.append(("\(prefix)_PORT", "\(protocolOf(first).lowercased())://\(address):\(firstPort)"))
      for port in ports {
        let number = port["port"].int ?? 0
        let kind = protocolOf(port)
        let base = "\(prefix)_PORT_\(number)_\(kind)"
        variables.append((base, "\(kind.lowercased())://\(address):\(number)"))
        variables.append(("\(base)_PROTO", kind.lowercased()))
        variables.append(("\(base)_PORT", "\(number)"))
        variables.append(("\(base)_ADDR", address))
      }
    }
    return variables
  }

  /// Credentials for an image from the pod's `imagePullSecrets`; nil where none fits.
  func credentials(for image: String, namespace: String, secrets: [String]) async -> Value? {
    let registry = Self.registry(of: image)
    for name in secrets {
      guard let secret = try? await secret(namespace, name) else { continue }
      var text = secret["data"][".dockerconfigjson"].string
      let isOld = text == nil
      text = text ?? secret["data"][".dockercfg"].string
      guard let bytes = text.flatMap({ Base64.decode($0) }), let parsed = try? Value(json: bytes) else { continue }
      for member in (isOld ? parsed : parsed["auths"]).object?.members ?? [] {
        var host = member.key
        for scheme in ["https://", "http://"] where host.hasPrefix(scheme) { host = String(host.dropFirst(scheme.count)) }
        host = String(host.prefix { $0 != "/" })
        if host == "index.docker.io" || host == "registry-1.docker.io" { host = "docker.io" }
        guard host == registry else { continue }
        var auth: Value = [:]
        for (from, to) in [
          ("username", "username"), ("password", "password"), ("auth", "auth"), ("identitytoken", "identity_token"),
          ("registrytoken", "registry_token"),
        ] {
          if let text = member.value[from].string { auth[to] = .string(text) }
        }
        return auth
      }
    }
    return nil
  }

  static func registry(of image: String) -> String {
    let first = String(image.prefix { $0 != "/" })
    return image.contains("/") && (first.contains(".") || first.contains(":") || first == "localhost") ? first : "docker.io"
  }
}

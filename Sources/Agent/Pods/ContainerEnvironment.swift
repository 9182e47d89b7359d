import Wire

/// A container's environment, command and arguments from its specification.
enum ContainerEnvironment {
  /// Replaces `$(NAME)`; `$$` is `$`; what is not known stays as it stands.
  static func expand(_ text: String, _ variables: [String: String]) -> String {
    guard text.contains("$") else { return text }
    var out = ""
    var rest = text[...]
    while let character = rest.popFirst() {
      guard character == "$" else {
        out.append(character)
        continue
      }
      if rest.first == "$" {
        rest.removeFirst()
        out.append("$")
      } else if rest.first == "(", let end = rest.firstIndex(of: ")") {
        let name = String(rest[rest.index(after: rest.startIndex)..<end])
        out += variables[name] ?? "$(\(name))"
        rest = rest[rest.index(after: end)...]
      } else {
        out.append("$")
      }
    }
    return out
  }

  /// The value that a `fieldRef` stands for; nil where the path is not supported.
  static func field(_ path: String, pod: Value, addresses: [String], hostAddress: String) -> String? {
    let metadata = pod["metadata"]
    func quoted(_ prefix: String) -> String? {
      guard path.hasPrefix("\(prefix)['"), path.hasSuffix("']") else { return nil }
      return String(path.dropFirst(prefix.count + 2).dropLast(2))
    }
    if let key = quoted("metadata.labels") { return metadata["labels"][key].string ?? "" }
    if let key = quoted("metadata.annotations") { return metadata["annotations"][key].string ?? "" }
    func lines(_ map: Value) -> String {
      (map.object?.members ?? []).sorted { $0.key < $1.key }.map { "\($0.key)=\(Value.string($0.value.string ?? "").json)" }
        .joined(separator: "\n")
    }
    let isHost = pod["spec"]["hostNetwork"].bool ?? false
    switch path {
    case "metadata.name": return metadata["name"].string ?? ""
    case "metadata.namespace": return metadata["namespace"].string ?? ""
    case "metadata.uid": return metadata["uid"].string ?? ""
    case "metadata.labels": return lines(metadata["labels"])
    case "metadata.annotations": return lines(metadata["annotations"])
    case "spec.nodeName": return pod["spec"]["nodeName"].string ?? ""
    case "spec.serviceAccountName": return pod["spec"]["serviceAccountName"].string ?? ""
    case "status.hostIP", "status.hostIPs": return hostAddress
    case "status.podIP": return isHost ? hostAddress : addresses.first ?? ""
    case "status.podIPs": return isHost ? hostAddress : addresses.joined(separator: ",")
    default: return nil
    }
  }

  /// The value that a `resourceFieldRef` stands for, rounded up to its divisor.
  static func resource(_ reference: Value, container: Value, allocatable: [String: Int64]) -> String? {
    guard let path = reference["resource"].string else { return nil }
    let parts = path.split(separator: ".", maxSplits: 1).map(String.init)
    guard parts.count == 2, parts[0] == "limits" || parts[0] == "requests" else { return nil }
    let resources = container["resources"]
    var amount = resources[parts[0]][parts[1]].quantity?.milliValue
    if amount == nil, parts[0] == "requests" { amount = resources["limits"][parts[1]].quantity?.milliValue }
    if amount == nil, parts[0] == "limits" { amount = allocatable[parts[1]] }
    guard let amount else { return "0" }
    let divisor = (reference["divisor"].quantity?.milliValue).flatMap { $0 > 0 ? $0 : nil } ?? 1000
    return "\(amount / divisor + (amount % divisor > 0 ? 1 : 0))"
  }

  /// - Throws: what upstream shows with `CreateContainerConfigError`.
  static func variables(
    _ plan: PodPlan, _ container: Value, sources: PodSources, addresses: [String], hostAddress: String, allocatable: [String: Int64]
  ) async throws(AgentFailure) -> [(String, String)] {
    let namespace = plan.key.namespace
    var names: [String] = []
    var values: [String: String] = [:]
    func set(_ name: String, _ value: String) {
      if values.updateValue(value, forKey: name) == nil { names.append(name) }
    }
    for (name, value) in await sources.serviceVariables(namespace, all: plan.object["spec"]["enableServiceLinks"].bool ?? true) {
      set(name, value)
    }
    for source in container["envFrom"].array ?? [] {
      let prefix = source["prefix"].string ?? ""
      var data: [(key: String, bytes: [UInt8])] = []
      if let name = source["configMapRef"]["name"].string {
        if let object = try await sources.configMap(namespace, name) {
          data = PodSources.text(configMap: object)
        } else if source["configMapRef"]["optional"].bool != true {
          throw AgentFailure("configmap \"\(name)\" not found")
        }
      } else if let name = source["secretRef"]["name"].string {
        if let object = try await sources.secret(namespace, name) {
          data = PodSources.data(secret: object)
        } else if source["secretRef"]["optional"].bool != true {
          throw AgentFailure("secret \"\(name)\" not found")
        }
      }
      for (key, bytes) in data { set(prefix + key, String(decoding: bytes, as: UTF8.self)) }
    }
    for variable in container["env"].array ?? [] {
      guard let name = variable["name"].string else { continue }
      let source = variable["valueFrom"]
      if source.isNull {
        set(name, expand(variable["value"].string ?? "", values))
      } else if let path = source["fieldRef"]["fieldPath"].string {
        guard let value = field(path, pod: plan.object, addresses: addresses, hostAddress: hostAddress) else {
          throw AgentFailure("unsupported fieldPath: \(path)")
        }
        set(name, value)
      } else if !source["resourceFieldRef"].isNull {
        var of = container
        if let other = source["resourceFieldRef"]["containerName"].string, !other.isEmpty,
          let found = plan.containers.first(where: { $0.name == other })
        {
          of = found.spec
        }
        guard let value = resource(source["resourceFieldRef"], container: of, allocatable: allocatable) else {
          throw AgentFailure("unsupported container resource: \(source["resourceFieldRef"]["resource"].string ?? "")")
        }
        set(name, value)
      } else {
        let isSecret = !source["secretKeyRef"].isNull
        let reference = isSecret ? source["secretKeyRef"] : source["configMapKeyRef"]
        let object = reference["name"].string ?? ""
        let key = reference["key"].string ?? ""
        let optional = reference["optional"].bool ?? false
        let found = isSecret ? try await sources.secret(namespace, object) : try await sources.configMap(namespace, object)
        guard let found else {
          if optional { continue }
          throw AgentFailure("\(isSecret ? "secret" : "configmap") \"\(object)\" not found")
        }
        let data = isSecret ? PodSources.data(secret: found) : PodSources.text(configMap: found)
        guard let bytes = data.first(where: { $0.key == key })?.bytes else {
          if optional { continue }
          throw AgentFailure("couldn't find key \(key) in \(isSecret ? "Secret" : "ConfigMap") \(namespace)/\(object)")
        }
        set(name, String(decoding: bytes, as: UTF8.self))
      }
    }
    return names.map { ($0, values[$0] ?? "") }
  }
}

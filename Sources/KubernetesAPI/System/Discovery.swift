import Client
import Crypto
import HTTP
import NIOCore
import Schema
import Wire

/// What is served: legacy lists for everyone, aggregated documents (v2) only for those who ask for them. Made once.
struct Discovery: Sendable {
  private let versions: [UInt8]
  private let groupList: [UInt8]
  private let groups: [String: [UInt8]]
  private let resources: [String: [UInt8]]
  private let aggregatedCore: (bytes: [UInt8], etag: String)
  private let aggregatedGroups: (bytes: [UInt8], etag: String)

  static let aggregatedType = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

  init(_ schema: SchemaTable, serverAddress: String) {
    let addresses: Value = [["clientCIDR": "0.0.0.0/0", "serverAddress": .string(serverAddress)]]
    versions = (["kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses] as Value).jsonBytes
    let named = schema.groups.filter { !$0.name.isEmpty }
    groupList = (["kind": "APIGroupList", "apiVersion": "v1", "groups": .array(named.map { Self.group($0) })] as Value).jsonBytes
    var groups: [String: [UInt8]] = [:]
    var resources: [String: [UInt8]] = [:]
    for group in named {
      var value = Self.group(group)
      value = [
        "kind": "APIGroup", "apiVersion": "v1", "name": value["name"], "versions": value["versions"],
        "preferredVersion": value["preferredVersion"],
      ]
      groups[group.name] = value.jsonBytes
    }
    for version in schema.groups.flatMap(\.versions) { resources[version.apiVersion] = Self.resourceList(version).jsonBytes }
    self.groups = groups
    self.resources = resources
    aggregatedCore = Self.aggregated(schema.groups.filter(\.name.isEmpty))
    aggregatedGroups = Self.aggregated(named)
  }

  func response(_ parts: [String], _ head: RequestHead, _ format: OutputFormat) throws(APIError) -> HTTPResponse {
    // Discovery has no protobuf that is made here; whoever asks for it takes JSON too.
    var format = format
    if format.encoding == .protobuf { format.encoding = .json }
    let isCore = parts[0] == "api"
    if parts.count == 1 {
      if Self.asksForAggregated(head) {
        let document = isCore ? aggregatedCore : aggregatedGroups
        let headers = [("etag", document.etag), ("vary", "Accept"), ("cache-control", "public")]
        if head.fields["if-none-match"] == document.etag { return HTTPResponse(304, headers: headers) }
        return HTTPResponse(200, headers: headers, type: Self.aggregatedType, document.bytes).compressing(
          from: KubernetesAPI.compressesFrom)
      }
      return json(isCore ? versions : groupList, format)
    }
    if isCore, parts.count == 2, let list = resources[parts[1]] { return json(list, format) }
    if !isCore, parts.count == 2, let group = groups[parts[1]] { return json(group, format) }
    if !isCore, parts.count == 3, let list = resources["\(parts[1])/\(parts[2])"] { return json(list, format) }
    throw KubernetesAPI.unknownPath
  }

  private func json(_ bytes: [UInt8], _ format: OutputFormat) -> HTTPResponse {
    HTTPResponse(
      200, headers: [("vary", "Accept"), ("cache-control", "no-cache, private")], type: format.contentType,
      Rendering.finished(bytes, format)
    ).compressing(from: KubernetesAPI.compressesFrom)
  }

  /// Clients before 1.30 ask for v2beta1 only and are served the legacy lists.
  private static func asksForAggregated(_ head: RequestHead) -> Bool {
    for media in MediaType.list(head.fields["accept"] ?? "") where media.type == "application/json" || media.type == "*/*" {
      guard let shape = media.parameters["as"] else { return false }
      if shape == "APIGroupDiscoveryList", media.parameters["v"] == "v2", media.parameters["g"] == "apidiscovery.k8s.io" {
        return true
      }
    }
    return false
  }

  // MARK: Legacy

  private static func group(_ group: APIGroup) -> Value {
    let versions = group.versions.map { version -> Value in
      ["groupVersion": .string(version.apiVersion), "version": .string(version.version)]
    }
    return ["name": .string(group.name), "versions": .array(versions), "preferredVersion": versions.first ?? .null]
  }

  private static func resourceList(_ version: APIVersion) -> Value {
    var list: [Value] = []
    for kind in version.resources {
      var row: Value = [
        "name": .string(kind.gvr.resource), "singularName": .string(kind.singular), "namespaced": .bool(kind.isNamespaced),
        "kind": .string(kind.kind), "verbs": .array(kind.verbs.map { .string($0) }),
      ]
      if !kind.shortNames.isEmpty { row["shortNames"] = .array(kind.shortNames.map { .string($0) }) }
      if !kind.categories.isEmpty { row["categories"] = .array(kind.categories.map { .string($0) }) }
      if kind.isStored { row["storageVersionHash"] = .string(storageVersionHash(kind)) }
      list.append(row)
      for subresource in served(kind) {
        var row: Value = [
          "name": .string("\(kind.gvr.resource)/\(subresource.name)"), "singularName": "", "namespaced": .bool(kind.isNamespaced),
        ]
        if let group = subresource.group { row["group"] = .string(group) }
        if let version = subresource.version { row["version"] = .string(version) }
        row["kind"] = .string(subresource.kind)
        row["verbs"] = .array(subresource.verbs.map { .string($0) })
        list.append(row)
      }
    }
    return ["kind": "APIResourceList", "apiVersion": "v1", "groupVersion": .string(version.apiVersion), "resources": .array(list)]
  }

  /// What this release does not serve is not announced.
  private static func served(_ kind: ResourceKind) -> [Subresource] {
    kind.subresources.filter { !$0.isConnect || kind.typeName == "core/v1.Pod" && ["exec", "attach"].contains($0.name) }
  }

  /// Source: upstream's discovery.StorageVersionHash: the first eight bytes of SHA-256 over `group/version/kind`, in base64.
  private static func storageVersionHash(_ kind: ResourceKind) -> String {
    let digest = SHA256.hash(data: Array("\(kind.gvr.group)/\(kind.gvr.version)/\(kind.kind)".utf8))
    return Base64.encode(Array(digest.prefix(8)))
  }

  // MARK: Aggregated

  private static func aggregated(_ groups: [APIGroup]) -> (bytes: [UInt8], etag: String) {
    let items = groups.map { group -> Value in
      var metadata = Value.emptyObject
      if !group.name.isEmpty { metadata["name"] = .string(group.name) }
      metadata["creationTimestamp"] = .null
      return [
        "metadata": metadata,
        "versions": .array(
          group.versions.map { version in
            ["version": .string(version.version), "resources": .array(version.resources.map(aggregated)), "freshness": "Current"]
          }),
      ]
    }
    let value: Value = [
      "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": .emptyObject, "items": .array(items),
    ]
    let bytes = value.jsonBytes
    let digest = SHA256.hash(data: bytes).prefix(16).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    return (bytes, "\"\(digest)\"")
  }

  private static func aggregated(_ kind: ResourceKind) -> Value {
    func responseKind(_ group: String, _ version: String, _ name: String) -> Value {
      ["group": .string(group), "version": .string(version), "kind": .string(name)]
    }
    var row: Value = [
      "resource": .string(kind.gvr.resource), "responseKind": responseKind(kind.gvr.group, kind.gvr.version, kind.kind),
      "scope": kind.isNamespaced ? "Namespaced" : "Cluster", "singularResource": .string(kind.singular),
      "verbs": .array(kind.verbs.map { .string($0) }),
    ]
    if !kind.shortNames.isEmpty { row["shortNames"] = .array(kind.shortNames.map { .string($0) }) }
    if !kind.categories.isEmpty { row["categories"] = .array(kind.categories.map { .string($0) }) }
    let subresources = served(kind).map { subresource -> Value in
      [
        "subresource": .string(subresource.name),
        "responseKind": responseKind(
          subresource.group ?? kind.gvr.group, subresource.version ?? kind.gvr.version, subresource.kind),
        "verbs": .array(subresource.verbs.map { .string($0) }),
      ]
    }
    if !subresources.isEmpty { row["subresources"] = .array(subresources) }
    return row
  }
}

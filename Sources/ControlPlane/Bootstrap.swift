import Cache
import Client
import Logging
import Schema
import Store
import Wire

extension ControlPlane {
  /// Who writes what every cluster has, before anybody is served: there are no roles yet. Nothing runs as this one later.
  private static let bootstrapper = Identity(name: "system:apiserver", groups: ["system:masters", "system:authenticated"])

  /// Makes sure that what every cluster has is there: namespaces, roles, priority classes, the `kubernetes` service.
  /// Also brings the bootstrap roles up to this release. Call once, before serving.
  package func bootstrap() async throws(APIError) {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
      try await ensure(.namespaces, namespace: "", ["metadata": ["name": .string(name)]])
      // The account that pods run as: a controller makes it in every other namespace, here it must not be late.
      try await ensure(.serviceAccounts, namespace: name, ["metadata": ["name": "default", "namespace": .string(name)]])
    }
    for role in BootstrapPolicy.clusterRoles { try await ensure(.clusterRoles, namespace: "", role, updating: ["rules"]) }
    for binding in BootstrapPolicy.clusterRoleBindings {
      try await ensure(.clusterRoleBindings, namespace: "", binding, updating: ["subjects"])
    }
    let classes: [(name: String, value: Int64, description: String)] = [
      ("system-cluster-critical", 2_000_000_000, "For pods that the cluster needs; they may move to another node."),
      ("system-node-critical", 2_000_001_000, "For pods that their node needs; they must not move away from it."),
    ]
    for (name, value, description) in classes {
      try await ensure(
        .priorityClasses, namespace: "",
        [
          "metadata": ["name": .string(name)], "value": .int(value), "description": .string(description),
        ], updating: ["description"])
    }
    for role in BootstrapPolicy.roles { try await ensure(.roles, namespace: "kube-system", role, updating: ["rules"]) }
    for binding in BootstrapPolicy.roleBindings {
      try await ensure(.roleBindings, namespace: "kube-system", binding, updating: ["subjects"])
    }
    try await ensureService(as: Self.bootstrapper)
  }

  private func ensure(
    _ resource: GroupVersionResource, namespace: String, _ body: Value, updating fields: [String] = [],
    as identity: Identity = bootstrapper
  ) async throws(APIError) {
    let kind = try kind(resource)
    let name = body["metadata"]["name"].string ?? ""
    let key = ObjectKey(namespace: namespace, name: name)
    let client = client(as: identity)
    let options = WriteOptions(fieldManager: "gantry")
    guard let current = cache.resource(kind.storage).get(key) else {
      do throws(APIError) { _ = try await client.create(resource, namespace: namespace, body: body, options) } catch {
        if error.reason != .alreadyExists { throw error }
      }
      return
    }
    let old = current.value
    var object = old
    // What somebody added stays where the object asks not to be updated.
    if object["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"].string == "false" { return }
    for field in fields where !body[field].isNull { object[field] = body[field] }
    if object == old { return }
    _ = try await client.update(resource, key, subresource: nil, body: object, options)
  }

  /// The `kubernetes` service and where it leads: this server.
  func ensureService(as identity: Identity) async throws(APIError) {
    let services = try kind(.services)
    let key = ObjectKey(namespace: "default", name: "kubernetes")
    if cache.resource(services.storage).get(key) == nil {
      let address = allocators.kubernetesAddress
      let body: Value = [
        "metadata": ["name": "kubernetes", "labels": ["component": "apiserver", "provider": "kubernetes"]],
        "spec": [
          "clusterIP": .string(address), "clusterIPs": [.string(address)], "type": "ClusterIP", "sessionAffinity": "None",
          "ports": [["name": "https", "port": 443, "protocol": "TCP", "targetPort": .int(Int64(configuration.advertisePort))]],
        ],
      ]
      try await ensure(.services, namespace: "default", body, as: identity)
    }
    let address = Value.string(configuration.advertiseAddress)
    let port = Value.int(Int64(configuration.advertisePort))
    try await ensure(
      .endpointSlices, namespace: "default",
      [
        "metadata": ["name": "kubernetes", "namespace": "default", "labels": ["kubernetes.io/service-name": "kubernetes"]],
        "addressType": "IPv4",
        "endpoints": [["addresses": [address], "conditions": ["ready": true]]],
        "ports": [["name": "https", "port": port, "protocol": "TCP"]],
      ], updating: ["endpoints", "ports"], as: identity)
    try await ensure(
      .endpoints, namespace: "default",
      [
        "metadata": ["name": "kubernetes", "namespace": "default", "labels": ["endpointslice.kubernetes.io/skip-mirror": "true"]],
        "subsets": [["addresses": [["ip": address]], "ports": [["name": "https", "port": port, "protocol": "TCP"]]]],
      ], updating: ["subsets"], as: identity)
  }

  /// Tells servers of aggregated APIs what they verify clients with.
  package func publishAuthentication(_ clientAuthority: String) async {
    do throws(APIError) {
      try await ensure(
        .configMaps, namespace: "kube-system",
        ["metadata": ["name": "extension-apiserver-authentication"], "data": ["client-ca-file": .string(clientAuthority)]],
        updating: ["data"], as: Self.authenticationPublisher)
    } catch { logger.warning("cannot publish the clients' authority", metadata: ["error": "\(error.message)"]) }
  }

  static let serviceKeeper = Identity.controller("kubernetes-service-controller")
  private static let authenticationPublisher = Identity.controller("authentication-publisher")

  /// What the server's certificate must name.
  package var kubernetesServiceAddress: String { allocators.kubernetesAddress }
}

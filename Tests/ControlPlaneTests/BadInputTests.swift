import Client
import ControlPlane
import Schema
import Testing
import Wire

/// What somebody sends by mistake, and what he is told: code, reason, field, words.
@Suite struct BadInputTests {
  struct Row: Sendable, CustomTestStringConvertible {
    var resource: GroupVersionResource
    var body: Value
    var reason: APIError.Reason
    var field: String
    var message: String
    var testDescription: String { message }
  }

  private static func deployment(_ change: (inout Value) -> Void) -> Value {
    var body: Value = [
      "metadata": ["name": "web"],
      "spec": [
        "replicas": 1, "selector": ["matchLabels": ["app": "web"]],
        "template": ["metadata": ["labels": ["app": "web"]], "spec": ["containers": [["name": "c", "image": "x"]]]],
      ],
    ]
    change(&body)
    return body
  }

  private static func pod(_ change: (inout Value) -> Void) -> Value {
    var body = TestPlane.pod("a")
    change(&body)
    return body
  }

  private static func service(_ spec: Value) -> Value { ["metadata": ["name": "web"], "spec": spec] }

  static let rows: [Row] = [
    Row(
      resource: .pods, body: pod { $0["metadata"]["name"] = "Bad_Name" }, reason: .invalid, field: "metadata.name",
      message:
        "Pod \"Bad_Name\" is invalid: metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    ),
    Row(
      resource: .pods, body: ["metadata": .emptyObject, "spec": ["containers": [["name": "c", "image": "x"]]]], reason: .invalid,
      field: "metadata.name",
      message: "Pod \"\" is invalid: metadata.name: Required value: name or generateName is required"),
    Row(
      resource: .pods, body: pod { $0["spec"]["containers"] = [] }, reason: .invalid, field: "spec.containers",
      message: "Pod \"a\" is invalid: spec.containers: Required value"),
    Row(
      resource: .pods, body: pod { $0["spec"]["containers"] = [["name": "c"]] }, reason: .invalid,
      field: "spec.containers[0].image",
      message: "Pod \"a\" is invalid: spec.containers[0].image: Required value"),
    Row(
      resource: .pods, body: pod { $0["spec"]["restartPolicy"] = "Sometimes" }, reason: .invalid, field: "spec.restartPolicy",
      message:
        "Pod \"a\" is invalid: spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\""
    ),
    Row(
      resource: .pods, body: pod { $0["spec"]["containers"] = [["name": "c", "image": "x", "ports": [["containerPort": 70000]]]] },
      reason: .invalid,
      field: "spec.containers[0].ports[0].containerPort",
      message:
        "Pod \"a\" is invalid: spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"
    ),
    Row(
      resource: .pods, body: pod { $0["spec"]["serviceAccountName"] = "nobody" }, reason: .forbidden, field: "",
      message: "pods \"a\" is forbidden: error looking up service account default/nobody: serviceaccount \"nobody\" not found"),
    Row(
      resource: .pods, body: pod { $0["spec"]["priorityClassName"] = "urgent" }, reason: .forbidden, field: "",
      message: "pods \"a\" is forbidden: no PriorityClass with name urgent was found"),
    Row(
      resource: .pods, body: pod { $0["metadata"]["namespace"] = "other" }, reason: .badRequest, field: "",
      message: "the namespace of the provided object does not match the namespace sent on the request"),
    Row(
      resource: .deployments, body: deployment { $0["spec"]["template"]["metadata"]["labels"] = ["app": "other"] },
      reason: .invalid,
      field: "spec.template.metadata.labels",
      message:
        "Deployment.apps \"web\" is invalid: spec.template.metadata.labels: Invalid value: {\"app\":\"other\"}: `selector` does not match template `labels`"
    ),
    Row(
      resource: .deployments, body: deployment { $0["spec"]["replicas"] = -1 }, reason: .invalid, field: "spec.replicas",
      message: "Deployment.apps \"web\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
    Row(
      resource: .services, body: service(["ports": [["port": 80, "nodePort": 80]], "type": "NodePort"]), reason: .invalid,
      field: "spec.ports[0].nodePort",
      message:
        "Service \"web\" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"
    ),
    Row(
      resource: .services, body: service(["ports": [["port": 80]], "clusterIP": "192.0.2.1"]), reason: .invalid,
      field: "spec.clusterIPs",
      message:
        "Service \"web\" is invalid: spec.clusterIPs: Invalid value: [\"192.0.2.1\"]: failed to allocate IP 192.0.2.1: the provided IP (192.0.2.1) is not in the valid range. The range of valid IPs is 10.96.0.0/12"
    ),
    Row(
      resource: .services, body: service(["ports": [["port": 80]], "ipFamilies": ["IPv6"]]), reason: .invalid,
      field: "spec.ipFamilies[0]",
      message: "Service \"web\" is invalid: spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster"),
    Row(
      resource: .services, body: service(["type": "ExternalName", "externalName": "a.b", "clusterIP": "10.96.1.1"]),
      reason: .invalid, field: "spec.clusterIPs",
      message: "Service \"web\" is invalid: spec.clusterIPs: Forbidden: may not be set for ExternalName services"),
    Row(
      resource: .nodes, body: ["metadata": ["name": "n"], "spec": ["podCIDR": "x"]], reason: .invalid, field: "spec.podCIDRs[0]",
      message:
        "Node \"n\" is invalid: spec.podCIDRs[0]: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
    ),
    Row(
      resource: .configMaps,
      body: [
        "metadata": ["name": "c", "ownerReferences": [["apiVersion": "a/b/c", "kind": "Pod", "name": "p", "uid": "x"]]]
      ], reason: .invalid, field: "metadata.ownerReferences.apiVersion",
      message:
        "ConfigMap \"c\" is invalid: metadata.ownerReferences.apiVersion: Invalid value: \"a/b/c\": version must not be empty"),
  ]

  @Test("bad input is refused in upstream's words, with the field", arguments: rows)
  func refused(row: Row) async throws {
    try await TestPlane.with { test in
      let error = await #expect(throws: APIError.self) {
        try await test.admin.create(row.resource, namespace: "default", body: row.body, WriteOptions())
      }
      #expect(error?.reason == row.reason)
      #expect(error?.message == row.message)
      if !row.field.isEmpty { #expect(error?.causes.first?.field == row.field) }
      // Nothing is lost or left behind by what was refused.
      let left = try await test.admin.list(row.resource, namespace: "default", ListOptions()).items
      #expect(left.map(\.key.name).filter { $0 != "kubernetes" } == [])
    }
  }

  @Test("server-side apply says that it is not served and what to do; selectors and versions say what is wrong with them")
  func requests() async throws {
    try await TestPlane.with { test in
      _ = try await test.admin.create(.configMaps, namespace: "default", body: ["metadata": ["name": "a"]], WriteOptions())
      let key = ObjectKey(namespace: "default", name: "a")
      let apply = await #expect(throws: APIError.self) {
        try await test.admin.patch(.configMaps, key, subresource: nil, Patch(.apply, ["metadata": ["name": "a"]]), WriteOptions())
      }
      #expect(apply?.code == 415)
      var options = ListOptions(fieldSelector: "spec.x=1")
      let field = await #expect(throws: APIError.self) { try await test.admin.list(.configMaps, namespace: "default", options) }
      #expect(
        field?.message.hasSuffix("\"spec.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"") == true
      )
      options = ListOptions(resourceVersion: "99999999999")
      let future = await #expect(throws: APIError.self) { try await test.admin.list(.configMaps, namespace: "default", options) }
      #expect(future?.reason == .timeout && future?.causes.first?.reason == "ResourceVersionTooLarge")
      let rename = await #expect(throws: APIError.self) {
        try await test.admin.update(.configMaps, key, subresource: nil, body: ["metadata": ["name": "b"]], WriteOptions())
      }
      #expect(rename?.message == "the name of the object (b) does not match the name on the URL (a)")
      let dying = await #expect(throws: APIError.self) {
        try await test.admin.patch(
          .configMaps, key, subresource: nil, Patch(.merge, ["metadata": ["deletionTimestamp": "2020-01-01T00:00:00Z"]]),
          WriteOptions())
      }
      #expect(dying?.causes.first?.field == "metadata.deletionTimestamp")
    }
  }
}

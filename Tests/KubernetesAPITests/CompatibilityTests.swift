import HTTP
import KubernetesAPI
import Testing
import Wire

/// Answers in which Gantry differed from a real Kubernetes that was asked the same (Tests/Oracle).
@Suite(.timeLimit(.minutes(5))) struct CompatibilityTests {
  private static let configMaps = "/api/v1/namespaces/default/configmaps"
  private static let pods = "/api/v1/namespaces/default/pods"

  struct Row: Sendable, CustomTestStringConvertible {
    var method = "GET"
    var target: String
    var body: Value?
    var type = "application/json"
    var status: Int
    var message = ""
    /// The first cause's field.
    var field = ""
    var testDescription: String { "\(method) \(target)" }
  }

  static let rows: [Row] = [
    // options
    Row(
      method: "POST", target: "\(configMaps)?dryRun=Some", body: TestServer.configMap("b"), status: 422,
      message: "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \"All\"",
      field: "dryRun"),
    Row(method: "POST", target: "\(configMaps)?dryRun=", body: TestServer.configMap("b"), status: 422, field: "dryRun"),
    Row(
      method: "POST", target: "\(configMaps)?fieldManager=\(String(repeating: "x", count: 129))", body: TestServer.configMap("b"),
      status: 422,
      message: "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes",
      field: "fieldManager"),
    Row(
      method: "DELETE", target: "\(configMaps)/a?propagationPolicy=Nope", status: 422,
      message:
        "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Nope\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
      field: "propagationPolicy"),
    Row(
      method: "DELETE", target: "\(configMaps)/a", body: ["propagationPolicy": "Foreground", "orphanDependents": true], status: 422,
      field: "propagationPolicy"),
    Row(
      target: "\(configMaps)?resourceVersionMatch=Exact", status: 422,
      message:
        "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
      field: "resourceVersionMatch"),
    Row(target: "\(configMaps)?resourceVersionMatch=Exact&resourceVersion=0", status: 422, field: "resourceVersionMatch"),
    Row(target: "\(configMaps)?resourceVersionMatch=Nonsense&resourceVersion=1", status: 422, field: "resourceVersionMatch"),
    // names
    Row(
      method: "PUT", target: "\(configMaps)/other", body: TestServer.configMap("a"), status: 400,
      message: "the name of the object (a) does not match the name on the URL (other)"),
    Row(
      method: "POST", target: "\(pods)/p/binding", body: ["metadata": ["name": "q"], "target": ["kind": "Node", "name": "n"]],
      status: 400, message: "name in URL does not match name in Binding object"),
    Row(
      method: "POST", target: "\(pods)/p/eviction", body: ["metadata": ["name": "q"]], status: 400,
      message: "name in URL does not match name in Eviction object"),
    // what a patch makes
    Row(
      method: "PATCH", target: "\(configMaps)/a", body: ["data": ["a": 1]], type: "application/merge-patch+json", status: 422,
      message:
        " \"\" is invalid: patch: Invalid value: \"map[data:map[a:1]]\": json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
      field: "patch"),
    Row(
      method: "PATCH", target: "\(configMaps)/a", body: ["apiVersion": "v9"], type: "application/merge-patch+json", status: 422,
      field: "patch"),
    Row(
      method: "PATCH", target: "\(configMaps)/a", body: ["metadata": ["uid": "x"]], type: "application/merge-patch+json",
      status: 422,
      message: "ConfigMap \"a\" is invalid: metadata.uid: Invalid value: \"x\": field is immutable", field: "metadata.uid"),
    // reads
    Row(target: "\(configMaps)/a?resourceVersion=99999999", status: 504),
    Row(target: "\(configMaps)/a?resourceVersion=x", status: 400),
    Row(target: "\(configMaps)/none?watch=true", status: 404, message: "configmaps \"none\" not found"),
    Row(target: "\(configMaps)?limit=1&continue=x", status: 400),
    Row(target: "\(pods)/p/log", status: 200),
    Row(target: "\(pods)/p/exec?command=ls", status: 400, message: "pod p does not have a host assigned"),
    Row(target: "\(pods)/none/attach", status: 404, message: "pods \"none\" not found"),
    // selectors
    Row(
      target: "\(configMaps)?labelSelector=a%20in%20(", status: 400,
      message: "unable to parse requirement: found '', expected: ',', ')' or identifier"),
    Row(target: "\(configMaps)?labelSelector=a%3D\(String(repeating: "x", count: 64))", status: 400),
    Row(target: "\(configMaps)?labelSelector=x%2Fy%2Fz%3D1", status: 400),
    Row(
      target: "\(configMaps)?fieldSelector=metadata.name%3Da%3Db", status: 400,
      message: "invalid field selector: unescaped character in value: 61"),
    Row(target: "\(configMaps)?fieldSelector=metadata.name%3Da%5C%2Cb", status: 200),
    // questions
    Row(
      method: "POST", target: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body: ["spec": .emptyObject], status: 422,
      field: "spec.resourceAttributes"),
    Row(
      method: "POST", target: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
      body: ["spec": ["resourceAttributes": ["verb": "get"], "nonResourceAttributes": ["verb": "get"]]], status: 422,
      field: "spec.nonResourceAttributes"),
    Row(
      method: "POST", target: "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body: ["spec": .emptyObject], status: 400,
      message: "no namespace on request"),
    Row(
      method: "POST", target: "/apis/authentication.k8s.io/v1/tokenreviews", body: ["spec": .emptyObject], status: 400,
      message: "token is required for TokenReview in authentication"),
    Row(
      method: "POST", target: "/api/v1/namespaces/default/serviceaccounts/default/token", body: ["spec": ["expirationSeconds": 5]],
      status: 422,
      message:
        "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
      field: "spec.expirationSeconds"),
    Row(
      method: "POST", target: "/api/v1/namespaces/default/serviceaccounts/default/token",
      body: ["spec": ["boundObjectRef": ["apiVersion": "v1", "kind": "ConfigMap", "name": "a"]]], status: 400,
      message: "cannot bind token to object of type /v1, Kind=ConfigMap"),
    Row(
      method: "DELETE", target: "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical", status: 403,
      message:
        "priorityclasses.scheduling.k8s.io \"system-node-critical\" is forbidden: this is a system priority class and cannot be deleted"
    ),
  ]

  @Test("requests that Kubernetes answers in this way", arguments: rows)
  func answers(row: Row) async throws {
    try await TestServer.with { test in
      _ = try await test.call("POST", Self.configMaps, TestServer.configMap("a"))
      _ = try await test.call("POST", Self.pods, TestServer.pod("p"))
      let answer = try await test.call(row.method, row.target, row.body, headers: [("content-type", row.type)])
      #expect(answer.status == row.status, "\(answer.text)")
      if !row.message.isEmpty { #expect(answer.json["message"].string == row.message) }
      if !row.field.isEmpty { #expect(answer.json["details"]["causes"][0]["field"].string == row.field, "\(answer.text)") }
    }
  }

  @Test("a dry run shows no version; what is deleted is shown for the kinds that Kubernetes shows")
  func bodies() async throws {
    try await TestServer.with { test in
      let tried = try await test.call("POST", "\(Self.configMaps)?dryRun=All", TestServer.configMap("a")).json
      #expect(tried["kind"] == "ConfigMap" && tried["metadata"]["resourceVersion"].isNull && !tried["metadata"]["uid"].isNull)
      _ = try await test.call("POST", Self.configMaps, TestServer.configMap("a"))
      _ = try await test.call("POST", Self.pods, TestServer.pod("p"))
      #expect(try await test.call("DELETE", "\(Self.pods)/p").json["kind"] == "Pod")
      #expect(try await test.call("DELETE", "\(Self.configMaps)/a").json["status"] == "Success")
    }
  }

  @Test("a role for one named object allows to list it alone")
  func namedList() async throws {
    try await TestServer.with { test in
      let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
      _ = try await test.call(
        "POST", "\(roles)/roles",
        [
          "metadata": ["name": "one"],
          "rules": [["apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"], "resourceNames": ["a"]]],
        ]
      )
      _ = try await test.call(
        "POST", "\(roles)/rolebindings",
        [
          "metadata": ["name": "one"], "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "one"],
          "subjects": [["kind": "User", "name": "bob"]],
        ])
      let bob = [("impersonate-user", "bob")]
      #expect(try await test.call("GET", Self.configMaps, headers: bob).status == 403)
      #expect(try await test.call("GET", "\(Self.configMaps)?fieldSelector=metadata.name%3Da", headers: bob).status == 200)
      #expect(try await test.call("GET", "\(Self.configMaps)?fieldSelector=metadata.name%3Db", headers: bob).status == 403)
      #expect(try await test.call("GET", "\(Self.configMaps)?fieldSelector=metadata.name%21%3Da", headers: bob).status == 403)
    }
  }
}

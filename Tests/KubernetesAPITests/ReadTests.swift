import HTTP
import KubernetesAPI
import Testing
import Wire

@Suite(.timeLimit(.minutes(5))) struct ReadTests {
  @Test("requests and the status, reason and message they are answered with")
  func table() async throws {
    try await TestServer.with { test in
      _ = try await test.call("POST", "/api/v1/namespaces/default/configmaps", TestServer.configMap("a"))
      struct Row {
        var method = "GET"
        var target: String
        var status: Int
        var reason = ""
        var headers: [(String, String)] = []
      }
      let rows: [Row] = [
        .init(target: "/version", status: 200), .init(target: "/healthz", status: 200),
        .init(target: "/readyz?verbose", status: 200),
        .init(target: "/livez/ping", status: 200), .init(target: "/api", status: 200), .init(target: "/apis", status: 200),
        .init(target: "/apis/apps", status: 200), .init(target: "/apis/apps/v1", status: 200),
        .init(target: "/metrics", status: 200),
        .init(target: "/.well-known/openid-configuration", status: 200), .init(target: "/openid/v1/jwks", status: 200),
        .init(target: "/nothing", status: 404, reason: "NotFound"),
        .init(target: "/apis/nothing/v1/things", status: 404, reason: "NotFound"),
        .init(target: "/api/v1/namespaces/default/configmaps/a", status: 200),
        .init(target: "/api/v1/namespaces/default/configmaps/b", status: 404, reason: "NotFound"),
        .init(target: "/api/v1/namespaces/default/nodes", status: 404, reason: "NotFound"),
        .init(target: "/api/v1/configmaps", status: 200), .init(target: "/api/v1/namespaces/default", status: 200),
        .init(target: "/api/v1/namespaces/default/pods?fieldSelector=spec.nodeName%3Dx", status: 200),
        .init(target: "/api/v1/namespaces/default/pods?fieldSelector=spec.what%3Dx", status: 400, reason: "BadRequest"),
        .init(target: "/api/v1/namespaces/default/pods?labelSelector=a%20b%20c", status: 400, reason: "BadRequest"),
        .init(target: "/api/v1/pods?limit=x", status: 400, reason: "BadRequest"),
        .init(target: "/api/v1/pods?resourceVersion=x", status: 400, reason: "BadRequest"),
        .init(target: "/api/v1/pods?resourceVersion=99999999", status: 504, reason: "Timeout"),
        .init(target: "/api/v1/pods", status: 406, reason: "NotAcceptable", headers: [("accept", "text/html")]),
        .init(method: "PUT", target: "/api/v1/namespaces/default/pods", status: 405, reason: "MethodNotAllowed"),
        .init(method: "POST", target: "/api/v1/configmaps", status: 405, reason: "MethodNotAllowed"),
        .init(method: "POST", target: "/version", status: 405, reason: "MethodNotAllowed"),
        .init(method: "DELETE", target: "/api/v1/namespaces/default/configmaps/b", status: 404, reason: "NotFound"),
        .init(target: "/api/v1/namespaces/%zz/pods", status: 400, reason: "BadRequest"),
      ]
      for row in rows {
        let answer = try await test.call(row.method, row.target, headers: row.headers)
        #expect(answer.status == row.status, "\(row.method) \(row.target): \(answer.text)")
        if row.status >= 400 {
          #expect(answer.json["kind"] == "Status" && answer.json["reason"].string == row.reason, "\(row.target): \(answer.text)")
          #expect(answer.json["code"].int == Int64(row.status))
        }
      }
    }
  }

  @Test("an object comes with kind, version and resourceVersion; an item of a list without kind")
  func objects() async throws {
    try await TestServer.with { test in
      let made = try await test.call("POST", "/api/v1/namespaces/default/configmaps", TestServer.configMap("a"))
      #expect(made.status == 201, "\(made.text)")
      let got = try await test.call("GET", "/api/v1/namespaces/default/configmaps/a").json
      #expect(got["kind"] == "ConfigMap" && got["apiVersion"] == "v1")
      #expect(got["metadata"]["resourceVersion"].string?.isEmpty == false)
      #expect(got["data"]["a"] == "b")
      let list = try await test.call("GET", "/api/v1/namespaces/default/configmaps").json
      #expect(list["kind"] == "ConfigMapList")
      #expect(list["items"].array?.count == 1 && list["items"][0]["kind"].isNull)
      #expect(list["items"][0]["metadata"]["resourceVersion"] == got["metadata"]["resourceVersion"])
    }
  }

  @Test("pages go through a list once, in order, and say what is left")
  func pages() async throws {
    try await TestServer.with { test in
      for i in 0..<25 {
        _ = try await test.call("POST", "/api/v1/namespaces/default/configmaps", TestServer.configMap("m\(i + 10)"))
      }
      var names: [String] = []
      var token = ""
      var revision: String?
      repeat {
        let page = try await test.call("GET", "/api/v1/configmaps?limit=10&continue=\(token)").json
        if names.isEmpty { #expect(page["metadata"]["remainingItemCount"].int == 15) }
        if let revision { #expect(page["metadata"]["resourceVersion"].string == revision) }
        revision = page["metadata"]["resourceVersion"].string
        names += (page["items"].array ?? []).compactMap { $0["metadata"]["name"].string }
        token = page["metadata"]["continue"].string ?? ""
        // What comes in between belongs to no page.
        _ = try await test.call("POST", "/api/v1/namespaces/default/configmaps", TestServer.configMap("z\(names.count)"))
      } while !token.isEmpty
      #expect(names == (10..<35).map { "m\($0)" })
    }
  }

  @Test("options that do not go together are refused by name, with their causes")
  func options() async throws {
    try await TestServer.with { test in
      let rows: [(query: String, field: String, message: String)] = [
        ("sendInitialEvents=true", "sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list"),
        ("sendInitialEvents=false", "sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list"),
        (
          "watch=1&sendInitialEvents=true", "resourceVersionMatch",
          "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        ),
        (
          "watch=1&resourceVersionMatch=NotOlderThan&resourceVersion=1", "resourceVersionMatch",
          "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        ),
        (
          "resourceVersionMatch=Exact", "resourceVersionMatch",
          "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        ),
        (
          "resourceVersionMatch=Exact&resourceVersion=1&continue=x", "resourceVersionMatch",
          "Forbidden: resourceVersionMatch is forbidden when continue is provided"
        ),
      ]
      for row in rows {
        let answer = try await test.call("GET", "/api/v1/configmaps?\(row.query)")
        #expect(answer.status == 422, "\(row.query): \(answer.text)")
        let details = answer.json["details"]
        #expect(details["kind"] == "ListOptions" && details["group"] == "meta.k8s.io")
        #expect(
          details["causes"] == [
            ["reason": "FieldValueForbidden", "message": .string(row.message), "field": .string(row.field)]
          ], "\(row.query): \(answer.text)")
        #expect(
          answer.json["message"].string == "ListOptions.meta.k8s.io \"\" is invalid: \(row.field): \(row.message)")
      }
    }
  }

  @Test(
    "a token of a state that is still to come, of another list or of nobody is refused",
    arguments: [
      #"{"v":"1","rv":99999999,"ns":"default","name":"a"}"#, #"{"v":"1","rv":1,"ns":"kube-system","name":"a"}"#,
      #"{"v":"1","rv":-1,"ns":"default","name":"a"}"#, #"{"v":"2","rv":1,"ns":"default","name":"a"}"#, "[]", "nonsense",
    ])
  func tokens(text: String) async throws {
    try await TestServer.with { test in
      let token = Base64.encode(Array(text.utf8)).replacing("=", with: "%3D").replacing("+", with: "%2B")
      let answer = try await test.call("GET", "/api/v1/namespaces/default/configmaps?limit=1&continue=\(token)")
      #expect(answer.status == 400, "\(answer.text)")
    }
  }

  @Test(
    "kinds on their way out say so",
    arguments: [
      ("namespaces/default/endpoints", "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
      ("endpoints?watch=1", "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
      ("componentstatuses", "v1 ComponentStatus is deprecated in v1.19+"), ("namespaces/default/services", nil),
    ] as [(String, String?)])
  func deprecated(path: String, warning: String?) async throws {
    try await TestServer.with { test in
      let response = try await test.client.request("GET", "/api/v1/\(path)")
      #expect(response.status == 200 && response["warning"] == warning.map { "299 - \"\($0)\"" })
    }
  }

  @Test("tables and metadata, for one object and for lists")
  func shapes() async throws {
    try await TestServer.with { test in
      _ = try await test.call("POST", "/api/v1/namespaces/default/pods", TestServer.pod("p"))
      let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")]
      let list = try await test.call("GET", "/api/v1/namespaces/default/pods", headers: table).json
      #expect(list["kind"] == "Table" && list["columnDefinitions"][0]["name"] == "Name")
      #expect(list["rows"][0]["cells"][0] == "p" && list["rows"][0]["object"]["kind"] == "PartialObjectMetadata")
      let one = try await test.call("GET", "/api/v1/namespaces/default/pods/p?includeObject=Object", headers: table).json
      #expect(one["rows"][0]["object"]["spec"]["containers"][0]["name"] == "c")
      let none = try await test.call("GET", "/api/v1/namespaces/default/pods/p?includeObject=None", headers: table).json
      #expect(none["rows"][0]["object"].isNull && none["rows"][0]["cells"].array?.isEmpty == false)
      let partial = [
        (
          "accept",
          "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
        )
      ]
      let metadata = try await test.call("GET", "/api/v1/pods", headers: partial).json
      #expect(metadata["kind"] == "PartialObjectMetadataList" && metadata["apiVersion"] == "meta.k8s.io/v1")
      #expect(metadata["items"][0]["metadata"]["resourceVersion"].string?.isEmpty == false && metadata["items"][0]["spec"].isNull)
    }
  }

  @Test("aggregated discovery only for those who ask for v2")
  func discovery() async throws {
    try await TestServer.with { test in
      let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
      let both = try await test.call(
        "GET", "/apis",
        headers: [("accept", "\(v2),application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json")])
      #expect(both.json["kind"] == "APIGroupDiscoveryList" && both.header("content-type") == v2)
      let beta = try await test.call(
        "GET", "/apis",
        headers: [("accept", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json")])
      #expect(beta.json["kind"] == "APIGroupList")
      let etag = try #require(both.header("etag"))
      let again = try await test.call("GET", "/apis", headers: [("accept", v2), ("if-none-match", etag)])
      #expect(again.status == 304 && again.bytes.isEmpty)
    }
  }

  @Test("nobody is let in without a certificate or token; a user without rights is refused by name")
  func authorization() async throws {
    try await TestServer.with { test in
      let anonymous = try test.client(user: nil)
      let bob = try test.client(user: "bob")
      defer {
        anonymous.close()
        bob.close()
      }
      let refused = try await test.call("GET", "/api/v1/namespaces/default/secrets", client: anonymous)
      #expect(refused.status == 403, "\(refused.text)")
      let health = try await test.call("GET", "/healthz", client: anonymous)
      #expect(health.status == 200)
      let bad = try await test.call("GET", "/api/v1/pods", headers: [("authorization", "Bearer nonsense")], client: anonymous)
      #expect(bad.status == 401 && bad.json["reason"] == "Unauthorized")
      let named = try await test.call("GET", "/api/v1/namespaces/default/pods", client: bob)
      #expect(named.status == 403)
      #expect(
        named.json["message"].string
          == "pods is forbidden: User \"bob\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"")
      let asBob = try await test.call("GET", "/api/v1/namespaces/default/pods", headers: [("impersonate-user", "bob")])
      #expect(asBob.status == 403 && asBob.json["message"] == named.json["message"])
    }
  }
}

import HTTP
import NIOCore
import Schema
import Testing
import Wire

/// The forms in which one answer can be asked for.
@Suite(.timeLimit(.minutes(5))) struct FormTests {
  private static let maps = "/api/v1/namespaces/default/configmaps"
  private static let protobuf = "application/vnd.kubernetes.protobuf"

  @Test("YAML is YAML: objects, lists, refusals; a watch is none")
  func yaml() async throws {
    try await TestServer.with { test in
      let yaml = [("accept", "application/yaml")]
      let made = try await test.call(
        "POST", Self.maps, TestServer.configMap("a", ["on": "yes", "text": "1\n2\n"]), headers: yaml)
      #expect(made.status == 201 && made.header("content-type") == "application/yaml")
      #expect(
        made.text.hasPrefix(
          "apiVersion: v1\ndata:\n  \"on\": \"yes\"\n  text: |\n    1\n    2\nkind: ConfigMap\nmetadata:\n"), "\(made.text)")
      let one = try await test.call("GET", "\(Self.maps)/a", headers: yaml)
      #expect(one.text == made.text)
      let list = try await test.call("GET", Self.maps, headers: yaml)
      #expect(try YAML.decode(list.bytes).value["items"].array?.count == 1, "\(list.text)")
      let missing = try await test.call("GET", "\(Self.maps)/b", headers: yaml)
      #expect(missing.status == 404 && missing.text.contains("\nmessage: configmaps \"b\" not found\n"), "\(missing.text)")
      let watch = try await test.call("GET", "\(Self.maps)?watch=1", headers: yaml)
      #expect(watch.status == 406)
    }
  }

  @Test("a list of many pieces says the same in every form, whole or in pages")
  func pieces() async throws {
    try await TestServer.with { test in
      let text = String(repeating: "long words ", count: 400)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for i in 0..<300 {
          group.addTask {
            let map = TestServer.configMap("m\(i + 100)", ["k": .string(text), "lines": "a\n b\n"])
            let made = try await test.call("POST", Self.maps, map)
            #expect(made.status == 201)
          }
        }
        try await group.waitForAll()
      }
      let json = try await test.call("GET", Self.maps)
      #expect(json.bytes.count > 1_200_000 && json.json["items"].array?.count == 300)
      let pretty = try await test.call("GET", "\(Self.maps)?pretty=true")
      #expect(pretty.json == json.json)
      #expect(pretty.text.hasPrefix("{\n  \"kind\": \"ConfigMapList\",\n  \"apiVersion\": \"v1\",\n  \"metadata\": {\n    \"res"))
      #expect(pretty.text.hasSuffix("\n    }\n  ]\n}\n"))
      let yaml = try await test.call("GET", Self.maps, headers: [("accept", "application/yaml")])
      #expect(yaml.bytes == YAMLWriter.bytes(json.json))
      let schema = SchemaTable.builtin
      let type = try #require(schema.type(named: "core/v1.ConfigMapList"))
      func decoded(_ query: String) async throws -> Value {
        let answer = try await test.call("GET", "\(Self.maps)\(query)", headers: [("accept", Self.protobuf)])
        return try schema.decode(answer.bytes, encoding: .protobuf, type: type).value
      }
      #expect(try await decoded("")["items"] == json.json["items"])
      let page = try await decoded("?limit=290")
      #expect(page["items"].array?.count == 290 && page["metadata"]["remainingItemCount"] == 10)
      let token = try #require(page["metadata"]["continue"].string).replacing("=", with: "%3D")
      #expect(try await decoded("?limit=290&continue=\(token)")["items"].array?.count == 10)
      let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")]
      #expect(try await test.call("GET", "\(Self.maps)?limit=290", headers: table).json["rows"].array?.count == 290)
      let rows = try await test.call("GET", Self.maps, headers: [("accept", "application/yaml;as=Table;v=v1;g=meta.k8s.io")])
      let expected = try await test.call("GET", Self.maps, headers: table)
      #expect(try YAML.decode(rows.bytes).value["rows"].array?.count == 300)
      #expect(try YAML.decode(rows.bytes).value["columnDefinitions"] == expected.json["columnDefinitions"])
      // What matches nothing is a list too.
      for accept in ["application/json", "application/yaml"] {
        let none = try await test.call("GET", "\(Self.maps)?labelSelector=a%3Db&pretty=1", headers: [("accept", accept)])
        #expect(try YAML.decode(none.bytes).value["items"] == [], "\(none.text)")
        #expect(none.text.contains(accept.hasSuffix("json") ? "\"items\": []\n" : "\nitems: []\nkind: "), "\(none.text)")
      }
    }
  }

  @Test(
    "the client's weights decide, then its order",
    arguments: [
      ("application/yaml;q=0.5, application/json", "application/json"), ("application/yaml, application/json", "application/yaml"),
      ("text/html,application/xml;q=0.9,*/*;q=0.8", "application/json"),
      ("application/json;q=0,application/yaml;q=0.1", "application/yaml"),
      ("application/json;q=0.1,application/vnd.kubernetes.protobuf;q=0.2", "application/vnd.kubernetes.protobuf"),
    ])
  func weights(accept: String, expected: String) async throws {
    try await TestServer.with { test in
      let answer = try await test.call("GET", "/api/v1/namespaces/default", headers: [("accept", accept)])
      #expect(answer.status == 200 && answer.header("content-type") == expected)
    }
  }

  @Test("metadata and refusals come as protobuf to those who prefer it")
  func metadata() async throws {
    try await TestServer.with { test in
      _ = try await test.call("POST", Self.maps, TestServer.configMap("a"))
      let json = try await test.call("GET", "\(Self.maps)/a").json
      let one = try await test.call(
        "GET", "\(Self.maps)/a", headers: [("accept", "\(Self.protobuf);as=PartialObjectMetadata;g=meta.k8s.io;v=v1")])
      #expect(one.header("content-type") == Self.protobuf)
      let schema = SchemaTable.builtin
      let envelope = try ProtobufEnvelope(one.bytes)
      #expect(envelope.kind == "PartialObjectMetadata" && envelope.apiVersion == "meta.k8s.io/v1")
      let type = try #require(schema.type(named: "meta/v1.PartialObjectMetadata"))
      let decoded = try schema.decodeProtobuf(envelope.raw, type: type)
      for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        #expect(decoded["metadata"][field] == json["metadata"][field] && !json["metadata"][field].isNull)
      }
      let many = try await test.call(
        "GET", Self.maps, headers: [("accept", "\(Self.protobuf);as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")])
      let list = try ProtobufEnvelope(many.bytes)
      #expect(list.kind == "PartialObjectMetadataList")
      let items = try schema.decodeProtobuf(
        list.raw, type: try #require(schema.type(named: "meta/v1.PartialObjectMetadataList")))
      #expect(items["items"].array?.contains { $0["metadata"]["uid"] == json["metadata"]["uid"] } == true)
      #expect(items["metadata"]["resourceVersion"].string?.isEmpty == false)
      let missing = try await test.call("GET", "\(Self.maps)/b", headers: [("accept", Self.protobuf)])
      let status = try ProtobufEnvelope(missing.bytes)
      #expect(missing.status == 404 && status.kind == "Status")
      #expect(
        try schema.decodeProtobuf(status.raw, type: try #require(schema.type(named: "meta/v1.Status")))["reason"] == "NotFound")
    }
  }

  @Test("a Scale has its own columns")
  func scale() async throws {
    try await TestServer.with { test in
      let deployments = "/apis/apps/v1/namespaces/default/deployments"
      _ = try await test.call("POST", deployments, TestServer.deployment("web", replicas: 3))
      let table = try await test.call(
        "GET", "\(deployments)/web/scale", headers: [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")]
      ).json
      #expect(table["columnDefinitions"].array?.map { $0["name"].string } == ["Name", "Desired", "Available", "Age"])
      #expect(table["rows"][0]["cells"].array?.prefix(3) == ["web", 3, 0])
    }
  }

  @Test(
    "a Scale that is none is refused, whatever brings it, and changes nothing",
    arguments: [
      #"{"spec":{"replicas":"3"}}"#, #"{"spec":{"replicas":2.5}}"#, #"{"spec":{"replicas":true}}"#, #"{"spec":5}"#, "[]", "7",
    ])
  func noScale(_ body: String) async throws {
    try await TestServer.with { test in
      let deployments = "/apis/apps/v1/namespaces/default/deployments"
      _ = try await test.call("POST", deployments, TestServer.deployment("web", replicas: 3))
      for type in ["merge-patch+json", "strategic-merge-patch+json", "json"] {
        let answer = try await test.client.request(
          type == "json" ? "PUT" : "PATCH", "\(deployments)/web/scale", headers: [("content-type", "application/\(type)")],
          body: Array(body.utf8))
        #expect([400, 422].contains(answer.status), "\(type)")
      }
      let strict = try await test.client.request(
        "PATCH", "\(deployments)/web/scale?fieldValidation=Strict", headers: [("content-type", "application/merge-patch+json")],
        body: Array(#"{"spec":{"replica":4}}"#.utf8))
      #expect(strict.status == 422)
      // Without a name, of another uid: nobody means that.
      for body in ["{}", #"{"spec":{"replicas":5}}"#, #"{"metadata":{"name":"web","uid":"other"},"spec":{"replicas":5}}"#] {
        let answer = try await test.client.request(
          "PUT", "\(deployments)/web/scale", headers: [("content-type", "application/json")], body: Array(body.utf8))
        #expect([400, 409].contains(answer.status), "\(body)")
      }
      for (method, type, body) in [
        ("PUT", "json", "{}"), ("PATCH", "merge-patch+json", #"{"metadata":null}"#),
        ("PATCH", "merge-patch+json", #"{"metadata":{"name":null}}"#),
      ] {
        let answer = try await test.client.request(
          method, "\(deployments)/web", headers: [("content-type", "application/\(type)")], body: Array(body.utf8))
        #expect([400, 422].contains(answer.status), "\(method) \(body)")
      }
      #expect(try await test.call("GET", "\(deployments)/web").json["spec"]["replicas"] == 3)
    }
  }

  @Test("a long list comes in gzip to those who take it; a watch never does")
  func gzip() async throws {
    try await TestServer.with { test in
      let gzip = [("accept-encoding", "gzip")]
      for i in 0..<20 {
        _ = try await test.call(
          "POST", Self.maps, TestServer.configMap("m\(i)", ["k": .string(String(repeating: "x", count: 10_000))]))
      }
      let long = try await test.call("GET", Self.maps, headers: gzip)
      #expect(long.header("content-encoding") == "gzip" && long.bytes.count < 20_000 && long.bytes.starts(with: [0x1f, 0x8b]))
      let short = try await test.call("GET", "\(Self.maps)?limit=2", headers: gzip)
      #expect(short.header("content-encoding") == nil && short.json["items"].array?.count == 2)
      let schema = try await test.call("GET", "/openapi/v2", headers: gzip)
      #expect(schema.header("content-encoding") == "gzip")
      let watch = try await test.client.request("GET", "\(Self.maps)?watch=1", headers: gzip)
      #expect(watch["content-encoding"] == nil)
      var events = watch.body.makeAsyncIterator()
      let first = try #require(try await events.next())
      #expect(String(buffer: first).hasPrefix("{\"type\":\"ADDED\""))
    }
  }
}

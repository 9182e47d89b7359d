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

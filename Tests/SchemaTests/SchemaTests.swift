import Schema
import Testing
import Wire

/// The table, and what decoding, defaulting and emission make of real objects.
@Suite struct SchemaTests {
  let table = SchemaTable.builtin

  func kind(_ resource: String, group: String = "") throws -> ResourceKind {
    try #require(table.resource(GroupVersionResource(group: group, resource: resource)))
  }

  func canonical(_ json: String, _ kind: ResourceKind) throws -> String {
    var decoded = try table.decode(Array(json.utf8), encoding: .json, type: kind.type)
    table.applyDefaults(&decoded.value, kind: kind)
    return String(decoding: table.encode(decoded.value, type: kind.type), as: UTF8.self)
  }

  @Test("every served kind is there, core first")
  func discovery() throws {
    #expect(table.groups.first?.name == "")
    #expect(table.groups.map(\.name).contains("apps"))
    #expect(table.resources.count == 68)
    #expect(try kind("pods").shortNames == ["po"])
    #expect(try kind("deployments", group: "apps").subresource("scale")?.kind == "Scale")
  }

  @Test("a pod gets upstream's defaults, in upstream's order")
  func podDefaults() throws {
    let json = #"{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"image":"nginx","name":"a","resources":{"limits":{"cpu":"0.5"}}}]},"metadata":{"name":"p"}}"#
    #expect(
      try canonical(json, kind("pods"))
        == #"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"a","image":"nginx","resources":{"limits":{"cpu":"500m"},"requests":{"cpu":"500m"}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"Always"}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","securityContext":{},"schedulerName":"default-scheduler","enableServiceLinks":true},"status":{}}"#
    )
  }

  @Test("a deployment's strategy, a service's ports")
  func otherDefaults() throws {
    let deployment = try canonical(
      #"{"metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[]}}}}"#,
      kind("deployments", group: "apps"))
    #expect(deployment.contains(#""strategy":{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":"25%","maxSurge":"25%"}}"#), "\(deployment)")
    #expect(deployment.contains(#""replicas":1"#) && deployment.contains(#""progressDeadlineSeconds":600"#))
    let service = try canonical(#"{"metadata":{"name":"s"},"spec":{"ports":[{"port":80}],"selector":{"a":"b"}}}"#, kind("services"))
    #expect(service.contains(#""ports":[{"protocol":"TCP","port":80,"targetPort":80}]"#), "\(service)")
    #expect(service.contains(#""type":"ClusterIP","sessionAffinity":"None","internalTrafficPolicy":"Cluster""#), "\(service)")
  }

  @Test("unknown and duplicate fields are reported in upstream's words and pruned")
  func strictness() throws {
    let decoded = try table.decode(
      Array(#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"a","imagee":"x"}],"hostNetwork":true,"hostNetwork":false},"foo":1}"#.utf8), encoding: .json,
      type: kind("pods").type)
    #expect(decoded.strictErrors == [#"unknown field "spec.containers[0].imagee""#, #"duplicate field "spec.hostNetwork""#, #"unknown field "foo""#])
    #expect(decoded.value["foo"].isNull)
  }

  @Test("a value of another type is refused with its field")
  func mismatch() throws {
    let type = try kind("deployments", group: "apps").type
    #expect(throws: DecodeError("json: cannot unmarshal string into Go struct field spec.replicas of type int32")) {
      try table.decode(Array(#"{"spec":{"replicas":"3"}}"#.utf8), encoding: .json, type: type)
    }
  }

  @Test(
    "quantities are canonical",
    arguments: [
      ("1000m", "1"), ("0.5", "500m"), ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("100", "100"), ("1e3", "1e3"), ("1000", "1k"), ("0", "0"), ("1500m", "1500m"),
      ("-1", "-1"), ("1Ki", "1Ki"), ("1048576", "1048576"), ("0.0001", "100u"), ("12Mi", "12Mi"), ("5G", "5G"),
    ])
  func quantities(text: String, expected: String) { #expect(Quantity(text)?.description == expected) }

  @Test("times are RFC 3339 in UTC", arguments: [("2026-11-25T08:13:23+01:00", "2026-11-25T07:13:23Z"), ("2000-02-29T00:00:00.5Z", "2000-02-29T00:00:00Z")])
  func times(text: String, expected: String) { #expect(Timestamp(text)?.description == expected) }

  @Test("protobuf and JSON of the same object are the same bytes")
  func protobuf() throws {
    // kubectl 1.37 create configmap c --from-literal=a=b: an envelope with metadata {name} and data.
    let meta: [UInt8] = [0x0a, 1, UInt8(ascii: "c")]
    let entry: [UInt8] = [0x0a, 1, UInt8(ascii: "a"), 0x12, 1, UInt8(ascii: "b")]
    let message = [0x0a, UInt8(meta.count)] + meta + [0x12, UInt8(entry.count)] + entry
    let typeMeta: [UInt8] = [0x0a, 2] + Array("v1".utf8) + [0x12, 9] + Array("ConfigMap".utf8)
    let body: [UInt8] = [0x6b, 0x38, 0x73, 0, 0x0a, UInt8(typeMeta.count)] + typeMeta + [0x12, UInt8(message.count)] + message
    let kind = try kind("configmaps")
    let decoded = try table.decode(body, encoding: .protobuf, type: kind.type)
    #expect(decoded.kind == "ConfigMap")
    #expect(decoded.value == ["metadata": ["name": "c"], "data": ["a": "b"]])
  }

  @Test("YAML is read as kubectl reads it")
  func yaml() throws {
    let document = try YAML.decode(Array("a: yes\nb: 0x10\nc: 1.5\nd: \"no\"\ne: 2026-01-01\nf: &x [1, ~]\ng: *x\nh: {<<: {i: 1}, j: y}\n".utf8))
    #expect(document.value == ["a": true, "b": 16, "c": 1.5, "d": "no", "e": "2026-01-01", "f": [1, nil], "g": [1, nil], "h": ["j": "y", "i": 1]])
  }

  @Test("hostile bytes end in an error, never in a trap", arguments: 0..<50)
  func fuzz(seed: Int) throws {
    var state = UInt64(seed) &* 0x9e37_79b9_7f4a_7c15 | 1
    func random(_ n: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % n
    }
    let kind = try kind("pods")
    let valid = Array(#"{"metadata":{"name":"p","labels":{"a":"b"}},"spec":{"containers":[{"name":"a","ports":[{"containerPort":80}],"resources":{"limits":{"cpu":"1"}}}]}}"#.utf8)
    for _ in 0..<300 {
      var bytes = valid
      for _ in 0...random(4) { bytes[random(bytes.count)] = UInt8(random(256)) }
      if var decoded = try? table.decode(bytes, encoding: .json, type: kind.type) {
        table.applyDefaults(&decoded.value, kind: kind)
        let once = table.encode(decoded.value, type: kind.type)
        let again = try table.decode(once, encoding: .json, type: kind.type)
        #expect(table.encode(again.value, type: kind.type) == once)
      }
      _ = try? table.decode([0x6b, 0x38, 0x73, 0, 0x12, UInt8(bytes.count & 127)] + bytes, encoding: .protobuf, type: kind.type)
      _ = try? YAML.documents(bytes)
    }
  }
}

import Schema
import Testing
import Wire

#if canImport(Glibc)
  import Glibc
#endif

@Suite struct ProtobufTests {
  @Test("what kubectl sends in protobuf is what it prints in JSON, to the byte and in its order", arguments: KubectlBody.all)
  func kubectl(body: KubectlBody) throws {
    let kind = try kind(body.resource, group: body.group)
    let bytes = try #require(Base64.decode(body.protobuf))
    let decoded = try table.decode(bytes, encoding: .protobuf, type: kind.type)
    #expect(decoded.kind == kind.kind && decoded.apiVersion == kind.apiVersion)
    var value = decoded.value
    value["kind"] = .string(decoded.kind)
    value["apiVersion"] = .string(decoded.apiVersion)
    #expect(text(table.encode(value, type: kind.type)) == body.json)
  }

  @Test("what leaves in protobuf is what upstream's encoder writes, to the byte", arguments: KubectlBody.all)
  func upstreamBytes(body: KubectlBody) throws {
    let kind = try kind(body.resource, group: body.group)
    let bytes = try #require(Base64.decode(body.protobuf))
    let value = try decode(body.json, kind).value
    let written = table.encodeProtobuf(value, type: kind.type, apiVersion: kind.apiVersion, kind: kind.kind)
    // Upstream's envelope ends with an empty encoding and content type.
    #expect(written == bytes || written + [0x1a, 0, 0x22, 0] == bytes, "\(Base64.encode(written))")
  }

  @Test("every manifest survives protobuf", arguments: Manifests.all.indices)
  func roundTrip(i: Int) throws {
    let (group, resource, json) = Manifests.all[i]
    let kind = try kind(resource, group: group)
    var value = try decode(json, kind).value
    table.applyDefaults(&value, kind: kind)
    let bytes = table.encodeProtobuf(value, type: kind.type, apiVersion: kind.apiVersion, kind: kind.kind)
    var back = try table.decode(bytes, encoding: .protobuf, type: kind.type).value
    table.applyDefaults(&back, kind: kind)
    #expect(text(table.encode(back, type: kind.type)) == text(table.encode(value, type: kind.type)))
  }

  @Test("a stored object leaves with its resourceVersion; a list holds its items; a watch frame its length")
  func objects() throws {
    let kind = try kind("configmaps")
    let stored = try EncodedObject(
      bytes: Array(#"{"metadata":{"name":"c","creationTimestamp":"2026-11-25T07:13:23Z"},"data":{"a":"b"}}"#.utf8), revision: 42)
    let body = table.encodeProtobuf(stored, kind: kind)
    let decoded = try table.decode(body, encoding: .protobuf, expected: nil)
    #expect(decoded.value["metadata"] == ["name": "c", "resourceVersion": "42", "creationTimestamp": "2026-11-25T07:13:23Z"])
    let item = table.protobufItem(stored, kind: kind)
    let list =
      table.protobufListHead(kind: kind, metadata: ["resourceVersion": "50"], itemBytes: item.count * 2) + item + item
    let read = try table.decode(list, encoding: .protobuf, type: #require(table.type(named: "core/v1.ConfigMapList")))
    #expect(read.kind == "ConfigMapList" && read.value["metadata"]["resourceVersion"] == "50")
    #expect(read.value["items"].array?.count == 2 && read.value["items"][1]["data"]["a"] == "b")
    let frame = table.protobufWatchFrame(type: "ADDED", object: body)
    #expect(frame.prefix(4).reduce(0) { $0 << 8 | Int($1) } == frame.count - 4)
    let event = try table.decodeProtobuf(Array(frame.dropFirst(4)), type: #require(table.type(named: "meta/v1.WatchEvent")))
    #expect(event["type"] == "ADDED" && event["object"]["metadata"]["name"] == "c")
  }

  /// The directory of a checkout: staging/src/k8s.io/api/testdata/HEAD, a full object of every kind in JSON and protobuf.
  @Test("what upstream wrote in protobuf reads as what it wrote in JSON", .enabled(if: getenv("GANTRY_TESTDATA") != nil))
  func testdata() throws {
    let directory = String(cString: getenv("GANTRY_TESTDATA"))
    func read(_ name: String) -> [UInt8]? {
      guard let file = fopen("\(directory)/\(name)", "r") else { return nil }
      defer { fclose(file) }
      var bytes = [UInt8](repeating: 0, count: 1 << 20)
      bytes.removeSubrange(fread(&bytes, 1, bytes.count, file)...)
      return bytes
    }
    let handle = try #require(opendir(directory))
    defer { closedir(handle) }
    var count = 0
    while let entry = readdir(handle) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      guard name.hasSuffix(".json"), let json = read(name), let wire = read(name.dropLast(4) + "pb"),
        let tree = try? Value(json: json),
        let kind = table.kind(
          group: (tree["apiVersion"].string ?? "").split(separator: "/").dropLast().first.map(String.init) ?? "",
          version: (tree["apiVersion"].string ?? "").split(separator: "/").last.map(String.init) ?? "",
          kind: tree["kind"].string ?? "")
      else { continue }
      count += 1
      do {
        let a = try table.decode(json, encoding: .json, type: kind.type)
        let b = try table.decode(wire, encoding: .protobuf, type: kind.type)
        let (left, right) = (text(table.encode(a.value, type: kind.type)), text(table.encode(b.value, type: kind.type)))
        #expect(left == right, "\(name)")
        if !a.strictErrors.isEmpty { print("TESTDATA \(name): \(a.strictErrors.joined(separator: ", ").prefix(300))") }
      } catch { Issue.record("\(name): \(error)") }
    }
    #expect(count > 40)
  }

  @Test("metadata leaves alone, without what it describes")
  func metadata() throws {
    let stored = try EncodedObject(
      bytes: Array(#"{"metadata":{"name":"c","labels":{"a":"b"},"finalizers":["x/y"]},"data":{"a":"b"}}"#.utf8), revision: 42)
    let one = try table.decode(
      table.encodeProtobufMetadata(stored), encoding: .protobuf, type: #require(table.type(named: "meta/v1.PartialObjectMetadata")))
    #expect(one.apiVersion == "meta.k8s.io/v1" && one.kind == "PartialObjectMetadata")
    #expect(
      one.value == ["metadata": ["name": "c", "resourceVersion": "42", "labels": ["a": "b"], "finalizers": ["x/y"]]], "\(one.value)"
    )
    let item = table.protobufMetadataItem(stored)
    let list = try table.decode(
      table.protobufMetadataListHead(metadata: ["resourceVersion": "50"], itemBytes: item.count * 2) + item + item,
      encoding: .protobuf, type: #require(table.type(named: "meta/v1.PartialObjectMetadataList")))
    #expect(list.apiVersion == "meta.k8s.io/v1" && list.kind == "PartialObjectMetadataList")
    #expect(list.value["items"].array?.count == 2 && list.value["items"][1] == one.value)
  }

  @Test("unknown numbers are skipped; truncated and hostile messages are errors")
  func hostile() throws {
    let kind = try kind("pods")
    let unknown: [UInt8] = [0x6b, 0x38, 0x73, 0, 0x12, 5, 0xf8, 0x7f, 1, 0x0a, 0]
    #expect(try table.decode(unknown, encoding: .protobuf, type: kind.type).value == ["metadata": [:]])
    for body in [
      [], [0x6b, 0x38, 0x73], [0x6b, 0x38, 0x73, 0, 0x12, 0xff],
      [0x6b, 0x38, 0x73, 0, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
      [0x6b, 0x38, 0x73, 0, 0x12, 2, 0x08, 1], [0x6b, 0x38, 0x73, 0, 0x13],
    ] as [[UInt8]] {
      #expect(throws: DecodeError.self, "\(body)") { try table.decode(body, encoding: .protobuf, type: kind.type) }
    }
  }

  @Test("a schema nested without end is refused")
  func depth() throws {
    let kind = try kind("customresourcedefinitions", group: "apiextensions.k8s.io")
    // not: { not: { … } } inside of spec.versions[0].schema.openAPIV3Schema; the length grows from the inside.
    var message: [UInt8] = []
    func wrap(_ number: Int, _ bytes: [UInt8]) -> [UInt8] {
      var out: [UInt8] = []
      for var value in [number << 3 | 2, bytes.count] {
        while value > 127 {
          out.append(UInt8(value & 127 | 128))
          value >>= 7
        }
        out.append(UInt8(value))
      }
      return out + bytes
    }
    let schema = try #require(table.type(named: "apiextensions/v1.JSONSchemaProps"))
    let not = try #require(table.shape(schema).field("not")).number
    for _ in 0..<1000 { message = wrap(not, message) }
    let body = [0x6b, 0x38, 0x73, 0] + wrap(2, wrap(2, wrap(7, wrap(4, wrap(1, message)))))
    #expect(throws: DecodeError("protobuf message is nested deeper than 200 levels")) {
      try table.decode(body, encoding: .protobuf, type: kind.type)
    }
  }
}

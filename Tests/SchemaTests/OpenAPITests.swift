import Schema
import Testing
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// The documents hold together: every reference resolves, and clients find what they look for.
@Suite struct OpenAPITests {
  let openAPI = OpenAPI.shared

  static func references(in value: Value, into found: inout Set<String>) {
    switch value {
    case .object(let object):
      for member in object.members {
        if member.key == "$ref", let link = member.value.string { found.insert(link) }
        references(in: member.value, into: &found)
      }
    case .array(let array): for element in array { references(in: element, into: &found) }
    default: break
    }
  }

  static func write(_ bytes: [UInt8], _ name: String) {
    guard let directory = getenv("GANTRY_OPENAPI_DUMP").map({ String(cString: $0) }), let file = fopen("\(directory)/\(name)", "w")
    else { return }
    fwrite(bytes, 1, bytes.count, file)
    fclose(file)
  }

  @Test("every document of v3 is whole")
  func v3() throws {
    let index = try Value(json: openAPI.v3Index())
    Self.write(openAPI.v3Index(), "v3-index.json")
    #expect(index["paths"]["apis/apps/v1"]["serverRelativeURL"].string?.hasPrefix("/openapi/v3/apis/apps/v1?hash=") == true)
    for version in SchemaTable.builtin.groups.flatMap(\.versions) {
      let bytes = try #require(openAPI.v3(group: version.group, version: version.version))
      Self.write(bytes, "v3-\(version.group)-\(version.version).json")
      let document = try Value(json: bytes)
      var links: Set<String> = []
      Self.references(in: document, into: &links)
      for link in links {
        #expect(!document["components"]["schemas"][String(link.dropFirst("#/components/schemas/".count))].isNull, "\(link)")
      }
    }
    #expect(openAPI.v3(group: "apps", version: "v9") == nil)
  }

  @Test("kubectl finds fieldValidation, kinds, merge keys")
  func whatKubectlLooksFor() throws {
    let apps = try Value(json: #require(openAPI.v3(group: "apps", version: "v1")))
    let patch = apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    #expect(patch["x-kubernetes-group-version-kind"] == ["group": "apps", "version": "v1", "kind": "Deployment"])
    #expect(patch["parameters"].array?.contains { $0["name"].string == "fieldValidation" && $0["in"].string == "query" } == true)
    let podSpec = apps["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    #expect(podSpec["x-kubernetes-patch-merge-key"].string == "name" && podSpec["x-kubernetes-patch-strategy"].string == "merge")
    #expect(podSpec["x-kubernetes-list-map-keys"] == ["name"] && podSpec["x-kubernetes-list-type"].string == "map")
    #expect(podSpec["description"].string?.isEmpty == false)
  }

  @Test("kubectl explain finds every kind, and every field of it has a description")
  func everyKindIsDescribed() throws {
    for version in SchemaTable.builtin.groups.flatMap(\.versions) {
      let document = try Value(json: #require(openAPI.v3(group: version.group, version: version.version)))
      let schemas = document["components"]["schemas"].object ?? Object()
      for kind in version.resources {
        let wanted: Value = ["group": .string(version.group), "version": .string(version.version), "kind": .string(kind.kind)]
        let found = schemas.members.filter { $0.value["x-kubernetes-group-version-kind"].array?.contains(wanted) == true }
        #expect(found.count == 1, "\(version.apiVersion) \(kind.kind): \(found.map(\.key))")
      }
      for schema in schemas.members where schema.value["properties"].object != nil {
        #expect(schema.value["description"].string?.isEmpty == false, "\(schema.key)")
        for field in schema.value["properties"].object?.members ?? [] {
          let text = field.value["description"].string ?? ""
          #expect(!text.isEmpty, "\(schema.key).\(field.key)")
        }
      }
    }
  }

  @Test("v2 is whole, as JSON and as protobuf")
  func v2() throws {
    let json = openAPI.v2JSON()
    Self.write(json, "v2.json")
    let document = try Value(json: json)
    var links: Set<String> = []
    Self.references(in: document, into: &links)
    #expect(links.count > 500)
    for link in links { #expect(!document["definitions"][String(link.dropFirst("#/definitions/".count))].isNull, "\(link)") }
    let protobuf = openAPI.v2Protobuf()
    Self.write(protobuf, "v2.pb")
    #expect(protobuf.starts(with: [0x0a, 3] + Array("2.0".utf8)))
  }
}

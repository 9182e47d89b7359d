import CTables
import Wire

/// The schema that clients download: OpenAPI v3, one document a group version, and v2, all in one.
///
/// In: the table of kinds and shapes, and the texts of `descriptions.json`.
/// Out: JSON, and for v2 also gnostic's protobuf, which kubectl up to 1.28 and Argo CD ask for.
/// Never: keeps a document. Each is made when it is asked for (a few tens of milliseconds) and clients keep it by its hash.
package struct OpenAPI: Sendable {
  package static let shared = OpenAPI(table: .builtin)

  package enum Version: Sendable { case v2, v3 }

  let table: SchemaTable
  /// Grows with every change of what is generated, so that clients do not keep an old document.
  private static let generation = 1
  private let fingerprint: UInt64

  package init(table: SchemaTable) {
    self.table = table
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325 &+ UInt64(Self.generation)
    for blob in [gantry_kubernetes_table(), gantry_kubernetes_descriptions()] {
      for byte in UnsafeBufferPointer(start: blob.bytes, count: blob.count) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }
    fingerprint = hash
  }

  /// The hash of one document, or of all where the path is empty: for ETags and the index.
  package func hash(_ path: String = "") -> String {
    var first = fingerprint
    for byte in path.utf8 { first = (first ^ UInt64(byte)) &* 0x100_0000_01b3 }
    let second = (first ^ 0x9e37_79b9_7f4a_7c15) &* 0xff51_afd7_ed55_8ccd
    return [first, second].map { word in
      let digits = String(word, radix: 16, uppercase: true)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }

  /// `api/v1`, `apis/apps/v1`: a document's path below /openapi/v3/.
  package static func path(group: String, version: String) -> String {
    group.isEmpty ? "api/\(version)" : "apis/\(group)/\(version)"
  }

  /// The body of /openapi/v3.
  package func v3Index() -> [UInt8] {
    var paths = Object()
    for version in table.groups.flatMap(\.versions) {
      let path = Self.path(group: version.group, version: version.version)
      paths[path] = ["serverRelativeURL": "/openapi/v3/\(path)?hash=\(hash(path))"]
    }
    return (["paths": .object(paths)] as Value).jsonBytes
  }

  /// The document of one group version.
  /// - Returns: nil where the version is not served.
  package func v3(group: String, version: String) -> [UInt8]? {
    guard let version = table.groups.first(where: { $0.name == group })?.versions.first(where: { $0.version == version }) else {
      return nil
    }
    return json(version.resources, .v3, opening: #"{"openapi":"3.0.0""#, definitions: #""components":{"schemas":{"#, closing: "}}}")
  }

  /// Everything as Swagger 2.0.
  package func v2JSON() -> [UInt8] {
    json(table.resources, .v2, opening: #"{"swagger":"2.0""#, definitions: #""definitions":{"#, closing: "}}")
  }

  private func json(
    _ kinds: [ResourceKind], _ format: Version, opening: StaticString, definitions: StaticString, closing: StaticString
  ) -> [UInt8] {
    withTexts { texts in
      var builder = OpenAPIBuilder(table: table, texts: texts, format: format)
      var out: [UInt8] = []
      JSONWriter.literal(opening, into: &out)
      JSONWriter.literal(#","info":{"title":"Kubernetes","version":""#, into: &out)
      out.append(contentsOf: Self.release.utf8)
      JSONWriter.literal(#""},"paths":{"#, into: &out)
      var isFirst = true
      for kind in kinds {
        for (path, item) in builder.paths(of: kind) { Self.member(path, item, &isFirst, &out) }
      }
      JSONWriter.literal("},", into: &out)
      JSONWriter.literal(definitions, into: &out)
      isFirst = true
      builder.forEachDefinition { name, schema in Self.member(name, schema, &isFirst, &out) }
      JSONWriter.literal(closing, into: &out)
      return out
    }
  }

  /// Everything as `application/com.github.proto-openapi.spec.v2@v1.0+protobuf`.
  package func v2Protobuf() -> [UInt8] {
    withTexts { texts in
      var builder = OpenAPIBuilder(table: table, texts: texts, format: .v2)
      var document = ProtoOutput()
      document.string(1, "2.0")
      document.message(2) { info in
        info.string(1, "Kubernetes")
        info.string(2, Self.release)
      }
      document.message(8) { paths in
        for kind in table.resources {
          for (path, item) in builder.paths(of: kind) {
            paths.message(2) { named in
              named.string(1, path)
              named.message(2) { Gnostic.pathItem(item, into: &$0) }
            }
          }
        }
      }
      document.message(9) { definitions in
        builder.forEachDefinition { name, schema in
          definitions.message(1) { named in
            named.string(1, name)
            named.message(2) { Gnostic.schema(schema, into: &$0) }
          }
        }
      }
      return document.bytes
    }
  }

  /// The release whose API is served.
  static let release = "v1.36.0"

  private static func member(_ name: String, _ value: Value, _ isFirst: inout Bool, _ out: inout [UInt8]) {
    if !isFirst { out.append(UInt8(ascii: ",")) }
    isFirst = false
    JSONWriter.write(name, into: &out)
    out.append(UInt8(ascii: ":"))
    JSONWriter.write(value, into: &out)
  }

  private func withTexts<R>(_ body: (JSONView) -> R) -> R {
    let blob = gantry_kubernetes_descriptions()
    var tape = JSONTape(capacity: blob.count / 20)
    do { return try tape.read(UnsafeBufferPointer(start: blob.bytes, count: blob.count), body) } catch {
      preconditionFailure("the embedded texts do not parse: \(error)")
    }
  }
}

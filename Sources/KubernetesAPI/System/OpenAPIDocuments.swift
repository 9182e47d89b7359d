import Client
import HTTP
import NIOCore

/// Where the OpenAPI documents come from.
package protocol OpenAPISource: Sendable {
  /// `/openapi/v3`: the paths of all documents with their hashes.
  func v3Index() -> [UInt8]?
  /// - Parameter group: "" for the core group.
  func v3(group: String, version: String) -> [UInt8]?
  func v2JSON() -> [UInt8]?
  func v2Protobuf() -> [UInt8]?
  func etag(of bytes: [UInt8]) -> String
}

/// No documents: clients then turn validation off, or say so.
package struct NoOpenAPI: OpenAPISource {
  package init() {}
  package func v3Index() -> [UInt8]? { nil }
  package func v3(group: String, version: String) -> [UInt8]? { nil }
  package func v2JSON() -> [UInt8]? { nil }
  package func v2Protobuf() -> [UInt8]? { nil }
  package func etag(of bytes: [UInt8]) -> String { "" }
}

extension KubernetesAPI {
  func openAPIResponse(_ parts: [String], _ head: RequestHead) throws(APIError) -> HTTPResponse {
    switch (parts.count, parts.dropFirst().first) {
    case (2, "v3"): return try document(openAPI.v3Index(), "application/json", head)
    case (4, "v3") where parts[2] == "api": return try document(openAPI.v3(group: "", version: parts[3]), "application/json", head)
    case (5, "v3") where parts[2] == "apis": return try document(openAPI.v3(group: parts[3], version: parts[4]), "application/json", head)
    case (2, "v2"):
      for media in MediaType.list(head.fields["accept"] ?? "*/*") {
        switch media.type {
        case "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", "application/com.github.proto-openapi.spec.v2.v1.0+protobuf":
          return try document(openAPI.v2Protobuf(), "application/com.github.proto-openapi.spec.v2.v1.0+protobuf", head)
        case "application/json", "*/*", "application/*": return try document(openAPI.v2JSON(), "application/json", head)
        default: continue
        }
      }
      throw APIError(.notAcceptable, "only JSON and protobuf forms of the document are served")
    default: throw Self.unknownPath
    }
  }

  private func document(_ bytes: [UInt8]?, _ type: String, _ head: RequestHead) throws(APIError) -> HTTPResponse {
    guard let bytes else { throw Self.unknownPath }
    let etag = "\"\(openAPI.etag(of: bytes))\""
    var headers = [("etag", etag), ("vary", "Accept-Encoding"), ("vary", "Accept")]
    // A path with a hash names one document for ever.
    headers.append(("cache-control", head.query.contains("hash=") ? "public, immutable" : "no-cache, private"))
    if head.fields["if-none-match"] == etag { return HTTPResponse(304, headers: headers) }
    return HTTPResponse(200, headers: headers, type: type, bytes)
  }
}

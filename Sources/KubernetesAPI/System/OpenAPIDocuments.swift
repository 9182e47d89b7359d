import Client
import HTTP
import NIOCore
import Schema

extension KubernetesAPI {
  func openAPIResponse(_ parts: [String], _ head: RequestHead) throws(APIError) -> HTTPResponse {
    switch (parts.count, parts.dropFirst().first) {
    case (2, "v3"): return try document(openAPI.hash("v3"), "application/json", head) { openAPI.v3Index() }
    case (4, "v3") where parts[2] == "api": return try group("", parts[3], head)
    case (5, "v3") where parts[2] == "apis": return try group(parts[3], parts[4], head)
    case (2, "v2"):
      for media in MediaType.list(head.fields["accept"] ?? "*/*") {
        switch media.type {
        case "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
          "application/com.github.proto-openapi.spec.v2.v1.0+protobuf":
          return try document(openAPI.hash("v2pb"), "application/com.github.proto-openapi.spec.v2.v1.0+protobuf", head) {
            openAPI.v2Protobuf()
          }
        case "application/json", "*/*", "application/*":
          return try document(openAPI.hash("v2"), "application/json", head) { openAPI.v2JSON() }
        default: continue
        }
      }
      throw APIError(.notAcceptable, "only JSON and protobuf forms of the document are served")
    default: throw Self.unknownPath
    }
  }

  private func group(_ group: String, _ version: String, _ head: RequestHead) throws(APIError) -> HTTPResponse {
    try document(openAPI.hash(OpenAPI.path(group: group, version: version)), "application/json", head) {
      openAPI.v3(group: group, version: version)
    }
  }

  /// A document is made only where the client does not have it yet.
  private func document(_ hash: String, _ type: String, _ head: RequestHead, _ make: () -> [UInt8]?) throws(APIError)
    -> HTTPResponse
  {
    let etag = "\"\(hash)\""
    // A path with a hash names one document for ever.
    let caching = head.query.contains("hash=") ? "public, immutable" : "no-cache, private"
    let headers = [("etag", etag), ("vary", "Accept"), ("cache-control", caching)]
    if head.fields["if-none-match"] == etag { return HTTPResponse(304, headers: headers) }
    guard let bytes = make() else { throw Self.unknownPath }
    // Source: kube-openapi compresses from 1.4 KB on.
    return HTTPResponse(200, headers: headers, type: type, bytes).compressing(from: 1400)
  }
}

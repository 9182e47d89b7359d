import Client
import ControlPlane
import HTTP
import Schema
import Wire

extension KubernetesAPI {
  func createPolicy(_ request: Request) throws(APIError) -> RequestPolicy {
    let format = try Negotiation.output(request.head, request.query)
    let encoding = try RequestBody.encoding(request.head)
    let options = try RequestBody.options(request.head, request.query)
    return RequestPolicy(body: .buffered(limit: configuration.bodyLimit)) { [self] exchange in
      let bytes = RequestBody.bytes(exchange)
      answer(exchange) { () throws(APIError) in
        let decoded = try RequestBody.object(bytes, encoding, request.kind, self.schema)
        let result = try await self.controlPlane.write(
          WriteRequest(
            kind: request.kind, key: request.key, verb: .create(decoded.value), identity: request.identity, options: options,
            findings: decoded.strictErrors))
        return self.render(result.object, request, format, status: 201, warnings: result.warnings)
      }
    }
  }
}

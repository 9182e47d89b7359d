import Client
import ControlPlane
import HTTP
import Schema
import Wire

/// POSTs that are questions or actions: `pods/binding`, `pods/eviction`, `serviceaccounts/token`, access reviews.
extension KubernetesAPI {
  func actionPolicy(_ request: Request) throws(APIError) -> RequestPolicy {
    let format = try Negotiation.output(request.head, request.query)
    let encoding = try RequestBody.encoding(request.head)
    let options = try RequestBody.options(request.head, request.query)
    return RequestPolicy(body: .buffered(limit: configuration.bodyLimit)) { [self] exchange in
      let bytes = RequestBody.bytes(exchange)
      answer(exchange) { () throws(APIError) in
        let answer: Value
        switch (request.target.subresource?.name, request.kind.typeName) {
        case ("binding", _):
          answer = try await self.act(request, bytes, encoding, options, "core/v1.Binding", "v1", "Binding")
        case ("eviction", _):
          answer = try await self.act(request, bytes, encoding, options, "policy/v1.Eviction", "policy/v1", "Eviction")
        case ("token", _):
          answer = try await self.act(
            request, bytes, encoding, options, "authentication/v1.TokenRequest", "authentication.k8s.io/v1", "TokenRequest")
        case (nil, "core/v1.Binding"):
          // POST of a Binding to the namespace: the pod is the binding's name.
          let decoded = try RequestBody.object(bytes, encoding, request.kind, self.schema)
          let pods = try self.controlPlane.kind(GroupVersionResource(resource: "pods"))
          let key = ObjectKey(namespace: request.key.namespace, name: decoded.value["metadata"]["name"].string ?? "")
          answer = try await self.controlPlane.act(
            pods, key, subresource: "binding", body: decoded.value, identity: request.identity, options: options)
        default:
          let decoded = try RequestBody.object(bytes, encoding, request.kind, self.schema)
          answer = try self.controlPlane.review(
            request.kind, decoded.value, namespace: request.key.namespace, identity: request.identity)
        }
        return self.render(answer, format, status: 201)
      }
    }
  }

  private func act(
    _ request: Request, _ bytes: [UInt8], _ encoding: BodyEncoding, _ options: WriteOptions, _ type: String, _ apiVersion: String,
    _ kind: String
  ) async throws(APIError) -> Value {
    let decoded = try RequestBody.value(bytes, encoding, type: type, apiVersion: apiVersion, kind: kind, schema)
    return try await controlPlane.act(
      request.kind, request.key, subresource: request.target.path.subresource, body: decoded.value, identity: request.identity,
      options: options)
  }
}

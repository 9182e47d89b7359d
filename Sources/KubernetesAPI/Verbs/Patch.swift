import Client
import ControlPlane
import HTTP
import Schema
import Wire

extension KubernetesAPI {
  func patchPolicy(_ request: Request) throws(APIError) -> RequestPolicy {
    let format = try Negotiation.output(request.head, request.query)
    let kind = try Self.patchKind(request.head)
    let options = try RequestBody.options(request.head, request.query)
    return RequestPolicy(body: .buffered(limit: configuration.bodyLimit)) { [self] exchange in
      let bytes = RequestBody.bytes(exchange)
      answer(exchange) { () throws(APIError) in
        let patch = try Self.patch(kind, bytes)
        let result = try await self.controlPlane.write(
          WriteRequest(
            kind: request.kind, key: request.key, subresource: request.target.subresource?.name, verb: .patch(patch),
            identity: request.identity, options: options))
        return self.render(result.object, request, format, status: result.isCreated ? 201 : 200, warnings: result.warnings)
      }
    }
  }

  static func patchKind(_ head: RequestHead) throws(APIError) -> Patch.Kind {
    let type = MediaType.list(head.fields["content-type"] ?? "").first?.type ?? ""
    guard let kind = Patch.Kind(rawValue: type) else {
      throw APIError(
        .unsupportedMediaType,
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml"
      )
    }
    return kind
  }

  static func patch(_ kind: Patch.Kind, _ bytes: [UInt8]) throws(APIError) -> Patch {
    if kind == .apply {
      do throws(YAMLError) { return Patch(kind, try YAML.decode(bytes).value) } catch {
        throw .badRequest("error decoding YAML: \(error)")
      }
    }
    do throws(JSONError) { return Patch(kind, try Value(json: bytes)) } catch {
      throw .badRequest("error decoding patch: \(error)")
    }
  }
}

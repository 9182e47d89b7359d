import Client
import ControlPlane
import HTTP
import Schema
import Wire

/// `scale` of the workloads: a small object of its own over `spec.replicas`.
extension KubernetesAPI {
  func scalePolicy(_ request: Request) throws(APIError) -> RequestPolicy {
    let format = try Negotiation.output(request.head, request.query)
    switch request.target.path.verb {
    case "get":
      return RequestPolicy { [self] exchange in
        do throws(APIError) {
          exchange.respond(render(scale: try controlPlane.scale(request.kind, request.key), request, format))
        } catch { fail(exchange, error) }
      }
    case "update":
      let encoding = try RequestBody.encoding(request.head)
      let options = try RequestBody.options(request.head, request.query)
      return RequestPolicy(body: .buffered(limit: configuration.bodyLimit)) { [self] exchange in
        let bytes = RequestBody.bytes(exchange)
        answer(exchange) { () throws(APIError) in
          let decoded = try RequestBody.value(
            bytes, encoding, type: Self.scaleType, apiVersion: "autoscaling/v1", kind: "Scale", self.schema)
          if options.fieldValidation == "Strict", !decoded.strictErrors.isEmpty {
            throw .badRequest("Scale cannot be read: strict decoding error: \(decoded.strictErrors.joined(separator: ", "))")
          }
          return try await self.rescale(request, options, format) { _ throws(APIError) in decoded.value }
        }
      }
    case "patch":
      let kind = try Self.patchKind(request.head)
      if kind == .apply { throw ControlPlane.applyIsMissing }
      let options = try RequestBody.options(request.head, request.query)
      return RequestPolicy(body: .buffered(limit: configuration.bodyLimit)) { [self] exchange in
        let bytes = RequestBody.bytes(exchange)
        answer(exchange) { () throws(APIError) in
          let patch = try Self.patch(kind, bytes)
          return try await self.rescale(request, options, format) { scale throws(APIError) in
            var merged: Value
            do throws(PatchError) {
              switch patch.kind {
              case .json: merged = try JSONPatch.apply(patch.body, to: scale)
              // A Scale has no lists that merge by key.
              case .merge, .strategic, .apply: merged = try MergePatch.apply(patch.body, to: scale)
              }
            } catch { throw .badRequest(error.message) }
            guard let type = self.schema.type(named: Self.scaleType) else { throw .internalError("no type \(Self.scaleType)") }
            guard merged["kind"].string ?? "Scale" == "Scale", merged["apiVersion"].string ?? "autoscaling/v1" == "autoscaling/v1"
            else {
              throw .badRequest("the patch makes something else of the Scale: leave kind and apiVersion as they are")
            }
            _ = try self.controlPlane.check(&merged, madeBy: patch, type: type, validation: options.fieldValidation)
            return merged
          }
        }
      }
    default: throw Self.methodNotAllowed
    }
  }

  private static let scaleType = "autoscaling/v1.Scale"

  private func render(scale: Value, _ request: Request, _ format: OutputFormat) -> HTTPResponse {
    render(format.shape == .table ? TableRenderer.scale(scale, request.query, now: controlPlane.clock.now()) : scale, format)
  }

  private func rescale(
    _ request: Request, _ options: WriteOptions, _ format: OutputFormat,
    _ change: @escaping @Sendable (Value) throws(APIError) -> Value
  ) async throws(APIError) -> HTTPResponse {
    _ = try await controlPlane.scale(request.kind, request.key, identity: request.identity, options, change)
    var scale = try controlPlane.scale(request.kind, request.key)
    if options.dryRun { scale = try change(scale) }
    return render(scale: scale, request, format)
  }
}

import Client
import ControlPlane
import HTTP
import Schema
import Wire

extension KubernetesAPI {
  func deletePolicy(_ request: Request) throws(APIError) -> RequestPolicy {
    let format = try Negotiation.output(request.head, request.query)
    return RequestPolicy(body: .buffered(limit: configuration.bodyLimit)) { [self] exchange in
      let bytes = RequestBody.bytes(exchange)
      answer(exchange) { () throws(APIError) in
        let options = try self.deleteOptions(bytes, request)
        let result = try await self.controlPlane.delete(request.kind, request.key, options, identity: request.identity)
        // Upstream answers with the object for some kinds, and for whatever stays.
        if let remaining = result.remaining ?? (Self.returnsDeleted.contains(request.kind.typeName) ? result.deleted : nil) {
          return self.render(remaining, request, format)
        }
        return self.render(
          StatusBody.success(name: request.key.name, request.kind.gvr.groupResource, uid: result.uid), format)
      }
    }
  }

  /// Source: Kubernetes' registries with ReturnDeletedObject.
  private static let returnsDeleted: Set<String> = [
    "core/v1.Namespace", "core/v1.PersistentVolume", "core/v1.PersistentVolumeClaim", "core/v1.Pod", "core/v1.PodTemplate",
    "core/v1.ResourceQuota", "core/v1.Service", "core/v1.ServiceAccount", "storage/v1.CSIDriver", "storage/v1.CSINode",
    "storage/v1.StorageClass", "storage/v1.VolumeAttachment",
  ]

  /// From the body, or from the query where there is none.
  func deleteOptions(_ bytes: [UInt8], _ request: Request) throws(APIError) -> DeleteOptions {
    var options = DeleteOptions()
    var value = Value.emptyObject
    if bytes.isEmpty {
      if let seconds = try request.query.integer("gracePeriodSeconds") { value["gracePeriodSeconds"] = .int(Int64(seconds)) }
      if let policy = request.query["propagationPolicy"] { value["propagationPolicy"] = .string(policy) }
      if request.query["orphanDependents"] != nil { value["orphanDependents"] = .bool(request.query.flag("orphanDependents")) }
    } else {
      let decoded: Decoded
      guard let type = schema.type(named: "meta/v1.DeleteOptions") else { throw .internalError("no type DeleteOptions") }
      do throws(DecodeError) { decoded = try schema.decode(bytes, encoding: try Self.encoding(request.head), type: type) } catch {
        throw .badRequest("DeleteOptions cannot be read: \(error.message)")
      }
      if !decoded.kind.isEmpty, decoded.kind != "DeleteOptions" {
        throw .badRequest("the body of a delete is DeleteOptions, not \(decoded.kind)")
      }
      value = decoded.value
    }
    options.gracePeriodSeconds = try ControlPlane.gracePeriod(value["gracePeriodSeconds"].int)
    if let policy = value["propagationPolicy"].string, !policy.isEmpty {
      guard let propagation = DeleteOptions.Propagation(rawValue: policy) else {
        throw .invalidOptions(
          "DeleteOptions",
          [
            .init(
              reason: "FieldValueNotSupported",
              message:
                "Unsupported value: \"\(policy.prefix(64))\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
              field: "propagationPolicy")
          ])
      }
      guard value["orphanDependents"].bool == nil else {
        throw .invalidOptions(
          "DeleteOptions",
          [
            .init(
              reason: "FieldValueInvalid",
              message: "Invalid value: \"\(policy)\": orphanDependents and deletionPropagation cannot be both set",
              field: "propagationPolicy")
          ])
      }
      options.propagation = propagation
    } else if let orphan = value["orphanDependents"].bool {
      options.propagation = orphan ? .orphan : .background
    }
    options.preconditionUID = value["preconditions"]["uid"].string
    options.preconditionResourceVersion = value["preconditions"]["resourceVersion"].string
    options.dryRun = try RequestBody.dryRun(value["dryRun"][0].string ?? request.query["dryRun"], "DeleteOptions")
    return options
  }

  /// Clients send JSON without saying so.
  private static func encoding(_ head: RequestHead) throws(DecodeError) -> BodyEncoding {
    do throws(APIError) { return try RequestBody.encoding(head) } catch { throw DecodeError(error.message) }
  }
}

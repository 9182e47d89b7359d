import Cache
import Client
import Schema
import Wire

/// The rules of the table for every kind.
enum Validation {
  static func check(_ object: Value, old: Value?, _ context: WriteContext) -> [FieldFault] {
    let schema = context.controlPlane.schema
    let operation: ValidationOperation =
      switch (context.request.subresource, old) {
      case (nil, nil): .create
      case (nil, _), ("scale", _): .update
      case ("status", _): .status
      case (let name?, _): .subresource(name)
      }
    var object = object
    // The pipeline has compared the revision already and keeps it out of the object.
    if old != nil { object["metadata"]["resourceVersion"] = "1" }
    var errors = schema.validate(
      object, old: old, kind: context.controlPlane.schema.storageKind(of: context.kind), operation: operation)
    // Agents end the service's address themselves, so a server that listens on loopback may say so (DESIGN section 7).
    let isOwn = object["metadata"]["namespace"] == "default" && object["metadata"]["name"].string?.hasPrefix("kubernetes") == true
    if isOwn { errors.removeAll { $0.detail.hasPrefix("may not be in the loopback range") } }
    return errors.map { FieldFault(reason: $0.kind.cause, field: $0.field, message: $0.message) }
  }
}

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
    var (object, old) = (object, old)
    // The pipeline has compared the revision already and keeps it out of the object.
    if old != nil { object["metadata"]["resourceVersion"] = "1" }
    var kind = schema.storageKind(of: context.kind)
    if context.kind.typeName == "events/v1.Event" {
      // Stored in the older form, and written by the stricter rules of the newer.
      schema.convert(&object, from: kind, to: context.kind)
      if var stored = old {
        schema.convert(&stored, from: kind, to: context.kind)
        old = stored
      }
      kind = context.kind
    }
    var errors = schema.validate(object, old: old, kind: kind, operation: operation)
    // Agents end the service's address themselves, so a server that listens on loopback may say so (DESIGN section 7).
    let isOwn = object["metadata"]["namespace"] == "default" && object["metadata"]["name"].string?.hasPrefix("kubernetes") == true
    if isOwn { errors.removeAll { $0.detail.hasPrefix("may not be in the loopback range") } }
    return errors.map { FieldFault(reason: $0.kind.cause, field: $0.field, message: $0.message) }
  }
}

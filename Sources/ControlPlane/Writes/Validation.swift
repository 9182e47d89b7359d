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
    let errors = schema.validate(object, old: old, kind: context.controlPlane.storageKind(context.kind), operation: operation)
    return errors.map { FieldFault(reason: $0.kind.cause, field: $0.field, message: $0.message) }
  }
}

import Client
import Schema
import Wire

/// The rules of the table, and what holds for the metadata of every kind.
enum Validation {
  static func check(_ object: Value, old: Value?, _ context: WriteContext) -> [FieldFault] {
    context.controlPlane.schema.validate(
      object, old: old, kind: context.kind, operation: operation(old, context.request.subresource)
    ).map { FieldFault(reason: $0.cause, field: $0.field, message: $0.message) }
  }

  private static func operation(_ old: Value?, _ subresource: String?) -> ValidationOperation {
    if old == nil { return .create }
    return subresource == "status" ? .status : .update
  }
}

import Cache
import Client
import Schema
import Wire

/// Field ownership: `metadata.managedFields` after every write, whoever made it.
enum Ownership {
  static func record(_ object: inout Value, old: Value?, _ context: WriteContext) {
    let control = context.controlPlane
    control.schema.updateManagedFields(
      old: old, new: &object, kind: control.schema.storageKind(of: context.kind), subresource: context.request.subresource ?? "",
      manager: context.request.options.fieldManager, now: context.now.description)
  }
}

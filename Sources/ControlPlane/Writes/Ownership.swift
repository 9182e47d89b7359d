import Client
import Schema
import Wire

/// Field ownership: `metadata.managedFields` after every write, whoever made it.
enum Ownership {
  static func record(_ object: inout Value, old: Value?, _ context: WriteContext) {
    let manager = context.request.options.fieldManager
    let name = manager.isEmpty ? "unknown" : String(manager.prefix(128))
    object["metadata"]["managedFields"] = context.controlPlane.schema.updatedManagedFields(
      object, old: old, kind: context.kind, manager: name, subresource: context.request.subresource ?? "", now: context.now)
    if object["metadata"]["managedFields"].array?.isEmpty != false { object["metadata"].remove("managedFields") }
  }
}

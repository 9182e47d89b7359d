import Cache
import Client
import Schema
import Wire

/// Field ownership: `metadata.managedFields` after every write, whoever made it.
enum Ownership {
  /// Whether a request asks to forget who owns what: an empty list, or one empty entry (what a merge patch can say).
  static func isReset(_ managedFields: Value) -> Bool {
    guard let entries = managedFields.array else { return false }
    return entries.isEmpty || entries.count == 1 && entries[0].object?.members.allSatisfy { $0.value.isNull } == true
  }

  static func record(_ object: inout Value, old: Value?, _ context: WriteContext) {
    let control = context.controlPlane
    control.schema.updateManagedFields(
      old: old, new: &object, kind: control.schema.storageKind(of: context.kind), subresource: context.request.subresource ?? "",
      manager: context.request.options.fieldManager, now: context.now.description)
  }
}

import Client
import Schema
import Wire

/// What an update leaves as it was, whatever its body says, and what it raises.
extension ControlPlane {
  /// Identity, times and the half of the object that the endpoint does not own stay as they are.
  func keepWhatClientsCannotChange(_ object: inout Value, old: Value, _ context: WriteContext) throws(APIError) {
    let kind = context.kind
    var faults: [FieldFault] = []
    // Another creationTimestamp is no fault: manifests that were read from a cluster have one.
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds"] where old["metadata"][field].isNull {
      let new = object["metadata"][field]
      if !new.isNull { faults.append(.invalid("metadata.\(field)", new, FieldFault.immutable)) }
    }
    if !faults.isEmpty { throw .invalid(kind, context.request.key.name, faults) }
    for field in [
      "name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation",
      "generateName", "selfLink",
    ] {
      if old["metadata"][field].isNull {
        object["metadata"].remove(field)
      } else {
        object["metadata"][field] = old["metadata"][field]
      }
    }
    object["metadata"]["managedFields"] = old["metadata"]["managedFields"]
    if object["metadata"]["managedFields"].isNull { object["metadata"].remove("managedFields") }
    let hasStatus = kind.subresource("status") != nil
    if context.request.subresource == "status" {
      // Only status, and the metadata that is not the main resource's alone, comes from the request.
      var kept = old
      if object["status"].isNull { kept.remove("status") } else { kept["status"] = object["status"] }
      for field in ["labels", "annotations", "finalizers"] where kind.typeName != "apps/v1.Deployment" || field != "labels" {
        if object["metadata"][field].isNull {
          kept["metadata"].remove(field)
        } else {
          kept["metadata"][field] = object["metadata"][field]
        }
      }
      object = kept
    } else if context.request.subresource == "approval" {
      var kept = old
      if !object["status"]["conditions"].isNull { kept["status"]["conditions"] = object["status"]["conditions"] }
      object = kept
    } else if hasStatus, context.request.subresource != "finalize" {
      if old["status"].isNull { object.remove("status") } else { object["status"] = old["status"] }
    }
    // A namespace's own finalizers change only through finalize.
    if kind.typeName == "core/v1.Namespace" {
      if context.request.subresource == "finalize" {
        var kept = old
        kept["spec"] = object["spec"]
        object = kept
      } else {
        object["spec"] = old["spec"]
      }
    }
    // While an object is being deleted, finalizers can only be taken away.
    if !old["metadata"]["deletionTimestamp"].isNull {
      let had = Set((old["metadata"]["finalizers"].array ?? []).compactMap(\.string))
      let added = (object["metadata"]["finalizers"].array ?? []).compactMap(\.string).filter { !had.contains($0) }
      if !added.isEmpty {
        throw .invalid(
          kind, context.request.key.name,
          [
            .forbidden(
              "metadata.finalizers",
              "no new finalizers can be added if the object is being deleted, found new finalizers []string{\(added.map { "\"\($0)\"" }.joined(separator: ", "))}"
            )
          ])
      }
    }
  }

  func raiseGeneration(_ object: inout Value, old: Value, _ kind: ResourceKind, subresource: String?) {
    guard let rule = kind.strategy.generation, subresource != "status" else { return }
    func differs(_ path: String) -> Bool {
      let parts = path.split(separator: ".").map(String.init)
      return parts.reduce(object) { $0[$1] } != parts.reduce(old) { $0[$1] }
    }
    let changed =
      switch rule {
      case "spec or metadata.annotations": differs("spec") || differs("metadata.annotations")
      case "anything but metadata bookkeeping":
        differs("endpoints") || differs("ports") || differs("addressType") || differs("metadata.labels")
      case "webhooks", "template", "spec": differs(rule)
      default: false
      }
    if changed { object["metadata"]["generation"] = .int((old["metadata"]["generation"].int ?? 0) + 1) }
  }
}

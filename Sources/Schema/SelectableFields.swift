import Wire

extension SchemaTable {
  /// True where a field selector may name the field.
  package func isSelectable(_ field: String, _ kind: ResourceKind) -> Bool {
    field == "metadata.name" || field == "metadata.namespace" && kind.isNamespaced || kind.selectableFields.contains(field)
      || kind.fieldAliases[field] != nil
  }

  /// The text a field selector compares with.
  package func selectableValue(_ field: String, _ kind: ResourceKind, _ view: JSONView) -> String {
    let field = kind.fieldAliases[field] ?? field
    switch (kind.typeName, field) {
    case ("core/v1.Pod", "spec.hostNetwork"), ("core/v1.Node", "spec.unschedulable"):
      return view.at(path: field).bool == true ? "true" : "false"
    case ("core/v1.Pod", "status.podIP"), ("core/v1.Pod", "status.podIPs"): return view.at(path: "status.podIPs[0].ip").string ?? ""
    case ("core/v1.Event", "source"): return view["source"]["component"].string ?? view["reportingComponent"].string ?? ""
    case ("batch/v1.Job", "status.successful"): return String(view["status"]["succeeded"].int ?? 0)
    default:
      let found = view.at(path: field)
      return found.string ?? (found.isNull ? (field.hasSuffix("replicas") ? "0" : "") : found.value.json)
    }
  }
}

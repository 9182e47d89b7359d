import Cache
import Client
import Schema
import Wire

/// Label and field selectors, compiled once a request.
package struct ObjectFilter: Sendable {
  private let labels: LabelSelector
  private let fields: FieldSelector
  private let kind: ResourceKind
  private let table: SchemaTable

  /// - Throws: `.badRequest` for a selector that cannot be parsed or names a field that is not selectable.
  init(_ request: ReadRequest, table: SchemaTable) throws(APIError) {
    self.table = table
    kind = request.kind
    do throws(LabelSelector.Malformed) {
      labels = try LabelSelector(parsing: request.labelSelector)
      fields = try FieldSelector(parsing: request.fieldSelector)
    } catch { throw .badRequest(error.description) }
    for requirement in labels.requirements { try Self.check(requirement) }
    for field in fields.requirements.map(\.field) where !table.isSelectable(field, request.kind) {
      // Clients put the resource and the selectors before it.
      throw .badRequest(
        request.kind.selectableFields.isEmpty
          ? "\"\(field)\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
          : "field label not supported: \(field)")
    }
  }

  /// A key or value that no label can have is a mistake, not a selection of nothing.
  private static func check(_ requirement: LabelSelector.Requirement) throws(APIError) {
    func refusal(_ path: String, _ value: String, _ messages: [String]) -> APIError {
      .badRequest(
        "unable to parse requirement: \(path): Invalid value: \(Value.string(value).json): \(messages.joined(separator: "; "))")
    }
    let wrong = LabelNames.key(requirement.key)
    if !wrong.isEmpty { throw refusal("<nil>", requirement.key, wrong) }
    let values: [String] =
      switch requirement.operation {
      case .in(let values), .notIn(let values): values
      default: []
      }
    for (i, value) in values.enumerated() {
      let wrong = LabelNames.value(value)
      if !wrong.isEmpty { throw refusal("values[\(i)][\(requirement.key)]", value, wrong) }
    }
  }

  package var isEmpty: Bool { labels.isEmpty && fields.isEmpty }

  package func matches(_ object: EncodedObject) -> Bool {
    if isEmpty { return true }
    return object.withView { view in
      if !labels.isEmpty, !labels.matches(view["metadata"]["labels"]) { return false }
      return fields.isEmpty || fields.matches { table.selectableValue($0, kind, view) }
    }
  }

  private func value(of field: String) -> String? { fields.requirements.first { $0.field == field && $0.isEqual }?.value }

  /// What a watcher must be woken for.
  func scope(_ request: ReadRequest) -> WatchScope {
    if let name = request.name ?? value(of: "metadata.name") {
      if !request.kind.isNamespaced { return .object(ObjectKey(name: name)) }
      if let namespace = request.namespace { return .object(ObjectKey(namespace: namespace, name: name)) }
    }
    if request.kind.typeName == "core/v1.Pod", let node = value(of: "spec.nodeName"), !node.isEmpty { return .attribute(node) }
    return request.namespace.map { .namespace($0) } ?? .all
  }
}

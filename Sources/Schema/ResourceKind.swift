import Wire

/// A served resource: what discovery says of it and what the write pipeline must know.
package struct ResourceKind: Sendable {
  package let gvr: GroupVersionResource
  package let kind: String
  package let singular: String
  package let shortNames: [String]
  package let categories: [String]
  package let isNamespaced: Bool
  package let verbs: [String]
  package let subresources: [Subresource]
  package let type: TypeID
  /// `core/v1.Pod`: the key of the other tables.
  package let typeName: String
  package let strategy: StrategyRow
  /// Beyond `metadata.name` and `metadata.namespace`.
  package let selectableFields: [String]
  package let fieldAliases: [String: String]
  /// Objects are stored in the form of another version: ``SchemaTable/storageKind(of:)``.
  package let isConverted: Bool

  package var listKind: String { "\(kind)List" }
  package var apiVersion: String { gvr.apiVersion }

  /// Where objects of the kind live. Both kinds of Event share one place.
  package var storage: GroupResource {
    gvr.group == "events.k8s.io" && gvr.resource == "events" ? GroupResource(group: "", resource: "events") : gvr.groupResource
  }

  /// False for kinds that are questions (reviews) or computed (component statuses).
  package var isStored: Bool { verbs.contains("watch") || verbs.contains("list") && gvr.resource != "componentstatuses" }

  /// True where status is written through a subresource of its own: emptied on create, kept on update of the main resource.
  package var hasStatus: Bool { subresources.contains { $0.name == "status" } }

  package func subresource(_ name: String) -> Subresource? { subresources.first { $0.name == name } }
}

package struct Subresource: Sendable {
  package let name: String
  package let kind: String
  /// nil where they are the parent's.
  package let group: String?
  package let version: String?
  package let verbs: [String]
  /// A stream that is upgraded or proxied.
  package let isConnect: Bool
}

/// What upstream's strategy of a kind does, as far as rows can say it.
package struct StrategyRow: Sendable {
  /// PUT of a missing object creates it.
  package let allowsCreateOnUpdate: Bool
  /// PUT without a resourceVersion is accepted.
  package let allowsUnconditionalUpdate: Bool
  /// What must change for `metadata.generation` to grow, in the words of the table; nil where the kind has none.
  package let generation: String?
  /// Paths and words of the table: what an update may not change.
  package let immutable: [String]
  /// Paths of the table: what alone an update may change in spec; empty where everything may change.
  package let mutableOnly: [String]
  /// What the status subresource keeps from the stored object beside spec.
  package let statusKeeps: [String]
}

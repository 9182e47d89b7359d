/// A resource without its version: what storage, cache and RBAC know. `deployments.apps`; the core group is "".
package struct GroupResource: Hashable, Sendable, Comparable, CustomStringConvertible {
  package var group: String
  package var resource: String

  package init(group: String = "", resource: String) {
    self.group = group
    self.resource = resource
  }

  /// As upstream writes it in messages: `pods`, `deployments.apps`.
  package var description: String { group.isEmpty ? resource : "\(resource).\(group)" }

  package static func < (a: Self, b: Self) -> Bool { (a.group, a.resource) < (b.group, b.resource) }
}

/// A resource as a client addresses it. Statics for the kinds that components use stand in `Client/Resources.swift`.
package struct GroupVersionResource: Hashable, Sendable, CustomStringConvertible {
  package var group: String
  package var version: String
  package var resource: String

  package init(group: String = "", version: String = "v1", resource: String) {
    self.group = group
    self.version = version
    self.resource = resource
  }

  package var groupResource: GroupResource { GroupResource(group: group, resource: resource) }
  /// `v1`, `apps/v1`.
  package var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
  package var description: String { "\(apiVersion)/\(resource)" }
}

/// The name of one object of a resource. `namespace` is "" for cluster-scoped kinds.
package struct ObjectKey: Hashable, Sendable, Comparable, CustomStringConvertible {
  package var namespace: String
  package var name: String

  package init(namespace: String = "", name: String) {
    self.namespace = namespace
    self.name = name
  }

  package var description: String { namespace.isEmpty ? name : "\(namespace)/\(name)" }

  package static func < (a: Self, b: Self) -> Bool { (a.namespace, a.name) < (b.namespace, b.name) }
}

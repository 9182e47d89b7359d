import CTables
import Wire

/// Every kind and shape that is served, as one table. Built-in kinds and (later) CustomResourceDefinitions go down this one path.
///
/// In: the blob that scripts/generate-tables makes from the facts in shared/data.
/// Out: kinds, shapes, and everything that follows from them: decoding, pruning, defaults, canonical bytes, merge, columns, discovery.
/// Never: holds an object, does I/O, or knows what a controller does.
package final class SchemaTable: Sendable {
  /// The kinds of the release, loaded once at first use.
  package static let builtin = SchemaTable.load()

  /// In the order of discovery.
  package let groups: [APIGroup]
  package let shapes: [Shape]
  /// What each shape's defaults are, by its position.
  let defaults: [TypeDefaults]
  /// The members of a CRD schema, which some shapes hold in more than one form.
  let schemaProps: Shape?
  let columns: [String: [TableColumn]]
  private let byResource: [GroupVersionResource: ResourceKind]
  private let byKind: [String: ResourceKind]
  private let shapesByName: [String: TypeID]
  private let gates: [String: Bool]

  init(
    groups: [APIGroup], shapes: [Shape], defaults: [String: [DefaultRow]], columns: [String: [TableColumn]], gates: [String: Bool]
  ) {
    self.groups = groups
    self.shapes = shapes
    self.defaults = TypeDefaults.all(shapes, rows: defaults)
    schemaProps = shapes.first { $0.name == "apiextensions/v1.JSONSchemaProps" }
    self.columns = columns
    self.gates = gates
    var byResource: [GroupVersionResource: ResourceKind] = [:]
    var byKind: [String: ResourceKind] = [:]
    for kind in groups.lazy.flatMap(\.versions).flatMap(\.resources) {
      byResource[kind.gvr] = kind
      byKind["\(kind.gvr.apiVersion)/\(kind.kind)"] = kind
    }
    self.byResource = byResource
    self.byKind = byKind
    var shapesByName: [String: TypeID] = [:]
    for (i, shape) in shapes.enumerated() where !shape.name.isEmpty { shapesByName[shape.name] = TypeID(i) }
    self.shapesByName = shapesByName
  }

  package func resource(_ gvr: GroupVersionResource) -> ResourceKind? { byResource[gvr] }

  package func kind(group: String, version: String, kind: String) -> ResourceKind? {
    byKind[group.isEmpty ? "\(version)/\(kind)" : "\(group)/\(version)/\(kind)"]
  }

  /// A type by the table's name: `core/v1.PodSpec`, `meta/v1.DeleteOptions`.
  package func type(named name: String) -> TypeID? { shapesByName[name] }

  package func isOn(gate: String) -> Bool { gates[gate] ?? false }

  @inline(__always) package func shape(_ id: TypeID) -> Shape { shapes[Int(id.index)] }

  /// The kind in whose form objects are stored: core/v1 for both Events, autoscaling/v2 for both autoscalers, itself for all others.
  package func storageKind(of kind: ResourceKind) -> ResourceKind {
    guard kind.isConverted else { return kind }
    return switch kind.typeName {
    case "events/v1.Event": resource(GroupVersionResource(resource: "events")) ?? kind
    case "autoscaling/v1.HorizontalPodAutoscaler":
      resource(GroupVersionResource(group: "autoscaling", version: "v2", resource: "horizontalpodautoscalers")) ?? kind
    default: kind
    }
  }

  /// Every resource, preferred versions first, in the order of discovery.
  package var resources: [ResourceKind] { groups.flatMap(\.versions).flatMap(\.resources) }

  /// One kind for each storage: what caches, garbage collection and namespace deletion go over.
  package var stored: [ResourceKind] {
    var seen: Set<GroupResource> = []
    return resources.filter { $0.isStored && seen.insert($0.storage).inserted }
  }
}

package struct APIGroup: Sendable {
  package let name: String
  package let priority: Int?
  /// The preferred one first.
  package let versions: [APIVersion]
}

package struct APIVersion: Sendable {
  package let group: String
  package let version: String
  package let resources: [ResourceKind]
  package var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
}

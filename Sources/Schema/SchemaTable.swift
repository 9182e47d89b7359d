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
  let defaults: [TypeID: [DefaultRow]]
  let columns: [String: [TableColumn]]
  private let byResource: [GroupVersionResource: ResourceKind]
  private let byKind: [String: ResourceKind]
  private let shapesByName: [String: TypeID]
  private let gates: [String: Bool]

  init(
    groups: [APIGroup], shapes: [Shape], defaults: [TypeID: [DefaultRow]], columns: [String: [TableColumn]], gates: [String: Bool]
  ) {
    self.groups = groups
    self.shapes = shapes
    self.defaults = defaults
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

  package func shape(_ id: TypeID) -> Shape { shapes[Int(id.index)] }

  /// Every resource, preferred versions first, in the order of discovery.
  package var resources: [ResourceKind] { groups.flatMap(\.versions).flatMap(\.resources) }

  /// One kind for each storage: what caches, garbage collection and namespace deletion go over.
  package var stored: [ResourceKind] {
    var seen: Set<GroupResource> = []
    return resources.filter { $0.isStored && seen.insert($0.storage).inserted }
  }
}

/// A position in the table's shapes.
package struct TypeID: Hashable, Sendable {
  let index: Int32
  init(_ index: Int) { self.index = Int32(truncatingIfNeeded: index) }
}

/// What a value may look like.
package struct Shape: Sendable {
  package enum Kind: Sendable, Equatable {
    case string, bool, int32, int64, double, bytes, quantity, intOrString, time, microTime, duration
    /// Any JSON object, kept as it is.
    case rawExtension
    case list, map, object
    /// A list that is a message of its own in protobuf.
    case listMessage
    /// A string out of a few.
    case `enum`
    /// Any JSON at all (FieldsV1, JSON of CRD schemas).
    case rawJSON
    /// Two JSON forms of one type, in CRD schemas.
    case objectOrArray, objectOrBool, objectOrStrings
  }

  package let kind: Kind
  /// The type's name in the table, "" for lists, maps and scalars.
  package let name: String
  /// Of lists and maps.
  package let element: TypeID
  package let fields: [Field]
  package let values: [String]
  /// A struct that is owned and merged as a whole.
  package let isAtomic: Bool

  package var isScalar: Bool {
    switch kind {
    case .list, .map, .object, .listMessage, .rawExtension, .rawJSON, .objectOrArray, .objectOrBool, .objectOrStrings: false
    default: true
    }
  }
}

/// A member of an object. Fields of inlined structs stand in their parent, with the number of the message that holds them in protobuf.
package struct Field: Sendable {
  package let name: String
  package let goName: String
  package let number: Int
  /// The inlined struct's own number, where the field is inside one; 0 otherwise.
  package let outerNumber: Int
  package let type: TypeID
  package let omitsEmpty: Bool
  package let isPointer: Bool
  package let isRequired: Bool
  package let isAtomic: Bool
  package let listType: String
  package let listMapKeys: [String]
  package let patchStrategies: [String]
  package let patchMergeKey: String
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

extension Shape {
  /// The field of a JSON name.
  @inline(__always) package func field(_ name: String) -> Field? { fields.first { $0.name == name } }
}

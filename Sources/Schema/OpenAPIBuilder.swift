import Wire

/// Makes definitions and collects what they refer to, so that a document holds exactly what it needs.
struct OpenAPIBuilder {
  let table: SchemaTable
  let texts: JSONView
  let format: OpenAPI.Version
  /// Definitions that something refers to and that are not written yet, and all that were ever asked for.
  private var waiting: [Definition] = []
  private var known: Set<String> = []
  /// The kinds that a type serves as.
  private let kindsOfType: [String: [GroupVersionKind]]

  struct GroupVersionKind: Hashable {
    var group, version, kind: String
    var value: Value { ["group": .string(group), "kind": .string(kind), "version": .string(version)] }
  }

  private enum Definition {
    case shape(TypeID)
    case list(of: ResourceKind)
    case fixed(String)
  }

  init(table: SchemaTable, texts: JSONView, format: OpenAPI.Version) {
    self.table = table
    self.texts = texts
    self.format = format
    var kinds: [String: [GroupVersionKind]] = [:]
    var versions: [GroupVersionKind] = []
    for version in table.groups.flatMap(\.versions) {
      versions.append(.init(group: version.group, version: version.version, kind: ""))
      for resource in version.resources {
        kinds[resource.typeName, default: []].append(
          .init(group: version.group, version: version.version, kind: resource.kind))
        for subresource in resource.subresources {
          let group = subresource.group ?? version.group
          let kind = GroupVersionKind(group: group, version: subresource.version ?? version.version, kind: subresource.kind)
          let name = Self.typeName(kind)
          if !kinds[name, default: []].contains(kind) { kinds[name, default: []].append(kind) }
        }
      }
    }
    for name in ["DeleteOptions", "WatchEvent"] {
      kinds["meta/v1.\(name)"] = versions.map { .init(group: $0.group, version: $0.version, kind: name) }
    }
    kinds["meta/v1.Status"] = [.init(group: "", version: "v1", kind: "Status")]
    kindsOfType = kinds
  }

  /// `rbac.authorization.k8s.io`, `v1`, `Role` → `rbac/v1.Role`, as the table names types.
  static func typeName(_ kind: GroupVersionKind) -> String {
    let group = kind.group.isEmpty ? "core" : kind.group.split(separator: ".").first.map(String.init) ?? kind.group
    return "\(group)/\(kind.version).\(kind.kind)"
  }

  // MARK: Names

  private static let scalars: [Shape.Kind: String] = [
    .quantity: "io.k8s.apimachinery.pkg.api.resource.Quantity",
    .intOrString: "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    .time: "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
    .microTime: "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
    .duration: "io.k8s.apimachinery.pkg.apis.meta.v1.Duration",
    .rawExtension: "io.k8s.apimachinery.pkg.runtime.RawExtension",
  ]
  static let patch = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch"
  static let listMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"

  /// `core/v1.Pod` → `io.k8s.api.core.v1.Pod`.
  static func definitionName(_ typeName: String) -> String {
    let dotted = typeName.replacing("/", with: ".")
    if typeName.hasPrefix("meta/") { return "io.k8s.apimachinery.pkg.apis.\(dotted)" }
    if typeName.hasPrefix("apiextensions/") { return "io.k8s.apiextensions-apiserver.pkg.apis.\(dotted)" }
    if typeName.hasPrefix("apiregistration/") { return "io.k8s.kube-aggregator.pkg.apis.\(dotted)" }
    return "io.k8s.api.\(dotted)"
  }

  private func link(_ name: String) -> String {
    format == .v2 ? "#/definitions/\(name)" : "#/components/schemas/\(name)"
  }

  private mutating func reference(_ definition: Definition, _ name: String) -> String {
    if known.insert(name).inserted { waiting.append(definition) }
    return link(name)
  }

  /// A link to the definition of a type of the table.
  mutating func reference(type id: TypeID) -> String {
    reference(.shape(id), Self.definitionName(table.shape(id).name))
  }

  mutating func reference(typeNamed name: String) -> String? { table.type(named: name).map { reference(type: $0) } }

  mutating func reference(listOf kind: ResourceKind) -> String {
    reference(.list(of: kind), Self.definitionName(kind.typeName) + "List")
  }

  mutating func reference(fixed name: String) -> String { reference(.fixed(name), name) }

  // MARK: Definitions

  /// Everything that was referred to, and what that refers to in turn. Sorted within one step only: clients read them as a map.
  mutating func forEachDefinition(_ body: (String, Value) -> Void) {
    while let next = waiting.popLast() {
      switch next {
      case .shape(let id):
        let shape = table.shape(id)
        body(Self.definitionName(shape.name), definition(shape))
      case .list(let kind): body(Self.definitionName(kind.typeName) + "List", list(of: kind))
      case .fixed(let name): body(name, fixed(name))
      }
    }
  }

  private func text(_ type: String, _ field: String = "") -> Value? {
    texts[dynamic: type][dynamic: field].string.map { .string($0) }
  }

  private static let apiVersion: Value = [
    "description": "The group and version of the schema that the object follows, such as `apps/v1`.", "type": "string",
  ]
  private static let kind: Value = ["description": "The kind of the object, such as `Pod`.", "type": "string"]
  private static let metadata: Value = "What every object has: name, namespace, labels, annotations, owners, versions."
  private static let listMetadata: Value = "The version of the list, and what it continues with."

  /// What a field is for: as its struct says, or the struct that is inlined there, or its type.
  private func text(of field: Field, in shape: Shape) -> Value? {
    for name in [shape.name] + shape.inlined {
      if let text = text(name, field.name) { return text }
    }
    let type = table.shape(field.type)
    if type.name == "meta/v1.ObjectMeta" { return Self.metadata }
    if type.name == "meta/v1.ListMeta" { return Self.listMetadata }
    return text(type.name) ?? (type.isCollection ? text(table.shape(type.element).name) : nil)
  }

  private mutating func definition(_ shape: Shape) -> Value {
    var schema = Object()
    if let text = text(shape.name) { schema["description"] = text }
    switch shape.kind {
    case .rawJSON:
      if shape.name == "meta/v1.FieldsV1" { schema["type"] = "object" }
      return .object(schema)
    case .objectOrArray, .objectOrBool, .objectOrStrings: return .object(schema)
    default: break
    }
    schema["type"] = "object"
    let required = shape.fields.filter(\.isRequired).map { Value.string($0.name) }
    if !required.isEmpty { schema["required"] = .array(required) }
    var properties = Object()
    let kinds = kindsOfType[shape.name] ?? []
    if !kinds.isEmpty, shape.name != "meta/v1.WatchEvent" {
      properties["apiVersion"] = Self.apiVersion
      properties["kind"] = Self.kind
    }
    for field in shape.fields where !field.name.isEmpty && properties[field.name] == nil {
      properties[field.name] = property(field, of: shape)
    }
    if !properties.isEmpty { schema["properties"] = .object(properties) }
    if shape.isAtomic { schema["x-kubernetes-map-type"] = "atomic" }
    if !kinds.isEmpty { schema["x-kubernetes-group-version-kind"] = .array(kinds.map(\.value)) }
    return .object(schema)
  }

  private mutating func property(_ field: Field, of shape: Shape) -> Value {
    let own = table.shape(field.type)
    var schema = Object()
    if let text = text(of: field, in: shape) { schema["description"] = text }
    let inner = self.schema(of: field.type)
    if format == .v3, let link = inner["$ref"] {
      schema["allOf"] = [["$ref": link]]
      if own.kind == .object, !field.isPointer { schema["default"] = .emptyObject }
    } else {
      for member in inner.members { schema[member.key] = member.value }
    }
    if !field.listType.isEmpty { schema["x-kubernetes-list-type"] = .string(field.listType) }
    if !field.listMapKeys.isEmpty { schema["x-kubernetes-list-map-keys"] = .array(field.listMapKeys.map { .string($0) }) }
    if !field.patchMergeKey.isEmpty { schema["x-kubernetes-patch-merge-key"] = .string(field.patchMergeKey) }
    if !field.patchStrategies.isEmpty {
      schema["x-kubernetes-patch-strategy"] = .string(field.patchStrategies.joined(separator: ","))
    }
    if field.isAtomic { schema["x-kubernetes-map-type"] = "atomic" }
    return .object(schema)
  }

  /// The schema of a value of the shape, by reference where the shape has a definition.
  private mutating func schema(of id: TypeID) -> Object {
    let shape = table.shape(id)
    switch shape.kind {
    case .string: return ["type": "string"]
    case .enum: return ["enum": .array(shape.values.map { .string($0) }), "type": "string"]
    case .bool: return ["type": "boolean"]
    case .int32: return ["format": "int32", "type": "integer"]
    case .int64: return ["format": "int64", "type": "integer"]
    case .double: return ["format": "double", "type": "number"]
    case .bytes: return ["format": "byte", "type": "string"]
    case .quantity, .intOrString, .time, .microTime, .duration, .rawExtension:
      guard let name = Self.scalars[shape.kind] else { return [:] }
      return ["$ref": .string(reference(fixed: name))]
    case .list, .listMessage:
      let element = schema(of: shape.element)
      if format == .v3, let link = element["$ref"] {
        let isObject = table.shape(shape.element).kind == .object
        return [
          "items": isObject ? ["allOf": [["$ref": link]], "default": .emptyObject] : ["allOf": [["$ref": link]]], "type": "array",
        ]
      }
      return ["items": .object(element), "type": "array"]
    case .map: return ["additionalProperties": .object(schema(of: shape.element)), "type": "object"]
    case .object, .rawJSON, .objectOrArray, .objectOrBool, .objectOrStrings: return ["$ref": .string(reference(type: id))]
    }
  }

  private mutating func list(of kind: ResourceKind) -> Value {
    let items = reference(type: kind.type)
    let meta = reference(fixed: Self.listMeta)
    let isV3 = format == .v3
    return [
      "description": "\(kind.listKind) is a list of objects of kind \(kind.kind).",
      "type": "object",
      "required": ["items"],
      "properties": [
        "apiVersion": Self.apiVersion,
        "items": [
          "description": "The objects.", "type": "array",
          "items": isV3 ? ["allOf": [["$ref": .string(items)]], "default": .emptyObject] : ["$ref": .string(items)],
        ],
        "kind": Self.kind,
        "metadata": isV3
          ? ["description": Self.listMetadata, "allOf": [["$ref": .string(meta)]], "default": .emptyObject]
          : ["description": Self.listMetadata, "$ref": .string(meta)],
      ],
      "x-kubernetes-group-version-kind": [
        GroupVersionKind(group: kind.gvr.group, version: kind.gvr.version, kind: kind.listKind).value
      ],
    ]
  }

  private func fixed(_ name: String) -> Value {
    switch name {
    case Self.scalars[.quantity]:
      let text: Value = "A number with a unit, such as `500m`, `2` or `1Gi`."
      return format == .v2
        ? ["description": text, "type": "string"] : ["description": text, "oneOf": [["type": "string"], ["type": "number"]]]
    case Self.scalars[.intOrString]:
      let text: Value = "A whole number or a text."
      return format == .v2
        ? ["description": text, "format": "int-or-string", "type": "string"]
        : ["description": text, "format": "int-or-string", "oneOf": [["type": "integer"], ["type": "string"]]]
    case Self.scalars[.time]: return ["description": "A time, RFC 3339, to the second.", "format": "date-time", "type": "string"]
    case Self.scalars[.microTime]:
      return ["description": "A time, RFC 3339, to the microsecond.", "format": "date-time", "type": "string"]
    case Self.scalars[.duration]: return ["description": "A length of time, such as `1m30s`.", "type": "string"]
    case Self.patch: return ["description": "A change of an object, in the form that the content type names.", "type": "object"]
    case Self.listMeta:
      return [
        "description": "What every list carries beside its objects.", "type": "object",
        "properties": [
          "continue": ["description": "Where the next part begins; empty at the end.", "type": "string"],
          "remainingItemCount": ["description": "About how many follow.", "format": "int64", "type": "integer"],
          "resourceVersion": ["description": "The revision at which the list was read.", "type": "string"],
          "selfLink": ["description": "Not set any more.", "type": "string"],
        ],
      ]
    default: return ["description": "Any JSON object.", "type": "object"]
    }
  }
}

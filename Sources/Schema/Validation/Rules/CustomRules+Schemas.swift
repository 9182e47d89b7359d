import Wire

extension CustomRules {
  private static let logic: Set<String> = ["allOf", "anyOf", "oneOf", "not"]

  private enum Level {
    /// The schema of a whole object.
    case root
    /// The schema of a list's elements.
    case item
    /// The schema of a field, or of a map's values.
    case field
    /// Below `allOf`, `anyOf`, `oneOf` or `not`: only conditions stand there, no structure.
    case condition
  }

  private static func level(_ scope: CustomScope) -> Level {
    let place = scope.typePlace
    let isCondition = place.contains { if case .field(let name) = $0 { logic.contains(name) } else { false } }
    if isCondition { return .condition }
    switch place.last {
    case .field("openAPIV3Schema"): return .root
    case .field("items"): return .item
    default: return .field
    }
  }

  /// A rule of structural schemas: not for conditions.
  private static func structural(
    _ check: @escaping @Sendable (_ value: Value, _ schema: Value, _ level: Level, _ scope: CustomScope) -> [CustomFinding]
  ) -> CustomRule {
    { value, scope in
      let level = level(scope)
      return level == .condition ? fine : check(value, scope.base, level, scope)
    }
  }

  private static let intOrString: Value = [["type": "integer"], ["type": "string"]]

  /// What a schema of conditions must not say.
  private static let conditionsOnly: CustomRule = { _, scope in
    guard level(scope) == .condition else { return fine }
    let schema = scope.base
    var findings: [CustomFinding] = []
    func forbid(_ name: String, _ isSet: Bool, _ word: String) {
      guard isSet else { return }
      findings.append(CustomFinding(message: "must be \(word) to be structural", at: scope.typePlace + [.field(name)]))
    }
    let isIntOrString = scope.value(at: scope.typePlace.dropLast(2))["anyOf"] == intOrString
    forbid("type", !schema["type"].isZero && !isIntOrString, "empty")
    forbid("default", !schema["default"].isNull, "undefined")
    forbid("title", !schema["title"].isZero, "empty")
    forbid("description", !schema["description"].isZero, "empty")
    forbid("nullable", schema["nullable"].bool == true, "false")
    for name in ["preserve-unknown-fields", "embedded-resource", "int-or-string"] {
      forbid("x-kubernetes-\(name)", schema["x-kubernetes-\(name)"].bool == true, "false")
    }
    forbid("x-kubernetes-list-map-keys", !schema["x-kubernetes-list-map-keys"].isZero, "empty")
    forbid("x-kubernetes-list-type", !schema["x-kubernetes-list-type"].isNull, "undefined")
    forbid("x-kubernetes-map-type", !schema["x-kubernetes-map-type"].isNull, "undefined")
    return findings
  }

  /// `type` must say what an extension is made for.
  private static func needs(_ type: String, _ extensionName: String) -> CustomRule {
    { value, scope in
      let found = scope.base["type"]
      guard !value.isNull, found.string != type else { return fine }
      return [
        CustomFinding(
          message: "must be \(type) if \(extensionName) is specified", value: found.isNull ? "" : found,
          kind: found.isZero ? .required : .invalid, at: scope.typePlace + [.field("type")])
      ]
    }
  }

  private static func isMapOfObjects(_ schema: Value) -> Bool {
    schema["x-kubernetes-list-type"].string == "map" && schema["items"]["type"].string == "object"
  }

  private static func mapKeys(_ value: Value, _ scope: CustomScope, _ isBad: (String, Value) -> Bool) -> [String] {
    guard isMapOfObjects(scope.base) else { return [] }
    return (value.array ?? []).compactMap(\.string).filter { isBad($0, scope.base["items"]["properties"][$0]) }
  }

  private static func property(_ name: String, _ scope: CustomScope) -> [FieldStep] {
    scope.typePlace + [.field("items"), .field("properties"), .key(name)]
  }

  /// Schemas of custom resources.
  static let schemas: [String: CustomRule] = [
    "apiextensions/v1.JSONSchemaProps|items|one schema, no list": refuse { value, _ in value.array != nil },
    "apiextensions/v1.JSONSchemaProps|additionalProperties|not beside properties": refuse { value, scope in
      !value.isNull && value.bool != true && !scope.base["properties"].isZero
    },
    "apiextensions/v1.JSONSchemaProps|x-kubernetes-preserve-unknown-fields|not false": refuse { value, _ in value.bool == false },
    "apiextensions/v1.JSONSchemaProps|x-kubernetes-map-type|only in objects": needs("object", "x-kubernetes-map-type"),
    "apiextensions/v1.JSONSchemaProps|x-kubernetes-list-type|only in arrays": needs("array", "x-kubernetes-list-type"),
    "apiextensions/v1.JSONSchemaProps|x-kubernetes-list-type|map where map keys are given": { value, scope in
      guard !scope.base["x-kubernetes-list-map-keys"].isZero, value.string != "map" else { return fine }
      return [CustomFinding(value: value.isNull ? "" : value, kind: value.isNull ? .required : .invalid)]
    },
    "apiextensions/v1.JSONSchemaProps|items|object items for map": { value, _ in
      guard value.object != nil, value["type"].string != "object" else { return fine }
      return [CustomFinding(value: value["type"].isNull ? "" : value["type"])]
    },
    "apiextensions/v1.JSONSchemaProps|x-kubernetes-list-map-keys|names of item properties": { value, scope in
      mapKeys(value, scope) { _, property in property.isNull }.map { _ in CustomFinding() }
    },
    "apiextensions/v1.JSONSchemaProps|x-kubernetes-list-map-keys|not twice": refuse { value, scope in
      let keys = (value.array ?? []).compactMap(\.string)
      return isMapOfObjects(scope.base) && Set(keys).count != keys.count
    },
    "apiextensions/v1.JSONSchemaProps|x-kubernetes-list-map-keys|scalar": { value, scope in
      mapKeys(value, scope) { _, property in property["type"].string == "array" || property["type"].string == "object" }.map {
        CustomFinding(value: scope.base["items"]["properties"][$0]["type"], at: property($0, scope) + [.field("type")])
      }
    },
    "apiextensions/v1.JSONSchemaProps|x-kubernetes-list-map-keys|required or with a default": { value, scope in
      let required = scope.base["items"]["required"].array ?? []
      return mapKeys(value, scope) { name, property in
        !property.isNull && property["default"].isNull && !required.contains(.string(name))
      }.map { CustomFinding(value: "", at: property($0, scope) + [.field("default")]) }
    },
    "apiextensions/v1.JSONSchemaProps|items|set items: arrays atomic, objects with map-type atomic": { value, scope in
      guard scope.base["x-kubernetes-list-type"].string == "set" else { return fine }
      let (name, isOpen) =
        switch value["type"].string {
        case "array": ("x-kubernetes-list-type", ["set", "map"].contains(value["x-kubernetes-list-type"].string ?? ""))
        case "object": ("x-kubernetes-map-type", value["x-kubernetes-map-type"].string != "atomic")
        default: ("", false)
        }
      guard isOpen else { return fine }
      // Upstream shows the type of the inner list at both places.
      return [CustomFinding(value: value["x-kubernetes-list-type"], at: scope.place + [.field(name)])]
    },
    "apiextensions/v1.JSONSchemaProps|type|structural: every schema names a type, unless int-or-string or preserve-unknown-fields":
      structural { value, schema, level, _ in
        guard value.isZero, schema["x-kubernetes-int-or-string"].bool != true,
          schema["x-kubernetes-preserve-unknown-fields"].bool != true, schema["x-kubernetes-embedded-resource"].bool != true
        else { return fine }
        switch level {
        case .root: return [CustomFinding(message: "must not be empty at the root")]
        case .item: return [CustomFinding(message: "must not be empty for specified array items")]
        default: return bad
        }
      },
    "apiextensions/v1.JSONSchemaProps|type|structural: object at the root": structural { value, _, level, _ in
      bad(level == .root && !value.isZero && value.string != "object")
    },
    "apiextensions/v1.JSONSchemaProps|items|structural: set for arrays": structural { value, schema, _, _ in
      bad(value.isNull && schema["type"].string == "array")
    },
    "apiextensions/v1.JSONSchemaProps|additionalProperties|structural: not at the root": structural { value, _, level, _ in
      bad(level == .root && !value.isNull)
    },
    "apiextensions/v1.JSONSchemaProps|allOf|structural: inside allOf, anyOf, oneOf, not there is no type, additionalProperties, default, title, description, nullable, x-kubernetes-*; int-or-string anyOf is excepted":
      conditionsOnly,
    "apiextensions/v1.JSONSchemaProps|properties|metadata at the root may only restrict name and generateName": structural {
      value, _, level, _ in
      guard level == .root, let metadata = value["metadata"].object else { return fine }
      let names = metadata["properties"]?.object?.keys ?? []
      let isFine =
        names.allSatisfy { $0 == "name" || $0 == "generateName" }
        && metadata.members.allSatisfy {
          ["type", "properties", "default", "description", "title"].contains($0.key) || $0.value.isZero
        }
      return bad(!isFine)
    },
    "apiextensions/v1.JSONSchemaProps|properties|kind and apiVersion are strings, metadata an object": structural {
      value, schema, level, scope in
      guard level == .root || schema["x-kubernetes-embedded-resource"].bool == true else { return fine }
      return [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")].compactMap { name, type in
        let found = value[name]
        guard !found.isNull, found["type"].string != type else { return nil }
        return CustomFinding(
          message: "must be \(type)", value: found["type"].isNull ? "" : found["type"],
          at: scope.place + [.key(name), .field("type")])
      }
    },
    "apiextensions/v1.JSONSchemaProps|x-kubernetes-int-or-string|not with preserve-unknown-fields or embedded-resource": {
      value, scope in
      guard value.bool == true else { return fine }
      return ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"].filter { scope.base[$0].bool == true }.map {
        CustomFinding(at: scope.typePlace + [.field($0)])
      }
    },
    "apiextensions/v1.JSONSchemaProps|x-kubernetes-embedded-resource|object with properties or preserve-unknown-fields": {
      value, scope in
      guard value.bool == true else { return fine }
      let type = scope.base["type"]
      var findings: [CustomFinding] = []
      if type.string != "object" {
        findings.append(
          CustomFinding(
            value: type.isNull ? "" : type, kind: type.isZero ? .required : .invalid, at: scope.typePlace + [.field("type")]))
      }
      if scope.base["x-kubernetes-preserve-unknown-fields"].bool != true, scope.base["properties"].isNull {
        findings.append(
          CustomFinding(
            message:
              "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
            at: scope.typePlace + [.field("properties")]))
      }
      return findings
    },
    "apiextensions/v1.JSONSchemaProps|nullable|not at the root": structural { value, _, level, _ in
      bad(level == .root && value.bool == true)
    },
  ]
}

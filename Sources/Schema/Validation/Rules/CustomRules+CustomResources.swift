import Wire

extension CustomRules {
  private static func isEstablished(_ definition: Value?) -> Bool {
    (definition?["status"]["conditions"].array ?? []).contains {
      $0["type"].string == "Established" && $0["status"].string == "True"
    }
  }

  private static func isCertificates(_ base64: Value) -> Bool {
    guard let bytes = base64.string.flatMap({ Base64.decode($0) }) else { return false }
    return PEM.blocks(bytes).contains { $0.type == "CERTIFICATE" }
  }

  private static let approval = "api-approved.kubernetes.io"

  /// What the annotation of an API in a group of the community says: nil where it is approved, or openly is not.
  private static func approvalProblem(_ text: String) -> (kind: FieldError.Kind, message: String)? {
    let link = "see https://github.com/kubernetes/enhancements/pull/1111"
    if text.isEmpty { return (.required, "protected groups must have approval annotation \"\(approval)\", \(link)") }
    if text.hasPrefix("unapproved") { return nil }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    if parts.count >= 3, parts[0].last == ":", parts[0].count > 1, parts[1].isEmpty, !parts[2].isEmpty, !text.contains(" ") {
      return nil
    }
    return (
      .invalid,
      "protected groups must have approval annotation \"\(approval)\" with either a URL or a reason starting with \"unapproved\", \(link)"
    )
  }

  private static let allowedAtRoot = [
    ("description", "Description"), ("type", "Type"), ("format", "Format"), ("title", "Title"), ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"), ("minimum", "Minimum"), ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"), ("minLength", "MinLength"), ("pattern", "Pattern"), ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"), ("multipleOf", "MultipleOf"), ("required", "Required"), ("items", "Items"),
    ("properties", "Properties"), ("externalDocs", "ExternalDocs"), ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"), ("x-kubernetes-validations", "XValidations"),
  ]

  /// Where a version has a status of its own, its root schema holds little but properties.
  private static let rootSchema: CustomRule = { value, scope in
    let schema = value["openAPIV3Schema"]
    guard !scope.base["subresources"]["status"].isNull, let members = schema.object?.members else { return fine }
    let place = scope.place + [.field("openAPIV3Schema")]
    for member in members where !member.value.isZero {
      if member.key == "type" {
        if member.value.string == "object" { continue }
        return [
          CustomFinding(
            message: #"only "object" is allowed as the type at the root of the schema if the status subresource is enabled"#,
            value: member.value, at: place + [.field("type")])
        ]
      }
      if !allowedAtRoot.contains(where: { $0.0 == member.key }) {
        let names = allowedAtRoot.map(\.1).joined(separator: " ")
        return [
          CustomFinding(
            message: "only [\(names)] fields are allowed at the root of the schema if the status subresource is enabled",
            value: schema, at: place)
        ]
      }
    }
    return fine
  }

  /// The schema that a path such as `.spec.color` leads to; nil where it leads nowhere.
  private static func resolve(_ path: String, in schema: Value) -> Value? {
    guard path.hasPrefix("."), path.utf8.count > 1 else { return nil }
    var schema = schema
    for name in path.dropFirst().split(separator: ".", omittingEmptySubsequences: false) {
      schema = schema["properties"][String(name)]
      if schema.isNull { return nil }
    }
    return schema
  }

  /// Definitions of custom resources, their schemas apart.
  static let customResources: [String: CustomRule] = [
    // The strategy fills it in where the main resource is written.
    "apiextensions/v1.CustomResourceDefinition|status.storedVersions|has at least one": refuse { value, scope in
      value.isZero && !scope.validator.isMain
    },
    "apiextensions/v1.CustomResourceDefinition|status.storedVersions|has the storage version": { value, scope in
      guard let stored = value.array, !stored.isEmpty else { return fine }
      let storage = (scope.root["spec"]["versions"].array ?? []).filter { $0["storage"].bool == true }
      return storage.filter { !stored.contains($0["name"]) }.map {
        CustomFinding(message: "must have the storage version \($0["name"].string ?? "")")
      }
    },
    "apiextensions/v1.CustomResourceDefinition|status.storedVersions|every one is in spec.versions": { value, scope in
      let names = (scope.root["spec"]["versions"].array ?? []).map { $0["name"] }
      return (value.array ?? []).enumerated().compactMap { i, version in
        guard !names.contains(version), let name = version.string else { return nil }
        return CustomFinding(
          message:
            "missing from spec.versions; \(name) was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in \(name) and removes \(name) from status.storedVersions",
          value: version, at: scope.place + [.index(i)])
      }
    },
    "apiextensions/v1.CustomResourceDefinition|metadata.annotations[\"api-approved.kubernetes.io\"]|groups k8s.io, *.k8s.io, kubernetes.io, *.kubernetes.io: a URL or \"unapproved...\"":
      { _, scope in
        let group = "." + (scope.root["spec"]["group"].string ?? "")
        guard group.hasSuffix(".k8s.io") || group.hasSuffix(".kubernetes.io") else { return fine }
        func annotation(_ root: Value?) -> Value { root?["metadata"]["annotations"][approval] ?? .null }
        guard let problem = approvalProblem(annotation(scope.root).string ?? "") else { return fine }
        if scope.oldRoot != nil, approvalProblem(annotation(scope.oldRoot).string ?? "")?.kind == problem.kind { return fine }
        return [
          CustomFinding(
            message: problem.message, value: annotation(scope.root), kind: problem.kind,
            at: [.field("metadata"), .field("annotations"), .key(approval)])
        ]
      },
    "apiextensions/v1.CustomResourceDefinitionSpec|preserveUnknownFields|false where a schema has defaults": { value, scope in
      func hasDefault(_ schema: Value) -> Bool {
        !schema["default"].isNull || (schema["properties"].object?.members ?? []).contains { hasDefault($0.value) }
          || schema["items"].object != nil && hasDefault(schema["items"])
          || schema["additionalProperties"].object != nil && hasDefault(schema["additionalProperties"])
      }
      guard value.bool == true else { return fine }
      return bad((scope.base["versions"].array ?? []).contains { hasDefault($0["schema"]["openAPIV3Schema"]) })
    },
    "apiextensions/v1.CustomResourceDefinitionSpec|conversion.strategy|None where preserveUnknownFields is true": refuse {
      value, scope in
      value.string == "Webhook" && scope.base["preserveUnknownFields"].bool == true
    },
    "apiextensions/v1.CustomResourceDefinitionVersion|deprecationWarning|only where deprecated; 1 to 256 characters, printable": {
      value, scope in
      guard let text = value.string else { return fine }
      var messages: [String] = []
      if scope.base["deprecated"].bool != true { messages.append("can only be set for deprecated versions") }
      if text.utf8.count > 256 { messages.append("must be <= 256 characters long") }
      if text.isEmpty { messages.append("must not be an empty string") }
      if !RuleFormat.printable.check(text).isEmpty { messages.append("must only contain printable UTF-8 characters") }
      return messages.map { CustomFinding(message: $0) }
    },
    "apiextensions/v1.CustomResourceDefinitionVersion|selectableFields|at most 8 different": { value, _ in
      let fields = value.array ?? []
      return fields.count > 8 ? [CustomFinding(value: .int(Int64(fields.count)))] : fine
    },
    "apiextensions/v1.CustomResourceDefinitionVersion|schema|root type object; with the status subresource only description, type, properties, required, x-kubernetes-preserve-unknown-fields, x-kubernetes-validations and plain value checks at the root":
      rootSchema,
    "apiextensions/v1.SelectableField|jsonPath|a simple path to a string, boolean or integer in the schema, no arrays, not under metadata":
      { value, scope in
        guard let path = value.string, !path.isEmpty, case .index(let i)? = scope.typePlace.dropLast(2).last else { return fine }
        let schema = scope.root["spec"]["versions"][i]["schema"]["openAPIV3Schema"]
        if path.hasPrefix(".metadata") { return [CustomFinding(message: "must not point to fields in metadata")] }
        guard let found = resolve(path, in: schema) else {
          return [CustomFinding(message: "is an invalid path: does not refer to a valid field")]
        }
        return bad(!["string", "boolean", "integer"].contains(found["type"].string ?? ""))
      },
    "apiextensions/v1.ValidationRule|message|set where the rule has line breaks": refuse { value, scope in
      let isMultiline = trimmed(scope.base["rule"].string ?? "").utf8.contains { $0 == 10 || $0 == 13 }
      return isMultiline && value.isZero
    },
    "apiextensions/v1.ValidationRule|optionalOldSelf|only where oldSelf is used": refuse { value, scope in
      !value.isNull && scope.base["rule"].string?.contains("oldSelf") == false
    },
    "apiextensions/v1.WebhookClientConfig|caBundle|PEM certificates; a bad one is tolerated until the CRD is Established": {
      value, scope in
      // Upstream tolerates it longer where what is stored is bad too.
      guard isEstablished(scope.oldRoot), isCertificates(scope.old), !value.isZero, !isCertificates(value) else { return fine }
      return [CustomFinding(message: "unable to load root certificates: unable to parse bytes as PEM block")]
    },
    "apiextensions/v1.WebhookConversion|conversionReviewVersions|v1 or v1beta1 among them": { value, _ in
      guard let versions = value.array, !versions.isEmpty, !versions.contains(where: { $0 == "v1" || $0 == "v1beta1" }) else {
        return fine
      }
      return [CustomFinding(message: "must include at least one of v1, v1beta1")]
    },
  ]
}

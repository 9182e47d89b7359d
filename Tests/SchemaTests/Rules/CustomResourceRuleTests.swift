import Schema
import Testing

/// Definitions of custom resources: structural schemas above all.
@Suite struct CustomResourceRuleTests {
  static let definition = """
    apiVersion: apiextensions.k8s.io/v1
    kind: CustomResourceDefinition
    metadata: {name: foos.example.com}
    spec:
      group: example.com
      scope: Namespaced
      names: {plural: foos, kind: Foo, singular: foo, listKind: FooList}
      versions:
      - name: v1
        served: true
        storage: true
        subresources: {status: {}}
        selectableFields: [{jsonPath: .spec.color}]
        schema:
          openAPIV3Schema:
            type: object
            description: Foos.
            properties:
              apiVersion: {type: string}
              kind: {type: string}
              metadata: {type: object}
              spec:
                type: object
                required: [color]
                properties:
                  color: {type: string, pattern: '^[a-z]+(-[a-z]+)*$', enum: [red, dark-red]}
                  port: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}
                  sized: {x-kubernetes-int-or-string: true, allOf: [{anyOf: [{type: integer}, {type: string}]}, {pattern: '^\\d+%$'}]}
                  free: {type: object, x-kubernetes-preserve-unknown-fields: true}
                  raw: {x-kubernetes-preserve-unknown-fields: true}
                  labels: {type: object, additionalProperties: {type: string}}
                  list: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [name], items: {type: object, required: [name], properties: {name: {type: string}, value: {type: number}}}}
                  set: {type: array, x-kubernetes-list-type: set, items: {type: string}}
                  embedded: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}
                  when: {type: object, properties: {a: {type: string}, b: {type: string}}, oneOf: [{required: [a]}, {required: [b], properties: {b: {minLength: 1}}}]}
                  rules: {type: integer, default: 3, minimum: 1, x-kubernetes-validations: [{rule: 'self > 0', message: positive}]}
              status: {type: object, properties: {ready: {type: boolean}}}
    status: {storedVersions: [v1]}
    """
  static let spec = "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties"
  static let schema = "spec.versions[0].schema.openAPIV3Schema"

  static let creates: [RuleCase] = [
    RuleCase(
      definition, "set: {type: array,", "set: {",
      "\(spec)[set].type: Required value: must be array if x-kubernetes-list-type is specified",
      "\(spec)[set].type: Required value: must not be empty for specified object fields"),
    RuleCase(
      definition, "items: {type: string}}", "items: {}}",
      "\(spec)[set].items.type: Required value: must not be empty for specified array items"),
    RuleCase(definition, ", items: {type: string}}", "}", "\(spec)[set].items: Required value: must be specified"),
    RuleCase(
      definition, "items: {type: string}}", "items: [{type: string}]}",
      "\(spec)[set].items: Forbidden: items must be a schema object and not an array"),
    RuleCase(
      definition, "items: {type: string}}", "items: {type: object, properties: {a: {type: string}}}}",
      #"\#(spec)[set].items.x-kubernetes-map-type: Invalid value: "null": must be atomic as item of a list with x-kubernetes-list-type=set"#
    ),
    RuleCase(
      definition, "items: {type: string}}", "items: {type: object, x-kubernetes-map-type: atomic, properties: {a: {type: string}}}}"
    ),
    RuleCase(
      definition, "[name], items", "[name, name], items",
      #"\#(spec)[list].x-kubernetes-list-map-keys: Invalid value: ["name","name"]: must not contain duplicate entries"#),
    RuleCase(
      definition, "[name], items: {type: object, required: [name], ", "[name], items: {type: object, ",
      #"\#(spec)[list].items.properties[name].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"#
    ),
    RuleCase(
      definition, "x-kubernetes-list-map-keys: [name]", "x-kubernetes-list-map-keys: [id]",
      #"\#(spec)[list].x-kubernetes-list-map-keys: Invalid value: ["id"]: entries must all be names of item properties"#),
    RuleCase(
      definition, "x-kubernetes-list-type: map, ", "x-kubernetes-list-type: set, ",
      #"\#(spec)[list].x-kubernetes-list-type: Invalid value: "set": must be map if x-kubernetes-list-map-keys is non-empty"#,
      #"\#(spec)[list].items.x-kubernetes-map-type: Invalid value: "null": must be atomic as item of a list with x-kubernetes-list-type=set"#
    ),
    RuleCase(
      definition, "labels: {type: object,", "labels: {type: object, properties: {a: {type: string}},",
      "\(spec)[labels].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"),
    RuleCase(
      definition, "additionalProperties: {type: string}", "additionalProperties: {}",
      "\(spec)[labels].additionalProperties.type: Required value: must not be empty for specified object fields"),
    RuleCase(
      definition, "free: {type: object, x-kubernetes-preserve-unknown-fields: true}",
      "free: {type: object, x-kubernetes-preserve-unknown-fields: false}",
      "\(spec)[free].x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined"),
    RuleCase(
      definition, "{required: [a]}, ", "{required: [a], type: object, description: x}, ",
      "\(spec)[when].oneOf[0].type: Forbidden: must be empty to be structural",
      "\(spec)[when].oneOf[0].description: Forbidden: must be empty to be structural"),
    RuleCase(
      definition, "properties: {b: {minLength: 1}}", "properties: {b: {minLength: 1, default: x, nullable: true}}",
      "\(spec)[when].oneOf[1].properties[b].default: Forbidden: must be undefined to be structural",
      "\(spec)[when].oneOf[1].properties[b].nullable: Forbidden: must be false to be structural"),
    RuleCase(definition, "metadata: {type: object}", "metadata: {type: object, properties: {name: {type: string, maxLength: 5}}}"),
    RuleCase(
      definition, "metadata: {type: object}", "metadata: {type: object, properties: {labels: {type: object}}}",
      "\(schema).properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"
    ),
    RuleCase(
      definition, "kind: {type: string}", "kind: {type: integer}",
      #"\#(schema).properties[kind].type: Invalid value: "integer": must be string"#),
    RuleCase(
      definition, "embedded: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}",
      "embedded: {type: object, x-kubernetes-embedded-resource: true}",
      "\(spec)[embedded].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
    ),
    RuleCase(
      definition, "raw: {x-", "raw: {x-kubernetes-int-or-string: true, x-",
      "\(spec)[raw].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true"),
    RuleCase(
      definition, "pattern: '^[a-z]+(-[a-z]+)*$'", "pattern: '^[a-z+(-[a-z+'",
      #"\#(spec)[color].pattern: Invalid value: "^[a-z+(-[a-z+": must be a valid regular expression, but isn't: error parsing regexp: missing closing ]: `[a-z+(-[a-z+`"#
    ),
    RuleCase(
      definition, "message: positive", "message: positive, optionalOldSelf: true",
      "\(spec)[rules].x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"
    ),
    RuleCase(
      definition, "rule: 'self > 0', message: positive", #"rule: "self >\n 0""#,
      "\(spec)[rules].x-kubernetes-validations[0].message: Required value: message must be specified if rule contains line breaks"),
    RuleCase(
      definition, "jsonPath: .spec.color", "jsonPath: .spec.list",
      #"spec.versions[0].selectableFields[0].jsonPath: Invalid value: ".spec.list": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."#
    ),
    RuleCase(
      definition, "jsonPath: .spec.color", "jsonPath: .spec.colour",
      #"spec.versions[0].selectableFields[0].jsonPath: Invalid value: ".spec.colour": is an invalid path: does not refer to a valid field"#
    ),
    RuleCase(
      definition, "served: true", "served: true\n    deprecationWarning: old",
      #"spec.versions[0].deprecationWarning: Invalid value: "old": can only be set for deprecated versions"#),
    RuleCase(definition, "served: true", "served: true\n    deprecated: true\n    deprecationWarning: old"),
    RuleCase(
      definition, [("        description: Foos.\n", "        nullable: true\n"), ("    subresources: {status: {}}\n", "")],
      "\(schema).nullable: Forbidden: nullable cannot be true at the root"),
    RuleCase(definition, "        description: Foos.\n", "        description: Foos.\n        nullable: false\n"),
    RuleCase(
      definition, [("foos.example.com", "foos.x.k8s.io"), ("group: example.com", "group: x.k8s.io")],
      #"metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111"#
    ),
    RuleCase(
      definition,
      [
        (
          "name: foos.example.com",
          "name: foos.x.k8s.io, annotations: {api-approved.kubernetes.io: 'https://github.com/kubernetes/x/pull/1'}"
        ),
        ("group: example.com", "group: x.k8s.io"),
      ]),
    RuleCase(
      definition,
      [
        ("name: foos.example.com", "name: foos.x.k8s.io, annotations: {api-approved.kubernetes.io: 'unapproved, experimental'}"),
        ("group: example.com", "group: x.k8s.io"),
      ]),
    RuleCase(
      definition, "scope: Namespaced",
      "scope: Namespaced\n  conversion: {strategy: Webhook, webhook: {conversionReviewVersions: [v2], clientConfig: {url: 'https://a/b'}}}",
      #"spec.conversion.webhook.conversionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1"#),
    RuleCase(
      definition, "scope: Namespaced",
      "scope: Namespaced\n  conversion: {strategy: Webhook, webhook: {conversionReviewVersions: [v1], clientConfig: {url: 'https://a/b', caBundle: Cg==}}}"
    ),
  ]

  @Test("created", arguments: creates) func create(rule: RuleCase) throws { try rule.check() }

  @Test("every version has a schema")
  func noSchema() throws {
    let start = try #require(Self.definition.range(of: "    schema:"))
    let end = try #require(Self.definition.range(of: "status: {storedVersions"))
    let bare = String(Self.definition[..<start]) + String(Self.definition[end...])
    let plain = bare.replacing("selectableFields: [{jsonPath: .spec.color}]", with: "deprecated: false")
    #expect(try RuleCase.errors(plain) == ["spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"])
  }

  @Test("a version that was stored stays until nothing is stored in it; an established kind keeps its scope")
  func updates() throws {
    let established = Self.definition.replacing(
      "status: {storedVersions: [v1]}",
      with:
        "status: {storedVersions: [v0, v1], conditions: [{type: Established, status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z'}]}"
    )
    let missing =
      "status.storedVersions[0]: Invalid value: \"v0\": missing from spec.versions; v0 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v0 and removes v0 from status.storedVersions"
    #expect(try RuleCase.errors(established, over: established, .update) == [missing])
    let stays = established.replacing("[v0, v1]", with: "[v1]")
    #expect(
      try RuleCase.errors(stays.replacing("scope: Namespaced", with: "scope: Cluster"), over: stays, .update) == [
        #"spec.scope: Invalid value: "Cluster": field is immutable"#
      ])
    #expect(try RuleCase.errors(stays, over: stays, .update) == [])
  }

  @Test(
    "regular expressions of RE2",
    arguments: [
      "", "^a$", "a*?b", "(?i)x", "(?P<n>a)", "(?<n>a)", "(?:a|b)+", "[]a]", "[^]]", "[[:alpha:]_]", #"\d+\.\d*"#, #"\Qa(b\E"#,
      "a{2,3}", "^$|x",
      #"\p{Greek}"#, "()", "a||b", #"[\]]"#, "^*", #"\012"#,
    ])
  func expressions(text: String) throws {
    let yaml = Self.definition.replacing("pattern: '^[a-z]+(-[a-z]+)*$'", with: "pattern: '\(text)'")
    #expect(try RuleCase.errors(yaml) == [])
  }

  @Test(
    "what is no regular expression", arguments: ["(", "a)", "[a", "*a", "a|*", "(?=a)", "(?<!a)", #"\1"#, #"a\"#, #"\y"#, "(?z)"])
  func noExpressions(text: String) throws {
    let yaml = Self.definition.replacing("pattern: '^[a-z]+(-[a-z]+)*$'", with: "pattern: '\(text)'")
    let found = try RuleCase.errors(yaml)
    #expect(
      found.count == 1 && found[0].contains("must be a valid regular expression, but isn't: error parsing regexp: "), "\(found)")
  }
}

extension String {
  /// Where a text stands first.
  fileprivate func range(of needle: String) -> String.Index? {
    var i = startIndex
    while i < endIndex {
      if self[i...].hasPrefix(needle) { return i }
      i = index(after: i)
    }
    return nil
  }
}

import Wire

extension OpenAPIBuilder {
  /// The paths of a resource and its subresources with their operations.
  mutating func paths(of kind: ResourceKind) -> [(String, Value)] {
    let root = kind.gvr.group.isEmpty ? "/api/\(kind.gvr.version)" : "/apis/\(kind.gvr.group)/\(kind.gvr.version)"
    let base = kind.isNamespaced ? "\(root)/namespaces/{namespace}/\(kind.gvr.resource)" : "\(root)/\(kind.gvr.resource)"
    var scope: [Value] = kind.isNamespaced ? [parameter("namespace", "string", "The namespace of the object.", in: "path")] : []
    scope.append(Self.pretty(self))
    let namespaced = kind.isNamespaced ? "Namespaced" : ""
    var result: [(String, Value)] = []
    let object = reference(type: kind.type)
    let own = GroupVersionKind(group: kind.gvr.group, version: kind.gvr.version, kind: kind.kind)

    var collection = Object()
    if kind.verbs.contains("list") {
      collection["get"] = operation(
        kind, "list", namespaced + kind.kind, own, listParameters, answer: reference(listOf: kind), codes: ["200": "OK"])
    }
    if kind.verbs.contains("create") {
      collection["post"] = operation(
        kind, "post", namespaced + kind.kind, own, writeParameters, body: object, answer: object,
        codes: ["200": "OK", "201": "Created", "202": "Accepted"], id: "create")
    }
    let status = reference(typeNamed: "meta/v1.Status") ?? object
    let deleteOptions = reference(typeNamed: "meta/v1.DeleteOptions") ?? object
    if kind.verbs.contains("deletecollection") {
      collection["delete"] = operation(
        kind, "deletecollection", namespaced + kind.kind, own, listParameters + deleteParameters, body: deleteOptions,
        answer: status, codes: ["200": "OK"], id: "deletecollection",
        bodyIsRequired: false)
    }
    if !collection.isEmpty {
      collection["parameters"] = .array(scope)
      result.append((base, .object(collection)))
    }
    if kind.isNamespaced, kind.verbs.contains("list") {
      var all = Object()
      all["get"] = operation(
        kind, "list", kind.kind + "ForAllNamespaces", own, listParameters, answer: reference(listOf: kind), codes: ["200": "OK"])
      all["parameters"] = [Self.pretty(self)]
      result.append(("\(root)/\(kind.gvr.resource)", .object(all)))
    }

    let named = [parameter("name", "string", "The name of the \(kind.kind).", in: "path")] + scope
    var item = Object()
    if kind.verbs.contains("get") {
      item["get"] = operation(kind, "get", namespaced + kind.kind, own, [], answer: object, codes: ["200": "OK"], id: "read")
    }
    if kind.verbs.contains("update") {
      item["put"] = operation(
        kind, "put", namespaced + kind.kind, own, writeParameters, body: object, answer: object,
        codes: ["200": "OK", "201": "Created"], id: "replace")
    }
    if kind.verbs.contains("patch") {
      item["patch"] = operation(
        kind, "patch", namespaced + kind.kind, own, patchParameters, body: reference(fixed: Self.patch), answer: object,
        codes: ["200": "OK", "201": "Created"])
    }
    if kind.verbs.contains("delete") {
      item["delete"] = operation(
        kind, "delete", namespaced + kind.kind, own, deleteParameters, body: deleteOptions, answer: status,
        codes: ["200": "OK", "202": "Accepted"], bodyIsRequired: false)
    }
    if !item.isEmpty {
      item["parameters"] = .array(named)
      result.append(("\(base)/{name}", .object(item)))
    }
    for subresource in kind.subresources {
      result.append(("\(base)/{name}/\(subresource.name)", self.subresource(subresource, of: kind, named)))
    }
    return result
  }

  private mutating func subresource(_ subresource: Subresource, of kind: ResourceKind, _ named: [Value]) -> Value {
    var item = Object()
    let own = GroupVersionKind(
      group: subresource.group ?? kind.gvr.group, version: subresource.version ?? kind.gvr.version, kind: subresource.kind)
    let suffix =
      (kind.isNamespaced ? "Namespaced" : "") + kind.kind + subresource.name.prefix(1).uppercased() + subresource.name.dropFirst()
    if subresource.isConnect {
      for verb in ["get", "post"] {
        item[verb] = operation(
          kind, "connect", suffix, own, [], answer: nil, codes: ["200": "OK"],
          id: "connect\(verb == "get" ? "Get" : "Post")")
      }
    } else {
      let object = reference(typeNamed: Self.typeName(own))
      for verb in subresource.verbs {
        switch verb {
        case "get":
          item["get"] = operation(kind, "get", suffix, own, [], answer: object, codes: ["200": "OK"], id: "read")
        case "update":
          item["put"] = operation(
            kind, "put", suffix, own, writeParameters, body: object, answer: object, codes: ["200": "OK", "201": "Created"],
            id: "replace")
        case "patch":
          item["patch"] = operation(
            kind, "patch", suffix, own, patchParameters, body: reference(fixed: Self.patch), answer: object,
            codes: ["200": "OK", "201": "Created"])
        case "create":
          item["post"] = operation(
            kind, "post", suffix, own, writeParameters, body: object, answer: object,
            codes: ["200": "OK", "201": "Created", "202": "Accepted"], id: "create")
        default: continue
        }
      }
    }
    item["parameters"] = .array(named)
    return .object(item)
  }

  // MARK: Operations

  private func operation(
    _ kind: ResourceKind, _ action: String, _ suffix: String, _ own: GroupVersionKind, _ parameters: [Value], body: String? = nil,
    answer: String?, codes: KeyValuePairs<String, String>, id: String? = nil, bodyIsRequired: Bool = true
  ) -> Value {
    var operation = Object()
    let groupWords = (kind.gvr.group.isEmpty ? "core" : kind.gvr.group.replacing(".k8s.io", with: "")).split(separator: ".")
    let group = groupWords.enumerated().map { $0.offset == 0 ? String($0.element) : Self.title($0.element) }.joined()
    operation["description"] = .string("\(action) \(kind.gvr.resource)")
    operation["tags"] = [.string("\(group)_\(kind.gvr.version)")]
    operation["operationId"] = .string((id ?? action) + Self.title(group[...]) + Self.title(kind.gvr.version[...]) + suffix)
    let isPatch = action == "patch"
    let media = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
    let patches = [
      "application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json",
      "application/strategic-merge-patch+json",
    ]
    if format == .v2 {
      operation["consumes"] = .array((isPatch ? patches : ["*/*"]).map { .string($0) })
      operation["produces"] = .array((media + (action == "list" ? media.map { "\($0);stream=watch" } : [])).map { .string($0) })
      var all = parameters
      if let body {
        all.append(["in": "body", "name": "body", "required": .bool(bodyIsRequired), "schema": ["$ref": .string(body)]])
      }
      if !all.isEmpty { operation["parameters"] = .array(all) }
      operation["responses"] = .object(
        Object(
          codes.map { code, text in
            let answer: Value = answer.map { ["$ref": .string($0)] } ?? ["type": "string"]
            return .init(key: code, value: ["description": .string(text), "schema": answer])
          } + [.init(key: "401", value: ["description": "Unauthorized"])]))
    } else {
      if !parameters.isEmpty { operation["parameters"] = .array(parameters) }
      if let body {
        let content = (isPatch ? patches : ["*/*"]).map {
          Object.Member(key: $0, value: ["schema": ["$ref": .string(body)]])
        }
        operation["requestBody"] = ["content": .object(Object(content)), "required": .bool(bodyIsRequired)]
      }
      operation["responses"] = .object(
        Object(
          codes.map { code, text in
            let answer: Value = answer.map { ["$ref": .string($0)] } ?? ["type": "string"]
            let content = media.map { Object.Member(key: $0, value: ["schema": answer]) }
            return .init(key: code, value: ["description": .string(text), "content": .object(Object(content))])
          } + [.init(key: "401", value: ["description": "Unauthorized"])]))
    }
    operation["x-kubernetes-action"] = .string(action)
    operation["x-kubernetes-group-version-kind"] = own.value
    return .object(operation)
  }

  private static func title(_ word: Substring) -> String { word.prefix(1).uppercased() + word.dropFirst() }

  // MARK: Parameters

  private func parameter(_ name: String, _ type: String, _ text: String, in place: String = "query") -> Value {
    var parameter: Object = ["name": .string(name), "in": .string(place), "description": .string(text)]
    if place == "path" { parameter["required"] = true }
    if format == .v2 {
      parameter["type"] = .string(type)
      parameter["uniqueItems"] = true
    } else {
      parameter["schema"] = ["type": .string(type), "uniqueItems": true]
    }
    return .object(parameter)
  }

  private static func pretty(_ builder: OpenAPIBuilder) -> Value {
    builder.parameter("pretty", "string", "`true` indents the answer.")
  }

  private var listParameters: [Value] {
    [
      parameter("allowWatchBookmarks", "boolean", "Bookmarks may come in a watch."),
      parameter("continue", "string", "Where the part before ended."),
      parameter("fieldSelector", "string", "Only objects whose fields have these values."),
      parameter("labelSelector", "string", "Only objects with these labels."),
      parameter("limit", "integer", "At most so many objects."),
      parameter("resourceVersion", "string", "The revision to read at or watch from."),
      parameter("resourceVersionMatch", "string", "`Exact` or `NotOlderThan`."),
      parameter("sendInitialEvents", "boolean", "A watch begins with what exists."),
      parameter("timeoutSeconds", "integer", "When a list or watch ends."),
      parameter("watch", "boolean", "Changes as they happen instead of a list."),
    ]
  }

  private var writeParameters: [Value] {
    [
      parameter("dryRun", "string", "`All`: everything but the writing."),
      parameter("fieldManager", "string", "Who owns the fields that change."),
      parameter("fieldValidation", "string", "`Ignore`, `Warn` or `Strict`: what unknown and double fields lead to."),
    ]
  }

  private var patchParameters: [Value] {
    writeParameters + [parameter("force", "boolean", "Take fields from their owners; only with apply.")]
  }

  private var deleteParameters: [Value] {
    [
      parameter("dryRun", "string", "`All`: everything but the writing."),
      parameter("gracePeriodSeconds", "integer", "How long the object may take to end."),
      parameter("orphanDependents", "boolean", "Deprecated: see propagationPolicy."),
      parameter("propagationPolicy", "string", "`Orphan`, `Background` or `Foreground`: what happens to dependents."),
    ]
  }
}

import Wire

extension CustomRules {
  /// Names, owners, finalizers: of every kind.
  static let metadata: [String: CustomRule] = [
    "objectMeta|generateName|with the name format of the kind, after replacing a trailing dash (and the character before it) by one \"a\"; only if not empty":
      { value, scope in
        guard let text = value.string, !text.isEmpty, let format = scope.names else { return fine }
        return format.check(RuleFormat.withoutTrailingDash(text)).map { CustomFinding(message: $0) }
      },
    "objectMeta|name|format named for the kind in `names`": { value, scope in
      guard let text = value.string, !text.isEmpty, let format = scope.names else { return fine }
      return format.check(text).map { CustomFinding(message: $0) }
    },
    "objectMeta|ownerReferences|at most one entry may have controller=true; the message names the first two as Kind/name": {
      value, _ in
      let owners = (value.array ?? []).filter { $0["controller"].bool == true }
      guard owners.count > 1 else { return fine }
      let names = owners.prefix(2).map { "\($0["kind"].string ?? "")/\($0["name"].string ?? "")" }
      return [
        CustomFinding(
          message:
            "Only one reference can have Controller set to true. Found \"true\" in references for \(names[0]) and \(names[1])")
      ]
    },
    "objectMeta|finalizers|while deletionTimestamp is set, only removals are allowed": { value, scope in
      guard let old = scope.oldRoot, !old["metadata"]["deletionTimestamp"].isZero else { return fine }
      let stored = scope.old.array ?? []
      let added = (value.array ?? []).filter { !stored.contains($0) }.compactMap(\.string).sorted()
      guard !added.isEmpty else { return fine }
      let names = added.map(FieldError.quoted).joined(separator: ", ")
      return [
        CustomFinding(
          message: "no new finalizers can be added if the object is being deleted, found new finalizers []string{\(names)}")
      ]
    },
    "ownerReference||apiVersion v1, kind Event may not own": { value, scope in
      let text = value["apiVersion"].string ?? ""
      let parts = text.split(separator: "/", omittingEmptySubsequences: false)
      // Go reads no version out of these.
      if !text.isEmpty, parts.count > 2 || parts.last?.isEmpty == true {
        return [
          CustomFinding(
            message: "version must not be empty", value: value["apiVersion"], kind: .invalid,
            at: scope.place + [.field("apiVersion")])
        ]
      }
      return bad(text == "v1" && value["kind"].string == "Event")
    },
    "podAnnotations|annotations[\"kubernetes.io/config.mirror\"]|only with spec.nodeName": refuse { value, scope in
      !value.isNull && scope.pod["spec"]["nodeName"].isZero
    },
    "podAnnotations|annotations[\"controller.kubernetes.io/pod-deletion-cost\"]|32-bit integer, no plus sign, no leading zero":
      refuse { value, _ in
        guard let text = value.string else { return false }
        return Int32(text).map { String($0) != text } ?? true
      },
    "apiextensions/v1.CustomResourceDefinition|metadata.name|equal to spec.names.plural + \".\" + spec.group": refuse {
      value, scope in
      value.string != "\(scope.root["spec"]["names"]["plural"].string ?? "").\(scope.root["spec"]["group"].string ?? "")"
    },
    "apiregistration/v1.APIService|metadata.name|equal to spec.version + \".\" + spec.group": { value, scope in
      let wanted = "\(scope.root["spec"]["version"].string ?? "").\(scope.root["spec"]["group"].string ?? "")"
      return value.string == wanted ? fine : [CustomFinding(message: "must be `spec.version+\".\"+spec.group`: \"\(wanted)\"")]
    },
  ]
}

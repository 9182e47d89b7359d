import Wire

extension CustomRules {
  private static func isJSON(_ value: Value) -> [CustomFinding] {
    guard let text = value.string else { return fine }
    if text.isEmpty { return [CustomFinding(message: "unexpected end of JSON input")] }
    guard let bytes = Base64.decode(text), let parsed = try? Value(json: bytes) else {
      let first = Base64.decode(text)?.first { $0 > 0x20 }.map { Character(Unicode.Scalar($0)) }
      guard let first, !"{[\"-0123456789tfn".contains(first) else {
        return [CustomFinding(message: "unexpected end of JSON input")]
      }
      return [CustomFinding(message: "invalid character '\(first)' looking for beginning of value")]
    }
    if case .object = parsed { return fine }
    return [CustomFinding(message: "json: cannot unmarshal into Go value of type map[string]interface {}")]
  }

  private static func withoutSystemPrefix(_ name: String, _ scope: CustomScope) -> [CustomFinding] {
    guard name.hasPrefix("system-") else { return fine }
    let known: [String: Int64] = ["system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000]
    if let value = known[name] {
      let found = scope.root["value"].int ?? 0
      return found == value
        ? fine
        : [
          CustomFinding(
            message:
              "priority class names with 'system-' prefix are reserved for system use only. error: value of \(name) PriorityClass must be \(value)"
          )
        ]
    }
    return [
      CustomFinding(
        message:
          "priority class names with 'system-' prefix are reserved for system use only. error: \(name) is not a known system priority class"
      )
    ]
  }

  /// Configuration, storage, RBAC, extensions.
  static let others: [String: CustomRule] = [
    "core/v1.Secret|data[\".dockercfg\"]|a JSON object": { value, _ in isJSON(value) },
    "core/v1.Secret|data[\".dockerconfigjson\"]|a JSON object": { value, _ in isJSON(value) },
    "core/v1.Secret|data|username or password is present; else two errors, data[username] and data[password]": { value, _ in
      guard value["username"].isNull, value["password"].isNull else { return fine }
      return ["username", "password"].map { CustomFinding(at: [.field("data"), .key($0)]) }
    },
    "core/v1.PersistentVolumeSpec|capacity|storage and nothing else": refuse { value, _ in
      value["storage"].isNull || (value.object?.count ?? 0) != 1
    },
    "core/v1.PersistentVolumeSpec|persistentVolumeReclaimPolicy|not Recycle with hostPath /": refuse { value, scope in
      value.string == "Recycle" && scope.base["hostPath"]["path"].string == "/"
    },
    "core/v1.PersistentVolume|spec.volumeAttributesClassName|not removed": refuse { value, scope in
      value.isNull && !scope.old.isNull
    },
    "core/v1.PersistentVolume|spec|the volume source is unchanged; csi.controllerExpandSecretRef may be added": { value, scope in
      guard scope.oldRoot != nil else { return fine }
      // Everything that is no source, by name.
      let others: Set<String> = [
        "capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions", "volumeMode",
        "nodeAffinity", "volumeAttributesClassName",
      ]
      func source(_ spec: Value) -> Value {
        var source = Object((spec.object?.members ?? []).filter { !others.contains($0.key) })
        if let csi = source["csi"], scope.old["csi"]["controllerExpandSecretRef"].isNull {
          var rest = csi
          rest.remove("controllerExpandSecretRef")
          source["csi"] = rest
        }
        return .object(source)
      }
      return Validator.isSame(source(value), source(scope.old))
        ? fine : [CustomFinding(message: "spec.persistentvolumesource is immutable after creation\n")]
    },
    "core/v1.PersistentVolume|spec.nodeAffinity|once set, unchanged, except label keys from beta to GA names": refuse {
      value, scope in
      !scope.old.isNull && !Validator.isSame(value, scope.old)
    },
    "core/v1.PersistentVolumeClaim|spec.resources.requests[\"storage\"]|may shrink only to more than status.capacity": refuse {
      value, scope in
      guard let new = value.quantity, let old = scope.old.string.flatMap({ Quantity($0) }), new < old else {
        return false
      }
      let capacity = scope.oldRoot?["status"]["capacity"]["storage"].quantity
      return capacity.map { new < $0 || new == $0 } ?? true
    },
    "core/v1.PersistentVolumeClaimSpec|dataSource|same apiGroup, kind, name as dataSourceRef": refuse { value, scope in
      let ref = scope.base["dataSourceRef"]
      return ["apiGroup", "kind", "name"].contains { !Validator.isSame(value[$0], ref[$0]) }
    },
    "dataSource||kind PersistentVolumeClaim where apiGroup is empty": refuse { value, _ in
      value["apiGroup"].isZero && !value["kind"].isZero && value["kind"].string != "PersistentVolumeClaim"
    },
    "core/v1.ResourceQuota|spec.scopes|same set": refuse { value, scope in
      guard scope.oldRoot != nil else { return false }
      return Set((value.array ?? []).compactMap(\.string)) != Set((scope.old.array ?? []).compactMap(\.string))
    },
    "core/v1.LimitRangeItem||storage in min or max": refuse { value, _ in
      value["min"]["storage"].isNull && value["max"]["storage"].isNull
    },
    "core/v1.Event|involvedObject.namespace|without eventTime: equal to metadata.namespace; empty only in default (or no) namespace":
      refuse { value, scope in
        guard scope.base["eventTime"].isNull else { return false }
        let own = scope.base["metadata"]["namespace"].string ?? ""
        return value.isZero ? !(own.isEmpty || own == "default") : value.string != own
      },
    "core/v1.Event|involvedObject.namespace|with eventTime: empty only in default and kube-system": refuse { value, scope in
      guard !scope.base["eventTime"].isNull else { return false }
      let own = scope.base["metadata"]["namespace"].string ?? ""
      return value.isZero ? own != "default" && own != "kube-system" : value.string != own
    },
    "events/v1.Event|type|Normal or Warning": { value, _ in
      value.string == "Normal" || value.string == "Warning"
        ? fine : [CustomFinding(message: "has invalid value: \(value.string ?? "")")]
    },
    "provisionerParameters||no empty key": { value, _ in
      value.object?.members.contains { $0.key.isEmpty } == true ? [CustomFinding(value: "")] : fine
    },
    "rbac/v1.PolicyRule|nonResourceURLs|not in a Role": { _, _ in bad },
    "rbac/v1.PolicyRule|nonResourceURLs|stands without apiGroups, resources, resourceNames": { _, _ in bad },
    "scheduling/v1.PriorityClass|metadata.name|with prefix system- only the two known system classes with their values": {
      value, scope in
      withoutSystemPrefix(value.string ?? "", scope)
    },
    "webhook|admissionReviewVersions|v1 or v1beta1 among them": refuse { value, _ in
      !value.isZero && !(value.array ?? []).contains { $0 == "v1" || $0 == "v1beta1" }
    },
    "apiextensions/v1.CustomResourceDefinitionNames|listKind|not equal to kind": refuse { value, scope in
      !value.isZero && value == scope.base["kind"]
    },
    "apiextensions/v1.CustomResourceDefinitionSpec|group|has a dot": refuse { value, _ in value.string?.contains(".") == false },
    "apiextensions/v1.CustomResourceDefinitionSpec|versions|names unique": refuse { value, _ in
      let names = (value.array ?? []).compactMap { $0["name"].string }
      return Set(names).count != names.count
    },
    "apiextensions/v1.CustomResourceDefinitionSpec|versions|exactly one has storage=true": refuse { value, _ in
      (value.array ?? []).count { $0["storage"].bool == true } != 1
    },
    "storage/v1.StorageClass|allowedTopologies|no two terms equal": { value, _ in
      let terms = value.array ?? []
      return terms.indices.compactMap { i in terms[..<i].contains(terms[i]) ? CustomFinding(value: "", more: [.index(i)]) : nil }
    },
    "authorization/v1.FieldSelectorAttributes||rawSelector or requirements": refuse { value, _ in
      value["rawSelector"].isZero && value["requirements"].isZero
    },
    "authorization/v1.LabelSelectorAttributes||rawSelector or requirements": refuse { value, _ in
      value["rawSelector"].isZero && value["requirements"].isZero
    },
  ]
}

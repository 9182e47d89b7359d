import Wire

extension CustomRules {
  private static let reservedOptions: CustomRule = { value, scope in
    (value.object?.keys ?? []).compactMap { key in
      let parts = key.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
      let domain = "." + (parts.count == 2 ? String(parts[0]) : key).lowercased()
      guard domain.hasSuffix(".kubernetes.io") || domain.hasSuffix(".k8s.io") else { return nil }
      return CustomFinding(value: .string(key), at: scope.place + [.key(key)])
    }
  }

  /// Volumes, claims and what drives them.
  static let storage: [String: CustomRule] = [
    "core/v1.AzureDiskVolumeSource|diskURI|starts with /subscriptions/ for kind Managed, with https:// for the others": {
      value, scope in
      guard let uri = value.string, let kind = scope.base["kind"].string else { return fine }
      if kind == "Managed" { return bad(!uri.hasPrefix("/subscriptions/")) }
      return uri.hasPrefix("https://")
        ? fine
        : [
          CustomFinding(
            message: #"supported values: "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd""#)
        ]
    },
    "core/v1.FlexPersistentVolumeSource|options|keys whose part before \"/\" is kubernetes.io or k8s.io or ends in one of them are refused":
      reservedOptions,
    "core/v1.FlexVolumeSource|options|keys whose part before \"/\" is kubernetes.io or k8s.io or ends in one of them are refused":
      reservedOptions,
    "core/v1.ISCSIPersistentVolumeSource|targetPortal|the length of \"<volume name>:<targetPortal>\" is at most 64 where initiatorName is set":
      refuse { value, scope in
        guard !scope.base["initiatorName"].isNull else { return false }
        return (scope.root["metadata"]["name"].string ?? "").utf8.count + 1 + (value.string ?? "").utf8.count > 64
      },
    "core/v1.Volume|iscsi|the length of \"<volume name>:<iscsi.targetPortal>\" is at most 64 where iscsi.initiatorName is set": {
      value, scope in
      let name = scope.base["name"].string ?? ""
      return name.utf8.count + 1 + (value["targetPortal"].string ?? "").utf8.count > 64
        ? [CustomFinding(value: .string(name))] : fine
    },
    "core/v1.PersistentVolumeClaim|spec.volumeAttributesClassName|not removed while status.currentVolumeAttributesClassName is set":
      {
        value, scope in
        guard let old = scope.oldRoot, !old["status"]["currentVolumeAttributesClassName"].isNull, !scope.old.isZero, value.isZero
        else {
          return fine
        }
        let what = value.isNull ? "nil" : "empty string"
        return [
          CustomFinding(message: "update to \(what) is forbidden when status.currentVolumeAttributesClassName is not nil")
        ]
      },
    "core/v1.PersistentVolumeClaim|spec.accessModes|not empty": refuse { value, _ in value.isZero },
    "storage/v1.CSINode|spec.drivers|an entry that stays is unchanged, but allocatable": { value, scope in
      guard scope.oldRoot != nil else { return fine }
      func fixed(_ driver: Value) -> Value {
        var driver = driver
        driver.remove("allocatable")
        return driver
      }
      let changed = (scope.old.array ?? []).contains { old in
        (value.array ?? []).contains { $0["name"] == old["name"] && !Validator.isSame(fixed($0), fixed(old)) }
      }
      return bad(changed)
    },
    "core/v1.Node|status.declaredFeatures|sorted": refuse { value, _ in
      let names = (value.array ?? []).compactMap(\.string)
      return names != names.sorted()
    },
    // The walk leaves unchanged subsets alone (Validator.isLeftAlone).
    "core/v1.Endpoints|subsets|errors are dropped where the stored subsets are the same": { _, _ in fine },
  ]
}

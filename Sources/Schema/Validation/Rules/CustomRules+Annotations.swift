import Wire

extension CustomRules {
  private static let seccomp = "seccomp.security.alpha.kubernetes.io/pod"
  private static let containerSeccomp = "container.seccomp.security.alpha.kubernetes.io/"
  private static let appArmor = "container.apparmor.security.beta.kubernetes.io/"
  private static let local = "localhost/"
  private static let containerLists = ["containers", "initContainers", "ephemeralContainers"]

  private static func containers(_ spec: Value) -> [(container: Value, place: [FieldStep])] {
    containerLists.flatMap { list in
      (spec[list].array ?? []).enumerated().map { ($0.element, [.field(list), .index($0.offset)]) }
    }
  }

  private static func isSeccompProfile(_ text: String) -> Bool {
    ["runtime/default", "docker/default", "unconfined"].contains(text) || text.hasPrefix(local)
  }

  private static func badSeccomp(_ text: String) -> String? {
    if !isSeccompProfile(text) { return "must be a valid seccomp profile" }
    return text.hasPrefix(local) ? Paths.relative(String(text.dropFirst(local.count))).first : nil
  }

  private enum Agreement { case same, otherType, otherProfile }

  /// Whether an annotation of old says what the field says.
  private static func compare(_ annotation: String, _ profile: Value) -> Agreement {
    switch profile["type"].string {
    case "Unconfined": return annotation == "unconfined" ? .same : .otherType
    case "RuntimeDefault": return annotation == "runtime/default" || annotation == "docker/default" ? .same : .otherType
    case "Localhost":
      guard annotation.hasPrefix(local) else { return .otherType }
      return annotation.dropFirst(local.count) == profile["localhostProfile"].string ?? "" ? .same : .otherProfile
    default: return .same
    }
  }

  /// Profiles are named twice: by annotations of old and by fields. Both must agree.
  private static func profilesAgree(_ spec: Value, _ scope: CustomScope, appArmorToo: Bool) -> [CustomFinding] {
    let annotations = scope.base["metadata"]["annotations"]
    guard !annotations.isZero else { return fine }
    var findings: [CustomFinding] = []
    func check(_ annotation: String?, _ holder: Value, _ field: String, _ what: String, _ place: [FieldStep]) {
      let profile = holder["securityContext"][field]
      guard let annotation, !profile.isNull else { return }
      let at = scope.place + place + [.field("securityContext"), .field(field)]
      switch compare(annotation, profile) {
      case .same: return
      case .otherType:
        findings.append(CustomFinding(message: "\(what) type in annotation and field must match", at: at + [.field("type")]))
      case .otherProfile:
        findings.append(
          CustomFinding(message: "\(what) profile in annotation and field must match", at: at + [.field("localhostProfile")]))
      }
    }
    check(annotations[seccomp].string, spec, "seccompProfile", "seccomp", [])
    for (container, place) in containers(spec) {
      let name = container["name"].string ?? ""
      check(annotations[containerSeccomp + name].string, container, "seccompProfile", "seccomp", place)
      if appArmorToo { check(annotations[appArmor + name].string, container, "appArmorProfile", "apparmor", place) }
    }
    return findings
  }

  private static func appArmorAnnotations(
    _ scope: CustomScope, _ find: (_ key: String, _ name: String, _ profile: String) -> CustomFinding?
  ) -> [CustomFinding] {
    (scope.base["annotations"].object?.members ?? []).compactMap { member in
      guard member.key.hasPrefix(appArmor) else { return nil }
      var finding = find(member.key, String(member.key.dropFirst(appArmor.count)), member.value.string ?? "")
      finding?.at = scope.typePlace + [.field("annotations"), .key(member.key)]
      return finding
    }
  }

  /// Annotations of pods, templates, services and nodes that mean something to the server.
  static let annotations: [String: CustomRule] = [
    "podAnnotations|annotations[\"scheduler.alpha.kubernetes.io/tolerations\"]|JSON list of valid tolerations": { value, scope in
      guard let text = value.string, !text.isEmpty, (try? Value(json: text))?.array == nil else { return fine }
      return [
        CustomFinding(
          message: "json: cannot unmarshal into Go value of type []core.Toleration",
          value: "scheduler.alpha.kubernetes.io/tolerations",
          at: scope.typePlace + [.field("annotations")])
      ]
    },
    "podAnnotations|annotations[\"seccomp.security.alpha.kubernetes.io/pod\"]|runtime/default, docker/default, unconfined or localhost/<relative path>; the same for container.seccomp.security.alpha.kubernetes.io/<name>":
      { _, scope in
        (scope.base["annotations"].object?.members ?? []).compactMap { member in
          guard member.key == seccomp || member.key.hasPrefix(containerSeccomp), let text = member.value.string,
            let message = badSeccomp(text)
          else { return nil }
          return CustomFinding(
            message: message, value: member.value, at: scope.typePlace + [.field("annotations"), .field(member.key)])
        }
      },
    "podAnnotations|annotations[\"container.apparmor.security.beta.kubernetes.io/<name>\"]|the container exists": { _, scope in
      appArmorAnnotations(scope) { _, name, _ in
        let isThere = containers(scope.pod["spec"]).contains { $0.container["name"].string == name }
        return isThere ? nil : CustomFinding(value: .string(name))
      }
    },
    "podAnnotations|annotations[\"container.apparmor.security.beta.kubernetes.io/<name>\"]|empty, runtime/default, unconfined or localhost/...":
      { _, scope in
        appArmorAnnotations(scope) { _, _, profile in
          if ["", "runtime/default", "unconfined"].contains(profile) || profile.hasPrefix(local) { return nil }
          return CustomFinding(message: "invalid AppArmor profile name: \(FieldError.quoted(profile))", value: .string(profile))
        }
      },
    "core/v1.Pod|spec|seccomp annotations and fields agree": { value, scope in profilesAgree(value, scope, appArmorToo: false) },
    "core/v1.PodTemplateSpec|spec|seccomp and AppArmor annotations and fields agree": { value, scope in
      profilesAgree(value, scope, appArmorToo: true)
    },
    "core/v1.Service|metadata.annotations[\"service.kubernetes.io/topology-mode\"]|equal to the deprecated topology-aware-hints annotation where both are set":
      refuse { value, scope in
        let hints = scope.root["metadata"]["annotations"]["service.kubernetes.io/topology-aware-hints"]
        return !value.isNull && !hints.isNull && value != hints
      },
    "core/v1.Service|metadata.annotations[\"service.beta.kubernetes.io/load-balancer-source-ranges\"]|comma-separated CIDRs": {
      value, scope in
      guard let text = value.string, scope.root["spec"]["loadBalancerSourceRanges"].isZero else { return fine }
      let ranges = text.split(separator: ",", omittingEmptySubsequences: false).map { trimmed($0) }
      if ranges == [""] { return fine }
      return ranges.contains { Addresses.cidr($0) == nil }
        ? [CustomFinding(message: "must be a list of IP ranges. For example, 10.240.0.0/24,10.250.0.0/24 ")] : fine
    },
    "core/v1.Node|metadata.annotations[\"scheduler.alpha.kubernetes.io/taints\"]|JSON list of valid taints": { value, _ in
      guard let text = value.string, !text.isEmpty, (try? Value(json: text))?.array == nil else { return fine }
      return [
        CustomFinding(
          message: "json: cannot unmarshal into Go value of type []core.Taint", value: "scheduler.alpha.kubernetes.io/taints",
          at: [.field("metadata"), .field("annotations")])
      ]
    },
    "core/v1.Node|metadata.annotations[\"scheduler.alpha.kubernetes.io/preferAvoidPods\"]|JSON; each entry names a controller": {
      value, _ in
      guard let text = value.string, !text.isEmpty else { return fine }
      let place: [FieldStep] = [.field("metadata"), .field("annotations")]
      guard let parsed = try? Value(json: text), parsed.object != nil else {
        return [
          CustomFinding(
            message: "json: cannot unmarshal into Go value of type core.AvoidPods",
            value: "scheduler.alpha.kubernetes.io/preferAvoidPods", kind: .invalid, at: place + [.field("AvoidPods")])
        ]
      }
      return (parsed["preferAvoidPods"].array ?? []).enumerated().compactMap { i, entry in
        entry["podSignature"]["podController"].isNull
          ? CustomFinding(at: place + [.field("preferAvoidPods"), .index(i), .field("PodSignature")]) : nil
      }
    },
  ]

  static func trimmed(_ text: some StringProtocol) -> String {
    String(text.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
  }
}

import Wire

extension CustomRules {
  private static let containerFields = ["containers", "initContainers", "ephemeralContainers"]

  /// What each container says of being a process of its host, itself or through its pod.
  private static func hostProcesses(_ spec: Value) -> (pod: Bool?, containers: [(place: [FieldStep], own: Bool?)]) {
    let pod = spec["securityContext"]["windowsOptions"]["hostProcess"].bool
    let containers = containerFields.flatMap { field in
      (spec[field].array ?? []).enumerated().map { i, container in
        ([FieldStep.field(field), .index(i)], container["securityContext"]["windowsOptions"]["hostProcess"].bool)
      }
    }
    return (pod, containers)
  }

  private static let fileKeyVolume: CustomRule = refuse { value, scope in
    let volume = (scope.pod["spec"]["volumes"].array ?? []).first { $0["name"] == value } ?? .null
    return !value.isZero && !volume.isNull && volume["emptyDir"].isNull
  }

  /// Keys that a selector names once too often: beside what the server itself puts into its expressions.
  private static func repeated(_ keys: Value, _ selector: Value) -> [CustomFinding] {
    let labels = selector["matchLabels"].object ?? Object()
    let expressions = (selector["matchExpressions"].array ?? []).compactMap { $0["key"].string }
    return (keys.array ?? []).enumerated().compactMap { i, key in
      guard let name = key.string else { return nil }
      let count = (labels[name] == nil ? 0 : 1) + expressions.count { $0 == name }
      return count > 1 || labels[name] != nil ? CustomFinding(value: key, more: [.index(i)]) : nil
    }
  }

  /// Every signal that a container may be stopped by.
  private static let signals: Set<String> = Set(
    [
      "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL", "PROF", "PWR",
      "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH",
      "XCPU", "XFSZ",
    ].map { "SIG\($0)" } + (0...15).map { $0 == 0 ? "SIGRTMIN" : "SIGRTMIN+\($0)" }
      + (0...14).map { $0 == 0 ? "SIGRTMAX" : "SIGRTMAX-\($0)" })

  /// The specification of a pod as a whole.
  static let podSpecs: [String: CustomRule] = [
    "core/v1.Pod|spec.volumes[*].projected.sources[*].serviceAccountToken|only with a service account name (the admission plugin sets one)":
      refuse { value, _ in !value.isNull },
    "core/v1.PodSpec|volumes[*].persistentVolumeClaim.claimName|not \"<pod>-<volume>\" of an ephemeral volume of the same pod":
      refuse {
        value, scope in
        guard let pod = scope.root["metadata"]["name"].string, !pod.isEmpty, let claim = value.string else { return false }
        return (scope.base["volumes"].array ?? []).contains {
          !$0["ephemeral"].isNull && claim == "\(pod)-\($0["name"].string ?? "")"
        }
      },
    "core/v1.PodSpec||windowsOptions.hostProcess of pod and container are the same where both are set": { value, scope in
      let found = hostProcesses(value)
      guard let pod = found.pod else { return fine }
      return found.containers.compactMap { place, own in
        guard let own, own != pod else { return nil }
        return CustomFinding(
          message: "pod hostProcess value must be identical if both are specified, was \(pod)", value: .bool(own),
          at: scope.typePlace + place + [.field("securityContext"), .field("windowsOptions"), .field("hostProcess")])
      }
    },
    "core/v1.PodSpec||hostProcess in one container means in all": { value, _ in
      let found = hostProcesses(value)
      let all = found.containers.map { $0.own ?? found.pod ?? false }
      return all.contains(true) && all.contains(false) ? [CustomFinding(value: "")] : fine
    },
    "core/v1.PodSpec|hostNetwork|true where a container is hostProcess": { value, scope in
      let found = hostProcesses(scope.base)
      let isHostProcess = found.containers.contains { $0.own ?? found.pod ?? false }
      return isHostProcess && value.bool != true ? [CustomFinding(value: false)] : fine
    },
    "core/v1.PodSpec|containers[*].env[*].valueFrom.fileKeyRef.volumeName|that volume is an emptyDir": fileKeyVolume,
    "core/v1.PodSpec|initContainers[*].env[*].valueFrom.fileKeyRef.volumeName|that volume is an emptyDir": fileKeyVolume,
    "core/v1.PodSpec|ephemeralContainers[*].env[*].valueFrom.fileKeyRef.volumeName|that volume is an emptyDir": fileKeyVolume,
    "core/v1.PodSpec|containers[*].ports[*].hostPort|with hostNetwork equal to containerPort (in templates only where hostPort is set)":
      { value, scope in
        guard let port = value.int, port != 0, case .index(let j)? = scope.place.dropLast().last,
          case .index(let i)? = scope.place.dropLast(3).last
        else { return fine }
        return bad(scope.base["containers"][i]["ports"][j]["containerPort"].int != port)
      },
    "core/v1.PodAffinityTerm|matchLabelKeys|a key may not be both in the labels and (a second time) in the expressions of labelSelector: the server merges keys into expressions itself":
      { value, scope in repeated(value, scope.base["labelSelector"]) },
    "core/v1.TopologySpreadConstraint|matchLabelKeys|not in labelSelector given by the user": { value, scope in
      repeated(value, scope.base["labelSelector"])
    },
    "core/v1.Lifecycle|stopSignal|windows: SIGKILL and SIGTERM; linux: the signals of the type in api.json": { value, scope in
      guard let signal = value.string, !signal.isEmpty else { return fine }
      let isWindows = scope.pod["spec"]["os"]["name"].string == "windows"
      let known = isWindows ? ["SIGKILL", "SIGTERM"] : signals
      if known.contains(signal) { return fine }
      return [CustomFinding(message: "supported values: \(known.sorted().map(FieldError.quoted).joined(separator: ", "))")]
    },
    // Here privileged containers are always allowed, as upstream by default; policies of namespaces refuse them.
    "core/v1.SecurityContext|privileged|true only where the server allows privileged containers (default: allowed)": { _, _ in fine
    },
    "claimTemplateMeta||every other metadata field must be empty; one error per field": { value, scope in
      (value.object?.members ?? []).compactMap { member in
        if member.key == "labels" || member.key == "annotations" || member.value.isZero { return nil }
        let goName = member.key == "uid" ? "UID" : member.key.prefix(1).uppercased() + member.key.dropFirst()
        let isEphemeral = scope.typePlace.contains { if case .field("ephemeral") = $0 { true } else { false } }
        return CustomFinding(
          message: isEphemeral ? "cannot be set for an ephemeral volume" : "cannot be set", at: scope.typePlace + [.field(goName)])
      }
    },
  ]
}

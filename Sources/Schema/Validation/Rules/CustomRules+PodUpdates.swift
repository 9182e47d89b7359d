import Wire

extension CustomRules {
  private static let appArmorPrefix = "container.apparmor.security.beta.kubernetes.io/"
  private static let mirror = "kubernetes.io/config.mirror"

  /// Annotations that say how a pod runs stay as they are.
  private static func annotationsStay(_ value: Value, _ scope: CustomScope) -> [CustomFinding] {
    guard scope.oldRoot != nil else { return fine }
    let (new, old) = (value.object ?? Object(), scope.old.object ?? Object())
    func finding(_ key: String, _ verb: String) -> CustomFinding? {
      if key == mirror { return CustomFinding(message: "may not \(verb) mirror pod annotation", more: [.key(key)]) }
      guard key.hasPrefix(appArmorPrefix) else { return nil }
      return CustomFinding(message: "may not \(verb) AppArmor annotations", more: [.key(key)])
    }
    return old.members.compactMap { new[$0.key] == $0.value ? nil : finding($0.key, "remove or update") }
      + new.members.compactMap { old[$0.key] == nil ? finding($0.key, "add") : nil }
  }

  private static func onlyGains(_ new: Value, _ old: Value) -> Bool {
    func isPrefix(_ name: String) -> Bool {
      let (before, after) = (old[name].array ?? [], new[name].array ?? [])
      return after.count >= before.count && zip(before, after).allSatisfy { $0 == $1 }
    }
    if old["matchExpressions"].isZero, old["matchFields"].isZero {
      return new["matchExpressions"].isZero && new["matchFields"].isZero
    }
    return isPrefix("matchExpressions") && isPrefix("matchFields")
  }

  /// The class of service that the resources of a pod's containers make.
  static func serviceClass(of spec: Value) -> String {
    var requests: [String: Quantity] = [:]
    var limits: [String: Quantity] = [:]
    var isGuaranteed = true
    func add(_ resources: Value) {
      for name in ["cpu", "memory"] {
        if let amount = resources["requests"][name].quantity, amount > .zero { requests[name] = (requests[name] ?? .zero) + amount }
        if let amount = resources["limits"][name].quantity, amount > .zero {
          limits[name] = (limits[name] ?? .zero) + amount
        } else {
          isGuaranteed = false
        }
      }
    }
    if spec["resources"].isZero {
      for container in (spec["initContainers"].array ?? []) + (spec["containers"].array ?? []) { add(container["resources"]) }
    } else {
      add(spec["resources"])
    }
    if requests.isEmpty, limits.isEmpty { return "BestEffort" }
    return isGuaranteed && (requests.isEmpty || requests == limits) ? "Guaranteed" : "Burstable"
  }

  private static func removed(_ new: Value, _ old: Value) -> Bool {
    (old.object?.members ?? []).contains { new[$0.key].isNull }
  }

  /// What may change in a pod that is there already.
  static let podUpdates: [String: CustomRule] = [
    "core/v1.Pod|metadata.annotations|AppArmor beta annotations and the mirror annotation may not be added, changed or removed":
      annotationsStay,
    "core/v1.Pod|spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms|while gated: number of terms unchanged":
      refuse { value, scope in
        let before = scope.old.array?.count ?? 0
        return before > 0 && before != value.array?.count ?? 0
      },
    "core/v1.Pod|spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms|while gated: requirements only appended":
      { value, scope in
        let (new, old) = (value.array ?? [], scope.old.array ?? [])
        guard new.count == old.count else { return fine }
        return old.indices.compactMap { i in
          onlyGains(new[i], old[i]) ? nil : CustomFinding(value: new[i], more: [.index(i)])
        }
      },
    "core/v1.Pod|status.initContainerStatuses|the same; restartable init containers are free": { value, scope in
      let policy = scope.root["spec"]["restartPolicy"].string ?? "Always"
      if policy == "Always" { return fine }
      let sidecars = (scope.root["spec"]["initContainers"].array ?? []).filter { $0["restartPolicy"].string == "Always" }.map {
        $0["name"]
      }
      return (scope.old.array ?? []).enumerated().compactMap { i, old in
        let end = old["state"]["terminated"]
        if end.isNull || sidecars.contains(old["name"]) || policy == "OnFailure" && (end["exitCode"].int ?? 0) != 0 { return nil }
        guard let new = (value.array ?? []).first(where: { $0["name"] == old["name"] }), new["state"]["terminated"].isNull else {
          return nil
        }
        return CustomFinding(at: [.field("status"), .field("initContainerStatuses"), .index(i), .field("state")])
      }
    },
    "core/v1.Pod|spec|QoS class stays": { value, scope in
      guard scope.oldRoot != nil else { return fine }
      let now = serviceClass(of: value)
      return now == serviceClass(of: scope.old) ? fine : [CustomFinding(value: .string(now))]
    },
    "core/v1.Pod|spec|a running container reports resources in its status": refuse { _, scope in
      let running = (scope.oldRoot?["status"]["containerStatuses"].array ?? []).first { !$0["state"]["running"].isNull }
      return running.map { $0["resources"].isNull } ?? false
    },
    "core/v1.Pod|spec.containers[*].resources|no request or limit is removed": { value, scope in
      guard scope.oldRoot != nil else { return fine }
      return ["requests", "limits"].filter { removed(value[$0], scope.old[$0]) }.map { name in
        CustomFinding(message: "resource \(name) cannot be removed", at: scope.place + [.field(name)])
      }
    },
  ]
}

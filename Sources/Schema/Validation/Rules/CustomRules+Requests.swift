import Wire

extension CustomRules {
  private static let decisions = ["Approved", "Denied", "Failed"]

  private static func conditions(_ request: Value, _ type: String) -> [Value] {
    (request.array ?? []).filter { $0["type"].string == type }
  }

  private static func isEmpty(_ metadata: Value, but allowed: Set<String>) -> Bool {
    // What the server stamps on every object does not count.
    let free = allowed.union(["managedFields", "uid", "creationTimestamp"])
    return (metadata.object?.members ?? []).allSatisfy { free.contains($0.key) || $0.value.isZero }
  }

  private static func decided(_ value: Value, _ scope: CustomScope, _ isBad: ([Value], [Value]) -> Bool, _ verb: String)
    -> [CustomFinding]
  {
    guard scope.oldRoot != nil else { return fine }
    return decisions.prefix(2).filter { isBad(conditions(value, $0), conditions(scope.old, $0)) }.map {
      CustomFinding(message: "updates may not \(verb) a condition of type \"\($0)\"")
    }
  }

  /// Requests: of certificates, of access, of scaling.
  static let requests: [String: CustomRule] = [
    "certificates/v1.CertificateSigningRequest|status.conditions[*].status|True for Approved, Denied, Failed; else True, False, Unknown":
      {
        value, scope in
        guard let status = value.string, !status.isEmpty, case .index(let i)? = scope.place.dropLast().last else { return fine }
        let isDecision = decisions.contains(scope.root["status"]["conditions"][i]["type"].string ?? "")
        let allowed = isDecision ? ["True"] : ["False", "True", "Unknown"]
        if allowed.contains(status) { return fine }
        return [CustomFinding(message: "supported values: \(allowed.map(FieldError.quoted).joined(separator: ", "))")]
      },
    "certificates/v1.CertificateSigningRequest|status.conditions|Approved, Denied, Failed are not removed": { value, scope in
      guard scope.oldRoot != nil else { return fine }
      return decisions.filter { conditions(value, $0).count < conditions(scope.old, $0).count }.map {
        CustomFinding(message: "updates may not remove a condition of type \"\($0)\"")
      }
    },
    "certificates/v1.CertificateSigningRequest|status.conditions|Approved and Denied are added only through approval": {
      value, scope in
      decided(value, scope, { $0.count > $1.count }, "add")
    },
    "certificates/v1.CertificateSigningRequest|status.conditions|and changed only there": { value, scope in
      decided(value, scope, { $0.count == $1.count && !Validator.isSame(.array($0), .array($1)) }, "modify")
    },
    "certificates/v1.CertificateSigningRequest|status.certificate|set only through status": refuse { value, scope in
      scope.oldRoot != nil && !Validator.isSame(value, scope.old)
    },
    "certificates/v1.CertificateSigningRequest|status.certificate|and only once": refuse { value, scope in
      scope.oldRoot != nil && !scope.old.isZero && value != scope.old
    },
    "authorization/v1.LocalSubjectAccessReview|metadata|empty, namespace and managedFields excepted": refuse { value, _ in
      !isEmpty(value, but: ["namespace"])
    },
    "authorization/v1.SelfSubjectAccessReview|metadata|empty, managedFields excepted": refuse { value, _ in !isEmpty(value, but: [])
    },
    "authorization/v1.SubjectAccessReview|metadata|empty, managedFields excepted": refuse { value, _ in !isEmpty(value, but: []) },
    // The review's handler answers 400 before anything is validated.
    "authentication/v1.TokenReview|spec.token|an empty token is refused by the handler, not by validation: 400 token is required for TokenReview in authentication":
      { _, _ in fine },
    "autoscaling/v1.CrossVersionObjectReference|apiVersion|as autoscaling/v2": namesGroup,
    "autoscaling/v2.CrossVersionObjectReference|apiVersion|group/version; the group is not empty, unless the kind is of the core group (metrics and ReplicationController)":
      namesGroup,
    "autoscaling/v2.HorizontalPodAutoscalerSpec|metrics|with minReplicas 0 one Object or External metric": refuse { value, _ in
      !(value.array ?? []).contains { $0["type"].string == "Object" || $0["type"].string == "External" }
    },
  ]

  /// A reference to a workload of apps names that group, once it names a version. One without any version passes: older objects have it.
  private static let namesGroup: CustomRule = { value, scope in
    guard let text = value.string, !text.isEmpty else { return fine }
    if text.split(separator: "/", omittingEmptySubsequences: false).count > 2 {
      return [CustomFinding(message: "unexpected GroupVersion string: \(text)")]
    }
    return bad(
      !text.contains("/") && ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"].contains(scope.base["kind"].string ?? ""))
  }
}

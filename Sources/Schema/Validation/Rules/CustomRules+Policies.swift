import Wire

#if canImport(Glibc)
  import Glibc
#endif

extension CustomRules {
  /// `x/*` covers `x/y` and `*/y` covers `x/y` that stand behind it.
  private static let coveredSubresources: CustomRule = { value, scope in
    var (whole, everywhere): (Set<String>, Set<String>) = ([], [])
    var findings: [CustomFinding] = []
    for (i, element) in (value.array ?? []).enumerated() {
      guard let text = element.string, let slash = text.firstIndex(of: "/") else { continue }
      let (resource, subresource) = (String(text[..<slash]), String(text[text.index(after: slash)...]))
      let at = scope.place + [.index(i)]
      if whole.contains(resource) {
        findings.append(CustomFinding(message: "if '\(resource)/*' is present, must not specify \(text)", value: element, at: at))
      }
      if everywhere.contains(subresource) {
        findings.append(
          CustomFinding(message: "if '*/\(subresource)' is present, must not specify \(text)", value: element, at: at))
      }
      if subresource == "*" { whole.insert(resource) }
      if resource == "*" { everywhere.insert(subresource) }
    }
    return findings
  }

  /// Admission, flow control, devices.
  static let policies: [String: CustomRule] = [
    "admissionregistration/v1.AuditAnnotation|key|\"<policy name>/<key>\" is a qualified name": { value, scope in
      guard let policy = scope.root["metadata"]["name"].string, !policy.isEmpty else {
        return [CustomFinding(message: "requires metadata.name be non-empty", value: value.isNull ? "" : value)]
      }
      return LabelNames.key("\(policy)/\(value.string ?? "")").map { CustomFinding(message: $0, value: value.isNull ? "" : value) }
    },
    "admissionregistration/v1.Rule|resources|nothing under x/* beside x/y, */y beside x/y (order matters: the wildcard comes first)":
      coveredSubresources,
    "admissionregistration/v1.Rule|resources|* only beside subresources": refuse { value, _ in
      let plain = (value.array ?? []).compactMap(\.string).filter { !$0.contains("/") && !$0.isEmpty }
      return plain.contains("*") && plain.last != "*"
    },
    "admissionregistration/v1.ValidatingAdmissionPolicy|status.typeChecking.expressionWarnings[*]|warning and fieldRef not empty, fieldRef a JSON path":
      { value, scope in
        ["fieldRef", "warning"].filter { value[$0].isZero }.map { CustomFinding(at: scope.place + [.field($0)]) }
      },
    "admissionregistration/v1.ValidatingAdmissionPolicySpec||validations or auditAnnotations; else two errors, at validations and at auditAnnotations":
      { value, scope in
        guard value["validations"].isZero, value["auditAnnotations"].isZero else { return fine }
        return ["validations", "auditAnnotations"].map { CustomFinding(at: scope.typePlace + [.field($0)]) }
      },
    "flowcontrol/v1.FlowSchema|spec.matchingPrecedence|1 only for the schema named exempt": refuse { value, scope in
      value.int == 1 && scope.root["metadata"]["name"].string != "exempt"
    },
    "flowcontrol/v1.PriorityLevelConfiguration|spec.type|Exempt exactly for the name exempt": refuse { value, scope in
      (value.string == "Exempt") != (scope.root["metadata"]["name"].string == "exempt")
    },
    "flowcontrol/v1.QueuingConfiguration|handSize|ceil(log2(queues*(queues-1)*...)) for handSize factors, summed, at most 60": {
      value, scope in
      guard let hand = value.int, let deck = scope.base["queues"].int, hand > 0, hand <= deck, deck <= 10_000_000 else {
        return fine
      }
      guard (log2(Double(deck)) * Double(hand)).rounded(.up) > 60 else { return fine }
      return [
        CustomFinding(message: "required entropy bits of deckSize \(deck) and handSize \(hand) should not be greater than 60")
      ]
    },
    "resource/v1.Device||attributes and capacity together at most 32": { value, scope in
      let count = (value["attributes"].object?.count ?? 0) + (value["capacity"].object?.count ?? 0)
      return count > 32 ? [CustomFinding(value: .int(Int64(count)))] : fine
    },
    "resource/v1.Device||with perDeviceNodeSelection exactly one of nodeName, nodeSelector, allNodes": refuse { value, scope in
      scope.root["spec"]["perDeviceNodeSelection"].bool == true && selections(value) != 1
    },
    "resource/v1.Device||without it none of them": { value, scope in
      scope.root["spec"]["perDeviceNodeSelection"].bool != true && selections(value) > 0 ? [CustomFinding(value: "")] : fine
    },
    "resource/v1.Device|bindingConditions|both lists or none": { value, scope in
      let (some, failures) = (!value.isZero, !scope.base["bindingFailureConditions"].isZero)
      if some == failures { return fine }
      return some
        ? [
          CustomFinding(
            message: "bindingFailureConditions are required to use bindingConditions", value: .array([]),
            at: scope.typePlace + [.field("bindingFailureConditions")])
        ] : [CustomFinding(value: .array([]))]
    },
    "resource/v1.ResourceClaim|status.reservedFor|nothing added while deletionTimestamp is set": { value, scope in
      guard let old = scope.oldRoot, !old["metadata"]["deletionTimestamp"].isZero else { return fine }
      let stored = scope.old.array ?? []
      return bad((value.array ?? []).contains { !stored.contains($0) })
    },
    "resource/v1.ResourceClaim|status.devices[*]|one of the allocated devices": refuse { value, scope in
      func key(_ device: Value) -> [Value] { ["driver", "pool", "device", "shareID"].map { device[$0] } }
      let allocated = (scope.root["status"]["allocation"]["devices"]["results"].array ?? []).map(key)
      return !allocated.contains(key(value))
    },
  ]

  private static func selections(_ device: Value) -> Int {
    ["nodeName", "nodeSelector", "allNodes"].count { !device[$0].isNull && device[$0].bool != false }
  }
}

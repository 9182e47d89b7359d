import Cache
import Client
import Schema
import Store
import Wire

struct NamespaceStrategy: KindStrategy {
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) {
    object["status"] = ["phase": "Active"]
    var finalizers = (object["spec"]["finalizers"].array ?? []).compactMap(\.string)
    if !finalizers.contains("kubernetes") { finalizers.append("kubernetes") }
    object["spec"]["finalizers"] = .array(finalizers.map { .string($0) })
  }

  func release(_ object: Value, _ context: inout WriteContext) {
    context.writes.append(.delete(QuotaLedger.key(object["metadata"]["name"].string ?? ""), uid: nil))
  }
}

struct SecretStrategy: KindStrategy {
  /// What is written as text becomes data and is not stored.
  func normalize(_ object: inout Value) {
    guard let text = object.remove("stringData")?.object else { return }
    for member in text.members { object["data"][member.key] = .string(Base64.encode((member.value.string ?? "").utf8)) }
  }

  func validate(_ object: Value, old: Value?, _ context: WriteContext) -> [FieldFault] {
    guard let old else { return [] }
    return Immutability.faults(object, old: old, fields: ["data"])
  }
}

struct ConfigMapStrategy: KindStrategy {
  func validate(_ object: Value, old: Value?, _ context: WriteContext) -> [FieldFault] {
    guard let old else { return [] }
    return Immutability.faults(object, old: old, fields: ["data", "binaryData"])
  }
}

/// Once a config map or secret says `immutable: true`, its data and that word stay.
private enum Immutability {
  static func faults(_ object: Value, old: Value, fields: [String]) -> [FieldFault] {
    guard old["immutable"].bool == true else { return [] }
    let detail = "field is immutable when `immutable` is set"
    var faults: [FieldFault] = []
    if object["immutable"].bool != true { faults.append(.forbidden("immutable", detail)) }
    for field in fields where object[field] != old[field] { faults.append(.forbidden(field, detail)) }
    return faults
  }
}

struct NodeStrategy: KindStrategy {
  /// The one range is the first of the many, whichever of both was written.
  func normalize(_ object: inout Value) {
    let one = object["spec"]["podCIDR"]
    let many = object["spec"]["podCIDRs"]
    if one.string?.isEmpty == false, many.isNull {
      object["spec"]["podCIDRs"] = [one]
    } else if one.isNull, many[0].string?.isEmpty == false {
      object["spec"]["podCIDR"] = many[0]
    }
  }

  /// The name is free again.
  func release(_ object: Value, _ context: inout WriteContext) {
    context.writes.append(.delete(NodeClaims.key(object["metadata"]["name"].string ?? ""), uid: nil))
  }

  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) {
    // Nothing is scheduled to a node before it has said that it is ready. Source: admission TaintNodesByCondition.
    let taint: Value = ["key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"]
    let isTainted = (object["spec"]["taints"].array ?? []).contains {
      $0["key"].string == "node.kubernetes.io/not-ready" && $0["effect"].string == "NoSchedule"
    }
    if !isTainted { object["spec"]["taints"].append(taint) }
  }

  func validate(_ object: Value, old: Value?, _ context: WriteContext) -> [FieldFault] {
    guard let old, context.request.subresource == nil else { return [] }
    var faults: [FieldFault] = []
    for field in ["podCIDR", "podCIDRs", "providerID"]
    where !old["spec"][field].isNull && object["spec"][field] != old["spec"][field] {
      faults.append(.forbidden("spec.\(field)", "node updates may not change \(field) except from \"\" to valid"))
    }
    return faults
  }
}

struct ControllerRevisionStrategy: KindStrategy {
  /// A revision is history: what it holds stays.
  func validate(_ object: Value, old: Value?, _ context: WriteContext) -> [FieldFault] {
    guard let old, object["data"] != old["data"] else { return [] }
    return [.invalid("data", object["data"], FieldFault.immutable)]
  }
}

struct JobStrategy: KindStrategy {
  /// The labels by which a job finds its pods.
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) {
    defer { Self.takeLabels(&object) }
    guard object["spec"]["manualSelector"].bool != true else { return }
    let uid = object["metadata"]["uid"]
    let name = object["metadata"]["name"]
    for (key, value) in [
      ("batch.kubernetes.io/controller-uid", uid), ("controller-uid", uid), ("batch.kubernetes.io/job-name", name),
      ("job-name", name),
    ] where object["spec"]["template"]["metadata"]["labels"][key].isNull {
      // One that the client chose stays, and is refused by its rule where it is another.
      object["spec"]["template"]["metadata"]["labels"][key] = value
    }
    object["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"] = uid
  }

  /// A job without labels has those of its pods.
  private static func takeLabels(_ object: inout Value) {
    let labels = object["spec"]["template"]["metadata"]["labels"]
    if object["metadata"]["labels"].object?.isEmpty != false, labels.object?.isEmpty == false {
      object["metadata"]["labels"] = labels
    }
  }
}

struct CertificateSigningRequestStrategy: KindStrategy {
  /// Who asks is what the server knows of the caller, not what the body says.
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) {
    let caller = context.request.identity
    object["spec"]["username"] = .string(caller.name)
    for field in ["uid", "groups", "extra"] { object["spec"].remove(field) }
    if !caller.uid.isEmpty { object["spec"]["uid"] = .string(caller.uid) }
    if !caller.groups.isEmpty { object["spec"]["groups"] = .array(caller.groups.map { .string($0) }) }
    for (key, values) in caller.extra.sorted(by: { $0.key < $1.key }) {
      object["spec"]["extra"][key] = .array(values.map { .string($0) })
    }
  }

  func prepareForUpdate(_ object: inout Value, old: Value, _ context: inout WriteContext) throws(APIError) {
    object["spec"] = old["spec"]
    guard context.request.subresource == "status" else { return }
    // Approval has an endpoint of its own.
    let decided = (old["status"]["conditions"].array ?? []).filter { $0["type"] == "Approved" || $0["type"] == "Denied" }
    let others = (object["status"]["conditions"].array ?? []).filter { $0["type"] != "Approved" && $0["type"] != "Denied" }
    if !decided.isEmpty || !others.isEmpty {
      object["status"]["conditions"] = .array(decided + others)
    } else {
      object["status"].remove("conditions")
    }
  }
}

struct VolumeStrategy: KindStrategy {
  /// What `status.phase` begins with.
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) {
    object["status"] = ["phase": "Pending"]
  }
}

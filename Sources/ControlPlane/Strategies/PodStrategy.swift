import Cache
import Client
import Schema
import Wire

struct PodStrategy: KindStrategy {
  func prepareForCreate(_ object: inout Value, _ context: inout WriteContext) throws(APIError) {
    object["status"] = ["phase": "Pending", "qosClass": .string(Self.qualityOfService(object["spec"]))]
    if object["spec"]["schedulingGates"].array?.isEmpty == false {
      object["status"]["conditions"] = [
        [
          "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
          "message": "Scheduling is blocked due to non-empty scheduling gates",
        ]
      ]
    }
  }

  func prepareForUpdate(_ object: inout Value, old: Value, _ context: inout WriteContext) throws(APIError) {
    if context.request.subresource == "status" {
      object["metadata"]["ownerReferences"] = old["metadata"]["ownerReferences"]
      if object["metadata"]["ownerReferences"].isNull { object["metadata"].remove("ownerReferences") }
      Self.settleAddresses(&object["status"], "podIP", "podIPs")
      Self.settleAddresses(&object["status"], "hostIP", "hostIPs")
    }
    if object["status"]["qosClass"].isNull, !old["status"]["qosClass"].isNull {
      object["status"]["qosClass"] = old["status"]["qosClass"]
    }
  }

  /// The one address is the first of the many, whichever of both was written; where they differ, the one counts.
  private static func settleAddresses(_ status: inout Value, _ one: String, _ many: String) {
    let first = status[many][0]["ip"]
    if let address = status[one].string, !address.isEmpty {
      if first.string != address { status[many] = [["ip": .string(address)]] }
    } else if first.string?.isEmpty == false {
      status[one] = first
    }
  }

  /// Guaranteed: every container limits and requests the same cpu and memory. BestEffort: none asks for anything.
  static func qualityOfService(_ spec: Value) -> String {
    var asksAnything = false
    var isGuaranteed = true
    for container in (spec["containers"].array ?? []) + (spec["initContainers"].array ?? []) {
      let resources = container["resources"]
      for resource in ["cpu", "memory"] {
        let request = resources["requests"][resource].string.flatMap { Quantity($0) }
        let limit = resources["limits"][resource].string.flatMap { Quantity($0) }
        if request.map({ $0.nanos > 0 }) == true || limit.map({ $0.nanos > 0 }) == true { asksAnything = true }
        guard let limit, limit.nanos > 0 else {
          isGuaranteed = false
          continue
        }
        if let request, request != limit { isGuaranteed = false }
      }
    }
    return asksAnything ? (isGuaranteed ? "Guaranteed" : "Burstable") : "BestEffort"
  }
}

import Client
import Wire

/// What controllers read of a Pod. A class: a set of 5,000 is handed around as references, not as 5,000 copies of 200 bytes.
package final class PodView: ObjectView {
  package struct Port: Sendable, Hashable {
    package var name: String
    package var transport: String
    package var number: Int64
  }
  package struct Toleration: Sendable, Hashable {
    package var key: String
    package var isExists: Bool
    package var value: String
    package var effect: String
    package var seconds: Int64?
  }

  package let meta: Meta
  package let phase: String
  package let node: String
  /// `status.podIPs`, else the one of `status.podIP`.
  package let addresses: [String]
  package let hostname: String
  package let subdomain: String
  package let ports: [Port]
  package let tolerations: [Toleration]
  package let isReady: Bool
  /// When the Ready condition last changed, seconds since 1970.
  package let readySince: Int64
  /// Of the container that was restarted most often.
  package let restarts: Int64
  /// `controller.kubernetes.io/pod-deletion-cost`.
  package let deletionCost: Int64

  private static let sharedPorts = Interner<[Port]>()
  private static let sharedTolerations = Interner<[Toleration]>()

  package init(_ object: EncodedObject, _ view: JSONView) {
    let spec = view["spec"]
    let status = view["status"]
    meta = Meta(object, view)
    phase = status["phase"].string ?? "Pending"
    node = spec["nodeName"].string ?? ""
    let all = status["podIPs"].compactMap { $0["ip"].string }
    let first = status["podIP"].string ?? ""
    addresses = !all.isEmpty ? all : first.isEmpty ? [] : [first]
    hostname = spec["hostname"].string ?? ""
    subdomain = spec["subdomain"].string ?? ""
    var ports: [Port] = []
    // Init containers serve only where they go on running.
    for (list, isInit) in [(spec["containers"], false), (spec["initContainers"], true)] {
      list.forEach { container in
        guard !isInit || container["restartPolicy"].equals("Always") else { return }
        container["ports"].forEach { port in
          guard let number = port["containerPort"].int, let name = port["name"].string else { return }
          ports.append(Port(name: name, transport: port["protocol"].string ?? "TCP", number: number))
        }
      }
    }
    self.ports = ports.isEmpty ? [] : Self.sharedPorts(ports)
    let tolerations = spec["tolerations"].map { toleration in
      Toleration(
        key: toleration["key"].string ?? "", isExists: toleration["operator"].equals("Exists"),
        value: toleration["value"].string ?? "", effect: toleration["effect"].string ?? "",
        seconds: toleration["tolerationSeconds"].int)
    }
    self.tolerations = tolerations.isEmpty ? [] : Self.sharedTolerations(tolerations)
    var isReady = false
    var readySince: Int64 = 0
    status["conditions"].forEach { condition in
      guard condition["type"].equals("Ready") else { return }
      isReady = condition["status"].equals("True")
      readySince = condition["lastTransitionTime"].string.flatMap { Timestamp($0)?.seconds } ?? 0
    }
    self.isReady = isReady
    self.readySince = readySince
    var restarts: Int64 = 0
    status["containerStatuses"].forEach { restarts = max(restarts, $0["restartCount"].natural ?? 0) }
    self.restarts = restarts
    deletionCost = view["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"].string.flatMap { Int64($0) } ?? 0
  }

  package var isFinished: Bool { phase == "Succeeded" || phase == "Failed" }
  /// Counts towards the replicas of a set.
  package var isActive: Bool { !isFinished && !meta.isDeleting }

  /// A write that says why the pod is taken away although it did nothing wrong.
  /// - Parameter fails: for a pod that nobody can stop any more: it has failed.
  package func disrupted(reason: String, message: String, at instant: Int64, fails: Bool = false) -> Operation {
    let condition: Value = [
      "type": "DisruptionTarget", "status": "True", "reason": .string(reason), "message": .string(message),
      "lastTransitionTime": .string(Timestamp(seconds: instant).description),
    ]
    var status: Value = ["conditions": [condition]]
    if fails { status["phase"] = "Failed" }
    return .patch(
      .pods, meta.key, subresource: "status", Patch(.strategic, ["metadata": ["uid": .string(meta.uid)], "status": status]))
  }

  /// Ready for at least so many seconds.
  package func isAvailable(_ minReadySeconds: Int64, now: Int64) -> Bool {
    isReady && (minReadySeconds <= 0 || readySince > 0 && readySince + minReadySeconds <= now)
  }
}

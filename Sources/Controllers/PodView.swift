import Client
import Wire

/// What controllers read of a Pod.
struct PodView: Sendable {
  struct Port: Sendable, Hashable {
    var name: String
    var transport: String
    var number: Int64
  }
  struct Toleration: Sendable, Hashable {
    var key: String
    var isExists: Bool
    var value: String
    var effect: String
    var seconds: Int64?
  }

  var meta: Meta
  var phase: String
  var node: String
  /// `status.podIPs`, else the one of `status.podIP`.
  var addresses: [String]
  var hostname: String
  var subdomain: String
  var ports: [Port]
  var tolerations: [Toleration]
  var isReady: Bool
  /// When the Ready condition last changed, seconds since 1970.
  var readySince: Int64
  var restarts: Int64
  /// `controller.kubernetes.io/pod-deletion-cost`.
  var deletionCost: Int64

  init(_ object: EncodedObject) {
    self = object.withView { view in PodView(object, view) }
  }

  private init(_ object: EncodedObject, _ view: JSONView) {
    let spec = view["spec"]
    let status = view["status"]
    meta = Meta(object, view)
    phase = status["phase"].string ?? "Pending"
    node = spec["nodeName"].string ?? ""
    addresses = status["podIPs"].compactMap { $0["ip"].string }
    if addresses.isEmpty, let address = status["podIP"].string, !address.isEmpty { addresses = [address] }
    hostname = spec["hostname"].string ?? ""
    subdomain = spec["subdomain"].string ?? ""
    var ports: [Port] = []
    for list in [spec["initContainers"], spec["containers"]] {
      list.forEach { container in
        container["ports"].forEach { port in
          guard let number = port["containerPort"].int, let name = port["name"].string else { return }
          ports.append(Port(name: name, transport: port["protocol"].string ?? "TCP", number: number))
        }
      }
    }
    self.ports = ports
    tolerations = spec["tolerations"].map { toleration in
      Toleration(
        key: toleration["key"].string ?? "", isExists: toleration["operator"].equals("Exists"),
        value: toleration["value"].string ?? "", effect: toleration["effect"].string ?? "", seconds: toleration["tolerationSeconds"].int)
    }
    var isReady = false
    var readySince: Int64 = 0
    status["conditions"].forEach { condition in
      guard condition["type"].equals("Ready") else { return }
      isReady = condition["status"].equals("True")
      readySince = condition["lastTransitionTime"].string.flatMap(RFC3339.seconds) ?? 0
    }
    self.isReady = isReady
    self.readySince = readySince
    var restarts: Int64 = 0
    status["containerStatuses"].forEach { restarts += min($0["restartCount"].int ?? 0, 1 << 30) }
    self.restarts = restarts
    deletionCost = view["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"].string.flatMap { Int64($0) } ?? 0
  }

  var isFinished: Bool { phase == "Succeeded" || phase == "Failed" }
  /// Counts towards the replicas of a set.
  var isActive: Bool { !isFinished && !meta.isDeleting }

  /// Ready for at least so many seconds.
  func isAvailable(_ minReadySeconds: Int64, now: Int64) -> Bool {
    isReady && (minReadySeconds <= 0 || readySince > 0 && readySince + minReadySeconds <= now)
  }
}

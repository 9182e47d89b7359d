import Wire

/// What a placement reads of a Pod.
package struct PodFacts: Sendable {
  package var key: ObjectKey
  package var uid: String
  /// "" while the pod has no node.
  package var node: String
  package var schedulerName: String
  package var priority: Int32
  /// False where the pod's `preemptionPolicy` is `Never`.
  package var mayPreempt = true
  /// Scheduling gates hold it back.
  package var isGated: Bool
  /// Succeeded or failed: holds no resources any more.
  package var isFinished: Bool
  package var isDeleting: Bool
  /// The condition that is already written, so that the same refusal is not written twice.
  package var refusalMessage: String?
  package var shape: PodShape

  package init(
    key: ObjectKey, uid: String, node: String = "", schedulerName: String = "default-scheduler", priority: Int32 = 0,
    isGated: Bool = false, isFinished: Bool = false, isDeleting: Bool = false, shape: PodShape
  ) {
    self.key = key
    self.uid = uid
    self.node = node
    self.schedulerName = schedulerName
    self.priority = priority
    self.isGated = isGated
    self.isFinished = isFinished
    self.isDeleting = isDeleting
    self.shape = shape
  }

  package init(_ object: EncodedObject) {
    self = object.withView { view in
      let spec = view["spec"]
      let status = view["status"]
      var facts = PodFacts(
        key: object.key, uid: object.uid, node: spec["nodeName"].string ?? "",
        schedulerName: spec["schedulerName"].string ?? "default-scheduler",
        priority: Int32(clamping: spec["priority"].int ?? 0),
        isGated: spec["schedulingGates"].count > 0,
        isFinished: status["phase"].equals("Succeeded") || status["phase"].equals("Failed"),
        isDeleting: view["metadata"]["deletionTimestamp"].isPresent,
        shape: PodShape(view))
      facts.mayPreempt = !spec["preemptionPolicy"].equals("Never")
      status["conditions"].forEach { condition in
        if condition["type"].equals("PodScheduled"), condition["reason"].equals("Unschedulable") {
          facts.refusalMessage = condition["message"].string
        }
      }
      return facts
    }
  }
}

/// Everything about a pod that decides where it may go and where it goes best. Pods of one shape form one equivalence class.
package struct PodShape: Hashable, Sendable {
  /// The uid of the controller, whose pods are spread over nodes; "" without one.
  package var owner = ""
  package var requests = ResourceList()
  /// What scores count for a container that asks for nothing: 100m and 200 MiB, as upstream.
  package var scoredCPU: Int64 = 0
  package var scoredMemory: Int64 = 0
  package var nodeSelector: [Requirement] = []
  /// Alternatives; empty when nothing is required.
  package var requiredTerms: [NodeTerm] = []
  /// True where a required affinity exists whose terms match nothing.
  package var requiresTerm = false
  package var preferredTerms: [WeightedNodeTerm] = []
  package var tolerations: [Toleration] = []
  package var hostPorts: [HostPort] = []

  /// Nothing but taints and cordons can refuse a node by its object alone, and nothing else of it scores.
  var isPlain: Bool { nodeSelector.isEmpty && !requiresTerm && preferredTerms.isEmpty }

  static let defaultCPU = ResourceList.unitsPerCore / 10
  static let defaultMemory: Int64 = 200 << 20

  package init(owner: String = "", requests: ResourceList = ResourceList()) {
    self.owner = owner
    self.requests = requests
    scoredCPU = requests.cpu == 0 ? Self.defaultCPU : requests.cpu
    scoredMemory = requests.memory == 0 ? Self.defaultMemory : requests.memory
  }

  init(_ view: JSONView) {
    let spec = view["spec"]
    view["metadata"]["ownerReferences"].forEach { reference in
      if reference["controller"].bool == true { owner = reference["uid"].string ?? "" }
    }
    let total = Self.total(spec, defaults: ResourceList())
    let scored = Self.total(spec, defaults: ResourceList(cpu: Self.defaultCPU, memory: Self.defaultMemory))
    requests = total
    scoredCPU = scored.cpu
    scoredMemory = scored.memory
    nodeSelector = spec["nodeSelector"].stringMap.sorted { $0.key < $1.key }
      .map { Requirement(key: $0.key, operation: .in, values: [$0.value]) }
    let affinity = spec["affinity"]["nodeAffinity"]
    let required = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
    if required.isObject {
      requiresTerm = true
      requiredTerms = required["nodeSelectorTerms"].compactMap { NodeTerm($0) }
    }
    preferredTerms = affinity["preferredDuringSchedulingIgnoredDuringExecution"].compactMap { item in
      guard let weight = item["weight"].int, let term = NodeTerm(item["preference"]) else { return nil }
      return WeightedNodeTerm(weight: Int32(clamping: weight), term: term)
    }
    tolerations = spec["tolerations"].map { Toleration($0) }
    let isOnHostNetwork = spec["hostNetwork"].bool == true
    for list in [spec["containers"], spec["initContainers"]] {
      list.forEach { container in
        container["ports"].forEach { port in
          let number = port["hostPort"].int ?? (isOnHostNetwork ? port["containerPort"].int : nil) ?? 0
          guard number > 0, let value = UInt16(exactly: number) else { return }
          let address = port["hostIP"].string ?? ""
          hostPorts.append(
            HostPort(address: address.isEmpty ? "0.0.0.0" : address, transport: port["protocol"].string ?? "TCP", port: value))
        }
      }
    }
  }

  /// What the pod asks for at its hungriest moment: its containers and sidecars together, or an init container beside the
  /// sidecars that started before it; plus overhead. Requests of the pod as a whole replace its containers' CPU and memory.
  /// - Source: Kubernetes "Init containers: resource sharing" and "Pod-level resources".
  private static func total(_ spec: JSONView, defaults: ResourceList) -> ResourceList {
    func requests(_ container: JSONView) -> ResourceList {
      var list = ResourceList(container["resources"]["requests"])
      if list.cpu == 0 { list.cpu = defaults.cpu }
      if list.memory == 0 { list.memory = defaults.memory }
      return list
    }
    var running = ResourceList()
    spec["containers"].forEach { running = running.adding(requests($0)) }
    var sidecars = ResourceList()
    var initial = ResourceList()
    spec["initContainers"].forEach { container in
      let own = requests(container)
      if container["restartPolicy"].equals("Always") {
        sidecars = sidecars.adding(own)
        initial = initial.maximum(sidecars)
      } else {
        initial = initial.maximum(sidecars.adding(own))
      }
    }
    var total = running.adding(sidecars).maximum(initial)
    let podLevel = ResourceList(spec["resources"]["requests"])
    if podLevel.cpu > 0 { total.cpu = podLevel.cpu }
    if podLevel.memory > 0 { total.memory = podLevel.memory }
    return total.adding(ResourceList(spec["overhead"]))
  }
}

package struct HostPort: Hashable, Sendable {
  /// `0.0.0.0` for every address.
  package var address: String
  package var transport: String
  package var port: UInt16

  package init(address: String = "0.0.0.0", transport: String = "TCP", port: UInt16) {
    self.address = address
    self.transport = transport
    self.port = port
  }

  func conflicts(with other: HostPort) -> Bool {
    port == other.port && transport == other.transport
      && (address == other.address || address == "0.0.0.0" || other.address == "0.0.0.0")
  }
}

import Client
import Wire

/// The status that a pod's state amounts to, as the API shows it.
extension PodMachine {
  package var phase: String {
    if failure != nil { return "Failed" }
    var pending = 0
    for container in containers where container.plan.isInit {
      if container.plan.isSidecar {
        if case .running(let running) = container.state, running.isStarted { continue }
        if container.hasStartedOnce { continue }
        pending += 1
        continue
      }
      if case .exited(let exit) = container.state {
        if exit.code == 0 { continue }
        if container.plan.restart == .never { return "Failed" }
      }
      pending += 1
    }
    var running = 0
    var waiting = 0
    var stopped = 0
    var succeeded = 0
    for container in containers where !container.plan.isInit {
      switch container.state {
      case .running, .stopping: running += 1
      case .waiting, .starting: if container.last != nil { stopped += 1 } else { waiting += 1 }
      case .exited(let exit):
        stopped += 1
        if exit.code == 0 { succeeded += 1 }
      }
    }
    if pending > 0 && running == 0 { return "Pending" }
    if waiting > 0 { return "Pending" }
    if running > 0 { return "Running" }
    if stopped > 0 {
      switch plan.restart {
      case .always: return plan.isDeleting ? (stopped == succeeded ? "Succeeded" : "Failed") : "Running"
      case .never: return stopped == succeeded ? "Succeeded" : "Failed"
      case .onFailure: return stopped == succeeded ? "Succeeded" : plan.isDeleting ? "Failed" : "Running"
      }
    }
    return "Pending"
  }

  /// - Parameter hostAddress: `status.hostIP`.
  package mutating func status(hostAddress: String, now: Moment) -> Value {
    let phase = phase
    var status: Value = ["observedGeneration": plan.generation > 0 ? .int(plan.generation) : .null, "phase": .string(phase)]
    let reports = containers.map { report($0) }
    status["conditions"] = conditions(phase, now)
    if let failure {
      status["message"] = failure.message.isEmpty ? .null : .string(failure.message)
      status["reason"] = .string(failure.reason)
    } else {
      status["message"] = .null
      status["reason"] = .null
    }
    status["hostIP"] = .string(hostAddress)
    status["hostIPs"] = [["ip": .string(hostAddress)]]
    let addresses = plan.isHostNetwork ? [hostAddress] : addresses
    let hasSandbox = if case .absent = sandbox { !self.addresses.isEmpty } else { true }
    if let first = addresses.first, hasSandbox {
      status["podIP"] = .string(first)
      status["podIPs"] = .array(addresses.map { ["ip": .string($0)] })
    }
    status["startTime"] = .string(startTime.text)
    // A pod that the node refused has never had containers here.
    let wasRefused = failure != nil && !containers.contains { $0.hasStartedOnce } && self.addresses.isEmpty
    if wasRefused {
      status["qosClass"] = .string(plan.qosClass)
      return status
    }
    let inits = zip(containers, reports).filter { $0.0.plan.isInit }.map(\.1)
    if !inits.isEmpty { status["initContainerStatuses"] = .array(inits) }
    status["containerStatuses"] = .array(zip(containers, reports).filter { !$0.0.plan.isInit }.map(\.1))
    status["qosClass"] = .string(plan.qosClass)
    return status
  }

  /// Whether the API's status says all that `status` does; what others have added to it does not matter.
  package static func shows(_ status: Value, in other: Value) -> Bool {
    switch (status, other) {
    case (.object(let members), _): members.members.allSatisfy { shows($0.value, in: other[$0.key]) }
    case (.array(let items), .array(let others)):
      items.count == others.count && zip(items, others).allSatisfy { shows($0, in: $1) }
    case (.array(let items), _): items.isEmpty && other.isNull
    default: status == other
    }
  }

  private func isReady(_ container: Container) -> Bool {
    switch container.state {
    case .running(let running), .stopping(let running): running.isReady && running.isStarted
    case .exited(let exit): container.plan.isInit && !container.plan.isSidecar && exit.code == 0
    default: false
    }
  }

  private func report(_ container: Container) -> Value {
    var report: Value = ["name": .string(container.plan.name)]
    var id = container.last?.id ?? ""
    var isStarted = false
    func waiting(_ reason: String, _ message: String) -> Value {
      message.isEmpty
        ? ["waiting": ["reason": .string(reason)]] : ["waiting": ["reason": .string(reason), "message": .string(message)]]
    }
    switch container.state {
    case .waiting(let reason, let message), .starting(let reason, let message): report["state"] = waiting(reason, message)
    case .running(let running), .stopping(let running):
      report["state"] = ["running": ["startedAt": .string(running.startedAt.text)]]
      id = running.id
      isStarted = running.isStarted
    case .exited(let exit):
      report["state"] = terminated(exit)
      id = exit.id
    }
    report["lastState"] = container.last.map { terminated($0) } ?? .emptyObject
    report["ready"] = .bool(isReady(container))
    report["restartCount"] = .int(Int64(container.restarts))
    report["image"] = .string(container.image.isEmpty ? container.plan.image : container.image)
    report["imageID"] = .string(container.imageID)
    if !id.isEmpty { report["containerID"] = .string("containerd://\(id)") }
    report["started"] = .bool(isStarted)
    return report
  }

  private func terminated(_ exit: Exit) -> Value {
    var state: Value = ["exitCode": .int(exit.code)]
    if exit.signal != 0 { state["signal"] = .int(exit.signal) }
    if !exit.reason.isEmpty { state["reason"] = .string(exit.reason) }
    if !exit.message.isEmpty { state["message"] = .string(exit.message) }
    state["startedAt"] = .string(exit.startedAt.text)
    state["finishedAt"] = .string(exit.finishedAt.text)
    if !exit.id.isEmpty { state["containerID"] = .string("containerd://\(exit.id)") }
    return ["terminated": state]
  }

  private mutating func conditions(_ phase: String, _ now: Moment) -> Value {
    let isDone = phase == "Succeeded" || phase == "Failed"
    let hasSandbox = if case .ready = sandbox { true } else { false }
    let uninitialized = containers.filter { container in
      guard container.plan.isInit else { return false }
      switch container.state {
      case .running(let running): return !(container.plan.isSidecar && running.isStarted)
      case .exited(let exit): return exit.code != 0 && !(container.plan.isSidecar)
      default: return true
      }
    }.map(\.plan.name)
    let hasRun = containers.contains { !$0.plan.isInit && $0.hasStartedOnce }
    let isInitialized = uninitialized.isEmpty || hasRun || phase == "Succeeded"
    let unready = containers.filter { (!$0.plan.isInit || $0.plan.isSidecar) && !isReady($0) }.map(\.plan.name)
    var containersReady: (Bool, String, String)
    if phase == "Succeeded" {
      containersReady = (false, "PodCompleted", "")
    } else if phase == "Failed" && failure != nil {
      containersReady = (false, "PodFailed", "")
    } else if unready.isEmpty {
      containersReady = (true, "", "")
    } else {
      containersReady = (false, "ContainersNotReady", "containers with unready status: [\(unready.joined(separator: " "))]")
    }
    var podReady = containersReady
    let current = plan.object["status"]["conditions"].array ?? []
    if podReady.0 {
      let missing = plan.readinessGates.filter { gate in
        !current.contains { $0["type"].string == gate && $0["status"].string == "True" }
      }
      if let gate = missing.first {
        let exists = current.contains { $0["type"].string == gate }
        podReady = (
          false, "ReadinessGatesNotReady",
          exists
            ? "the status of pod readiness gate \"\(gate)\" is not \"True\", but False"
            : "corresponding condition of pod readiness gate \"\(gate)\" does not exist."
        )
      }
    }
    let own: [(String, (Bool, String, String))] = [
      ("PodReadyToStartContainers", (hasSandbox && !isDone, "", "")),
      (
        "Initialized",
        isInitialized
          ? (true, phase == "Succeeded" ? "PodCompleted" : "", "")
          : (false, "ContainersNotInitialized", "containers with incomplete status: [\(uninitialized.joined(separator: " "))]")
      ), ("Ready", podReady), ("ContainersReady", containersReady), ("PodScheduled", (true, "", "")),
    ]
    let names = Set(own.map(\.0))
    var result: [Value] = current.filter { !names.contains($0["type"].string ?? "") }
    for (type, (status, reason, message)) in own {
      if conditionTimes[type]?.status != status { conditionTimes[type] = (status, now) }
      var condition: Value = ["type": .string(type)]
      if plan.generation > 0 { condition["observedGeneration"] = .int(plan.generation) }
      condition["status"] = .string(status ? "True" : "False")
      condition["lastProbeTime"] = .null
      condition["lastTransitionTime"] = .string((conditionTimes[type]?.since ?? now).text)
      if !reason.isEmpty { condition["reason"] = .string(reason) }
      if !message.isEmpty { condition["message"] = .string(message) }
      result.append(condition)
    }
    return .array(result)
  }
}

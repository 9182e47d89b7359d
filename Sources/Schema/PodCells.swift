import Wire

/// The cells of a pod's row. Source: the column table's rules podReady, podStatus and podRestarts.
struct PodCells {
  private struct Container {
    var ready, started, isSidecar, isRunning: Bool
    var restarts: Int64
    var waiting, terminated, exitText: String?
    var exitCode: Int64?
    var finished: Timestamp?

    init(_ status: JSONView, isSidecar: Bool) {
      ready = status["ready"].bool ?? false
      started = status["started"].bool ?? false
      self.isSidecar = isSidecar
      let state = status["state"]
      isRunning = state["running"].isPresent && !state["running"].isNull
      restarts = status["restartCount"].int ?? 0
      waiting = state["waiting"]["reason"].string
      let end = state["terminated"]
      if !end.isNull {
        exitCode = end["exitCode"].int ?? 0
        terminated = end["reason"].string.flatMap { $0.isEmpty ? nil : $0 }
        let signal = end["signal"].int ?? 0
        exitText = signal != 0 ? "Signal:\(signal)" : "ExitCode:\(exitCode ?? 0)"
      }
      finished = status["lastState"]["terminated"]["finishedAt"].string.flatMap { Timestamp($0) }
    }
  }

  private let view: JSONView
  private var inits: [Container] = []
  private var containers: [Container] = []
  private let total: Int

  init(_ view: JSONView) {
    self.view = view
    var sidecars: Set<String> = []
    view["spec"]["initContainers"].forEach {
      if $0["restartPolicy"].equals("Always"), let name = $0["name"].string { sidecars.insert(name) }
    }
    total = view["spec"]["containers"].count + sidecars.count
    inits = view["status"]["initContainerStatuses"].map { Container($0, isSidecar: sidecars.contains($0["name"].string ?? "")) }
    containers = view["status"]["containerStatuses"].map { Container($0, isSidecar: false) }
  }

  /// Index of the first init container that holds the pod up.
  private var unfinished: Int? {
    if CellRules.condition(view, "Initialized")?["status"].equals("True") == true { return nil }
    return inits.firstIndex { !($0.exitCode == 0 || $0.isSidecar && $0.started) }
  }

  var ready: String {
    if let unfinished { return "\(inits[..<unfinished].filter { $0.isSidecar && $0.started && $0.ready }.count)/\(total)" }
    let sidecars = inits.filter { $0.isSidecar && $0.started && $0.ready }.count
    return "\(sidecars + containers.filter { $0.ready && $0.isRunning }.count)/\(total)"
  }

  func restarts(now: Timestamp) -> String {
    let counted: [Container] =
      if let unfinished { Array(inits[...unfinished]) } else { containers + inits.filter(\.isSidecar) }
    let sum = counted.reduce(0) { $0 + $1.restarts }
    guard sum > 0, let last = counted.compactMap(\.finished).max() else { return String(sum) }
    return "\(sum) (\(HumanDuration.text(seconds: now.seconds - last.seconds)) ago)"
  }

  var status: String {
    let statusReason = view["status"]["reason"].string.flatMap { $0.isEmpty ? nil : $0 }
    let phase = view["status"]["phase"].string ?? ""
    var reason = statusReason ?? phase
    if CellRules.condition(view, "PodScheduled")?["reason"].equals("SchedulingGated") == true { reason = "SchedulingGated" }
    var isInitializing = false
    if let unfinished {
      isInitializing = true
      let container = inits[unfinished]
      if container.exitCode != nil {
        reason = "Init:\(container.terminated ?? container.exitText ?? "")"
      } else if let waiting = container.waiting, !waiting.isEmpty, waiting != "PodInitializing" {
        reason = "Init:\(waiting)"
      } else {
        reason = "Init:\(unfinished)/\(view["spec"]["initContainers"].count)"
      }
    }
    if !isInitializing {
      var hasRunning = false
      var lastFailure: String?
      for container in containers.reversed() {
        if let waiting = container.waiting, !waiting.isEmpty {
          reason = waiting
        } else if let code = container.exitCode {
          reason = container.terminated ?? container.exitText ?? reason
          if code != 0 { lastFailure = lastFailure ?? reason }
        } else if container.ready, container.isRunning {
          hasRunning = true
        }
      }
      if reason == "Completed" {
        if hasRunning, CellRules.condition(view, "Ready")?["status"].equals("True") == true {
          reason = "Running"
        } else if let lastFailure {
          reason = lastFailure
        } else if hasRunning {
          reason = "NotReady"
        }
      }
    }
    if !view["metadata"]["deletionTimestamp"].isNull {
      if statusReason == "NodeLost" { return "Unknown" }
      if phase != "Succeeded", phase != "Failed" { return "Terminating" }
    }
    return reason
  }
}

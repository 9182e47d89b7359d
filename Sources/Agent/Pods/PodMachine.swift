import Client
import Wire

/// One pod on this node as a state machine: events in, effects out. Pure: time is handed in, nothing is done here.
///
/// Whoever drives it does the effects, each of which answers with an event, and calls ``handle(_:now:)`` again at ``wakeAt``.
package struct PodMachine: Sendable {
  package struct Running: Sendable, Equatable {
    package var id: String
    package var startedAt: Moment
    /// The startup probe has succeeded, or there is none.
    package var isStarted: Bool
    package var isReady: Bool
  }

  package struct Exit: Sendable, Equatable {
    package var id: String
    package var code: Int64
    package var signal: Int64 = 0
    package var reason: String
    package var message: String
    package var startedAt: Moment
    package var finishedAt: Moment

    package init(id: String, code: Int64, reason: String, message: String, startedAt: Moment, finishedAt: Moment) {
      self.id = id
      self.code = code
      self.reason = reason
      self.message = message
      self.startedAt = startedAt
      self.finishedAt = finishedAt
    }
  }

  package enum ContainerState: Sendable, Equatable {
    case waiting(reason: String, message: String)
    /// A start is under way; what is shown meanwhile is what was shown before.
    case starting(reason: String, message: String)
    case running(Running)
    /// It has been told to end; until it has it is as ready as its probe says.
    case stopping(Running)
    case exited(Exit)
  }

  package struct Container: Sendable {
    package var plan: ContainerPlan
    package var state: ContainerState
    package var last: Exit?
    /// Restarts so far; also the attempt of the next or present start.
    package var restarts = 0
    package var hasStartedOnce = false
    package var imageID = ""
    package var image = ""
    /// Seconds of the next back-off of restarts; 0: at once.
    var backoff = 0.0
    var pullBackoff = 0.0
    var notBefore: Moment?
    var failures: [ProbePlan.Kind: Int] = [:]
    var successes: [ProbePlan.Kind: Int] = [:]
    var toldBackoff = false
    var isOOM = false
    /// Why it is being stopped, for its status and whether it is to be started again.
    var stopReason = ""
    /// Seconds that it was given to end by itself.
    var stopGrace: Int64 = 0

    package var runningID: String? {
      switch state {
      case .running(let running), .stopping(let running): running.id
      default: nil
      }
    }
  }

  package enum SandboxState: Sendable, Equatable {
    case absent
    case creating
    case ready(id: String, addresses: [String])
    case stopping(id: String)
    /// Stopped for good; its address stays in the status.
    case gone
  }

  package enum Event: Sendable {
    case specChanged(Value)
    case sandboxCreated(id: String, addresses: [String])
    case sandboxFailed(reason: String, message: String)
    /// The sandbox is no longer ready although nobody stopped it.
    case sandboxDied
    case sandboxStopped
    case started(container: String, id: String, image: String, imageID: String)
    /// - Parameter reason: `ErrImagePull`, `ErrImageNeverPull`, `InvalidImageName`, `CreateContainerConfigError`, `CreateContainerError`, `RunContainerError`.
    case startFailed(container: String, reason: String, message: String)
    case exited(container: String, Exit)
    case outOfMemory(container: String)
    case probed(container: String, id: String, ProbePlan.Kind, succeeded: Bool, message: String)
    /// The node refuses or ends the pod: `OutOfcpu`, `Evicted`, `NodePorts`, ….
    case fail(reason: String, message: String)
    /// A config map or a secret that the pod names has changed or appeared: what waited for it need not wait longer.
    case sourcesChanged
    case wake
  }

  package enum Effect: Sendable, Equatable {
    case createSandbox(attempt: Int)
    case stopSandbox(id: String)
    case start(container: String, attempt: Int)
    /// - Parameter grace: seconds between SIGTERM and SIGKILL.
    case stop(container: String, id: String, grace: Int64)
    /// Tells an event about the pod or one of its containers.
    case tell(warning: Bool, reason: String, message: String, container: String?)
    /// Everything has ended: clean up and take the object away.
    case finish
  }

  package internal(set) var plan: PodPlan
  package internal(set) var containers: [Container]
  package internal(set) var sandbox = SandboxState.absent
  package internal(set) var addresses: [String] = []
  package internal(set) var startTime: Moment
  /// `status.reason` and `status.message` of a pod that the node has failed.
  package internal(set) var failure: (reason: String, message: String)?
  package internal(set) var wakeAt: Moment?
  var sandboxAttempt = 0
  var sandboxBackoff = 0.0
  var sandboxNotBefore: Moment?
  var sandboxFailure = ""
  var isFinished = false
  var conditionTimes: [String: (status: Bool, since: Moment)] = [:]

  static let firstBackoff = 10.0
  /// Of what could not be made although its image is there.
  static let retry = 10.0
  static let longestBackoff = 300.0
  static let backoffResets = 600.0
  /// - Source: upstream's longest wait between attempts to mount.
  static let longestSandboxBackoff = 122.0

  package init(_ object: Value, now: Moment) {
    let plan = PodPlan(object)
    self.plan = plan
    let hasInit = plan.containers.contains { $0.isInit }
    containers = plan.containers.map { container in
      Container(plan: container, state: .waiting(reason: hasInit ? "PodInitializing" : "ContainerCreating", message: ""))
    }
    startTime = object["status"]["startTime"].string.flatMap { Timestamp($0)?.seconds }.map { Moment(seconds: $0) } ?? now
    for condition in object["status"]["conditions"].array ?? [] {
      guard let type = condition["type"].string,
        let time = condition["lastTransitionTime"].string.flatMap({ Timestamp($0)?.seconds })
      else { continue }
      conditionTimes[type] = (condition["status"].string == "True", Moment(seconds: time))
    }
    // What an earlier agent knew and the runtime may no longer know.
    for status in (object["status"]["initContainerStatuses"].array ?? []) + (object["status"]["containerStatuses"].array ?? []) {
      guard let i = containers.firstIndex(where: { $0.plan.name == status["name"].string }) else { continue }
      containers[i].restarts = Int(clamping: status["restartCount"].int ?? 0)
      containers[i].imageID = status["imageID"].string ?? ""
      containers[i].image = status["image"].string ?? ""
      containers[i].hasStartedOnce = containers[i].restarts > 0 || status["state"]["waiting"].isNull
      if let exit = Exit(status: status["lastState"]["terminated"]) { containers[i].last = exit }
      if let exit = Exit(status: status["state"]["terminated"]) { containers[i].state = .exited(exit) }
    }
    if let phase = object["status"]["phase"].string, phase == "Failed", let reason = object["status"]["reason"].string {
      failure = (reason, object["status"]["message"].string ?? "")
    }
    addresses = (object["status"]["podIPs"].array ?? []).compactMap { $0["ip"].string }
  }

  // MARK: What a restarted agent finds

  /// Takes over what runs already.
  package mutating func adopt(sandboxID: String, attempt: Int, addresses: [String]) {
    sandbox = .ready(id: sandboxID, addresses: addresses)
    sandboxAttempt = attempt + 1
    if !addresses.isEmpty { self.addresses = addresses }
  }

  /// A sandbox that no longer runs: its number is taken.
  package mutating func adoptDeadSandbox(attempt: Int) { sandboxAttempt = max(sandboxAttempt, attempt + 1) }

  package mutating func adopt(container name: String, attempt: Int, state: ContainerState, image: String, imageID: String) {
    guard let i = containers.firstIndex(where: { $0.plan.name == name }) else { return }
    containers[i].restarts = max(attempt, containers[i].restarts)
    containers[i].state = state
    containers[i].hasStartedOnce = true
    if case .exited(let exit) = state, containers[i].restarts > 0 {
      // The back-off goes on where the earlier agent left it.
      containers[i].backoff = min(Self.longestBackoff, Self.firstBackoff * Double(1 << min(containers[i].restarts - 1, 6)))
      containers[i].notBefore = exit.finishedAt + containers[i].backoff
    }
    if !image.isEmpty { containers[i].image = image }
    if !imageID.isEmpty { containers[i].imageID = imageID }
  }

  /// What ran before and is not there any more: restarts go on by the numbers of the logs it has left.
  /// - Parameter next: one more than the newest log's number; 0: there is none.
  package mutating func resume(container name: String, next: Int, now: Moment) {
    guard let i = index(name), next > 0 else { return }
    switch containers[i].state {
    case .waiting:
      containers[i].restarts = max(containers[i].restarts, next)
      containers[i].hasStartedOnce = true
      let shown =
        ["containerStatuses", "initContainerStatuses"].flatMap { plan.object["status"][$0].array ?? [] }
        .first { $0["name"].string == name } ?? .null
      guard let started = shown["state"]["running"]["startedAt"].string.flatMap({ Timestamp($0)?.seconds }) else { return }
      containers[i].last = Exit(
        id: Exit.id(shown["containerID"]), code: 137, reason: "ContainerStatusUnknown",
        message: "The container could not be located when the pod was deleted.  The container used to be Running",
        startedAt: Moment(seconds: started), finishedAt: now)
    case .exited: containers[i].restarts = max(containers[i].restarts, next - 1)
    case .starting, .running, .stopping: break
    }
  }

  // MARK: Events

  package mutating func handle(_ event: Event, now: Moment) -> [Effect] {
    var effects: [Effect] = []
    apply(event, now, &effects)
    wakeAt = nil
    advance(now, &effects)
    return effects
  }
}

extension PodMachine.Exit {
  init?(status: Value) {
    guard status.object != nil else { return nil }
    func time(_ name: String) -> Moment { Moment(seconds: status[name].string.flatMap { Timestamp($0)?.seconds } ?? 0) }
    self.init(
      id: Self.id(status["containerID"]), code: status["exitCode"].int ?? 0,
      reason: status["reason"].string ?? "", message: status["message"].string ?? "", startedAt: time("startedAt"),
      finishedAt: time("finishedAt"))
  }

  static func id(_ shown: Value) -> String {
    let id = shown.string ?? ""
    return id.hasPrefix("containerd://") ? String(id.dropFirst(13)) : id
  }
}

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

  package private(set) var plan: PodPlan
  package private(set) var containers: [Container]
  package private(set) var sandbox = SandboxState.absent
  package private(set) var addresses: [String] = []
  package private(set) var startTime: Moment
  /// `status.reason` and `status.message` of a pod that the node has failed.
  package private(set) var failure: (reason: String, message: String)?
  package private(set) var wakeAt: Moment?
  private var sandboxAttempt = 0
  private var sandboxBackoff = 0.0
  private var sandboxNotBefore: Moment?
  private var isFinished = false
  var conditionTimes: [String: (status: Bool, since: Moment)] = [:]

  static let firstBackoff = 10.0
  static let longestBackoff = 300.0
  static let backoffResets = 600.0

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

  // MARK: Events

  package mutating func handle(_ event: Event, now: Moment) -> [Effect] {
    var effects: [Effect] = []
    apply(event, now, &effects)
    wakeAt = nil
    advance(now, &effects)
    return effects
  }

  private mutating func apply(_ event: Event, _ now: Moment, _ effects: inout [Effect]) {
    switch event {
    case .wake: break
    case .specChanged(let object):
      let plan = PodPlan(object)
      self.plan = plan
      for i in containers.indices {
        guard let new = plan.containers.first(where: { $0.name == containers[i].plan.name }) else { continue }
        if new.image != containers[i].plan.image, case .running(let running) = containers[i].state {
          effects.append(
            .tell(
              warning: false, reason: "Killing",
              message: "Container \(new.name) definition changed, will be restarted", container: new.name))
          stop(i, running, grace: plan.grace, why: "changed", &effects)
        }
        containers[i].plan = new
      }
    case .sandboxCreated(let id, let addresses):
      sandbox = .ready(id: id, addresses: addresses)
      if !addresses.isEmpty { self.addresses = addresses }
      sandboxBackoff = 0
      sandboxNotBefore = nil
      // In a new sandbox a pod is initialized anew.
      for i in containers.indices where containers[i].plan.isInit && !containers[i].plan.isSidecar {
        guard case .exited(let exit) = containers[i].state, exit.code == 0 else { continue }
        containers[i].last = exit
        containers[i].restarts += 1
        containers[i].state = .waiting(reason: "PodInitializing", message: "")
      }
    case .sandboxFailed(let reason, let message):
      sandbox = .absent
      sandboxBackoff = min(Self.longestBackoff, max(1, sandboxBackoff * 2))
      sandboxNotBefore = now + sandboxBackoff
      effects.append(.tell(warning: true, reason: reason, message: message, container: nil))
    case .sandboxDied:
      guard case .ready(let id, _) = sandbox else { return }
      if !isTerminating {
        effects.append(
          .tell(
            warning: false, reason: "SandboxChanged", message: "Pod sandbox changed, it will be killed and re-created.",
            container: nil))
      }
      sandbox = .stopping(id: id)
      effects.append(.stopSandbox(id: id))
    case .sandboxStopped: sandbox = isEnding ? .gone : .absent
    case .started(let name, let id, let image, let imageID):
      guard let i = index(name) else { return }
      let hasStartup = containers[i].plan.probes[.startup] != nil
      containers[i].state = .running(
        Running(
          id: id, startedAt: now, isStarted: !hasStartup, isReady: !hasStartup && containers[i].plan.probes[.readiness] == nil))
      containers[i].hasStartedOnce = true
      containers[i].image = image
      containers[i].imageID = imageID
      containers[i].failures = [:]
      containers[i].successes = [:]
      containers[i].pullBackoff = 0
      containers[i].toldBackoff = false
      containers[i].isOOM = false
      containers[i].stopReason = ""
    case .startFailed(let name, let reason, let message): startFailed(name, reason, message, now, &effects)
    case .exited(let name, let exit): exited(name, exit, now)
    case .outOfMemory(let name): if let i = index(name) { containers[i].isOOM = true }
    case .probed(let name, let id, let kind, let succeeded, let message):
      probed(name, id, kind, succeeded, message, &effects)
    case .fail(let reason, let message):
      guard failure == nil else { return }
      failure = (reason, message)
      effects.append(.tell(warning: true, reason: reason, message: message, container: nil))
    }
  }

  private func index(_ name: String) -> Int? { containers.firstIndex { $0.plan.name == name } }

  private mutating func startFailed(_ name: String, _ reason: String, _ message: String, _ now: Moment, _ effects: inout [Effect]) {
    guard let i = index(name) else { return }
    containers[i].state = .waiting(reason: reason, message: message)
    switch reason {
    case "ErrImagePull", "InvalidImageName", "ErrImageNeverPull":
      containers[i].pullBackoff = min(Self.longestBackoff, max(Self.firstBackoff, containers[i].pullBackoff * 2))
      containers[i].notBefore = now + containers[i].pullBackoff
      containers[i].toldBackoff = false
      effects.append(.tell(warning: true, reason: "Failed", message: "Error: \(reason)", container: name))
    case "RunContainerError":
      // It was made and could not be run: as if it had ended at once.
      let exit = Exit(id: "", code: 128, reason: "StartError", message: message, startedAt: now, finishedAt: now)
      effects.append(.tell(warning: true, reason: "Failed", message: "Error: \(message)", container: name))
      containers[i].hasStartedOnce = true
      exited(name, exit, now)
    default:
      containers[i].notBefore = now + 10
      effects.append(.tell(warning: true, reason: "Failed", message: "Error: \(message)", container: name))
    }
  }

  private mutating func exited(_ name: String, _ exit: Exit, _ now: Moment) {
    guard let i = index(name) else { return }
    if case .exited(let known) = containers[i].state, known.id == exit.id, !exit.id.isEmpty { return }
    var exit = exit
    if containers[i].isOOM, exit.code != 0 { exit.reason = "OOMKilled" }
    containers[i].state = .exited(exit)
    containers[i].failures = [:]
    if exit.finishedAt - exit.startedAt >= Self.backoffResets { containers[i].backoff = 0 }
    containers[i].notBefore = exit.finishedAt + containers[i].backoff
    containers[i].toldBackoff = false
  }

  private mutating func probed(
    _ name: String, _ id: String, _ kind: ProbePlan.Kind, _ succeeded: Bool, _ message: String, _ effects: inout [Effect]
  ) {
    guard let i = index(name), case .running(var running) = containers[i].state, running.id == id,
      let probe = containers[i].plan.probes[kind]
    else { return }
    // Before the startup probe has succeeded the others do not count.
    guard kind == .startup ? !running.isStarted : running.isStarted else { return }
    if succeeded {
      containers[i].failures[kind] = 0
      containers[i].successes[kind, default: 0] += 1
      guard containers[i].successes[kind, default: 0] >= probe.successThreshold else { return }
      if kind == .startup {
        running.isStarted = true
        running.isReady = containers[i].plan.probes[.readiness] == nil
      }
      if kind == .readiness { running.isReady = true }
      containers[i].state = .running(running)
      return
    }
    containers[i].successes[kind] = 0
    containers[i].failures[kind, default: 0] += 1
    let title = kind == .startup ? "Startup" : kind == .liveness ? "Liveness" : "Readiness"
    if !isTerminating {
      effects.append(.tell(warning: true, reason: "Unhealthy", message: "\(title) probe failed: \(message)", container: name))
    }
    guard containers[i].failures[kind, default: 0] >= probe.failureThreshold else { return }
    if kind == .readiness {
      running.isReady = false
      containers[i].state = .running(running)
    } else {
      containers[i].failures[kind] = 0
      let word = kind == .startup ? "startup" : "liveness"
      effects.append(
        .tell(
          warning: false, reason: "Killing",
          message:
            "Container \(name) failed \(word) probe, \(containers[i].plan.restart == .never ? "will be killed" : "will be restarted")",
          container: name))
      stop(i, running, grace: probe.grace ?? plan.grace, why: word, &effects)
    }
  }

  private mutating func stop(_ i: Int, _ running: Running, grace: Int64, why: String, _ effects: inout [Effect]) {
    var running = running
    running.isReady = false
    containers[i].state = .stopping(running)
    containers[i].stopReason = why
    effects.append(.stop(container: containers[i].plan.name, id: running.id, grace: grace))
  }

  // MARK: What is to be done next

  /// The pod is to end: deleted, failed by the node, or past its deadline.
  package var isTerminating: Bool { plan.isDeleting || failure != nil }
  private var isEnding: Bool { isTerminating || isComplete }

  /// Nothing of it will run again.
  package var isComplete: Bool { phase == "Succeeded" || phase == "Failed" }

  private mutating func wake(at moment: Moment?) {
    guard let moment else { return }
    wakeAt = wakeAt.map { min($0, moment) } ?? moment
  }

  private mutating func advance(_ now: Moment, _ effects: inout [Effect]) {
    guard !isFinished else { return }
    if let limit = plan.activeDeadline, !isTerminating, !isComplete {
      let deadline = startTime + Double(limit)
      if now >= deadline {
        failure = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
        effects.append(
          .tell(
            warning: false, reason: "DeadlineExceeded", message: "Pod was active on the node longer than the specified deadline",
            container: nil))
      } else {
        wake(at: deadline)
      }
    }
    if isEnding { return end(&effects) }
    switch sandbox {
    case .creating, .stopping: return
    case .gone: sandbox = .absent
    case .absent, .ready: break
    }
    if case .absent = sandbox {
      // What ran in the old sandbox ended with it.
      for i in containers.indices {
        if let id = containers[i].runningID, case let running? = runningState(i) {
          containers[i].state = .exited(
            Exit(
              id: id, code: 137, reason: "ContainerStatusUnknown",
              message: "The container could not be located when the pod was terminated", startedAt: running.startedAt,
              finishedAt: now))
        }
      }
      if let notBefore = sandboxNotBefore, now < notBefore { return wake(at: notBefore) }
      sandbox = .creating
      effects.append(.createSandbox(attempt: sandboxAttempt))
      sandboxAttempt += 1
      return
    }
    for i in containers.indices where containers[i].plan.isInit {
      if containers[i].plan.isSidecar {
        step(i, now, &effects)
        guard case .running(let running) = containers[i].state, running.isStarted else { return }
        continue
      }
      if case .exited(let exit) = containers[i].state, exit.code == 0 { continue }
      // A pod whose containers have started once and whose sandbox was replaced runs its init containers again; otherwise they are done.
      step(i, now, &effects)
      return
    }
    for i in containers.indices where !containers[i].plan.isInit {
      // The pod is initialized: what waited for that is now being created.
      if case .waiting("PodInitializing", let message) = containers[i].state {
        containers[i].state = .waiting(reason: "PodInitializing", message: message)
      }
      step(i, now, &effects)
    }
  }

  private func runningState(_ i: Int) -> Running? {
    switch containers[i].state {
    case .running(let running), .stopping(let running): running
    default: nil
    }
  }

  /// Starts a container that is to run and does not.
  private mutating func step(_ i: Int, _ now: Moment, _ effects: inout [Effect]) {
    let name = containers[i].plan.name
    switch containers[i].state {
    case .starting, .running, .stopping: return
    case .waiting(let reason, let message):
      if let notBefore = containers[i].notBefore, now < notBefore {
        wake(at: notBefore)
        if reason == "ErrImagePull" {
          let text = "Back-off pulling image \"\(containers[i].plan.image)\": ErrImagePull: \(message)"
          containers[i].state = .waiting(reason: "ImagePullBackOff", message: text)
          effects.append(
            .tell(
              warning: false, reason: "BackOff", message: "Back-off pulling image \"\(containers[i].plan.image)\"", container: name)
          )
          effects.append(.tell(warning: true, reason: "Failed", message: "Error: ImagePullBackOff", container: name))
        }
        return
      }
      if reason == "CrashLoopBackOff" { begin(i, isRestart: true, &effects) } else { begin(i, isRestart: false, &effects) }
    case .exited(let exit):
      let restarts =
        switch containers[i].plan.restart {
        case .always: true
        case .onFailure: exit.code != 0 || containers[i].stopReason == "changed"
        case .never: false
        }
      guard restarts else { return }
      if let notBefore = containers[i].notBefore, now < notBefore {
        wake(at: notBefore)
        let seconds = Int(containers[i].backoff)
        let delay = seconds >= 60 ? "\(seconds / 60)m\(seconds % 60)s" : "\(seconds)s"
        containers[i].last = exit
        containers[i].state = .waiting(
          reason: "CrashLoopBackOff",
          message: "back-off \(delay) restarting failed container=\(name) pod=\(plan.key.name)_\(plan.key.namespace)(\(plan.uid))")
        effects.append(
          .tell(
            warning: true, reason: "BackOff",
            message: "Back-off restarting failed container \(name) in pod \(plan.key.name)_\(plan.key.namespace)(\(plan.uid))",
            container: name))
        return
      }
      containers[i].last = exit
      begin(i, isRestart: true, &effects)
    }
  }

  private mutating func begin(_ i: Int, isRestart: Bool, _ effects: inout [Effect]) {
    if isRestart {
      containers[i].restarts += 1
      containers[i].backoff = containers[i].backoff == 0 ? Self.firstBackoff : min(Self.longestBackoff, containers[i].backoff * 2)
    }
    containers[i].notBefore = nil
    let shown: (String, String) =
      switch containers[i].state {
      case .waiting(let reason, let message) where reason != "CrashLoopBackOff": (reason, message)
      default: (plan.containers.contains { $0.isInit } ? "PodInitializing" : "ContainerCreating", "")
      }
    containers[i].state = .starting(reason: shown.0, message: shown.1)
    effects.append(.start(container: containers[i].plan.name, attempt: containers[i].restarts))
  }

  /// Stops what runs: first the others, then sidecars in reverse order; then the sandbox.
  private mutating func end(_ effects: inout [Effect]) {
    var isBusy = false
    func mayStop(_ container: Container) -> Bool { !container.plan.isSidecar }
    for i in containers.indices where mayStop(containers[i]) {
      switch containers[i].state {
      case .running(let running):
        effects.append(
          .tell(
            warning: false, reason: "Killing", message: "Stopping container \(containers[i].plan.name)",
            container: containers[i].plan.name))
        stop(i, running, grace: plan.grace, why: "ended", &effects)
        isBusy = true
      case .stopping, .starting: isBusy = true
      case .waiting, .exited: break
      }
    }
    if isBusy { return }
    for i in containers.indices.reversed() where containers[i].plan.isSidecar {
      switch containers[i].state {
      case .running(let running):
        effects.append(
          .tell(
            warning: false, reason: "Killing", message: "Stopping container \(containers[i].plan.name)",
            container: containers[i].plan.name))
        stop(i, running, grace: plan.grace, why: "ended", &effects)
        return
      case .stopping, .starting: return
      case .waiting, .exited: break
      }
    }
    switch sandbox {
    case .creating, .stopping: return
    case .ready(let id, _):
      sandbox = .stopping(id: id)
      effects.append(.stopSandbox(id: id))
    case .absent, .gone:
      guard plan.isDeleting else { return }
      isFinished = true
      effects.append(.finish)
    }
  }

  /// What the machine still waits for when its deletion is over.
  package var hasFinished: Bool { isFinished }
}

extension PodMachine.Exit {
  init?(status: Value) {
    guard status.object != nil else { return nil }
    func time(_ name: String) -> Moment { Moment(seconds: status[name].string.flatMap { Timestamp($0)?.seconds } ?? 0) }
    let id = status["containerID"].string ?? ""
    self.init(
      id: id.hasPrefix("containerd://") ? String(id.dropFirst(13)) : id, code: status["exitCode"].int ?? 0,
      reason: status["reason"].string ?? "", message: status["message"].string ?? "", startedAt: time("startedAt"),
      finishedAt: time("finishedAt"))
  }
}

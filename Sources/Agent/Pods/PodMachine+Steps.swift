import Wire

/// What is to be done next, from the state alone.
extension PodMachine {
  /// The pod is to end: deleted, failed by the node, or past its deadline.
  package var isTerminating: Bool { plan.isDeleting || failure != nil }
  var isEnding: Bool { isTerminating || isComplete }

  /// Nothing of it will run again.
  package var isComplete: Bool { phase == "Succeeded" || phase == "Failed" }

  mutating func wake(at moment: Moment?) {
    guard let moment else { return }
    wakeAt = wakeAt.map { min($0, moment) } ?? moment
  }

  mutating func advance(_ now: Moment, _ effects: inout [Effect]) {
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
      if let notBefore = sandboxNotBefore, now < notBefore {
        sandboxNotBefore = min(notBefore, now + sandboxBackoff)
        return wake(at: min(notBefore, now + sandboxBackoff))
      }
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

  func runningState(_ i: Int) -> Running? {
    switch containers[i].state {
    case .running(let running), .stopping(let running): running
    default: nil
    }
  }

  /// When a container may be started, if not yet. A clock that was set back makes no wait longer than it was to be.
  private mutating func due(_ i: Int, _ now: Moment) -> Moment? {
    guard let notBefore = containers[i].notBefore, now < notBefore else { return nil }
    let longest = now + max(Self.retry, containers[i].backoff, containers[i].pullBackoff)
    containers[i].notBefore = min(notBefore, longest)
    return containers[i].notBefore
  }

  /// Starts a container that is to run and does not.
  mutating func step(_ i: Int, _ now: Moment, _ effects: inout [Effect]) {
    let name = containers[i].plan.name
    switch containers[i].state {
    case .starting, .running, .stopping: return
    case .waiting(let reason, let message):
      if let notBefore = due(i, now) {
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
      if let notBefore = due(i, now) {
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

  mutating func begin(_ i: Int, isRestart: Bool, _ effects: inout [Effect]) {
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
  mutating func end(_ effects: inout [Effect]) {
    var isBusy = false
    func mayStop(_ container: Container) -> Bool { !container.plan.isSidecar }
    for i in containers.indices where mayStop(containers[i]) {
      switch containers[i].state {
      case .running(let running):
        stop(i, running, &effects)
        isBusy = true
      case .stopping, .starting: isBusy = true
      case .waiting, .exited: break
      }
    }
    if isBusy { return }
    for i in containers.indices.reversed() where containers[i].plan.isSidecar {
      switch containers[i].state {
      case .running(let running): return stop(i, running, &effects)
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

  /// Stops a container because its pod ends.
  private mutating func stop(_ i: Int, _ running: Running, _ effects: inout [Effect]) {
    let name = containers[i].plan.name
    effects.append(.tell(warning: false, reason: "Killing", message: "Stopping container \(name)", container: name))
    stop(i, running, grace: plan.grace, why: "ended", &effects)
  }

  /// What the machine still waits for when its deletion is over.
  package var hasFinished: Bool { isFinished }
}

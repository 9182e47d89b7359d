import Wire

/// What an event changes.
extension PodMachine {
  mutating func apply(_ event: Event, _ now: Moment, _ effects: inout [Effect]) {
    switch event {
    case .wake: break
    case .sourcesChanged:
      if sandboxFailure == "FailedMount" { sandboxNotBefore = nil }
      for i in containers.indices {
        if case .waiting("CreateContainerConfigError", _) = containers[i].state { containers[i].notBefore = nil }
      }
    case .specChanged(let object):
      let plan = PodPlan(object)
      self.plan = plan
      for i in containers.indices {
        guard let new = plan.containers.first(where: { $0.name == containers[i].plan.name }) else { continue }
        // Another image has no failures yet.
        if new.image != containers[i].plan.image {
          (containers[i].notBefore, containers[i].backoff, containers[i].pullBackoff) = (nil, 0, 0)
        }
        if new.image != containers[i].plan.image, case .running(let running) = containers[i].state {
          effects.append(
            .tell(
              warning: false, reason: "Killing",
              message: "Container \(new.name) definition changed, will be restarted", container: new.name))
          stop(i, running, grace: plan.grace, why: "changed", &effects)
        }
        containers[i].plan = new
      }
      // Who is in more of a hurry than before: what is ending already gets less time.
      for i in containers.indices where plan.isDeleting && plan.grace < containers[i].stopGrace {
        guard case .stopping(let running) = containers[i].state else { continue }
        stop(i, running, grace: plan.grace, why: containers[i].stopReason, &effects)
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
      sandboxFailure = reason
      sandboxBackoff = min(Self.longestSandboxBackoff, max(1, sandboxBackoff * 2))
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
      failure = (reason, "Pod was rejected: \(message)")
      effects.append(.tell(warning: true, reason: reason, message: message, container: nil))
    }
  }

  func index(_ name: String) -> Int? { containers.firstIndex { $0.plan.name == name } }

  mutating func startFailed(_ name: String, _ reason: String, _ message: String, _ now: Moment, _ effects: inout [Effect]) {
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
      containers[i].notBefore = now + Self.retry
      effects.append(.tell(warning: true, reason: "Failed", message: "Error: \(message)", container: name))
    }
  }

  mutating func exited(_ name: String, _ exit: Exit, _ now: Moment) {
    guard let i = index(name) else { return }
    // Of one that ran before, and has been told or replaced meanwhile, this is no news.
    guard exit.id.isEmpty || containers[i].runningID == exit.id else { return }
    var exit = exit
    if containers[i].isOOM, exit.code != 0 { exit.reason = "OOMKilled" }
    containers[i].state = .exited(exit)
    containers[i].failures = [:]
    if exit.finishedAt - exit.startedAt >= Self.backoffResets { containers[i].backoff = 0 }
    containers[i].notBefore = exit.finishedAt + containers[i].backoff
    containers[i].toldBackoff = false
  }

  mutating func probed(
    _ name: String, _ id: String, _ kind: ProbePlan.Kind, _ succeeded: Bool, _ message: String, _ effects: inout [Effect]
  ) {
    guard let i = index(name), var running = runningState(i), running.id == id, let probe = containers[i].plan.probes[kind]
    else { return }
    // What is ending is only asked whether it still serves.
    var isStopping = false
    if case .stopping = containers[i].state { isStopping = true }
    guard !isStopping || kind == .readiness else { return }
    func state(_ running: Running) -> ContainerState { isStopping ? .stopping(running) : .running(running) }
    // Before the startup probe has succeeded the others do not count.
    guard kind == .startup ? !running.isStarted : running.isStarted else { return }
    let title = kind == .startup ? "Startup" : kind == .liveness ? "Liveness" : "Readiness"
    if succeeded {
      if !message.isEmpty, !isTerminating {
        effects.append(.tell(warning: true, reason: "ProbeWarning", message: "\(title) probe warning: \(message)", container: name))
      }
      containers[i].failures[kind] = 0
      containers[i].successes[kind, default: 0] += 1
      guard containers[i].successes[kind, default: 0] >= probe.successThreshold else { return }
      if kind == .startup {
        running.isStarted = true
        running.isReady = containers[i].plan.probes[.readiness] == nil
      }
      if kind == .readiness { running.isReady = true }
      containers[i].state = state(running)
      return
    }
    containers[i].successes[kind] = 0
    containers[i].failures[kind, default: 0] += 1
    if !isTerminating {
      effects.append(.tell(warning: true, reason: "Unhealthy", message: "\(title) probe failed: \(message)", container: name))
    }
    guard containers[i].failures[kind, default: 0] >= probe.failureThreshold else { return }
    if kind == .readiness {
      running.isReady = false
      containers[i].state = state(running)
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

  mutating func stop(_ i: Int, _ running: Running, grace: Int64, why: String, _ effects: inout [Effect]) {
    containers[i].state = .stopping(running)
    containers[i].stopReason = why
    containers[i].stopGrace = grace
    effects.append(.stop(container: containers[i].plan.name, id: running.id, grace: grace))
  }
}

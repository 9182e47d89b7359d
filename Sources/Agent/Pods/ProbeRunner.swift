import Client
import RPC

/// Runs the probes of one pod's containers: each its own task, while its container runs and its outcome counts.
struct ProbeRunner {
  private var tasks: [String: Task<Void, Never>] = [:]
  /// `1.36` of `v1.36.4+gantry`.
  private let release: String

  init(version: String) { release = version.drop { $0 == "v" }.split(separator: ".").prefix(2).joined(separator: ".") }

  /// Starts what is missing and ends what counts no longer.
  /// - Parameter report: told every outcome.
  mutating func follow(_ machine: PodMachine, cri: CRIClient, report: @escaping @Sendable (PodMachine.Event) async -> Bool) {
    var wanted: [String: (ContainerPlan, PodMachine.Running, ProbePlan.Kind, ProbePlan)] = [:]
    for container in machine.containers {
      let running: PodMachine.Running
      var isEnding = machine.isTerminating
      switch container.state {
      case .running(let state): running = state
      case .stopping(let state): (running, isEnding) = (state, true)
      default: continue
      }
      for (kind, probe) in container.plan.probes where kind == .startup ? !running.isStarted : running.isStarted {
        // Whether it still serves is asked to the end.
        if isEnding && kind != .readiness { continue }
        wanted["\(container.plan.name)/\(running.id)/\(kind.rawValue)"] = (container.plan, running, kind, probe)
      }
    }
    for (name, task) in tasks where wanted[name] == nil {
      task.cancel()
      tasks[name] = nil
    }
    let addresses = machine.plan.isHostNetwork ? ["127.0.0.1"] : machine.addresses
    for (name, entry) in wanted where tasks[name] == nil {
      let (container, running, kind, probe) = entry
      let prober = Prober(
        cri: cri, container: container.spec, containerID: running.id, address: addresses.first ?? "127.0.0.1", release: release)
      tasks[name] = Task {
        let age = Moment.now() - running.startedAt
        if probe.initialDelay > age { try? await Task.sleep(for: .seconds(probe.initialDelay - age)) }
        while !Task.isCancelled {
          let (succeeded, message) = await prober.run(probe)
          guard !Task.isCancelled,
            await report(.probed(container: container.name, id: running.id, kind, succeeded: succeeded, message: message))
          else { return }
          try? await Task.sleep(for: .seconds(probe.period))
        }
      }
    }
  }

  mutating func stop() {
    for task in tasks.values { task.cancel() }
    tasks = [:]
  }
}

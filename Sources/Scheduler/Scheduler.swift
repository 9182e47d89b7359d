import Client
import Logging
import Wire

/// Places pods on nodes.
///
/// In: nodes and pods, as watch events. Out: bindings in batches through ``Client/submit(_:)``; for a pod that no node takes, its
/// `PodScheduled` condition and an event. ``SchedulerState`` decides; this is the loop around it.
/// Never: talks to a node, changes anything of a pod but its node and that condition, decides before it has seen every node and pod.
package struct Scheduler: Sendable {
  private let client: any Client
  private let seed: UInt64
  private let log: Logger
  private let now: @Sendable () -> WallTime
  private let recorder: EventRecorder

  /// Decisions written in one go, and how many such batches are on their way at once.
  package static let batch = 512
  package static let batchesInFlight = 4

  /// - Parameters:
  ///   - client: as ``Identity/scheduler``.
  ///   - now: the wall clock, for conditions and events.
  package init(
    client: any Client, seed: UInt64 = .random(in: .min ... .max), log: Logger = Logger(label: "gantry.scheduler"),
    now: @escaping @Sendable () -> WallTime = { WallTime.now() }
  ) {
    self.client = client
    self.seed = seed
    self.log = log
    self.now = now
    recorder = EventRecorder(client: client, controller: "default-scheduler", now: now)
  }

  private enum Input: Sendable {
    case changes([SchedulerState.Event])
    case synced(GroupVersionResource)
    case written([SchedulerState.Event])
    case tick
  }

  /// Runs until the task is cancelled.
  package func run() async {
    let (inputs, feed) = AsyncStream.makeStream(of: Input.self)
    await withDiscardingTaskGroup { group in
      for resource in [GroupVersionResource.nodes, .pods] {
        group.addTask {
          await ObjectFeed(client: client, resource: resource).run { changes in
            var events: [SchedulerState.Event] = []
            var isSynced = false
            for change in changes {
              switch change {
              case .set(let object): events.append(resource == .nodes ? .node(NodeFacts(object)) : .pod(PodFacts(object)))
              case .deleted(let key): events.append(resource == .nodes ? .nodeDeleted(key.name) : .podDeleted(key))
              case .synced: isSynced = true
              }
            }
            if !events.isEmpty { feed.yield(.changes(events)) }
            if isSynced { feed.yield(.synced(resource)) }
          }
          feed.finish()
        }
      }
      var state = SchedulerState(seed: seed)
      var unsynced: Set<GroupVersionResource> = [.nodes, .pods]
      var inFlight = 0
      var alarm: (at: Duration, task: Task<Void, Never>)?
      let start = ContinuousClock.now
      for await input in inputs {
        let now = ContinuousClock.now - start
        switch input {
        case .changes(let events): for event in events { state.apply(event, now: now) }
        case .synced(let resource): unsynced.remove(resource)
        case .written(let failures):
          inFlight -= 1
          for failure in failures { state.apply(failure, now: now) }
        case .tick: alarm = nil
        }
        guard unsynced.isEmpty else { continue }
        while inFlight < Self.batchesInFlight {
          let effects = state.schedule(limit: Self.batch, now: now)
          guard !effects.isEmpty else { break }
          inFlight += 1
          group.addTask { await write(effects) { feed.yield(.written($0)) } }
        }
        // Asleep unless a back-off or a reservation runs out.
        if let wake = state.nextWake, alarm.map({ $0.at > wake }) ?? true {
          alarm?.task.cancel()
          let task = Task {
            guard (try? await Task.sleep(until: start + wake, tolerance: .milliseconds(50), clock: .continuous)) != nil else {
              return
            }
            feed.yield(.tick)
          }
          alarm = (wake, task)
        }
      }
      alarm?.task.cancel()
    }
  }

  /// Writes decisions, then the events that tell of them.
  /// - Parameter written: is told what the state must hear, the bindings that were refused, before the events are written.
  private func write(_ effects: [SchedulerState.Effect], written: ([SchedulerState.Event]) -> Void) async {
    let time = Timestamp(seconds: now().seconds).description
    let results = await client.submit(effects.map { operation(for: $0, at: time) })
    var failures: [SchedulerState.Event] = []
    var events: [Operation?] = []
    for (effect, result) in zip(effects, results) {
      switch (effect, result) {
      case (.bind(let key, let uid, let node, _), .success):
        let note = "Successfully assigned \(key) to \(node)"
        events.append(recorder.operation(.pod(key, uid: uid), .normal, reason: "Scheduled", action: "Binding", note))
      case (.bind(let key, let uid, let node, _), .failure(let error)):
        failures.append(.bindingFailed(key, uid: uid))
        // A pod that was deleted or bound meanwhile is no news.
        if error.reason != .notFound, error.reason != .conflict {
          log.warning("binding failed", metadata: ["pod": "\(key)", "node": "\(node)", "error": "\(error.message)"])
          events.append(refusal(key, uid, "binding rejected: \(error.message)"))
        }
      case (.refuse(let key, let uid, let explanation), .success):
        events.append(refusal(key, uid, explanation.message))
      case (.refuse(let key, _, _), .failure(let error)):
        if error.reason != .notFound {
          log.warning("condition not written", metadata: ["pod": "\(key)", "error": "\(error.message)"])
        }
      }
    }
    written(failures)
    if !events.isEmpty { _ = await client.submit(events.compactMap { $0 }) }
  }

  private func refusal(_ key: ObjectKey, _ uid: String, _ note: String) -> Operation? {
    recorder.operation(.pod(key, uid: uid), .warning, reason: "FailedScheduling", action: "Scheduling", note)
  }

  private func operation(for effect: SchedulerState.Effect, at time: String) -> Operation {
    switch effect {
    case .bind(let key, let uid, let node, _): return .bind(pod: key, uid: uid, node: node)
    case .refuse(let key, let uid, let explanation):
      let condition: Value = [
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": .string(explanation.message),
        "lastProbeTime": nil, "lastTransitionTime": .string(time),
      ]
      return .patch(
        .pods, key, subresource: "status",
        Patch(.strategic, ["metadata": ["uid": .string(uid)], "status": ["conditions": [condition]]]))
    }
  }
}

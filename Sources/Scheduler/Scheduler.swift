import Client
import Logging
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// Places pods on nodes.
///
/// In: nodes and pods, as watch events. Out: bindings in batches through ``Client/submit(_:)``; for a pod that no node takes, its
/// `PodScheduled` condition and an event. ``SchedulerState`` decides; this is the loop around it.
/// Never: talks to a node, changes anything of a pod but its node and that condition, decides before it has seen every node and pod.
package struct Scheduler: Sendable {
  private let client: any Client
  private let seed: UInt64
  private let log: Logger
  private let wallClock: @Sendable () -> Int64

  /// Decisions written in one go, and how many such batches are on their way at once.
  package static let batch = 512
  package static let batchesInFlight = 4

  /// - Parameters:
  ///   - client: as ``Identity/scheduler``.
  ///   - wallClock: seconds since 1970, for conditions and events.
  package init(
    client: any Client, seed: UInt64 = .random(in: .min ... .max), log: Logger = Logger(label: "gantry.scheduler"),
    wallClock: @escaping @Sendable () -> Int64 = { Int64(time(nil)) }
  ) {
    self.client = client
    self.seed = seed
    self.log = log
    self.wallClock = wallClock
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
            guard (try? await Task.sleep(until: start + wake, tolerance: .milliseconds(50), clock: .continuous)) != nil else { return }
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
    let time = Timestamp.text(wallClock())
    let results = await client.submit(effects.map { operation(for: $0, at: time) })
    var failures: [SchedulerState.Event] = []
    var events: [Operation] = []
    for (effect, result) in zip(effects, results) {
      switch (effect, result) {
      case (.bind(let key, let uid, let node, _), .success):
        events.append(
          event(key, uid, type: "Normal", "Scheduled", "Binding", "Successfully assigned \(key) to \(node)", time))
      case (.bind(let key, let uid, let node, _), .failure(let error)):
        failures.append(.bindingFailed(key, uid: uid))
        // A pod that was deleted or bound meanwhile is no news.
        if error.reason != .notFound, error.reason != .conflict {
          log.warning("binding failed", metadata: ["pod": "\(key)", "node": "\(node)", "error": "\(error.message)"])
          events.append(event(key, uid, type: "Warning", "FailedScheduling", "Scheduling", "binding rejected: \(error.message)", time))
        }
      case (.refuse(let key, let uid, let explanation), .success):
        events.append(event(key, uid, type: "Warning", "FailedScheduling", "Scheduling", explanation.message, time))
      case (.refuse(let key, _, _), .failure(let error)):
        if error.reason != .notFound {
          log.warning("condition not written", metadata: ["pod": "\(key)", "error": "\(error.message)"])
        }
      }
    }
    written(failures)
    if !events.isEmpty { _ = await client.submit(events) }
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

  private func event(
    _ key: ObjectKey, _ uid: String, type: String, _ reason: String, _ action: String, _ note: String, _ time: String
  ) -> Operation {
    // Upstream's recorder names events so: the object's name and something unique.
    let suffix = String(UInt64.random(in: .min ... .max), radix: 16)
    return .create(
      .events, namespace: key.namespace,
      body: [
        "metadata": ["name": .string("\(key.name).\(suffix)"), "namespace": .string(key.namespace)],
        "eventTime": .string(String(time.dropLast()) + ".000000Z"), "reportingController": "default-scheduler",
        "reportingInstance": "default-scheduler-gantry", "action": .string(action), "reason": .string(reason), "type": .string(type),
        "note": .string(String(note.prefix(1024))),
        "regarding": [
          "kind": "Pod", "apiVersion": "v1", "namespace": .string(key.namespace), "name": .string(key.name), "uid": .string(uid),
        ],
      ])
  }
}

/// Instants as the API writes them.
enum Timestamp {
  /// - Parameter seconds: since 1970, UTC.
  /// - Returns: RFC 3339 with whole seconds: `2026-11-25T07:53:46Z`.
  static func text(_ seconds: Int64) -> String {
    var seconds = time_t(seconds)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    func two(_ n: Int32) -> String { n < 10 ? "0\(n)" : "\(n)" }
    return "\(1900 + Int(parts.tm_year))-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
  }
}

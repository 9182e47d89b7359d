import Synchronization
import Wire

/// What an event is about.
package struct ObjectReference: Hashable, Sendable {
  package var apiVersion: String
  package var kind: String
  package var namespace: String
  package var name: String
  package var uid: String
  package var fieldPath: String

  package init(apiVersion: String = "v1", kind: String, namespace: String = "", name: String, uid: String, fieldPath: String = "") {
    self.apiVersion = apiVersion
    self.kind = kind
    self.namespace = namespace
    self.name = name
    self.uid = uid
    self.fieldPath = fieldPath
  }

  package static func pod(_ key: ObjectKey, uid: String, container: String? = nil) -> ObjectReference {
    ObjectReference(
      kind: "Pod", namespace: key.namespace, name: key.name, uid: uid,
      fieldPath: container.map { "spec.containers{\($0)}" } ?? "")
  }
}

/// Writes events, in the form of core/v1 with its counts and times: clients sort by them. What is said again within six minutes becomes the count of one event instead of many: its count is written at
/// once for the first repetition, then no more often than every 30 s.
///
/// One object gets 25 events at once and then one in five minutes: 5,000 pods of one set need not write 5,000 events.
/// Events are told and forgotten: a failure to write one stops nobody. At most 4,096 are remembered.
package final class EventRecorder: Sendable {
  package enum Kind: String, Sendable {
    case normal = "Normal"
    case warning = "Warning"
  }

  private struct Told: Hashable {
    var about: ObjectReference
    var kind: Kind
    var reason: String
    var action: String
    var note: String
  }

  /// What is remembered of something told: 128 bits of its hash instead of all its words, of which 4,096 would be two megabytes.
  private struct Fingerprint: Hashable {
    private let high: Int
    private let low: Int

    init(_ value: some Hashable) {
      var hasher = Hasher()
      hasher.combine(value)
      high = hasher.finalize()
      hasher = Hasher()
      hasher.combine(high)
      hasher.combine(value)
      low = hasher.finalize()
    }
  }

  private struct Series {
    var key: ObjectKey
    var count = 1
    var last: WallTime
    var written: WallTime
  }

  /// What an object may still tell.
  private struct Allowance {
    var left = burst
    /// Since when it has been filling, seconds since 1970.
    var since: Int64
  }

  private struct State {
    var told: [Fingerprint: Series] = [:]
    var allowances: [Fingerprint: Allowance] = [:]
    var lastName: UInt64 = 0
  }

  private let client: any Client
  private let controller: String
  private let instance: String
  private let now: @Sendable () -> WallTime
  private let state = Mutex(State())

  private static let burst = 25
  private static let refill: Int64 = 300
  private static let window: Int64 = 360
  private static let refresh: Int64 = 30
  private static let limit = 4096

  /// - Parameters:
  ///   - controller: `reportingController`: `kubelet`, `default-scheduler`, `deployment-controller`.
  ///   - instance: which one of several: the node's name for an agent.
  package init(
    client: any Client, controller: String, instance: String = "", now: @escaping @Sendable () -> WallTime = { WallTime.now() }
  ) {
    self.client = client
    self.controller = controller
    self.instance = instance.isEmpty ? controller : instance
    self.now = now
  }

  /// Tells one event. Returns when it is written or given up.
  /// - Parameter action: what was being done: `Binding`, `Killing`; the reason where nil.
  package func record(
    _ about: ObjectReference, _ kind: Kind, reason: String, action: String? = nil, _ note: String
  ) async {
    if let operation = operation(about, kind, reason: reason, action: action, note) { _ = await client.submit([operation]) }
  }

  /// The write that tells an event, for those who send many in one go; nil where it has just been told.
  package func operation(
    _ about: ObjectReference, _ kind: Kind, reason: String, action: String? = nil, _ note: String
  ) -> Operation? {
    let now = now()
    let note = String(note.prefix(1024))
    let told = Told(about: about, kind: kind, reason: reason, action: action ?? reason, note: note)
    let fingerprint = Fingerprint(told)
    return state.withLock { state in
      if var series = state.told[fingerprint], now.seconds - series.last.seconds < Self.window {
        series.count += 1
        series.last = now
        defer { state.told[fingerprint] = series }
        guard series.count == 2 || now.seconds - series.written.seconds >= Self.refresh else { return nil }
        series.written = now
        return .patch(
          .coreEvents, series.key, subresource: nil,
          Patch(
            .merge, ["count": .int(Int64(series.count)), "lastTimestamp": .string(Timestamp(seconds: now.seconds).description)]))
      }
      guard Self.spend(told.about, now.seconds, &state.allowances) else { return nil }
      if state.told.count >= Self.limit { state.told = state.told.filter { now.seconds - $0.value.last.seconds < Self.window } }
      if state.told.count >= Self.limit { state.told.removeAll() }
      let namespace = about.namespace.isEmpty ? "default" : about.namespace
      // Names in the order of time: that is how clients list the events of one object.
      state.lastName = max(state.lastName + 1, UInt64(clamping: now.seconds) &* 1_000_000_000 &+ UInt64(clamping: now.nanoseconds))
      let suffix = String(state.lastName, radix: 16)
      let key = ObjectKey(namespace: namespace, name: "\(about.name.prefix(236)).\(suffix)")
      state.told[fingerprint] = Series(key: key, last: now, written: now)
      return .create(.coreEvents, namespace: namespace, body: body(key, told, now))
    }
  }

  /// - Returns: false where the object has told enough for now.
  private static func spend(_ about: ObjectReference, _ now: Int64, _ allowances: inout [Fingerprint: Allowance]) -> Bool {
    if allowances.count >= limit { allowances = allowances.filter { now - $0.value.since < refill } }
    if allowances.count >= limit { allowances.removeAll() }
    var about = about
    about.fieldPath = ""
    let fingerprint = Fingerprint(about)
    var allowance = allowances[fingerprint] ?? Allowance(since: now)
    let filled = max(0, now - allowance.since) / refill
    if filled > 0 {
      allowance.left = min(burst, allowance.left + Int(clamping: filled))
      allowance.since += filled * refill
    }
    guard allowance.left > 0 else { return false }
    allowance.left -= 1
    allowances[fingerprint] = allowance
    return true
  }

  private func body(_ key: ObjectKey, _ told: Told, _ now: WallTime) -> Value {
    var about: Value = ["kind": .string(told.about.kind)]
    if !told.about.namespace.isEmpty { about["namespace"] = .string(told.about.namespace) }
    about["name"] = .string(told.about.name)
    if !told.about.uid.isEmpty { about["uid"] = .string(told.about.uid) }
    about["apiVersion"] = .string(told.about.apiVersion)
    if !told.about.fieldPath.isEmpty { about["fieldPath"] = .string(told.about.fieldPath) }
    let instant = Value.string(Timestamp(seconds: now.seconds).description)
    var source: Value = ["component": .string(controller)]
    if instance != controller { source["host"] = .string(instance) }
    return [
      "metadata": ["name": .string(key.name), "namespace": .string(key.namespace)], "involvedObject": about,
      "reason": .string(told.reason), "message": .string(told.note), "source": source, "firstTimestamp": instant,
      "lastTimestamp": instant, "count": 1, "type": .string(told.kind.rawValue), "reportingComponent": .string(controller),
      "reportingInstance": .string(instance),
    ]
  }
}

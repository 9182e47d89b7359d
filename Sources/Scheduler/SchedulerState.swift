import Wire

/// The scheduler as a plain value: takes events, gives effects. Deterministic: the same seed and the same calls give the same
/// placements. Time is handed in, as what has passed since any fixed instant.
package struct SchedulerState: Sendable {
  package enum Event: Sendable {
    case node(NodeFacts)
    case nodeDeleted(String)
    /// A pod that is new or has changed, whoever schedules it: all of them use up nodes.
    case pod(PodFacts)
    case podDeleted(ObjectKey)
    /// The store refused a binding: the pod goes back to the queue after its back-off.
    case bindingFailed(ObjectKey, uid: String)
  }

  package enum Effect: Sendable {
    /// To be written through `pods/binding`. Until the pod's own event arrives or the deadline passes, the node is charged for it.
    case bind(ObjectKey, uid: String, node: String, Explanation)
    /// Comes again only when the words have changed.
    case refuse(ObjectKey, uid: String, Explanation)
  }

  /// Where a pod stands. Each state carries what exists in it.
  private enum Stage {
    /// Another scheduler's, gated or being deleted without a node.
    case ignored
    case queued
    case backingOff
    /// Every node refuses its class.
    case refused
    case binding(node: String)
    case bound(node: String)
  }

  private struct Record {
    var key: ObjectKey
    var uid: String
    var priority: Int32
    var mayPreempt: Bool
    var arrival: Int64
    var shapeClass: Int
    var stage: Stage
    /// Changes whenever the pod leaves a queue: entries with an older ticket are void.
    var ticket: UInt64
    var failures = 0
    var refusal: String?
  }

  /// Back-off after a binding that failed: 1 s, 2 s, 4 s, … 10 s.
  package static let maximumBackoff: Duration = .seconds(10)
  /// How long a reservation holds without the pod's own event.
  package static let bindingDeadline: Duration = .seconds(30)
  /// Classes beyond this many bytes of scores are put to sleep, longest unused first.
  package static let scoreLimit = 64 << 20

  private let seed: UInt64
  private var table = NodeTable()
  private var log = ChangeLog()
  private var classes: [ShapeClass?] = []
  private var classIDs: [PodShape: Int] = [:]
  private var vacantClasses: [Int] = []
  private var records: [Int: Record] = [:]
  private var ids: [ObjectKey: Int] = [:]
  private var nextID = 0
  private var nextTicket: UInt64 = 0
  private var active = PodQueue()
  private var backoff = PodQueue()
  /// In the order of their deadlines, since all last equally long.
  private var deadlines: [PodQueue.Entry] = []
  private var firstDeadline = 0
  /// Waiting pods by class, in order of arrival.
  private var refused: [Int: [Int]] = [:]
  private var refusedAt = 0
  /// Pods on nodes by priority: whether anybody could be evicted at all.
  private var placedByPriority: [Int32: Int] = [:]
  private var uses: UInt64 = 0
  private var awakeBytes = 0

  package init(seed: UInt64) { self.seed = seed }

  /// Pods that could be placed right now.
  package var hasWork: Bool { !active.isEmpty || !refused.isEmpty && refusedAt != log.end }
  /// How often a node was asked anything on behalf of a class, so far: its rules, its score, why it refuses.
  package private(set) var work = ShapeClass.Work()

  // MARK: Events

  package mutating func apply(_ event: Event, now: Duration) {
    switch event {
    case .node(let facts):
      if let change = table.update(facts) { log.append(change.slot, isFixed: change.isFixed) }
    case .nodeDeleted(let name):
      if let slot = table.remove(name) { log.append(slot, isFixed: true) }
    case .pod(let facts): observe(facts)
    case .podDeleted(let key):
      if let id = ids[key] { forget(id) }
    case .bindingFailed(let key, let uid):
      guard let id = ids[key], let record = records[id], record.uid == uid, case .binding = record.stage else { return }
      putBack(id, now: now)
    }
  }

  private mutating func observe(_ facts: PodFacts) {
    if let id = ids[facts.key], records[id]?.uid != facts.uid { forget(id) }
    guard !facts.isFinished else {
      if let id = ids[facts.key] { forget(id) }
      return
    }
    let shapeClass = classIDs[facts.shape] ?? makeClass(facts.shape)
    let id: Int
    if let known = ids[facts.key], var record = records[known] {
      id = known
      if record.shapeClass != shapeClass {
        // A resize in place, or scheduling directives changed while gated.
        let stage = record.stage
        leave(known)
        leaveClass(record.shapeClass)
        record = records[known] ?? record
        record.shapeClass = shapeClass
        record.stage = .ignored
        records[known] = record
        classes[shapeClass]?.members += 1
        if case .binding(let node) = stage { occupy(known, node, .binding(node: node)) }
        if case .bound(let node) = stage { occupy(known, node, .bound(node: node)) }
      }
    } else {
      id = nextID
      nextID += 1
      ids[facts.key] = id
      records[id] = Record(
        key: facts.key, uid: facts.uid, priority: facts.priority, mayPreempt: facts.mayPreempt, arrival: Int64(id),
        shapeClass: shapeClass, stage: .ignored,
        ticket: 0, refusal: facts.refusalMessage)
      classes[shapeClass]?.members += 1
    }
    guard let stage = records[id]?.stage else { return }
    if !facts.node.isEmpty {
      switch stage {
      case .bound(let node) where node == facts.node: break
      case .binding(let node) where node == facts.node:
        records[id]?.stage = .bound(node: node)
        renewTicket(id)
      default:
        leave(id)
        occupy(id, facts.node, .bound(node: facts.node))
      }
    } else if facts.schedulerName != "default-scheduler" || facts.isGated || facts.isDeleting {
      if case .binding = stage, !facts.isDeleting { return }
      leave(id)
    } else if case .ignored = stage {
      records[id]?.priority = facts.priority
      enqueue(id)
    }
  }

  // MARK: Decisions

  /// When ``schedule(limit:now:)`` is to be called again though no event arrives; nil when there is nothing to wait for.
  package var nextWake: Duration? {
    var wake: Int64?
    if let first = backoff.first { wake = first.order }
    if firstDeadline < deadlines.count { wake = min(wake ?? .max, deadlines[firstDeadline].order) }
    return wake.map { .nanoseconds($0) }
  }

  /// Places pods, the most important first, until none is left that can be placed or `limit` effects have come together.
  package mutating func schedule(limit: Int, now: Duration) -> [Effect] {
    expire(now)
    wakeRefused()
    var effects: [Effect] = []
    while effects.count < limit, let entry = active.removeFirst() {
      guard let record = records[entry.pod], record.ticket == entry.ticket else { continue }
      place(entry.pod, record, now: now, &effects)
    }
    return effects
  }

  private mutating func place(_ id: Int, _ record: Record, now: Duration, _ effects: inout [Effect]) {
    guard let slot = best(record.shapeClass) else {
      let explanation = refusal(of: record)
      records[id]?.stage = .refused
      renewTicket(id)
      refused[record.shapeClass, default: []].append(id)
      let message = explanation.message
      if record.refusal != message {
        records[id]?.refusal = message
        effects.append(.refuse(record.key, uid: record.uid, explanation))
      }
      return
    }
    let node = table.names[slot]
    let score = classes[record.shapeClass].map { $0.points(slot, table) } ?? 0
    occupy(id, node, .binding(node: node))
    deadlines.append(
      PodQueue.Entry(pod: id, ticket: records[id]?.ticket ?? 0, priority: 0, order: (now + Self.bindingDeadline).wholeNanoseconds))
    effects.append(
      .bind(record.key, uid: record.uid, node: node, Explanation(nodes: table.count, refusals: [:], chosen: (node, score))))
  }

  private mutating func best(_ shapeClass: Int) -> Int? {
    uses += 1
    let before = classes[shapeClass]?.footprint ?? 0
    let slot = classes[shapeClass]?.best(table, log, use: uses, &work)
    awakeBytes += (classes[shapeClass]?.footprint ?? 0) - before
    if awakeBytes > Self.scoreLimit { putToSleep(except: shapeClass) }
    return slot
  }

  private mutating func putToSleep(except current: Int) {
    let byUse = classes.indices.filter { $0 != current && (classes[$0]?.footprint ?? 0) > 0 }
      .sorted { (classes[$0]?.lastUse ?? 0) < (classes[$1]?.lastUse ?? 0) }
    for id in byUse where awakeBytes > Self.scoreLimit / 2 {
      awakeBytes -= classes[id]?.footprint ?? 0
      classes[id]?.sleep()
    }
  }

  private mutating func refusal(_ shapeClass: Int) -> Explanation {
    guard let shape = classes[shapeClass]?.shape else { return Explanation(nodes: 0, refusals: [:]) }
    var tally = classes[shapeClass]?.tally ?? RefusalTally()
    awakeBytes -= tally.footprint
    classes[shapeClass]?.tally = nil
    defer {
      awakeBytes += tally.footprint
      classes[shapeClass]?.tally = tally
    }
    return tally.explanation(shape, table, log, &work)
  }

  /// The class's refusal, with what the pod's own priority adds.
  private mutating func refusal(of record: Record) -> Explanation {
    var explanation = refusal(record.shapeClass)
    if !record.mayPreempt {
      explanation.preemption = .never
    } else if !placedByPriority.keys.contains(where: { $0 < record.priority }) {
      explanation.preemption = .noVictims
    }
    return explanation
  }

  // MARK: Queue

  private mutating func ticket() -> UInt64 {
    nextTicket += 1
    return nextTicket
  }

  private mutating func renewTicket(_ id: Int) {
    let ticket = ticket()
    records[id]?.ticket = ticket
  }

  private mutating func enqueue(_ id: Int) {
    let ticket = ticket()
    records[id]?.stage = .queued
    records[id]?.ticket = ticket
    guard let record = records[id] else { return }
    active.insert(.init(pod: id, ticket: ticket, priority: record.priority, order: record.arrival))
  }

  /// Reservation released, back-off counted up.
  private mutating func putBack(_ id: Int, now: Duration) {
    leave(id)
    guard let failures = records[id]?.failures else { return }
    records[id]?.failures = failures + 1
    let ticket = ticket()
    records[id]?.stage = .backingOff
    records[id]?.ticket = ticket
    let delay = min(Self.maximumBackoff, .seconds(1 << min(failures, 4)))
    backoff.insert(.init(pod: id, ticket: ticket, priority: 0, order: (now + delay).wholeNanoseconds))
  }

  private mutating func expire(_ now: Duration) {
    let now = now.wholeNanoseconds
    while firstDeadline < deadlines.count, deadlines[firstDeadline].order <= now {
      let entry = deadlines[firstDeadline]
      firstDeadline += 1
      if records[entry.pod]?.ticket == entry.ticket { putBack(entry.pod, now: .nanoseconds(now)) }
    }
    // Reservations that were confirmed are not waited for.
    while firstDeadline < deadlines.count, records[deadlines[firstDeadline].pod]?.ticket != deadlines[firstDeadline].ticket {
      firstDeadline += 1
    }
    if firstDeadline > 1024, firstDeadline * 2 > deadlines.count {
      deadlines.removeFirst(firstDeadline)
      firstDeadline = 0
    }
    while let entry = backoff.first, entry.order <= now || records[entry.pod]?.ticket != entry.ticket {
      _ = backoff.removeFirst()
      if records[entry.pod]?.ticket == entry.ticket { enqueue(entry.pod) }
    }
  }

  /// A class that has found a node since is tried again, all its pods in their order; the others need not be looked at.
  private mutating func wakeRefused() {
    guard refusedAt != log.end, !refused.isEmpty else { return }
    refusedAt = log.end
    for shapeClass in refused.keys.sorted() {
      let isHelped = best(shapeClass) != nil
      // Where no node helps, the words may have changed: the oldest pod says so for its class.
      let pods = refused[shapeClass] ?? []
      let oldest = pods.first.flatMap { records[$0] }
      if isHelped || oldest.map({ $0.refusal != refusal(of: $0).message }) ?? true {
        refused[shapeClass] = nil
        for id in pods { enqueue(id) }
      }
    }
  }

  // MARK: Book-keeping

  /// Charges a node for a pod.
  private mutating func occupy(_ id: Int, _ node: String, _ stage: Stage) {
    guard let shapeClass = records[id]?.shapeClass, let shape = classes[shapeClass]?.shape else { return }
    let slot = table.place(shape, on: node, sign: 1)
    classes[shapeClass]?.count(slot, 1)
    if let priority = records[id]?.priority { placedByPriority[priority, default: 0] += 1 }
    log.append(slot)
    records[id]?.stage = stage
    renewTicket(id)
  }

  /// Out of every queue and off its node.
  private mutating func leave(_ id: Int) {
    guard let record = records[id] else { return }
    switch record.stage {
    case .binding(let node), .bound(let node):
      guard let shape = classes[record.shapeClass]?.shape else { break }
      let slot = table.place(shape, on: node, sign: -1)
      classes[record.shapeClass]?.count(slot, -1)
      let others = (placedByPriority[record.priority] ?? 1) - 1
      placedByPriority[record.priority] = others > 0 ? others : nil
      log.append(slot)
    case .refused:
      refused[record.shapeClass]?.removeAll { $0 == id }
      if refused[record.shapeClass]?.isEmpty == true { refused[record.shapeClass] = nil }
    case .ignored, .queued, .backingOff: break
    }
    records[id]?.stage = .ignored
    renewTicket(id)
  }

  private mutating func forget(_ id: Int) {
    leave(id)
    guard let record = records.removeValue(forKey: id) else { return }
    ids[record.key] = nil
    leaveClass(record.shapeClass)
  }

  private mutating func makeClass(_ shape: PodShape) -> Int {
    let id = vacantClasses.popLast() ?? classes.count
    if id == classes.count { classes.append(nil) }
    nextTicket += 1
    classes[id] = ShapeClass(shape: shape, salt: seed ^ nextTicket &* 0x2545_F491_4F6C_DD1D)
    classIDs[shape] = id
    return id
  }

  private mutating func leaveClass(_ id: Int) {
    guard let members = classes[id]?.members else { return }
    classes[id]?.members = members - 1
    guard members <= 1, let last = classes[id] else { return }
    awakeBytes -= last.footprint
    classIDs[last.shape] = nil
    classes[id] = nil
    vacantClasses.append(id)
  }
}

extension SchedulerState {
  /// The node that a pod is charged to, reserved or bound; for tests and the console.
  package func node(of key: ObjectKey) -> String? {
    switch ids[key].flatMap({ records[$0]?.stage }) {
    case .binding(let node), .bound(let node): node
    default: nil
    }
  }

  /// What a brute-force scan of every node would choose for a pod of this shape right now: the reference that the classes must equal.
  package func exhaustiveBest(_ shape: PodShape) -> (node: String, score: Int32)? {
    let shapeClass = classIDs[shape].flatMap { classes[$0] } ?? ShapeClass(shape: shape, salt: seed)
    var best: (slot: Int, score: Int32)?
    for slot in 0..<table.capacity {
      let score = shapeClass.score(slot, table)
      if score >= 0, score > best?.score ?? -1 { best = (slot, score) }
    }
    return best.map { (table.names[$0.slot], $0.score) }
  }
}

extension Duration {
  /// Saturated; 292 years.
  fileprivate var wholeNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    return overflow ? .max : product.addingReportingOverflow(attoseconds / 1_000_000_000).partialValue
  }
}

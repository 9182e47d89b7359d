/// The nodes as plain numbers, by slot: what a score reads of a node is one row of 64 bytes, one line of the processor's cache.
///
/// Rows instead of a column per number, because a class that catches up visits the few nodes that changed, and a whole scan is the
/// exception: 200 classes on 10,000 nodes were 16,000 placements/s over columns.
///
/// A slot exists from the first mention of a node, be it by a pod, and is reused when neither node nor pods are left.
struct NodeTable: Sendable {
  private(set) var slots: [String: Int] = [:]
  private var vacant: [Int] = []
  /// nil where pods name a node that has not been seen, and for vacant slots.
  private(set) var facts: [NodeFacts?] = []
  private(set) var names: [String] = []
  /// Nodes that exist and have neither taint nor cordon: what most are, known without reading their facts.
  private(set) var isOpen: [Bool] = []
  private(set) var podCounts: [Int32] = []

  struct Row: Sendable {
    /// What is allocatable less what pods ask for.
    var freeCPU: Int64 = 0
    var freeMemory: Int64 = 0
    var freeStorage: Int64 = 0
    var freePods: Int64 = 0
    /// What scores count as used (see ``PodShape/scoredCPU``).
    var scoredCPU: Int64 = 0
    var scoredMemory: Int64 = 0
    /// One over what is allocatable; 0 where nothing is.
    var perCPU: Double = 0
    var perMemory: Double = 0
  }
  private(set) var rows: [Row] = []
  /// By interned name, then by slot. Shorter columns end in zeros.
  private var extended: [[Int64]] = []
  private var extendedIDs: [String: Int] = [:]
  private(set) var hostPorts: [Int: [HostPort]] = [:]
  /// Nodes that exist.
  private(set) var count = 0

  /// Slots in use and vacant: the length of every column.
  var capacity: Int { names.count }

  func slot(of name: String) -> Int? { slots[name] }

  func freeExtended(_ name: String, _ slot: Int) -> Int64 {
    guard let id = extendedIDs[name], slot < extended[id].count else { return 0 }
    return extended[id][slot]
  }

  struct Change {
    var slot: Int
    /// Labels, taints or schedulability changed: fixed scores are to be computed again.
    var isFixed: Bool
  }

  /// - Returns: nil where nothing that a placement reads has changed.
  mutating func update(_ new: NodeFacts) -> Change? {
    let slot = slots[new.name] ?? makeSlot(new.name)
    let old = facts[slot]
    guard old != new else { return nil }
    if old == nil { count += 1 }
    let isFixed =
      old == nil || old?.isUnschedulable != new.isUnschedulable || old?.taints != new.taints || old?.labels != new.labels
    facts[slot] = new
    isOpen[slot] = new.taints.isEmpty && !new.isUnschedulable
    add(new.allocatable, to: slot, sign: 1)
    if let old { add(old.allocatable, to: slot, sign: -1) }
    rows[slot].freePods &+= new.allocatable.pods &- (old?.allocatable.pods ?? 0)
    rows[slot].perCPU = new.allocatable.cpu > 0 ? 1 / Double(new.allocatable.cpu) : 0
    rows[slot].perMemory = new.allocatable.memory > 0 ? 1 / Double(new.allocatable.memory) : 0
    return Change(slot: slot, isFixed: isFixed)
  }

  /// - Returns: the slot that the node had.
  mutating func remove(_ name: String) -> Int? {
    guard let slot = slots[name], let old = facts[slot] else { return nil }
    facts[slot] = nil
    isOpen[slot] = false
    count -= 1
    add(old.allocatable, to: slot, sign: -1)
    rows[slot].freePods &-= old.allocatable.pods
    rows[slot].perCPU = 0
    rows[slot].perMemory = 0
    vacate(slot)
    return slot
  }

  /// Counts a pod on a node, or takes it off (`sign` −1).
  /// - Returns: the node's slot.
  mutating func place(_ shape: PodShape, on name: String, sign: Int64) -> Int {
    let slot = slots[name] ?? makeSlot(name)
    add(shape.requests, to: slot, sign: -sign)
    rows[slot].freePods &-= sign
    podCounts[slot] += Int32(sign)
    rows[slot].scoredCPU &+= sign &* shape.scoredCPU
    rows[slot].scoredMemory &+= sign &* shape.scoredMemory
    if !shape.hostPorts.isEmpty {
      if sign > 0 {
        hostPorts[slot, default: []] += shape.hostPorts
      } else {
        for port in shape.hostPorts {
          if let i = hostPorts[slot]?.firstIndex(of: port) { hostPorts[slot]?.remove(at: i) }
        }
        if hostPorts[slot]?.isEmpty == true { hostPorts[slot] = nil }
      }
    }
    if sign < 0 { vacate(slot) }
    return slot
  }

  /// Wraps rather than traps: what was added saturated comes off again as the same number.
  private mutating func add(_ list: ResourceList, to slot: Int, sign: Int64) {
    rows[slot].freeCPU &+= sign &* list.cpu
    rows[slot].freeMemory &+= sign &* list.memory
    rows[slot].freeStorage &+= sign &* list.ephemeralStorage
    for item in list.extended {
      let id: Int
      if let known = extendedIDs[item.name] {
        id = known
      } else {
        id = extended.count
        extendedIDs[item.name] = id
        extended.append([])
      }
      if extended[id].count <= slot { extended[id] += [Int64](repeating: 0, count: slot + 1 - extended[id].count) }
      extended[id][slot] &+= sign &* item.amount
    }
  }

  private mutating func makeSlot(_ name: String) -> Int {
    let slot: Int
    if let reused = vacant.popLast() {
      slot = reused
      names[slot] = name
    } else {
      slot = names.count
      names.append(name)
      facts.append(nil)
      isOpen.append(false)
      podCounts.append(0)
      rows.append(Row())
    }
    slots[name] = slot
    return slot
  }

  private mutating func vacate(_ slot: Int) {
    guard facts[slot] == nil, podCounts[slot] == 0 else { return }
    slots[names[slot]] = nil
    names[slot] = ""
    vacant.append(slot)
  }
}

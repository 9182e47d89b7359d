/// An equivalence class: all pods of one shape, with the score of every node for them in a max-tree.
///
/// A placement changes one node; the class catches up from the log of changed nodes, so that the next pod of the class costs as
/// many leaves as nodes have changed since, never every node.
struct ShapeClass: Sendable {
  let shape: PodShape
  let salt: UInt64
  /// Pods that refer to the class: waiting, reserved and bound.
  var members = 0
  /// Bound and reserved pods of the class by slot.
  private(set) var placed: [Int: Int32] = [:]

  /// Leaves at `leaves...`; a parent holds the larger of its children. Empty until the class is used, and after it is put to sleep.
  private var tree: [Int32] = []
  private var leaves = 0
  private var fixed: [Int32] = []
  /// Position in the log of changed nodes up to which the tree is right.
  private var seen = 0
  private(set) var lastUse: UInt64 = 0
  /// The refusal of the class, right as long as no node has changed since.
  var refusal: (position: Int, explanation: Explanation)?

  init(shape: PodShape, salt: UInt64) {
    self.shape = shape
    self.salt = salt
  }

  /// Bytes of tree and columns.
  var footprint: Int { (tree.count + fixed.count) * 4 }

  mutating func sleep() {
    tree = []
    fixed = []
    leaves = 0
  }

  mutating func count(_ slot: Int, _ sign: Int32) {
    let count = (placed[slot] ?? 0) + sign
    placed[slot] = count > 0 ? count : nil
  }

  /// The score of one node, −1 where it cannot take a pod of the class.
  func score(_ slot: Int, _ table: NodeTable, fixed: Int32) -> Int32 {
    guard fixed >= 0, fits(slot, table) else { return -1 }
    return Score.total(
      fixed: fixed,
      allocation: Score.allocation(
        usedCPU: table.scoredCPU[slot] &+ shape.scoredCPU, usedMemory: table.scoredMemory[slot] &+ shape.scoredMemory,
        perCPU: table.perCPU[slot], perMemory: table.perMemory[slot]),
      spread: shape.owner.isEmpty ? 0 : Score.spread(placed[slot] ?? 0), tie: Score.tie(slot, salt))
  }

  /// The score in points of 0…900, without the tie-breaker.
  func points(_ slot: Int, _ table: NodeTable) -> Double {
    Double(score(slot, table, fixed: slot < fixed.count ? fixed[slot] : -1) >> Score.tieBits) / Score.fraction
  }

  private func fits(_ slot: Int, _ table: NodeTable) -> Bool {
    let requests = shape.requests
    if table.freePods[slot] < 1 || requests.cpu > 0 && requests.cpu > table.freeCPU[slot] { return false }
    if requests.memory > 0 && requests.memory > table.freeMemory[slot] { return false }
    if requests.ephemeralStorage > 0 && requests.ephemeralStorage > table.freeStorage[slot] { return false }
    for item in requests.extended where item.amount > table.freeExtended(item.name, slot) { return false }
    if HostPorts.applies(to: shape), let used = table.hostPorts[slot] { return HostPorts.admits(shape, used: used) }
    return true
  }

  /// Brings the tree up to date and gives the best node.
  /// - Returns: nil where no node can take a pod of the class.
  mutating func best(_ table: NodeTable, _ log: ChangeLog, use: UInt64) -> Int? {
    lastUse = use
    catchUp(table, log)
    guard leaves > 0, tree[1] >= 0 else { return nil }
    var i = 1
    while i < leaves { i = tree[2 * i] == tree[i] ? 2 * i : 2 * i + 1 }
    return i - leaves
  }

  private mutating func catchUp(_ table: NodeTable, _ log: ChangeLog) {
    defer { seen = log.end }
    guard leaves >= table.capacity, leaves > 0, let changes = log.since(seen), changes.count <= max(64, table.capacity / 8) else {
      return build(table, keepsFixed: leaves >= table.capacity && log.since(seen).map { !$0.contains { $0.isFixed } } ?? false)
    }
    for change in changes {
      let slot = change.slot
      if change.isFixed { fixed[slot] = Score.fixed(shape, table.facts[slot]) }
      set(slot, score(slot, table, fixed: fixed[slot]))
    }
  }

  private mutating func set(_ slot: Int, _ value: Int32) {
    var i = leaves + slot
    guard tree[i] != value else { return }
    tree[i] = value
    i >>= 1
    while i > 0 {
      let larger = max(tree[2 * i], tree[2 * i + 1])
      if tree[i] == larger { break }
      tree[i] = larger
      i >>= 1
    }
  }

  private mutating func build(_ table: NodeTable, keepsFixed: Bool) {
    if leaves < table.capacity || tree.isEmpty {
      leaves = 1
      while leaves < table.capacity { leaves *= 2 }
      tree = [Int32](repeating: -1, count: 2 * leaves)
    }
    if !keepsFixed || fixed.count != leaves {
      fixed = [Int32](repeating: -1, count: leaves)
      for slot in 0..<table.capacity { fixed[slot] = Score.fixed(shape, table.facts[slot]) }
    }
    for slot in 0..<table.capacity { tree[leaves + slot] = score(slot, table, fixed: fixed[slot]) }
    var i = leaves - 1
    while i > 0 {
      tree[i] = max(tree[2 * i], tree[2 * i + 1])
      i -= 1
    }
  }
}

/// Which nodes changed, in order. Positions only grow; the oldest entries are dropped, and a class that is further behind starts anew.
struct ChangeLog: Sendable {
  struct Entry: Sendable {
    var slot: Int
    var isFixed: Bool
  }
  private var entries: [Entry] = []
  private var start = 0
  static let limit = 1 << 16

  var end: Int { start + entries.count }

  mutating func append(_ slot: Int, isFixed: Bool = false) {
    if entries.count >= Self.limit {
      entries.removeFirst(Self.limit / 2)
      start += Self.limit / 2
    }
    entries.append(Entry(slot: slot, isFixed: isFixed))
  }

  /// - Returns: nil where entries after the position have been dropped.
  func since(_ position: Int) -> ArraySlice<Entry>? {
    position < start ? nil : entries[(position - start)...]
  }
}

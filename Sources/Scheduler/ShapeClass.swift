/// An equivalence class: all pods of one shape, with the score of every node for them, and the best of every block of 64 nodes.
///
/// A placement changes one node; the class catches up from the log of changed nodes, so that the next pod of the class costs as
/// many leaves as nodes have changed since, never every node.
package struct ShapeClass: Sendable {
  /// What a class knows of one node. Eight bytes, so that a visit is one cache line.
  private struct Leaf {
    /// −1: cannot take a pod of the class.
    var score: Int32 = -1
    /// Points of what only the node's object decides; −1: refused by it.
    var fixed: Int16 = -1
    /// Pods of the class on the node, saturated.
    var placed: UInt16 = 0
  }

  /// What has been computed: grows with nodes that change, not with pods.
  package struct Work: Sendable, Equatable {
    /// Nodes whose labels, taints and cordon were held against a class's rules.
    package var filtered = 0
    /// Nodes whose free resources were scored for a class.
    package var scored = 0
    /// Nodes that were asked why they refuse a class.
    package var explained = 0
  }

  let shape: PodShape
  let salt: UInt64
  /// Pods that refer to the class: waiting, reserved and bound.
  var members = 0
  /// Bound and reserved pods of the class by slot.
  private var placed: [Int: Int32] = [:]
  private let spreads: Bool
  /// Extended resources or host ports: looked up by name, not in the row.
  private let hasExtras: Bool

  /// Empty until the class is used, and after it is put to sleep.
  private var leaves: [Leaf] = []
  /// The best score of every block.
  private var blocks: [Int32] = []
  private static let blockSize = 64
  /// Position in the log of changed nodes up to which the leaves are right.
  private var seen = 0
  private(set) var lastUse: UInt64 = 0
  /// What nodes say; nil before all of them refused a pod of the class.
  var tally: RefusalTally?

  init(shape: PodShape, salt: UInt64) {
    self.shape = shape
    self.salt = salt
    spreads = !shape.owner.isEmpty
    hasExtras = !shape.requests.extended.isEmpty || HostPorts.applies(to: shape)
  }

  /// Bytes of leaves, blocks and tally.
  var footprint: Int { leaves.count * MemoryLayout<Leaf>.stride + blocks.count * 4 + (tally?.footprint ?? 0) }

  mutating func sleep() {
    leaves = []
    blocks = []
    tally = nil
  }

  mutating func count(_ slot: Int, _ sign: Int32) {
    let count = (placed[slot] ?? 0) + sign
    placed[slot] = count > 0 ? count : nil
    if slot < leaves.count { leaves[slot].placed = UInt16(clamping: count) }
  }

  /// The score of one node, −1 where it cannot take a pod of the class. What the leaves hold, computed anew.
  func score(_ slot: Int, _ table: NodeTable) -> Int32 {
    let leaf = Leaf(
      fixed: Int16(clamping: Score.fixed(shape, slot, table)), placed: placed.isEmpty ? 0 : UInt16(clamping: placed[slot] ?? 0))
    return score(slot, leaf, table.rows[slot], table)
  }

  /// The score in points of 0…900, without the tie-breaker.
  func points(_ slot: Int, _ table: NodeTable) -> Double { Double(score(slot, table) >> Score.tieBits) / Score.fraction }

  @inline(__always)
  private func score(_ slot: Int, _ leaf: Leaf, _ row: NodeTable.Row, _ table: NodeTable) -> Int32 {
    if leaf.fixed < 0 || row.freePods < 1 { return -1 }
    if shape.requests.cpu > 0 && shape.requests.cpu > row.freeCPU { return -1 }
    if shape.requests.memory > 0 && shape.requests.memory > row.freeMemory { return -1 }
    if shape.requests.ephemeralStorage > 0 && shape.requests.ephemeralStorage > row.freeStorage { return -1 }
    if hasExtras && !extrasFit(slot, table) { return -1 }
    return Score.total(
      fixed: Int32(leaf.fixed),
      allocation: Score.allocation(
        usedCPU: row.scoredCPU &+ shape.scoredCPU, usedMemory: row.scoredMemory &+ shape.scoredMemory, perCPU: row.perCPU,
        perMemory: row.perMemory),
      spread: spreads ? Score.spread(Int32(leaf.placed)) : 0, tie: Score.tie(slot, salt))
  }

  private func extrasFit(_ slot: Int, _ table: NodeTable) -> Bool {
    for item in shape.requests.extended where item.amount > table.freeExtended(item.name, slot) { return false }
    return table.hostPorts[slot].map { HostPorts.admits(shape, used: $0) } ?? true
  }

  /// Brings the leaves up to date and gives the best node.
  /// - Returns: nil where no node can take a pod of the class.
  mutating func best(_ table: NodeTable, _ log: ChangeLog, use: UInt64, _ work: inout Work) -> Int? {
    defer { lastUse = use }
    // Many shapes have one pod: for the first, nothing is kept, which costs half.
    if lastUse == 0 { return scan(table, &work) }
    catchUp(table, log, &work)
    var best: Int32 = -1
    var block = 0
    for (i, score) in blocks.enumerated() where score > best { (best, block) = (score, i) }
    guard best >= 0 else { return nil }
    return leaves[block * Self.blockSize..<min(leaves.count, (block + 1) * Self.blockSize)].firstIndex { $0.score == best }
  }

  private func scan(_ table: NodeTable, _ work: inout Work) -> Int? {
    work.filtered += table.capacity
    work.scored += table.capacity
    var best: (slot: Int, score: Int32)?
    for slot in 0..<table.capacity {
      let score = score(slot, table)
      if score >= 0, score > best?.score ?? -1 { best = (slot, score) }
    }
    return best?.slot
  }

  private mutating func catchUp(_ table: NodeTable, _ log: ChangeLog, _ work: inout Work) {
    defer { seen = log.end }
    let changes = log.since(seen)
    let isBuilt = leaves.count == table.capacity
    guard isBuilt, let changes, changes.count <= max(64, table.capacity / 8) else {
      return build(table, keepsFixed: isBuilt && changes.map { !$0.contains { $0.isFixed } } ?? false, &work)
    }
    work.scored += changes.count
    for change in changes {
      let slot = change.slot
      if change.isFixed {
        leaves[slot].fixed = Int16(clamping: Score.fixed(shape, slot, table))
        work.filtered += 1
      }
      let leaf = leaves[slot]
      let score = score(slot, leaf, table.rows[slot], table)
      guard score != leaf.score else { continue }
      leaves[slot].score = score
      let block = slot / Self.blockSize
      if score >= blocks[block] {
        blocks[block] = score
      } else if leaf.score == blocks[block] {
        blocks[block] = maximum(block)
      }
    }
  }

  private func maximum(_ block: Int) -> Int32 {
    var best: Int32 = -1
    for slot in block * Self.blockSize..<min(leaves.count, (block + 1) * Self.blockSize) { best = max(best, leaves[slot].score) }
    return best
  }

  private mutating func build(_ table: NodeTable, keepsFixed: Bool, _ work: inout Work) {
    work.scored += table.capacity
    if !keepsFixed {
      work.filtered += table.capacity
      leaves = (0..<table.capacity).map { Leaf(fixed: Int16(clamping: Score.fixed(shape, $0, table))) }
      for (slot, count) in placed where slot < leaves.count { leaves[slot].placed = UInt16(clamping: count) }
      blocks = [Int32](repeating: -1, count: (table.capacity + Self.blockSize - 1) / Self.blockSize)
    }
    for slot in leaves.indices { leaves[slot].score = score(slot, leaves[slot], table.rows[slot], table) }
    for block in blocks.indices { blocks[block] = maximum(block) }
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

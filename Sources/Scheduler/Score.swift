/// How good a node is for a pod: a sum of parts of 0…100, each with upstream's weight. Every part reads one node alone, so that a
/// change of one node changes one score of a class.
enum Score {
  static let spreadWeight: Int32 = 2
  /// Points are counted in sixteenths, and the low bits break ties by a hash of node and class: equal nodes take turns, and the
  /// same seed gives the same placements.
  static let fraction: Double = 16
  static let tieBits: Int32 = 8

  /// Labels and taints: what stays until the node's object changes. −1: a fixed rule refuses the node.
  static func fixed(_ shape: PodShape, _ slot: Int, _ table: NodeTable) -> Int32 {
    if shape.isPlain, table.isOpen[slot] { return 100 * TaintToleration.weight }
    guard let node = table.facts[slot] else { return -1 }
    for rule in fixedRules where rule.applies(to: shape) && rule.refusal(of: shape, on: node) != nil { return -1 }
    return TaintToleration.score(shape, node) * TaintToleration.weight + NodeAffinity.score(shape, node) * NodeAffinity.weight
  }

  /// Least allocated: the free share of CPU and memory, averaged. Balanced: 100 where both are used to the same share.
  @inline(__always)
  static func allocation(usedCPU: Int64, usedMemory: Int64, perCPU: Double, perMemory: Double) -> Int32 {
    let cpu = perCPU > 0 ? max(0, min(1, Double(usedCPU) * perCPU)) : 1
    let memory = perMemory > 0 ? max(0, min(1, Double(usedMemory) * perMemory)) : 1
    let least = 100 - 50 * (cpu + memory)
    let balanced = 100 - 50 * abs(cpu - memory)
    return Int32((least + balanced) * fraction)
  }

  /// 100 where no other pod of the owner runs, then half, a third, …
  @inline(__always)
  static func spread(_ others: Int32) -> Int32 { 100 * Int32(fraction) / (1 + others) * spreadWeight }

  @inline(__always)
  static func total(fixed: Int32, allocation: Int32, spread: Int32, tie: UInt8) -> Int32 {
    (fixed &* Int32(fraction) &+ allocation &+ spread) &<< tieBits | Int32(tie)
  }

  @inline(__always)
  static func tie(_ slot: Int, _ salt: UInt64) -> UInt8 {
    var x = UInt64(truncatingIfNeeded: slot) &* 0x9E37_79B9_7F4A_7C15 ^ salt
    x = (x ^ x >> 32) &* 0xD6E8_FEB8_6659_FD93
    return UInt8(truncatingIfNeeded: x >> 40)
  }
}

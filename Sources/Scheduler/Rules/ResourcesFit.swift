/// A node must have left what the pod asks for. A resource that is not asked for is not looked at, even where a node is overcommitted.
enum ResourcesFit {
  /// - Returns: every resource that is short, in words; empty where the pod fits.
  static func refusals(_ shape: PodShape, on slot: Int, of table: NodeTable) -> [String] {
    var short: [String] = []
    let requests = shape.requests
    let row = table.rows[slot]
    if row.freePods < 1 { short.append("Too many pods") }
    if requests.cpu > 0, requests.cpu > row.freeCPU { short.append("Insufficient cpu") }
    if requests.memory > 0, requests.memory > row.freeMemory { short.append("Insufficient memory") }
    if requests.ephemeralStorage > 0, requests.ephemeralStorage > row.freeStorage { short.append("Insufficient ephemeral-storage") }
    for item in requests.extended where item.amount > table.freeExtended(item.name, slot) {
      short.append("Insufficient \(item.name)")
    }
    return short
  }

  /// Whether the node could take the pod if nothing else ran there.
  static func fitsEmpty(_ shape: PodShape, _ node: NodeFacts) -> Bool {
    let (requests, all) = (shape.requests, node.allocatable)
    return requests.cpu <= all.cpu && requests.memory <= all.memory && requests.ephemeralStorage <= all.ephemeralStorage
      && requests.extended.allSatisfy { wanted in
        wanted.amount <= all.extended.first { $0.name == wanted.name }?.amount ?? 0
      }
  }
}

import Wire

/// Amounts of the resources that a placement counts.
package struct ResourceList: Hashable, Sendable {
  /// An extended resource or huge pages, by its full name.
  package struct Extended: Hashable, Sendable {
    package var name: String
    package var amount: Int64
  }

  /// Units of CPU in one core: 1m is 128, one ECS CPU unit is 125.
  package static let unitsPerCore: Int64 = 128_000

  /// In 1/128,000 of a core.
  package var cpu: Int64 = 0
  /// In bytes.
  package var memory: Int64 = 0
  /// In bytes.
  package var ephemeralStorage: Int64 = 0
  /// How many pods; a pod's own request is 1 and not written here.
  package var pods: Int64 = 0
  /// Ordered by name, none of them zero.
  package var extended: [Extended] = []

  package init(cpu: Int64 = 0, memory: Int64 = 0, ephemeralStorage: Int64 = 0, pods: Int64 = 0, extended: [Extended] = []) {
    self.cpu = cpu
    self.memory = memory
    self.ephemeralStorage = ephemeralStorage
    self.pods = pods
    self.extended = extended
  }

  /// Reads `resources.requests`, `status.allocatable` or `overhead`. What is no quantity counts as nothing: the door has validated it.
  init(_ view: JSONView) {
    view.forEachMember { key, value in
      // Never less than what was asked for: rounded up, saturated.
      guard let name = key.string, let amount = (value.string ?? value.int.map(String.init)).flatMap({ Quantity($0) }),
        amount > .zero
      else { return }
      switch name {
      case "cpu": cpu = amount.value(scale: Self.unitsPerCore)
      case "memory": memory = amount.value
      case "ephemeral-storage": ephemeralStorage = amount.value
      case "pods": pods = amount.value
      default:
        extended.append(Extended(name: name, amount: amount.value))
      }
    }
    extended.sort { $0.name < $1.name }
  }

  /// Sums saturate: an absurd request must refuse every node, not trap.
  func adding(_ other: ResourceList) -> ResourceList { combined(other, saturatingAdd) }
  /// The larger of both, resource by resource.
  func maximum(_ other: ResourceList) -> ResourceList { combined(other, max) }

  private func combined(_ other: ResourceList, _ combine: (Int64, Int64) -> Int64) -> ResourceList {
    var result = ResourceList(
      cpu: combine(cpu, other.cpu), memory: combine(memory, other.memory),
      ephemeralStorage: combine(ephemeralStorage, other.ephemeralStorage), pods: combine(pods, other.pods), extended: extended)
    for item in other.extended {
      if let i = result.extended.firstIndex(where: { $0.name == item.name }) {
        result.extended[i].amount = combine(result.extended[i].amount, item.amount)
      } else {
        result.extended.append(item)
      }
    }
    result.extended.sort { $0.name < $1.name }
    return result
  }
}

private func saturatingAdd(_ a: Int64, _ b: Int64) -> Int64 {
  let (sum, overflow) = a.addingReportingOverflow(b)
  return overflow ? .max : sum
}

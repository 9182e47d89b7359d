import Wire

extension Value {
  /// What Go takes for the zero value: absent, "", 0, false, no elements.
  var isZero: Bool {
    switch self {
    case .null: true
    case .bool(let b): !b
    case .int(let i): i == 0
    case .double(let d): d == 0
    case .string(let s): s.isEmpty
    case .array(let a): a.isEmpty
    case .object(let o): o.isEmpty
    }
  }

  /// Takes out what a path leads to, in every element where it passes through a list.
  mutating func remove(at nodes: ArraySlice<RulePath.Node>) {
    guard let node = nodes.first else { return }
    switch node.step {
    case .field(let name):
      if nodes.count == 1 {
        remove(name)
      } else if case .object(var object) = self, let i = object.index(of: name) {
        object.members[i].value.remove(at: nodes.dropFirst())
        self = .object(object)
      }
    case .each:
      guard case .array(var array) = self else { return }
      for i in array.indices { array[i].remove(at: nodes.dropFirst()) }
      self = .array(array)
    }
  }
}

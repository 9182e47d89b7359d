/// An object under change: look-ups by hash, so that a body made to be slow stays linear. Order is kept; new members go to the end.
package struct ObjectEditor {
  private var members: [Object.Member?]
  private var positions: [String: Int]

  package init(_ object: Object) {
    members = object.members
    positions = [:]
    positions.reserveCapacity(object.count)
    for (i, member) in object.members.enumerated() where positions[member.key] == nil { positions[member.key] = i }
  }

  package subscript(key: String) -> Value? {
    get { positions[key].flatMap { members[$0]?.value } }
    set {
      switch (positions[key], newValue) {
      case (let i?, let value?): members[i] = .init(key: key, value: value)
      case (let i?, nil):
        members[i] = nil
        positions[key] = nil
      case (nil, let value?):
        positions[key] = members.count
        members.append(.init(key: key, value: value))
      case (nil, nil): break
      }
    }
  }

  package var object: Object { Object(members.compactMap { $0 }) }

  /// What is there now, in order; changes made meanwhile are not seen.
  package var current: [Object.Member] { members.compactMap { $0 } }
}

/// Look-ups in an object that does not change: by hash where it is large, by a walk where that is faster.
package struct ObjectIndex {
  private let object: Object
  private let positions: [String: Int]?

  package init(_ object: Object) {
    self.object = object
    guard object.count > 24 else {
      positions = nil
      return
    }
    var positions: [String: Int] = [:]
    positions.reserveCapacity(object.count)
    for (i, member) in object.members.enumerated() where positions[member.key] == nil { positions[member.key] = i }
    self.positions = positions
  }

  package subscript(key: String) -> Value? {
    guard let positions else { return object[key] }
    return positions[key].map { object.members[$0].value }
  }
}

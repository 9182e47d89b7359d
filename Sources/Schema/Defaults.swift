import Wire

/// A default that a row can say: where `path` (below the type) is absent, `value` goes in.
struct DefaultRow: Sendable {
  let path: [String]
  /// An empty list or map counts as absent as well. (Zeros of fields that are no pointers are absent since pruning.)
  let isForEmpty: Bool
  let value: Value

  func apply(to object: inout Object) { apply(to: &object, at: 0) }

  private func apply(to object: inout Object, at position: Int) {
    guard position < path.count else { return }
    let key = path[position]
    if position < path.count - 1 {
      object.modify(key, making: true) { apply(to: &$0, at: position + 1) }
    } else if let i = object.index(of: key) {
      if object.members[i].value.isNull || isForEmpty && object.members[i].value.isEmptyContainer {
        object.members[i].value = value
      }
    } else {
      object.members.append(.init(key: key, value: value))
    }
  }
}

/// What defaulting does at one shape and below it.
struct TypeDefaults: Sendable {
  let rows: [DefaultRow]
  let rule: DefaultRule?
  /// By position of the field: whether something below it has defaults.
  let reaching: [Bool]
  /// Positions of structs that are no pointers: Go has them even when they were not sent.
  let made: [Int]
  /// Whether this shape or one below has something to do.
  let isReached: Bool

  static func all(_ shapes: [Shape], rows: [String: [DefaultRow]]) -> [TypeDefaults] {
    let rules = shapes.map { $0.kind == .object ? DefaultRule(rawValue: $0.name) : nil }
    let made = shapes.map { shape in
      shape.fields.indices.filter { !shape.fields[$0].isPointer && shapes[Int(shape.fields[$0].type.index)].kind == .object }
    }
    let own = shapes.map { shape in ([shape.name] + shape.inlined).flatMap { rows[$0] ?? [] } }
    var reached = shapes.indices.map { i in !own[i].isEmpty || rules[i] != nil || !made[i].isEmpty }
    var changed = true
    while changed {
      changed = false
      for (i, shape) in shapes.enumerated() where !reached[i] {
        let isContainer = shape.kind == .list || shape.kind == .map
        if isContainer && reached[Int(shape.element.index)] || shape.fields.contains(where: { reached[Int($0.type.index)] }) {
          reached[i] = true
          changed = true
        }
      }
    }
    return shapes.indices.map { i in
      TypeDefaults(
        rows: own[i], rule: rules[i], reaching: shapes[i].fields.map { reached[Int($0.type.index)] },
        made: made[i], isReached: reached[i])
    }
  }
}

extension SchemaTable {
  /// Sets what upstream sets when an object is decoded, and makes the structs that Go always has. A type's defaults hold wherever the
  /// type occurs, parents before children. The value must be pruned.
  /// - Parameter now: for the few defaults that are a time; nil leaves them out.
  package func applyDefaults(_ value: inout Value, kind: ResourceKind, now: Timestamp? = nil) {
    fill(&value, kind.type, now: now)
  }

  package func applyDefaults(_ value: inout Value, type: TypeID, now: Timestamp? = nil) { fill(&value, type, now: now) }

  private func fill(_ value: inout Value, _ type: TypeID, now: Timestamp?) {
    let defaults = self.defaults[Int(type.index)]
    guard defaults.isReached else { return }
    let shape = shape(type)
    switch shape.kind {
    case .object:
      guard case .object(var object) = value else { return }
      value = .null
      // A job's completions depend on whether parallelism was set, which a row sets.
      if let rule = defaults.rule, rule == .job { rule.apply(to: &object, now: now) }
      for row in defaults.rows { row.apply(to: &object) }
      if let rule = defaults.rule, rule != .job { rule.apply(to: &object, now: now) }
      for i in object.members.indices {
        guard let position = shape.position(of: object.members[i].key), defaults.reaching[position] else { continue }
        fill(&object.members[i].value, shape.fields[position].type, now: now)
      }
      for position in defaults.made { make(shape.fields[position], in: &object, shape, now: now) }
      value = .object(object)
    case .list:
      guard case .array(var elements) = value else { return }
      value = .null
      for i in elements.indices { fill(&elements[i], shape.element, now: now) }
      value = .array(elements)
    case .map:
      guard case .object(var object) = value else { return }
      value = .null
      for i in object.members.indices { fill(&object.members[i].value, shape.element, now: now) }
      value = .object(object)
    default: break
    }
  }

  private func make(_ field: Field, in object: inout Object, _ shape: Shape, now: Timestamp?) {
    guard object.index(of: field.name) == nil else { return }
    var made = Value.emptyObject
    fill(&made, field.type, now: now)
    // A kind's own empty status is left to whoever writes status.
    if field.name == "status", made.isEmptyContainer || made.object?.members.allSatisfy({ $0.value.isEmptyContainer }) == true {
      return
    }
    object.members.append(.init(key: field.name, value: made))
  }
}

extension Value {
  var isEmptyContainer: Bool {
    switch self {
    case .array(let elements): elements.isEmpty
    case .object(let object): object.isEmpty
    default: false
    }
  }
}

extension Object {
  /// Sets a member that is not there.
  mutating func setDefault(_ key: String, _ value: Value) {
    if let i = index(of: key) {
      if members[i].value.isNull { members[i].value = value }
    } else {
      members.append(Member(key: key, value: value))
    }
  }

  /// Adds the members of another object whose keys are not here. Linear, however many there are.
  mutating func fill(from other: [Member]) {
    let present = Set(members.lazy.filter { !$0.value.isNull }.map(\.key))
    members.append(contentsOf: other.filter { !present.contains($0.key) })
  }

  /// Changes a member that is an object in place.
  /// - Parameter making: whether it is made where it is missing; otherwise nothing happens then.
  mutating func modify(_ key: String, making: Bool = false, _ body: (inout Object) -> Void) {
    let i: Int
    if let found = index(of: key) {
      i = found
      if making, members[i].value.isNull { members[i].value = .emptyObject }
    } else {
      guard making else { return }
      i = members.count
      members.append(Member(key: key, value: .emptyObject))
    }
    guard case .object(var inner) = members[i].value else { return }
    // Taken out while it changes, so that its storage stays uniquely referenced.
    members[i].value = .null
    body(&inner)
    members[i].value = .object(inner)
  }

  /// Changes every object of a member that is a list.
  mutating func modifyEach(_ key: String, _ body: (inout Object) -> Void) {
    guard let i = index(of: key), case .array(var elements) = members[i].value else { return }
    members[i].value = .null
    for j in elements.indices {
      guard case .object(var inner) = elements[j] else { continue }
      elements[j] = .null
      body(&inner)
      elements[j] = .object(inner)
    }
    members[i].value = .array(elements)
  }

  /// A member's text, "" where there is none.
  func text(_ key: String) -> String { self[key]?.string ?? "" }
  func object(_ key: String) -> Object? { self[key]?.object }
  func isPresent(_ key: String) -> Bool { self[key].map { !$0.isNull } ?? false }
  /// True where the member is missing, or a list or map without anything in it.
  func isEmpty(_ key: String) -> Bool { self[key].map { $0.isNull || $0.isEmptyContainer } ?? true }
}

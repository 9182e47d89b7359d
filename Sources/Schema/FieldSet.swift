import Wire

/// A set of fields of one object: what `managedFields[].fieldsV1` says that a manager owns.
///
/// A tree whose edges are in upstream's order, so that equal sets are equal bytes. A path is a member of the set, leads to members, or both.
package struct FieldSet: Sendable, Equatable {
  /// One step of a path.
  package enum Element: Sendable, Equatable {
    /// `f:name`
    case field(String)
    /// `k:{"name":"web"}`: an element of a list by its keys, sorted by name.
    case key([KeyPart])
    /// `v:"a"`: an element of a set.
    case value(Value)
    /// `i:0`
    case index(Int64)
  }

  package struct KeyPart: Sendable, Equatable {
    package var name: String
    package var value: Value
  }

  struct Entry: Sendable, Equatable {
    var element: Element
    var isMember: Bool
    var children: FieldSet
  }

  /// Sorted by element.
  var entries: [Entry] = []

  package init() {}

  package var isEmpty: Bool { entries.isEmpty }

  // MARK: Paths

  package func contains(_ path: [Element]) -> Bool {
    guard let first = path.first, let entry = entries.first(where: { $0.element == first }) else { return false }
    return path.count == 1 ? entry.isMember : entry.children.contains(Array(path.dropFirst()))
  }

  package mutating func insert(_ path: [Element]) {
    guard let first = path.first else { return }
    let position = entries.firstIndex { $0.element >= first } ?? entries.count
    if position == entries.count || entries[position].element != first {
      entries.insert(Entry(element: first, isMember: false, children: FieldSet()), at: position)
    }
    if path.count == 1 {
      entries[position].isMember = true
    } else {
      entries[position].children.insert(Array(path.dropFirst()))
    }
  }

  // MARK: Algebra

  package func union(_ other: FieldSet) -> FieldSet {
    merged(with: other) { mine, theirs in
      guard let mine else { return theirs }
      guard let theirs else { return mine }
      return Entry(
        element: mine.element, isMember: mine.isMember || theirs.isMember, children: mine.children.union(theirs.children))
    }
  }

  package func intersection(_ other: FieldSet) -> FieldSet {
    merged(with: other) { mine, theirs in
      guard let mine, let theirs else { return nil }
      return Entry(
        element: mine.element, isMember: mine.isMember && theirs.isMember, children: mine.children.intersection(theirs.children))
    }
  }

  /// What is here and not in the other; members below a member of the other stay.
  package func difference(_ other: FieldSet) -> FieldSet {
    merged(with: other) { mine, theirs in
      guard let mine else { return nil }
      guard let theirs else { return mine }
      return Entry(
        element: mine.element, isMember: mine.isMember && !theirs.isMember, children: mine.children.difference(theirs.children))
    }
  }

  /// As ``difference(_:)``, and everything below a member of the other goes as well.
  package func recursiveDifference(_ other: FieldSet) -> FieldSet {
    merged(with: other) { mine, theirs in
      guard let mine else { return nil }
      guard let theirs else { return mine }
      if theirs.isMember { return nil }
      return Entry(element: mine.element, isMember: mine.isMember, children: mine.children.recursiveDifference(theirs.children))
    }
  }

  /// Walks both in order; entries that hold nothing are dropped.
  private func merged(with other: FieldSet, _ combine: (Entry?, Entry?) -> Entry?) -> FieldSet {
    var result = FieldSet()
    var i = 0
    var j = 0
    while i < entries.count || j < other.entries.count {
      let entry: Entry?
      if j == other.entries.count || i < entries.count && entries[i].element < other.entries[j].element {
        entry = combine(entries[i], nil)
        i += 1
      } else if i == entries.count || other.entries[j].element < entries[i].element {
        entry = combine(nil, other.entries[j])
        j += 1
      } else {
        entry = combine(entries[i], other.entries[j])
        i += 1
        j += 1
      }
      if let entry, entry.isMember || !entry.children.isEmpty { result.entries.append(entry) }
    }
    return result
  }

  // MARK: FieldsV1

  /// - Returns: nil where the value is no FieldsV1.
  package init?(json: Value) {
    guard case .object(let object) = json else { return nil }
    for member in object.members where member.key != "." {
      guard let element = Element(text: member.key), case .object(let inner) = member.value,
        let children = FieldSet(json: member.value)
      else { return nil }
      entries.append(Entry(element: element, isMember: inner.isEmpty || inner["."] != nil, children: children))
    }
    entries.sort { $0.element < $1.element }
  }

  package var json: Value {
    .object(
      Object(
        entries.map { entry in
          guard case .object(var inner) = entry.children.json, !inner.isEmpty else {
            return .init(key: entry.element.text, value: .emptyObject)
          }
          if entry.isMember { inner.members.insert(.init(key: ".", value: .emptyObject), at: 0) }
          return .init(key: entry.element.text, value: .object(inner))
        }))
  }
}

extension FieldSet.Element: Comparable {
  private var rank: Int {
    switch self {
    case .field: 0
    case .key: 1
    case .value: 2
    case .index: 3
    }
  }

  package static func < (a: Self, b: Self) -> Bool {
    switch (a, b) {
    case (.field(let x), .field(let y)): x.utf8.lexicographicallyPrecedes(y.utf8)
    case (.key(let x), .key(let y)): precedes(x, y)
    case (.value(let x), .value(let y)): compare(x, y) < 0
    case (.index(let x), .index(let y)): x < y
    default: a.rank < b.rank
    }
  }

  private static func precedes(_ a: [FieldSet.KeyPart], _ b: [FieldSet.KeyPart]) -> Bool {
    for (x, y) in zip(a, b) {
      if x.name != y.name { return x.name.utf8.lexicographicallyPrecedes(y.name.utf8) }
      let order = compare(x.value, y.value)
      if order != 0 { return order < 0 }
    }
    return a.count < b.count
  }

  /// Numbers, strings, Booleans, lists, maps, null: upstream's order of values.
  private static func compare(_ a: Value, _ b: Value) -> Int {
    func rank(_ value: Value) -> Int {
      switch value {
      case .int, .double: 0
      case .string: 1
      case .bool: 2
      case .array: 3
      case .object: 4
      case .null: 5
      }
    }
    switch (a, b) {
    case (.int(let x), .int(let y)): return x < y ? -1 : x > y ? 1 : 0
    case (.string(let x), .string(let y)):
      return x == y ? 0 : x.utf8.lexicographicallyPrecedes(y.utf8) ? -1 : 1
    case (.bool(let x), .bool(let y)): return x == y ? 0 : y ? -1 : 1
    case (.array, .array), (.object, .object):
      let (x, y) = (a.json, b.json)
      return x == y ? 0 : x < y ? -1 : 1
    default:
      if let x = a.double, let y = b.double { return x < y ? -1 : x > y ? 1 : 0 }
      return rank(a) - rank(b)
    }
  }

  /// The key of a FieldsV1.
  var text: String {
    switch self {
    case .field(let name): "f:\(name)"
    case .key(let parts): "k:\(Value.object(Object(parts.map { .init(key: $0.name, value: $0.value) })).json)"
    case .value(let value): "v:\(value.json)"
    case .index(let index): "i:\(index)"
    }
  }

  init?(text: String) {
    let rest = String(text.dropFirst(2))
    switch text.prefix(2) {
    case "f:": self = .field(rest)
    case "k:":
      guard let value = try? Value(json: rest), case .object(let object) = value else { return nil }
      self = .key(
        object.members.map { FieldSet.KeyPart(name: $0.key, value: $0.value) }.sorted {
          $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
        })
    case "v:":
      guard let value = try? Value(json: rest) else { return nil }
      self = .value(value)
    case "i:":
      guard let index = Int64(rest) else { return nil }
      self = .index(index)
    default: return nil
    }
  }
}

import Wire

/// What a write did to the fields of an object.
package struct FieldChanges: Sendable {
  package var added = FieldSet()
  package var modified = FieldSet()
  package var removed = FieldSet()
}

extension SchemaTable {
  /// The fields in which two states differ.
  /// - Parameter old: nil for an object that is created.
  package func changedFields(old: Value?, new: Value, type: TypeID) -> FieldChanges {
    // A created object is compared with an empty one of its type, not with nothing.
    let changes = OwnershipWalk(table: self).compare(old ?? .emptyObject, new, .object(shape(type)))
    return FieldChanges(added: changes.added, modified: changes.modified, removed: changes.removed)
  }
}

/// Walks values as structured-merge-diff does: what is owned as a whole, what by its parts.
private struct OwnershipWalk {
  let table: SchemaTable

  /// How a value is owned.
  enum Form {
    case leaf
    case object(Shape)
    case map(Field)
    case list(keys: [String], element: Shape)
    case set
  }

  func form(_ field: Field) -> Form {
    let shape = table.shape(field.type)
    switch shape.kind {
    case .object: return field.isAtomic || shape.isAtomic ? .leaf : .object(shape)
    case .map: return field.isAtomic ? .leaf : .map(field)
    case .list, .listMessage:
      switch field.listType {
      case "map": return .list(keys: field.listMapKeys.sorted(), element: table.shape(shape.element))
      case "set": return .set
      default: return .leaf
      }
    default: return .leaf
    }
  }

  private func elementForm(_ shape: Shape) -> Form {
    shape.kind == .object && !shape.isAtomic ? .object(shape) : .leaf
  }

  private func key(_ element: Value, _ keys: [String]) -> FieldSet.Element {
    .key(keys.compactMap { name in element[name].isNull ? nil : FieldSet.KeyPart(name: name, value: element[name]) })
  }

  // MARK: What one value sets

  func fields(of value: Value, _ form: Form) -> FieldSet {
    var set = FieldSet()
    switch form {
    case .leaf: break
    case .object(let shape):
      for member in value.object?.members ?? [] {
        guard let field = shape.field(member.key) else { continue }
        append(.field(member.key), member.value, self.form(field), to: &set)
      }
    case .map(let field):
      let element = elementForm(table.shape(table.shape(field.type).element))
      for member in value.object?.members ?? [] {
        append(.field(member.key), member.value, element, to: &set, isAlwaysMember: true)
      }
    case .list(let keys, let shape):
      for element in value.array ?? [] { append(key(element, keys), element, .object(shape), to: &set, isAlwaysMember: true) }
    case .set:
      for element in value.array ?? [] { append(.value(element), element, .leaf, to: &set) }
    }
    set.entries.sort { $0.element < $1.element }
    return set
  }

  private func append(
    _ element: FieldSet.Element, _ value: Value, _ form: Form, to set: inout FieldSet, isAlwaysMember: Bool = false
  ) {
    let children = fields(of: value, form)
    let isEmptyObject = value.isNull || value.object?.isEmpty == true
    let isMember = if case .leaf = form { true } else { isAlwaysMember || isEmptyObject }
    if isMember || !children.isEmpty { set.entries.append(.init(element: element, isMember: isMember, children: children)) }
  }

  // MARK: What two values differ in

  struct Changes {
    var added = FieldSet()
    var modified = FieldSet()
    var removed = FieldSet()
    /// Of the value itself.
    var isAdded = false
    var isModified = false
    var isRemoved = false

    mutating func append(_ element: FieldSet.Element, _ child: Changes) {
      if child.isAdded || !child.added.isEmpty {
        added.entries.append(.init(element: element, isMember: child.isAdded, children: child.added))
      }
      if child.isModified || !child.modified.isEmpty {
        modified.entries.append(.init(element: element, isMember: child.isModified, children: child.modified))
      }
      if child.isRemoved || !child.removed.isEmpty {
        removed.entries.append(.init(element: element, isMember: child.isRemoved, children: child.removed))
      }
    }

    mutating func sort() {
      added.entries.sort { $0.element < $1.element }
      modified.entries.sort { $0.element < $1.element }
      removed.entries.sort { $0.element < $1.element }
    }
  }

  /// - Parameters: old, new: nil where there is no value on that side.
  func compare(_ old: Value?, _ new: Value?, _ form: Form) -> Changes {
    var changes = Changes()
    if isLeaf(old, new, form) {
      switch (old, new) {
      case (nil, nil): break
      case (nil, _?): changes.isAdded = true
      case (_?, nil): changes.isRemoved = true
      case (let old?, let new?): changes.isModified = !isEqual(old, new)
      }
      return changes
    }
    switch form {
    case .leaf: break
    case .object(let shape):
      for field in shape.fields where !field.name.isEmpty {
        let child = self.form(field)
        let (before, after) = (side(old, field), side(new, field))
        if before != nil || after != nil { changes.append(.field(field.name), compare(before, after, child)) }
      }
    case .map(let field):
      let element = elementForm(table.shape(table.shape(field.type).element))
      let (before, after) = (old?.object ?? Object(), new?.object ?? Object())
      let (inBefore, inAfter) = (ObjectIndex(before), ObjectIndex(after))
      for member in before.members { changes.append(.field(member.key), compare(member.value, inAfter[member.key], element)) }
      for member in after.members where inBefore[member.key] == nil {
        changes.append(.field(member.key), compare(nil, member.value, element))
      }
    case .list(let keys, let shape):
      let before = (old?.array ?? []).map { (key($0, keys), $0) }
      let after = (new?.array ?? []).map { (key($0, keys), $0) }
      let inAfter = Dictionary(after.map { ($0.0.text, $0.1) }) { first, _ in first }
      let inBefore = Set(before.map(\.0.text))
      for (element, value) in before { changes.append(element, compare(value, inAfter[element.text], .object(shape))) }
      for (element, value) in after where !inBefore.contains(element.text) {
        changes.append(element, compare(nil, value, .object(shape)))
      }
    case .set:
      let (before, after) = (old?.array ?? [], new?.array ?? [])
      let (inBefore, inAfter) = (Set(before.map(\.json)), Set(after.map(\.json)))
      for value in before where !inAfter.contains(value.json) { changes.append(.value(value), compare(value, nil, .leaf)) }
      for value in after where !inBefore.contains(value.json) { changes.append(.value(value), compare(nil, value, .leaf)) }
    }
    changes.sort()
    changes.isAdded = old == nil
    changes.isRemoved = new == nil
    return changes
  }

  /// The member of one side. A struct that Go always holds is there, empty, where its parent is.
  private func side(_ parent: Value?, _ field: Field) -> Value? {
    guard let parent else { return nil }
    let value = parent[field.name]
    if !value.isNull { return value }
    guard !field.isPointer else { return nil }
    if table.shape(field.type).kind == .object { return .emptyObject }
    // What Go writes even when it is empty is there as null.
    return field.omitsEmpty ? nil : .null
  }

  /// Atomic values, and values that are empty on both sides.
  private func isLeaf(_ old: Value?, _ new: Value?, _ form: Form) -> Bool {
    if case .leaf = form { return true }
    func isEmpty(_ value: Value?) -> Bool {
      switch value {
      case nil, .null: true
      case .object(let object): object.isEmpty
      case .array(let array): array.isEmpty
      default: false
      }
    }
    guard isEmpty(old), isEmpty(new) else { return false }
    // An empty struct may still hold structs that are always there: none of them can differ.
    return true
  }

  private func isEqual(_ a: Value, _ b: Value) -> Bool { a == b }
}

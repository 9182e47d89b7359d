import Wire

/// A default that a row can say: where `path` (below the type) is absent or empty, `value` goes in.
package struct DefaultRow: Sendable {
  let path: [String]
  /// `nil`, `zero` or `empty`; after pruning all three mean: absent, or an empty container for `empty`.
  let when: String
  let value: Value
}

extension SchemaTable {
  /// Sets what upstream sets when an object is decoded. A type's defaults hold wherever the type occurs, parents before children.
  package func applyDefaults(_ value: inout Value, kind: ResourceKind) { applyDefaults(&value, type: kind.type) }

  package func applyDefaults(_ value: inout Value, type: TypeID) {
    let shape = shape(type)
    switch shape.kind {
    case .object:
      guard case .object = value else { return }
      for row in defaults[type] ?? [] { apply(row, to: &value, at: 0) }
      DefaultRules.apply(shape.name, to: &value, table: self)
      for field in shape.fields where hasDefaults(field.type) {
        if value[field.name].isNull {
          // A struct that is no pointer is there even when it was not written.
          guard !field.isPointer, self.shape(field.type).kind == .object, field.name != "status" || shape.name.hasPrefix("core/v1.")
          else { continue }
          var empty = Value.emptyObject
          applyDefaults(&empty, type: field.type)
          if empty.object?.isEmpty == false { value[field.name] = empty }
          continue
        }
        applyDefaults(&value[field.name], type: field.type)
      }
      DefaultRules.applyAfterChildren(shape.name, to: &value, table: self)
    case .list, .listMessage:
      guard hasDefaults(shape.element), case .array(var elements) = value else { return }
      value = .null
      for i in elements.indices { applyDefaults(&elements[i], type: shape.element) }
      value = .array(elements)
    case .map:
      guard hasDefaults(shape.element), case .object(var object) = value else { return }
      value = .null
      for i in object.members.indices { applyDefaults(&object.members[i].value, type: shape.element) }
      value = .object(object)
    default: break
    }
  }

  private func apply(_ row: DefaultRow, to value: inout Value, at position: Int) {
    guard position < row.path.count else { return }
    let key = row.path[position]
    if position == row.path.count - 1 {
      let current = value[key]
      let isAbsent =
        switch current {
        case .null: true
        case .array(let a): row.when == "empty" && a.isEmpty
        case .object(let o): row.when == "empty" && o.isEmpty
        default: false
        }
      if isAbsent { value[key] = row.value }
    } else {
      apply(row, to: &value[key], at: position + 1)
    }
  }

  /// True where the type or one below has defaults: the walk leaves out everything else.
  private func hasDefaults(_ type: TypeID) -> Bool { DefaultReach.shared.reaches(type, in: self) }
}

/// Which types lead to one with defaults, computed once per table.
private final class DefaultReach: Sendable {
  static let shared = DefaultReach(SchemaTable.builtin)
  private let reached: [Bool]

  init(_ table: SchemaTable) {
    var reached = table.shapes.indices.map { i in
      table.defaults[TypeID(i)] != nil || DefaultRules.types.contains(table.shapes[i].name)
    }
    var changed = true
    while changed {
      changed = false
      for (i, shape) in table.shapes.enumerated() where !reached[i] {
        let below = shape.fields.map(\.type) + (shape.kind == .list || shape.kind == .map ? [shape.element] : [])
        if below.contains(where: { reached[Int($0.index)] }) {
          reached[i] = true
          changed = true
        }
      }
    }
    self.reached = reached
  }

  func reaches(_ type: TypeID, in table: SchemaTable) -> Bool { reached[Int(type.index)] }
}

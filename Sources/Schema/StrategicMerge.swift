import Wire

extension SchemaTable {
  /// Strategic merge patch: as a merge patch, but lists whose field says so merge element by element, by their key.
  ///
  /// Understands `$patch` (replace, delete, merge), `$setElementOrder/…`, `$deleteFromPrimitiveList/…` and `$retainKeys`.
  /// - Parameter type: the type of the target; its fields name the strategies.
  /// - Throws: ``PatchError`` in upstream's words.
  package func strategicMerge(_ patch: Value, into target: Value, type: TypeID) throws(PatchError) -> Value {
    guard case .object(let members) = patch else {
      throw PatchError(
        .malformed, "error decoding patch: json: cannot unmarshal a value that is no object into a strategic merge patch")
    }
    let merge = StrategicMerge(table: self)
    return .object(try merge.merge(target.object ?? Object(), members, shape(type)))
  }
}

/// One merge. Pure; the order in which members of a patch are applied is that of the patch.
private struct StrategicMerge {
  let table: SchemaTable

  private static let orderPrefix = "$setElementOrder/"
  private static let deletePrefix = "$deleteFromPrimitiveList/"

  private func badDirective(_ directive: Value, _ holder: Object) -> PatchError {
    PatchError(.inapplicable, "unknown patch type: \(directive.string ?? directive.json) in map: \(Value.object(holder).json)")
  }

  /// - Parameter shape: nil below what the table does not know; nothing merges by key there.
  func merge(_ original: Object, _ patch: Object, _ shape: Shape?) throws(PatchError) -> Object {
    if let directive = patch["$patch"] {
      switch directive.string {
      case "replace":
        var rest = patch
        rest["$patch"] = nil
        return cleaned(rest)
      case "delete": return Object()
      case "merge": break
      default: throw badDirective(directive, patch)
      }
    }
    var original = ObjectEditor(original)
    var patch = ObjectEditor(patch)
    patch["$patch"] = nil
    if let retained = patch["$retainKeys"] {
      patch["$retainKeys"] = nil
      try retain(retained, in: &original, patch)
    }
    for member in patch.current where member.key.hasPrefix(Self.orderPrefix) {
      patch[member.key] = nil
      try applyOrder(member, &original, &patch, shape)
    }
    for member in patch.current { try apply(member, to: &original, shape) }
    return original.object
  }

  private func apply(_ member: Object.Member, to original: inout ObjectEditor, _ shape: Shape?) throws(PatchError) {
    if member.key.hasPrefix(Self.deletePrefix) {
      let key = String(member.key.dropFirst(Self.deletePrefix.count))
      guard case .array(let gone) = member.value else {
        throw PatchError(.malformed, "invalid patch format of primitive list")
      }
      guard case .array(let list)? = original[key] else { return }
      let texts = Set(gone.map(\.json))
      original[key] = .array(list.filter { !texts.contains($0.json) })
      return
    }
    switch (original[member.key], member.value) {
    case (_, .null): original[member.key] = nil
    case (.object(let old)?, .object(let new)):
      let field = field(member.key, shape)
      if field.isReplaced, new["$patch"] == nil {
        original[member.key] = .object(cleaned(new))
      } else {
        original[member.key] = .object(try merge(old, new, field.shape))
      }
    case (.array(let old)?, .array(let new)):
      let field = field(member.key, shape)
      original[member.key] = .array(
        field.isMerged ? try mergeLists(old, new, field) : new.compactMap(cleanedElement))
    case (_, .object(let new)): original[member.key] = .object(try merge(Object(), new, field(member.key, shape).shape))
    case (_, .array(let new)): original[member.key] = .array(new.compactMap(cleanedElement))
    default: original[member.key] = member.value
    }
  }

  // MARK: What the table says of a member

  private struct Strategy {
    /// The member's own shape, or that of its elements.
    var shape: Shape?
    var isMerged = false
    var isReplaced = false
    var key = ""
  }

  private func field(_ name: String, _ shape: Shape?) -> Strategy {
    guard let shape else { return Strategy() }
    if shape.kind == .map { return Strategy(shape: table.shape(shape.element)) }
    guard let field = shape.field(name) else { return Strategy() }
    let own = table.shape(field.type)
    return Strategy(
      shape: own.kind == .list || own.kind == .listMessage ? table.shape(own.element) : own,
      isMerged: field.patchStrategies.contains("merge"), isReplaced: field.patchStrategies.contains("replace"),
      key: field.patchMergeKey)
  }

  // MARK: Directives

  private func retain(_ directive: Value, in original: inout ObjectEditor, _ patch: ObjectEditor) throws(PatchError) {
    guard let keys = directive.array?.compactMap(\.string), keys.count == directive.array?.count else {
      throw PatchError(.malformed, "invalid patch format of retainKeys")
    }
    let known = Set(keys)
    for member in patch.current
    where !member.value.isNull && !member.key.hasPrefix(Self.deletePrefix) && !member.key.hasPrefix(Self.orderPrefix) {
      guard known.contains(member.key) else { throw PatchError(.malformed, "invalid patch format of retainKeys") }
    }
    for member in original.current where !known.contains(member.key) { original[member.key] = nil }
  }

  /// Merges the list that the directive names and puts it in the directive's order.
  private func applyOrder(
    _ directive: Object.Member, _ original: inout ObjectEditor, _ patch: inout ObjectEditor, _ shape: Shape?
  ) throws(PatchError) {
    let key = String(directive.key.dropFirst(Self.orderPrefix.count))
    guard case .array(let order) = directive.value else {
      throw PatchError(.malformed, "invalid patch format of setElementOrder list")
    }
    let strategy = field(key, shape)
    let old = original[key]?.array
    let new = patch[key]?.array
    var merged: [Value]
    switch (old, new) {
    case (nil, nil): return
    case (let old?, nil):
      if patch[key] != nil { return }
      merged = old
    case (let old, let new?):
      try check(new, follows: order, strategy.key)
      merged = strategy.isMerged ? try mergeLists(old ?? [], new, strategy) : new.compactMap(cleanedElement)
    }
    patch[key] = nil
    merged = ordered(merged, first: order, server: old ?? [], strategy.key)
    original[key] = .array(merged)
  }

  /// The elements of a patch that are not deletions stand in the order of the directive.
  private func check(_ patch: [Value], follows order: [Value], _ key: String) throws(PatchError) {
    var position = 0
    for element in patch where element["$patch"].isNull {
      while position < order.count, !isSame(element, order[position], key) { position += 1 }
      guard position < order.count else {
        throw PatchError(
          .malformed,
          "The order in patch list:\n\(Value.array(patch).json)\n doesn't match $setElementOrder list:\n\(Value.array(order).json)\n"
        )
      }
      position += 1
    }
  }

  // MARK: Lists

  private func isSame(_ a: Value, _ b: Value, _ key: String) -> Bool {
    key.isEmpty || a.object == nil ? a == b : !a[key].isNull && a[key] == b[key]
  }

  private func mergeLists(_ original: [Value], _ patch: [Value], _ strategy: Strategy) throws(PatchError) -> [Value] {
    guard !(original + patch).contains(where: { $0.array != nil }) else {
      throw PatchError(.inapplicable, "lists of lists are not supported")
    }
    guard (patch.first ?? original.first)?.object != nil else {
      // Scalars: a set in the order of first appearance.
      var merged: [Value] = []
      var seen: Set<String> = []
      for element in original + patch where seen.insert(element.json).inserted { merged.append(element) }
      return ordered(merged, first: patch, server: original, "")
    }
    guard !strategy.key.isEmpty else {
      throw PatchError(.inapplicable, "cannot merge lists without merge key for \(strategy.shape?.name ?? "this type")")
    }
    var deleted: Set<String> = []
    var additions: [Value] = []
    var replaces = false
    for element in patch {
      guard case .object(let members) = element else {
        throw PatchError(.malformed, "list element types are not identical")
      }
      guard let directive = members["$patch"] else {
        additions.append(element)
        continue
      }
      switch directive.string {
      case "delete":
        guard members[strategy.key] != nil else { throw noKey(element, strategy.key) }
        deleted.insert(element[strategy.key].json)
      case "replace": replaces = true
      case "merge": throw PatchError(.inapplicable, "merging lists cannot yet be specified in the patch")
      default: throw badDirective(directive, members)
      }
    }
    if replaces { return additions.compactMap(cleanedElement) }
    var list = deleted.isEmpty ? original : original.filter { !deleted.contains($0[strategy.key].json) }
    let server = list
    var positions = Self.positions(of: list, strategy.key)
    for element in additions {
      guard case .object(let members) = element, members[strategy.key] != nil else { throw noKey(element, strategy.key) }
      let text = Self.keyText(element, strategy.key)
      if let i = positions[text], case .object(let old) = list[i] {
        list[i] = .object(try merge(old, members, strategy.shape))
      } else {
        positions[text] = list.count
        list.append(.object(try merge(Object(), members, strategy.shape)))
      }
    }
    return ordered(list, first: additions, server: server, strategy.key)
  }

  /// By what an element is told from others: its key's value, or all of it where it has none.
  private static func keyText(_ element: Value, _ key: String) -> String {
    key.isEmpty || element.object == nil ? element.json : element[key].json
  }

  private static func positions(of list: [Value], _ key: String) -> [String: Int] {
    var positions: [String: Int] = [:]
    positions.reserveCapacity(list.count)
    for (i, element) in list.enumerated() {
      let text = keyText(element, key)
      if positions[text] == nil { positions[text] = i }
    }
    return positions
  }

  private func noKey(_ element: Value, _ key: String) -> PatchError {
    PatchError(.inapplicable, "map: \(element.json) does not contain declared merge key: \(key)")
  }

  /// Elements that `first` names stand in its order; the others keep the server's, and stand before a named one where the server had them so.
  private func ordered(_ merged: [Value], first: [Value], server: [Value], _ key: String) -> [Value] {
    let inFirst = Self.positions(of: first, key)
    let inServer = Self.positions(of: server, key)
    var named: [(Int, Value)] = []
    var others: [(Int, Value)] = []
    for element in merged {
      if let i = inFirst[Self.keyText(element, key)] {
        named.append((i, element))
      } else {
        others.append((inServer[Self.keyText(element, key)] ?? Int.max, element))
      }
    }
    named.sort { $0.0 < $1.0 }
    others.sort { $0.0 < $1.0 }
    var result: [Value] = []
    result.reserveCapacity(merged.count)
    var i = 0
    for (_, element) in named {
      if let here = inServer[Self.keyText(element, key)] {
        while i < others.count, others[i].0 < here {
          result.append(others[i].1)
          i += 1
        }
      }
      result.append(element)
    }
    return result + others[i...].map(\.1)
  }

  // MARK: New values

  private static func isDirective(_ key: String) -> Bool {
    key == "$patch" || key == "$retainKeys" || key.hasPrefix(orderPrefix) || key.hasPrefix(deletePrefix)
  }

  /// A patch that meets nothing: its nulls and directives have nothing to act on.
  private func cleaned(_ object: Object) -> Object {
    Object(
      object.members.compactMap { member in
        guard !member.value.isNull, !Self.isDirective(member.key), let value = cleanedElement(member.value) else { return nil }
        return Object.Member(key: member.key, value: value)
      })
  }

  private func cleanedElement(_ value: Value) -> Value? {
    switch value {
    case .object(let object):
      object["$patch"]?.string == "delete" || object["$patch"]?.string == "replace" && object.count == 1
        ? nil : .object(cleaned(object))
    case .array(let array): .array(array.compactMap(cleanedElement))
    default: value
    }
  }
}

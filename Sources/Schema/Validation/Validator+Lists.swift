import Wire

/// Rules about many values at once.
extension Validator {
  /// Whether the value is among those that the rule points at.
  func isAmong(_ rule: ValidationRule, _ holder: Value, _ value: Value) -> Bool {
    // Names of a pod are the same for all its containers; others belong to the holder, whose path tells them apart.
    let place = rule.others.allSatisfy(\.isPod) ? podPlace : Self.text(path.dropLast(rule.path.nodes.count))
    let id = ObjectIdentifier(rule)
    if names?.rule != id || names?.place != place {
      names = (id, place, Set(rule.others.flatMap { $0.path.values(below: $0.isPod ? pod : holder) }.map(\.json)))
    }
    return names?.known.contains(value.json) ?? false
  }

  func unique(_ rule: ValidationRule, _ value: Value, base: Int) {
    var seen: Set<String> = []
    // Upstream tells of two constraints at the earlier one.
    let tellsFirst = rule.reports?.hasPrefix("{") == true
    var first: [String: Int] = [:]
    for list in [rule.path] + rule.across {
      visit(list, value, .null) { found, _ in
        // A path with [*] visits each value: they are collected over all visits.
        let elements = found.array ?? (list.text.hasSuffix("]") || list.text.contains("[*]") ? [found] : [])
        let isList = found.array != nil
        for (i, element) in elements.enumerated() {
          let key = rule.by.isEmpty ? [element] : rule.by.map { $0.first(below: element) }
          if !rule.emptyCounts, rule.by.count == 1, key[0].isZero { continue }
          if let skip = rule.skipZero, skip.first(below: element).isZero { continue }
          let identity = Value.array(key).json
          if seen.insert(identity).inserted {
            first[identity] = i
            continue
          }
          if tellsFirst {
            let shown = "{\(key.map { $0.string ?? "" }.joined(separator: ", "))}"
            report(rule, base: base, .string(shown), more: [.index(first[identity] ?? i)], suffix: rule.reports)
            continue
          }
          let shown: Value =
            rule.by.isEmpty
            ? element
            : rule.by.count == 1
              ? key[0]
              : rule.reports == "hostPort"
                ? .string(key.map { $0.string ?? ($0.isNull ? "" : $0.json) }.joined(separator: "/"))
                : rule.reports == "nodePort"
                  ? key[key.count - 1] : .object(Object(zip(rule.by, key).map { .init(key: $0.text, value: $1) }))
          let place =
            rule.reports.map { $0.contains("{") || $0.contains("[") || $0.contains("^") ? nil : $0 }
            ?? (rule.reports == nil ? "" : nil)
          report(rule, base: base, shown, more: isList ? [.index(i)] : [], suffix: place ?? rule.reports)
        }
      }
    }
  }

  func together(_ rule: ValidationRule, _ value: Value, base: Int) {
    var all: [Value] = []
    if rule.path.text.contains("[*]") {
      all = rule.path.values(below: value)
    } else {
      visit(rule.path, value, .null) { found, _ in all = found.array ?? [] }
    }
    let isBad: Bool
    switch rule.kind {
    case .alone: isBad = all.count > 1 && rule.values.first.map { all.contains($0) } ?? false
    case .notTogether: isBad = !rule.values.isEmpty && rule.values.allSatisfy { all.contains($0) }
    default:
      let addresses = all.compactMap { $0.string.flatMap { Addresses.parse($0.prefix { $0 != "/" }) } }
      isBad = all.count > 2 || addresses.count(where: \.isV4) > 1 || addresses.count(where: { !$0.isV4 }) > 1
    }
    guard isBad else { return }
    let before = path
    if !rule.path.text.contains("[*]") {
      for case .field(let name) in rule.path.nodes.map(\.step) { path.append(.field(name)) }
    }
    report(rule, base: base, .array(all))
    path = before
  }
}

import Wire

/// One rule at one value.
extension Validator {
  func run(_ rule: ValidationRule, _ value: Value, _ old: Value) {
    let base = path.count
    switch rule.kind {
    case .skip: return
    case .use:
      guard let set = rules.sets[rule.name] else { return }
      visit(rule.path, value, old) { found, before in
        guard !found.isNull else { return }
        let outer = resourceNames
        if let names = rule.format { resourceNames = names }
        // Owners are told apart by what is wrong with them: upstream shows no index.
        let step = rule.name == "ownerReference" ? path.popLast() : nil
        apply(set, found, before, isAllowed: true)
        if let step { path.append(step) }
        resourceNames = outer
      }
    case .useAs:
      guard let set = rules.sets[rule.name] else { return }
      visit(rule.path, value, old) { found, _ in
        guard !found.isNull else { return }
        let wrapped = Value.object(Object([.init(key: rule.sign, value: found)]))
        // The overhead of a runtime class is shown as that of a pod.
        let isFixed = if case .field("podFixed")? = path.last { true } else { false }
        if isFixed { path.removeLast() }
        apply(set, wrapped, .null, isAllowed: true)
        if isFixed { path.append(.field("podFixed")) }
      }
    case .useType:
      guard let id = table.type(named: rule.name) else { return }
      apply(rules.types[Int(id.index)], RenamedFields.asCoreEvent(value), RenamedFields.asCoreEvent(old), isAllowed: true)
    case .unique: unique(rule, value, base: base)
    case .alone, .notTogether, .onePerFamily: together(rule, value, base: base)
    case .custom:
      guard let code = rule.custom else { return }
      visit(rule.path, value, old) { found, before in
        let scope = CustomScope(validator: self, base: value, oldBase: old, old: before, depth: base)
        for finding in code(found, scope) {
          report(
            rule, base: base, finding.value ?? (found.isNull ? "" : found), finding.message, kind: finding.kind, more: finding.more,
            at: finding.at)
        }
      }
    default:
      if let name = rule.path.onlyField {
        // Most rules are of one field, and most of those have nothing to look at.
        let found = value[name]
        guard applies(rule, found) else { return }
        path.append(rule.path.onlyStep)
        check(rule, found, old[name], in: value, base: base)
        path.removeLast()
        return
      }
      visit(rule.path, value, old) { found, before in
        guard applies(rule, found) else { return }
        check(rule, found, before, in: value, base: base)
      }
    }
  }

  /// Absent and zero values are skipped, except where the rule says otherwise.
  func applies(_ rule: ValidationRule, _ value: Value) -> Bool {
    if rule.empty { return true }
    switch rule.kind {
    case .required, .forbidden, .matches, .exactlyOne, .atLeastOne, .atMostOne, .immutable, .mutableOnly, .notDecreased, .cel:
      return true
    default: return rule.ifSet ? !value.isNull : !value.isZero
    }
  }

  func check(_ rule: ValidationRule, _ value: Value, _ old: Value, in holder: Value, base: Int) {
    switch rule.kind {
    case .required:
      if rule.nilOnly ? value.isNull : rule.path.isUnset(value) { report(rule, base: base, value.isNull ? "" : value) }
    case .forbidden:
      if rule.ifSet ? !value.isNull : !rule.path.isUnset(value) { report(rule, base: base, value) }
    case .format: format(rule, value, base: base, more: [])
    case .eachFormat:
      for (i, element) in (value.array ?? []).enumerated() {
        // A headless service has this word where addresses stand.
        if rule.format == .ip, element == "None" { continue }
        format(rule, element, base: base, more: [.index(i)])
      }
    case .keys:
      guard var format = rule.format else { return }
      // What a claim is limited by is no resource of containers.
      if format == .limitResourceName, !["Pod", "Container"].contains(holder["type"].string) { format = .resourceName }
      for member in value.object?.members ?? [] {
        for message in format.check(member.key, context: resourceNames) {
          report(rule, base: base, .string(member.key), message, more: [.key(member.key)])
        }
      }
    case .enum: enumeration(rule, value, base: base)
    case .range:
      let number = value.int ?? 0
      guard value.int != nil || value.isNull else { return }
      if rule.minimum.map({ number < $0 }) ?? false || rule.maximum.map({ number > $0 }) ?? false {
        let text =
          rule.message.isEmpty ? "must be between \(rule.minimum ?? 0) and \(rule.maximum ?? 0), inclusive" : rule.message
        report(rule, base: base, .int(number), text)
      }
    case .quantity:
      guard let quantity = value.quantity else { return }
      if rule.sign == "positive" ? quantity.nanos <= 0 : quantity.nanos < 0 {
        let usual = rule.sign == "positive" ? "must be greater than zero" : "must be greater than or equal to 0"
        report(rule, base: base, value, rule.message.isEmpty ? usual : rule.message)
      }
    case .maxLength:
      let count = value.string?.utf8.count ?? value.array?.count ?? value.object?.count ?? 0
      if count > Int(rule.maximum ?? .max) {
        report(rule, base: base, nil, rule.message.isEmpty ? "may not be more than \(rule.maximum ?? 0) bytes" : rule.message)
      }
    case .maxItems:
      let count = value.array?.count ?? value.object?.count ?? 0
      if count > Int(rule.maximum ?? .max) {
        report(
          rule, base: base, .int(Int64(count)), rule.message.isEmpty ? "must have at most \(rule.maximum ?? 0) items" : rule.message
        )
      }
    case .minItems:
      if (value.array?.count ?? value.object?.count ?? 0) < Int(rule.minimum ?? 0) { report(rule, base: base, value) }
    case .totalSize: totalSize(rule, value, base: base)
    case .exactlyOne, .atMostOne, .atLeastOne: members(rule, value, base: base)
    case .immutable:
      if isUnstartedTemplate(rule) {
        if !Self.isSame(value.withoutScheduling, old.withoutScheduling) { report(rule, base: base, value, "field is immutable") }
        return
      }
      if oldRoot != nil, !Self.isSame(value, old) {
        report(rule, base: base, value, rule.message.isEmpty ? "field is immutable" : rule.message)
      }
    case .mutableOnly: mutableOnly(rule, value, old, base: base)
    case .notDecreased:
      guard oldRoot != nil, let before = old.double else { return }
      if (value.double ?? 0) < before { report(rule, base: base, value.isNull ? 0 : value) }
    case .compare: compare(rule, value, holder, base: base)
    case .equals:
      guard let wanted = rule.values.first else { return }
      if value != wanted, !(value.isNull && wanted.isZero) {
        report(rule, base: base, value.isNull ? (wanted.int != nil ? 0 : "") : value)
      }
    case .references:
      if !isAmong(rule, holder, value) {
        var message = rule.message
        let known =
          message.hasSuffix(" which is empty") ? rule.others.flatMap { $0.path.values(below: $0.isPod ? pod : holder) } : []
        if !known.isEmpty {
          message = message.replacing(" which is empty", with: ": \(known.compactMap(\.string).joined(separator: ", "))")
        }
        report(rule, base: base, value, message)
      }
    case .disjoint:
      if case .object(let object) = value {
        let other = rule.others.first.map { $0.path.first(below: $0.isPod ? pod : holder) } ?? .null
        let index = ObjectIndex(other.object ?? Object())
        for member in object.members where index[member.key] != nil {
          report(rule, base: base, .string(member.key), more: [.key(member.key)])
        }
      } else if isAmong(rule, holder, value) {
        report(rule, base: base, value)
      }
    case .wholeNumber:
      guard let quantity = value.quantity, case .key(let name)? = path.last, ResourceNames.isWhole(name)
      else {
        return
      }
      if quantity.nanos % 1_000_000_000 != 0 { report(rule, base: base, value) }
    case .labels:
      for member in value.object?.members ?? [] {
        for message in LabelNames.key(member.key) { report(rule, base: base, .string(member.key), message) }
        for message in LabelNames.value(member.value.string ?? "") { report(rule, base: base, member.value, message) }
      }
    case .annotations:
      var size = 0
      for member in value.object?.members ?? [] {
        size += member.key.utf8.count + (member.value.string?.utf8.count ?? 0)
        for message in LabelNames.key(member.key.lowercased()) { report(rule, base: base, .string(member.key), message) }
      }
      if size > 262_144 { report(rule, base: base, nil, "may not be more than 262144 bytes", kind: .tooLong) }
    case .matches:
      guard let selector = rule.others.first?.path.first(below: holder) else { return }
      // No selector selects nothing, an empty one everything; those of replication controllers are plain labels.
      let isNothing = selector.isNull && kind.typeName != "core/v1.ReplicationController"
      if isNothing || !selector.isZero && !LabelMatch.matches(selector, labels: value) { report(rule, base: base, value) }
    case .percentOrInt: percentOrInt(rule, value, base: base)
    case .cel:
      if value.string?.allSatisfy(\.isWhitespace) ?? true {
        if rule.empty || value.string?.isEmpty == false {
          report(rule, base: base, nil, "expression is not specified", kind: .required)
        }
      }
    case .use, .useAs, .useType, .skip, .custom, .unique, .alone, .notTogether, .onePerFamily: return
    }
  }
}

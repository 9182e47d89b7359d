import Wire

extension SchemaTable {
  /// Checks an object as kube-apiserver's hand-written validation does. Pure; costs a few tens of microseconds for a Pod.
  /// - Parameters:
  ///   - new: pruned, defaulted, and with what the strategy resets already reset.
  ///   - old: the stored object; nil on create.
  /// - Returns: every error, metadata first; none where the object is fine.
  package func validate(
    _ new: Value, old: Value?, kind: ResourceKind, operation: ValidationOperation
  ) -> [FieldError] {
    let validator = Validator(table: self, rules: .builtin, kind: kind, operation: operation, root: new, oldRoot: old)
    validator.run()
    return validator.errors
  }
}

extension SchemaTable {
  /// Rules of validation.json that need code and have none yet, as `type|path|what it says`: what this server does not enforce.
  package static var unenforcedRules: [String] { ValidationRules.builtin.unenforced }
}

/// One step from the root to a value.
enum FieldStep {
  case field(String)
  case index(Int)
  case key(String)
}

/// One validation under way. A class, so that rules of rules share the findings; it never leaves the call.
final class Validator {
  let table: SchemaTable
  let rules: ValidationRules
  let kind: ResourceKind
  let operation: ValidationOperation
  let root: Value
  let oldRoot: Value?
  private(set) var errors: [FieldError] = []
  /// The enclosing pod or template, and the stored one.
  private(set) var pod: Value = .null
  private(set) var oldPod: Value = .null
  private var path: [FieldStep] = []
  /// What `resourceNameOfContext` means here.
  private var resourceNames: RuleFormat?
  private let bit: UInt8
  private static let podTypes: Set<String> = ["core/v1.Pod", "core/v1.PodTemplateSpec"]

  init(
    table: SchemaTable, rules: ValidationRules, kind: ResourceKind, operation: ValidationOperation, root: Value, oldRoot: Value?
  ) {
    self.table = table
    self.rules = rules
    self.kind = kind
    self.operation = operation
    self.root = root
    self.oldRoot = oldRoot
    bit = operation.bit
  }

  var isMain: Bool { bit & 3 != 0 }

  func run() {
    // Reviews and the like have no name: nothing of their metadata is checked here.
    let isNamed = rules.names[kind.typeName].map { $0.format != nil } ?? true
    if isNamed, let set = rules.sets["objectMeta"] {
      path = [.field("metadata")]
      apply(set, root["metadata"], oldRoot?["metadata"] ?? .null, isAllowed: false)
      path = []
    }
    walk(kind.type, root, oldRoot ?? .null, isRoot: true)
  }

  // MARK: The walk

  private func walk(_ id: TypeID, _ value: Value, _ old: Value, isRoot: Bool = false) {
    guard rules.reaching[Int(id.index)] else { return }
    let shape = table.shape(id)
    switch shape.kind {
    case .list, .listMessage:
      guard case .array(let elements) = value else { return }
      for (i, element) in elements.enumerated() {
        path.append(.index(i))
        walk(shape.element, element, old[i])
        path.removeLast()
      }
    case .map:
      guard case .object(let object) = value else { return }
      let stored = ObjectIndex(old.object ?? Object())
      for member in object.members {
        path.append(.key(member.key))
        walk(shape.element, member.value, stored[member.key] ?? .null)
        path.removeLast()
      }
    case .object:
      let outer = (pod, oldPod, podPlace)
      if Self.podTypes.contains(shape.name) { (pod, oldPod, podPlace) = (value, old, Self.text(path) + "/") }
      defer { (pod, oldPod, podPlace) = outer }
      var skipped: [String] = []
      let list = rules.types[Int(id.index)]
      if !list.isEmpty {
        apply(list, value, old, isAllowed: isMain)
        for rule in list where rule.kind == .skip || rule.kind == .maxItems {
          guard let field = rule.path.onlyField, holds(rule.when, value, old) else { continue }
          if rule.kind == .skip || (value[field].array?.count ?? 0) > Int(rule.maximum ?? .max) { skipped.append(field) }
        }
      }
      for field in rules.descents[Int(id.index)] where skipped.isEmpty || !skipped.contains(field.name) {
        // The status of the main resource was reset by the strategy: nothing in it is the client's.
        if isRoot, isMain, field.name == "status" { continue }
        if isRoot, field.name == "metadata" { continue }
        var member = value[field.name]
        if shape.name == "apps/v1.StatefulSetSpec", field.name == "template" { member = Self.withClaims(value) }
        if member.isNull {
          guard field.isAlwaysThere else { continue }
          member = .emptyObject
        }
        path.append(.field(field.name))
        walk(field.type, member, old[field.name])
        path.removeLast()
      }
    default: return
    }
  }

  /// A stateful set's template as its pods will be: its claims are volumes.
  private static func withClaims(_ spec: Value) -> Value {
    var template = spec["template"]
    for claim in spec["volumeClaimTemplates"].array ?? [] {
      guard let name = claim["metadata"]["name"].string, !name.isEmpty else { continue }
      let volumes = template["spec"]["volumes"]
      if volumes.array?.contains(where: { $0["name"].string == name }) == true { continue }
      template["spec"]["volumes"].append(["name": .string(name), "persistentVolumeClaim": ["claimName": .string(name)]])
    }
    return template
  }

  /// Kinds whose finalizers need no domain.
  private static let freeFinalizers: Set<String> = [
    "coordination.k8s.io", "apiextensions.k8s.io", "admissionregistration.k8s.io", "apiregistration.k8s.io",
  ]

  /// - Parameter isAllowed: whether rules that name no operation hold.
  private func apply(_ list: [ValidationRule], _ value: Value, _ old: Value, isAllowed: Bool) {
    for rule in list {
      // Most fields of most objects are absent: this look-up ends most rules.
      if let first = rule.decisive, value[first].isNull { continue }
      if let on = rule.on {
        guard on & bit != 0 else { continue }
      } else if !isAllowed {
        continue
      }
      if let when = rule.when, !holds(when, value, old) { continue }
      run(rule, value, old)
    }
  }

  // MARK: Conditions

  private func holds(_ condition: RuleCondition?, _ value: Value, _ old: Value) -> Bool {
    guard let condition else { return true }
    return holds(condition, value, old)
  }

  private func holds(_ condition: RuleCondition, _ value: Value, _ old: Value) -> Bool {
    switch condition {
    case .set(let path): return !path.first(below: value).isZero
    case .unset(let path): return path.first(below: value).isZero
    case .isTrue(let path): return path.first(below: value).bool == true
    case .oneOf(let path, let values):
      let found = path.first(below: value)
      return values.contains { $0 == found || found.isNull && $0 == "" }
    case .count(let path, let op, let number):
      let found = path.first(below: value)
      return Self.compare(Double(found.array?.count ?? found.object?.count ?? 0), op, Double(number))
    case .contains(let path, let wanted):
      switch path.first(below: value) {
      case .array(let array): return array.contains(wanted)
      case .object(let object): return wanted.string.map { object[$0] != nil } ?? false
      default: return false
      }
    case .prefix(let path, let text): return path.first(below: value).string?.hasPrefix(text) ?? false
    case .compare(let path, let op, let number): return Self.compare(path.first(below: value).double ?? 0, op, number)
    case .changed(let path): return oldRoot != nil && !Self.isSame(path.first(below: value), path.first(below: old))
    case .all(let list): return list.allSatisfy { holds($0, value, old) }
    case .any(let list): return list.contains { holds($0, value, old) }
    case .not(let inner): return !holds(inner, value, old)
    case .old(let inner): return oldRoot != nil && holds(inner, old, old)
    case .pod(let inner): return holds(inner, pod, oldPod)
    case .root(let name): return kind.typeName == name
    case .scope(let name): return (name == "Namespaced") == kind.isNamespaced
    case .never: return false
    }
  }

  private static func compare(_ a: Double, _ op: String, _ b: Double) -> Bool {
    switch op {
    case "<": a < b
    case "<=": a <= b
    case ">": a > b
    case ">=": a >= b
    case "!=": a != b
    default: a == b
    }
  }

  /// Semantic equality: absent equals empty.
  static func isSame(_ a: Value, _ b: Value) -> Bool {
    switch (a, b) {
    case (.object(let x), .object(let y)):
      isSameObject(x, y)
    case (.array(let x), .array(let y)): x.count == y.count && zip(x, y).allSatisfy { isSame($0, $1) }
    case (.null, .object(let y)): y.members.allSatisfy { isSame(.null, $0.value) }
    case (.object(let x), .null): x.members.allSatisfy { isSame($0.value, .null) }
    case (.null, _): b.isZero
    case (_, .null): a.isZero
    default: a == b
    }
  }

  private static func isSameObject(_ x: Object, _ y: Object) -> Bool {
    let (inX, inY) = (ObjectIndex(x), ObjectIndex(y))
    return x.members.allSatisfy { isSame($0.value, inY[$0.key] ?? .null) }
      && y.members.allSatisfy { inX[$0.key] != nil || isSame(.null, $0.value) }
  }

  // MARK: Values at a rule's path

  /// Calls `body` with every value at the path, the stored value there, and the steps that lead to it.
  private func visit(_ rule: RulePath, _ value: Value, _ old: Value, _ body: (Value, Value) -> Void) {
    visit(rule.nodes[...], value, old, body)
  }

  private func visit(_ nodes: ArraySlice<RulePath.Node>, _ value: Value, _ old: Value, _ body: (Value, Value) -> Void) {
    guard let node = nodes.first else { return body(value, old) }
    switch node.step {
    case .field(let name):
      var member = value[name]
      if member.isNull, nodes.count > 1 {
        guard node.isAlwaysThere else { return }
        member = .emptyObject
      }
      path.append(.field(name))
      visit(nodes.dropFirst(), member, old[name], body)
      path.removeLast()
    case .each:
      if case .array(let elements) = value {
        for (i, element) in elements.enumerated() {
          path.append(.index(i))
          visit(nodes.dropFirst(), element, old[i], body)
          path.removeLast()
        }
      } else if case .object(let object) = value {
        let stored = ObjectIndex(old.object ?? Object())
        for member in object.members {
          path.append(.key(member.key))
          visit(nodes.dropFirst(), member.value, stored[member.key] ?? .null, body)
          path.removeLast()
        }
      }
    }
  }

  // MARK: Errors

  static func text(_ path: some Sequence<FieldStep>) -> String {
    var text = ""
    for step in path {
      switch step {
      case .field(let name): text += text.isEmpty ? name : ".\(name)"
      case .index(let i): text += "[\(i)]"
      case .key(let key): text += "[\(key)]"
      }
    }
    return text
  }

  /// - Parameters:
  ///   - base: how many steps lead to the type that the rule belongs to.
  ///   - more: steps below the value under work.
  private func report(
    _ rule: ValidationRule, base: Int, _ value: Value?, _ message: String? = nil, kind: FieldError.Kind? = nil,
    more: [FieldStep] = [], suffix: String? = nil
  ) {
    guard errors.count < Self.maximumErrors else { return }
    let full = path + more
    var field: String
    if let reports = rule.reports, suffix == nil {
      field = place(reports, base: base, full)
    } else {
      field = Self.text(full)
      if let suffix, !suffix.isEmpty { field += field.isEmpty ? suffix : ".\(suffix)" }
    }
    let error = kind ?? rule.error
    let shown = rule.valueOmitted ? nil : rule.shown.flatMap { $0.string.map { .string($0) } } ?? value
    if field.hasPrefix(".") { field.removeFirst() }
    errors.append(FieldError(error, field, value: shown, message ?? rule.message))
  }

  /// A place of the table: relative to the type, with `^` for the list that holds it and brackets for the offending entry.
  private func place(_ reports: String, base: Int, _ full: [FieldStep]) -> String {
    var start = Array(full.prefix(base))
    var rest = reports[...]
    var ups = 0
    while rest.first == "^" {
      rest = rest.dropFirst()
      ups += 1
    }
    if ups > 0 {
      while let last = start.popLast() {
        if case .field = last { continue }
        break
      }
      if ups > 1 { _ = start.popLast() }
      if rest.first == "." { rest = rest.dropFirst() }
    }
    var captured = full.dropFirst(base).filter { if case .field = $0 { false } else { true } }[...]
    var text = Self.text(start)
    if !rest.isEmpty { text += text.isEmpty ? "" : "." }
    while let c = rest.first {
      if c == "[", let close = rest.firstIndex(of: "]") {
        let inside = rest[rest.index(after: rest.startIndex)..<close]
        if ["i", "j", "k", "key", "name"].contains(String(inside)), let step = captured.popFirst() {
          text += Self.text([step])
        } else {
          text += rest[...close]
        }
        rest = rest[rest.index(after: close)...]
        continue
      }
      if rest.hasPrefix("<name>"), let step = captured.popFirst(), case .key(let key) = step {
        text += key
        rest = rest.dropFirst("<name>".count)
        continue
      }
      text.append(c)
      rest = rest.dropFirst()
    }
    return text
  }

  // MARK: Rules

  /// What the last rule looked names up in, so that many references cost one collection.
  private var names: (rule: ObjectIdentifier, place: String, known: Set<String>)?

  /// Whether the value is among those that the rule points at.
  private func isAmong(_ rule: ValidationRule, _ holder: Value, _ value: Value) -> Bool {
    // Names of a pod are the same for all its containers; others belong to the holder, whose path tells them apart.
    let place = rule.others.allSatisfy(\.isPod) ? podPlace : Self.text(path.dropLast(rule.path.nodes.count))
    let id = ObjectIdentifier(rule)
    if names?.rule != id || names?.place != place {
      names = (id, place, Set(rule.others.flatMap { $0.path.values(below: $0.isPod ? pod : holder) }.map(\.json)))
    }
    return names?.known.contains(value.json) ?? false
  }

  /// Where the enclosing pod or template stands.
  private var podPlace = ""

  /// More errors than this help nobody.
  private static let maximumErrors = 1000

  private func run(_ rule: ValidationRule, _ value: Value, _ old: Value) {
    let base = path.count
    switch rule.kind {
    case .skip: return
    case .use:
      guard let set = rules.sets[rule.name] else { return }
      visit(rule.path, value, old) { found, before in
        guard !found.isNull else { return }
        let outer = resourceNames
        if let names = rule.format { resourceNames = names }
        apply(set, found, before, isAllowed: true)
        resourceNames = outer
      }
    case .useAs:
      guard let set = rules.sets[rule.name] else { return }
      visit(rule.path, value, old) { found, _ in
        guard !found.isNull else { return }
        let wrapped = Value.object(Object([.init(key: rule.sign, value: found)]))
        apply(set, wrapped, .null, isAllowed: true)
      }
    case .useType:
      guard let id = table.type(named: rule.name) else { return }
      apply(rules.types[Int(id.index)], RenamedFields.asCoreEvent(value), RenamedFields.asCoreEvent(old), isAllowed: true)
    case .unique: unique(rule, value, base: base)
    case .alone, .notTogether, .onePerFamily: together(rule, value, base: base)
    case .custom:
      guard let code = rule.custom else { return }
      visit(rule.path, value, old) { found, before in
        let scope = CustomScope(validator: self, base: value, oldBase: old, old: before)
        for finding in code(found, scope) {
          report(
            rule, base: base, finding.value ?? found, finding.message, kind: finding.kind, more: finding.more,
            suffix: finding.more.isEmpty ? finding.suffix : nil)
        }
      }
    default:
      visit(rule.path, value, old) { found, before in
        guard applies(rule, found) else { return }
        check(rule, found, before, in: value, base: base)
      }
    }
  }

  /// Absent and zero values are skipped, except where the rule says otherwise.
  private func applies(_ rule: ValidationRule, _ value: Value) -> Bool {
    if rule.empty { return true }
    switch rule.kind {
    case .required, .forbidden, .exactlyOne, .atLeastOne, .atMostOne, .immutable, .mutableOnly, .notDecreased, .cel: return true
    default: return rule.ifSet ? !value.isNull : !value.isZero
    }
  }

  private func check(_ rule: ValidationRule, _ value: Value, _ old: Value, in holder: Value, base: Int) {
    switch rule.kind {
    case .required:
      if rule.nilOnly ? value.isNull : value.isZero { report(rule, base: base, value.isNull ? "" : value) }
    case .forbidden:
      if rule.ifSet ? !value.isNull : !value.isZero { report(rule, base: base, value) }
    case .format: format(rule, value, base: base, more: [])
    case .eachFormat:
      for (i, element) in (value.array ?? []).enumerated() {
        // A headless service has this word where addresses stand.
        if rule.format == .ip, element == "None" { continue }
        format(rule, element, base: base, more: [.index(i)])
      }
    case .keys:
      guard let format = rule.format else { return }
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
      // The template of a job that never started is still to be made.
      if kind.typeName == "batch/v1.Job", rule.path.text == "spec.template", let oldRoot, oldRoot["spec"]["suspend"].bool == true,
        oldRoot["status"]["startTime"].isNull
      {
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
      guard let selector = rule.others.first?.path.first(below: holder), !selector.isZero else { return }
      if !LabelMatch.matches(selector, labels: value) { report(rule, base: base, value) }
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

  private func format(_ rule: ValidationRule, _ value: Value, base: Int, more: [FieldStep]) {
    guard let format = rule.format else { return }
    if format == .kubeFinalizer, Self.freeFinalizers.contains(kind.gvr.group) { return }
    if value == "*", kind.gvr.group == "flowcontrol.apiserver.k8s.io" { return }
    if let number = value.int {
      // A port by its number, or a count beside a percentage.
      if format == .portNumberOrName, !(1...65535).contains(number) {
        report(rule, base: base, value, "must be between 1 and 65535, inclusive", more: more)
      }
      return
    }
    guard let text = value.string ?? (value.isNull ? "" : nil) else { return }
    let messages = format.check(rule.lower ? text.lowercased() : text, context: resourceNames)
    guard !messages.isEmpty else { return }
    let shown = Value.string(text)
    if rule.joined {
      report(rule, base: base, shown, rule.prefixMessage + messages.joined(separator: rule.joint), more: more)
    } else {
      for message in messages {
        report(
          rule, base: base, shown, rule.message.isEmpty || format == .printable ? rule.prefixMessage + message : rule.message,
          more: more)
      }
    }
  }

  private func enumeration(_ rule: ValidationRule, _ value: Value, base: Int) {
    let shown = (rule.shown?.array ?? rule.values).map { $0.string.map(FieldError.quoted) ?? $0.json }.joined(separator: ", ")
    let detail = rule.message.isEmpty ? "supported values: \(shown)" : rule.message
    if rule.wholeValue, case .array(let elements) = value {
      if elements.contains(where: { !rule.values.contains($0) && $0.string != "*" }) { report(rule, base: base, value, detail) }
      return
    }
    if rule.values.contains(value) { return }
    if let text = value.string, rule.prefixes.contains(where: { text.hasPrefix($0) }) { return }
    report(rule, base: base, value.isNull ? "" : value, detail)
  }

  private func totalSize(_ rule: ValidationRule, _ value: Value, base: Int) {
    var size = 0
    // Over the value itself, or over the maps of it that the rule names together.
    let maps = rule.members.isEmpty ? [value] : rule.members.map { $0.first(below: value) }
    for member in maps.flatMap({ $0.object?.members ?? [] }) {
      if !rule.valuesOnly { size += member.key.utf8.count }
      let text = member.value.string ?? ""
      // The data of secrets counts as it is, not as its base64.
      let isBase64 = if case .field("data")? = path.last, kind.typeName == "core/v1.Secret" { true } else { false }
      size += isBase64 ? text.utf8.count / 4 * 3 - text.utf8.suffix(2).count(where: { $0 == 61 }) : text.utf8.count
    }
    if size > Int(rule.maximum ?? .max) {
      report(rule, base: base, nil, rule.message.isEmpty ? "may not be more than \(rule.maximum ?? 0) bytes" : rule.message)
    }
  }

  private func members(_ rule: ValidationRule, _ value: Value, base: Int) {
    let set = rule.members.count {
      !$0.first(below: value).isZero || !$0.first(below: value).isNull && $0.first(below: value).object != nil
    }
    let choice = set == 0 ? rule.none : set > 1 ? rule.many : nil
    guard let choice else { return }
    let holder = RulePath(choice.at)
    let shown = choice.valueOmitted ? nil : choice.shown ?? (choice.at.isEmpty ? value : holder.first(below: value))
    var field = Self.text(path)
    if !choice.at.isEmpty { field += field.isEmpty ? choice.at : ".\(choice.at)" }
    errors.append(FieldError(choice.error, field, value: shown, choice.message))
  }

  private func mutableOnly(_ rule: ValidationRule, _ value: Value, _ old: Value, base: Int) {
    guard oldRoot != nil else { return }
    var (new, before) = (value, old)
    for field in rule.fields {
      if let isFree = MutableFields.isFree(kind.typeName, field.text, new: value, old: old, oldRoot: oldRoot ?? .null), !isFree {
        continue
      }
      new.remove(at: field.nodes[...])
      before.remove(at: field.nodes[...])
    }
    if kind.typeName == "core/v1.Pod", !old["schedulingGates"].isZero {
      // While a pod is gated it may be directed; other rules say how.
      for path in [RulePath("nodeSelector"), RulePath("affinity.nodeAffinity")] {
        new.remove(at: path.nodes[...])
        before.remove(at: path.nodes[...])
      }
    }
    if !Self.isSame(new, before) { report(rule, base: base, nil) }
  }

  private func compare(_ rule: ValidationRule, _ value: Value, _ holder: Value, base: Int) {
    guard let other = rule.others.first.map({ $0.path.first(below: $0.isPod ? pod : holder) }), !other.isNull else { return }
    let limits = ObjectIndex(rule.perKey ? other.object ?? Object() : Object())
    func holds(_ a: Value, _ b: Value) -> Bool {
      if let x = a.double, let y = b.double { return Self.compare(x, rule.op, y) }
      if rule.op == "==", a == b { return true }
      if let x = a.quantity, let y = b.string.flatMap({ Quantity($0) }) {
        switch rule.op {
        case "<": return x < y
        case "<=": return x <= y
        case ">": return x > y
        case ">=": return x >= y
        default: return x == y
        }
      }
      return rule.op == "==" ? a == b : true
    }
    guard rule.perKey else {
      if !holds(value, other) { report(rule, base: base, value) }
      return
    }
    for member in value.object?.members ?? [] {
      guard let limit = limits[member.key], limit.string != nil else { continue }
      switch rule.keysIn {
      case "overcommittable": guard ResourceNames.isOvercommittable(member.key) else { continue }
      case "notOvercommittable": guard !ResourceNames.isOvercommittable(member.key) else { continue }
      default: break
      }
      if holds(member.value, limit) { continue }
      let isUsual = rule.message.hasPrefix("must be less than or equal to cpu limit")
      let isEqual = rule.message.hasPrefix("must be equal to example.com/gpu limit")
      let message =
        isUsual
        ? "must be less than or equal to \(member.key) limit of \(limit.string ?? "")"
        : isEqual ? "must be equal to \(member.key) limit of \(limit.string ?? "")" : rule.message
      report(
        rule, base: base, member.value, message,
        more: rule.reports == nil || rule.reports?.contains("[") == true ? [.key(member.key)] : [])
    }
  }

  private func percentOrInt(_ rule: ValidationRule, _ value: Value, base: Int) {
    if let number = value.int {
      if number < 0 { report(rule, base: base, value, "must be greater than or equal to 0") }
      return
    }
    guard let text = value.string else { return }
    let messages = RuleFormat.percent.check(text)
    if let message = messages.first {
      report(rule, base: base, value, message)
    } else if rule.max100, let percent = Int(text.dropLast()), percent > 100 {
      report(rule, base: base, value, "must not be greater than 100%")
    }
  }

  // MARK: Lists as a whole

  private func unique(_ rule: ValidationRule, _ value: Value, base: Int) {
    var seen: Set<String> = []
    for list in [rule.path] + rule.across {
      visit(list, value, .null) { found, _ in
        // A path with [*] visits each value: they are collected over all visits.
        let elements = found.array ?? (list.text.hasSuffix("]") || list.text.contains("[*]") ? [found] : [])
        let isList = found.array != nil
        for (i, element) in elements.enumerated() {
          let key = rule.by.isEmpty ? [element] : rule.by.map { $0.first(below: element) }
          if !rule.emptyCounts, rule.by.count == 1, key[0].isZero { continue }
          if let skip = rule.skipZero, skip.first(below: element).isZero { continue }
          if seen.insert(Value.array(key).json).inserted { continue }
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

  private func together(_ rule: ValidationRule, _ value: Value, base: Int) {
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

/// Whether labels are selected: a map of labels, or matchLabels and matchExpressions.
enum LabelMatch {
  static func matches(_ selector: Value, labels: Value) -> Bool {
    guard case .object(let members) = selector else { return false }
    let isSelector = members.members.contains { $0.key == "matchLabels" || $0.key == "matchExpressions" }
    let index = ObjectIndex(labels.object ?? Object())
    let exact = isSelector ? selector["matchLabels"].object ?? Object() : members
    guard exact.members.allSatisfy({ index[$0.key]?.string == $0.value.string && $0.value.string != nil }) else { return false }
    guard isSelector else { return true }
    return (selector["matchExpressions"].array ?? []).allSatisfy { expression in
      let found = index[expression["key"].string ?? ""] ?? .null
      let values = expression["values"].array ?? []
      return switch expression["operator"].string {
      case "In": values.contains(found)
      case "NotIn": !values.contains(found)
      case "Exists": !found.isNull
      case "DoesNotExist": found.isNull
      default: false
      }
    }
  }
}

/// The newer Event has other names for the fields of the older one, whose rules hold for both.
enum RenamedFields {
  static func asCoreEvent(_ event: Value) -> Value {
    var event = event
    for (new, old) in [
      ("regarding", "involvedObject"), ("note", "message"), ("reportingController", "reportingComponent"),
      ("deprecatedSource", "source"), ("deprecatedCount", "count"),
    ] {
      if let value = event.remove(new) { event[old] = value }
    }
    return event
  }
}

/// Fields that may change only sometimes, of rules that name the fields that may.
enum MutableFields {
  /// - Returns: nil where the field may always change.
  static func isFree(_ type: String, _ field: String, new: Value, old: Value, oldRoot: Value) -> Bool? {
    switch (type, field) {
    case ("core/v1.Pod", "terminationGracePeriodSeconds"):
      (old["terminationGracePeriodSeconds"].int ?? 0) < 0 && new["terminationGracePeriodSeconds"].int == 1
    case ("core/v1.PersistentVolumeClaim", "volumeName"): old["volumeName"].isZero
    case ("core/v1.PersistentVolumeClaim", "storageClassName"): old["storageClassName"].isNull
    case ("core/v1.PersistentVolumeClaim", _): oldRoot["status"]["phase"].string == "Bound"
    default: nil
    }
  }
}

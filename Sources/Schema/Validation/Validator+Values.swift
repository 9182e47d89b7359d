import Wire

/// Checks of a value that take more than a line.
extension Validator {
  func format(_ rule: ValidationRule, _ value: Value, base: Int, more: [FieldStep]) {
    guard let format = rule.format else { return }
    if format == .kubeFinalizer, Self.freeFinalizers.contains(kind.gvr.group) { return }
    if value == "*", kind.gvr.group == "flowcontrol.apiserver.k8s.io" { return }
    if let number = value.int ?? (format == .portNumberOrName && value.isNull ? 0 : nil) {
      // A port by its number, or a count beside a percentage.
      if format == .portNumberOrName, !(1...65535).contains(number) {
        report(rule, base: base, .int(number), "must be between 1 and 65535, inclusive", more: more)
      }
      return
    }
    guard let text = value.string ?? (value.isNull ? "" : nil) else { return }
    let context = format == .endpointAddressOfType ? addressFormat : resourceNames
    let messages = format.check(rule.lower ? text.lowercased() : text, context: context)
    guard !messages.isEmpty else { return }
    let shown = Value.string(text)
    if rule.joined {
      report(rule, base: base, shown, rule.prefixMessage + messages.joined(separator: rule.joint), more: more)
    } else {
      for message in messages {
        report(
          rule, base: base, shown,
          rule.message.isEmpty || format == .printable
            ? rule.prefixMessage + message : rule.message.replacing("<reason>", with: message),
          more: more)
      }
    }
  }

  func enumeration(_ rule: ValidationRule, _ value: Value, base: Int) {
    if rule.wholeValue, case .array(let elements) = value {
      if elements.allSatisfy({ rule.values.contains($0) || $0.string == "*" }) { return }
    } else {
      if rule.values.contains(value) { return }
      if let text = value.string, rule.prefixes.contains(where: { text.hasPrefix($0) }) { return }
    }
    let shown = (rule.shown?.array ?? rule.values).map { $0.string.map(FieldError.quoted) ?? $0.json }.joined(separator: ", ")
    let detail = rule.message.isEmpty ? "supported values: \(shown)" : rule.message
    report(rule, base: base, value.isNull ? "" : value, detail)
  }

  func totalSize(_ rule: ValidationRule, _ value: Value, base: Int) {
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

  func members(_ rule: ValidationRule, _ value: Value, base: Int) {
    // What is no pointer lost its zeros before: a zero that is here was given.
    let present = rule.members.filter {
      switch $0.first(below: value) {
      case .null: false
      case .string(let text): !text.isEmpty
      case .array(let elements): !elements.isEmpty
      default: true
      }
    }
    guard let choice = present.isEmpty ? rule.none : present.count > 1 ? rule.many : nil else { return }
    switch choice.at {
    case "..":
      // At the list that holds the value.
      errors.append(FieldError(choice.error, Self.text(path.dropLast()), value: choice.shown ?? "", choice.message))
      return
    case "each member after the first":
      for member in present.dropFirst() {
        errors.append(FieldError(choice.error, Self.text(path + [.field(member.text)]), value: choice.shown, choice.message))
      }
      return
    default: break
    }
    let holder = RulePath(choice.at)
    let shown = choice.valueOmitted ? nil : choice.shown ?? (choice.at.isEmpty ? value : holder.first(below: value))
    var field = Self.text(path)
    if !choice.at.isEmpty { field += field.isEmpty ? choice.at : ".\(choice.at)" }
    errors.append(FieldError(choice.error, field, value: shown, choice.message))
  }

  func compare(_ rule: ValidationRule, _ value: Value, _ holder: Value, base: Int) {
    guard var other = rule.others.first.map({ $0.path.first(below: $0.isPod ? pod : holder) }) else { return }
    let value = rule.empty && value.isNull ? 0 : value
    // Go does not tell an absent number from zero.
    if other.isNull, !rule.perKey, value.int != nil { other = 0 }
    if other.isNull { return }
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
      let message = Self.compared(rule.message, member.key, member.value.string ?? "", limit.string ?? "")
      report(
        rule, base: base, member.value, message,
        more: rule.reports == nil || rule.reports?.contains("[") == true ? [.key(member.key)] : [])
    }
  }

  /// A message of the table, with what was compared instead of its example.
  private static func compared(_ message: String, _ name: String, _ amount: String, _ limit: String) -> String {
    if message.hasPrefix("must be less than or equal to cpu limit of") {
      return "must be less than or equal to \(name) limit of \(limit)"
    }
    if message.hasPrefix("must be equal to example.com/gpu limit") { return "must be equal to \(name) limit of \(limit)" }
    // "min value 2 is greater than max value 1"
    return message.replacing("value 1", with: "value \(limit)").replacing("value 2 ", with: "value \(amount) ")
  }

  /// What addresses of a slice are, by its type.
  private var addressFormat: RuleFormat? {
    switch root["addressType"].string {
    case "IPv4": .ipv4Endpoint
    case "IPv6": .ipv6Endpoint
    case "FQDN": .fqdn
    default: .nonEmpty
    }
  }

  func percentOrInt(_ rule: ValidationRule, _ value: Value, base: Int) {
    if let number = value.int {
      if number < 0 { report(rule, base: base, value, "must be greater than or equal to 0") }
      return
    }
    guard let text = value.string else { return }
    let messages = RuleFormat.percent.check(text)
    if let message = messages.first {
      report(rule, base: base, value, message)
    } else {
      // More than fits a number of pods is more than anything.
      let percent = Int32(text.dropLast()) ?? .max
      if rule.max100, percent > 100 {
        report(rule, base: base, value, "must not be greater than 100%")
      } else if percent == .max {
        report(rule, base: base, value, "must be less than \(Int32.max)%")
      }
    }
  }
}

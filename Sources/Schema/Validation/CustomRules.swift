import Wire

/// What a rule of code found. All nil: the rule's own message at the rule's own place, with the value there.
struct CustomFinding {
  var message: String?
  var value: Value?
  var kind: FieldError.Kind?
  /// Steps below the value.
  var more: [FieldStep] = []
  /// A field below the value, instead of the rule's place.
  var suffix: String?
}

/// What a rule of code sees beside the value.
struct CustomScope {
  let validator: Validator
  /// The value of the type that the rule belongs to, and the stored one.
  let base: Value
  let oldBase: Value
  /// The stored value at the rule's path.
  let old: Value

  var root: Value { validator.root }
  var oldRoot: Value? { validator.oldRoot }
  var pod: Value { validator.pod }
  var isPod: Bool { validator.kind.typeName == "core/v1.Pod" }
  /// The name of the kind's names' format.
  var names: RuleFormat? { validator.rules.names[validator.kind.typeName].flatMap(\.format) }
}

typealias CustomRule = @Sendable (Value, CustomScope) -> [CustomFinding]

/// Rules that need code, by `type|path|what it does` of validation.json.
enum CustomRules {
  static let code: [String: CustomRule] = {
    var all: [String: CustomRule] = [:]
    for part in [metadata, workloads, pods, services, others] { all.merge(part) { first, _ in first } }
    return all
  }()

  static let fine: [CustomFinding] = []
  static let bad = [CustomFinding()]

  static func bad(_ condition: Bool) -> [CustomFinding] { condition ? bad : fine }

  /// A rule that holds for the value alone.
  static func refuse(_ isBad: @escaping @Sendable (Value, CustomScope) -> Bool) -> CustomRule {
    { value, scope in isBad(value, scope) ? bad : fine }
  }
}

import Wire

/// What a rule of code found. All nil: the rule's own message at the rule's own place, with the value there.
struct CustomFinding {
  var message: String?
  var value: Value?
  var kind: FieldError.Kind?
  /// Steps below the value.
  var more: [FieldStep] = []
  /// The whole place, from the object's root, instead of the rule's.
  var at: [FieldStep]?
}

/// What a rule of code sees beside the value.
struct CustomScope {
  let validator: Validator
  /// The value of the type that the rule belongs to, and the stored one.
  let base: Value
  let oldBase: Value
  /// The stored value at the rule's path.
  let old: Value
  /// How many steps lead from the root to the type.
  let depth: Int

  /// From the root to the value, and to the value of the type.
  var place: [FieldStep] { validator.path }
  var typePlace: [FieldStep] { Array(validator.path.prefix(depth)) }

  /// What stands at a place of the object that is written.
  func value(at place: some Sequence<FieldStep>) -> Value {
    place.reduce(root) { value, step in
      switch step {
      case .field(let name), .key(let name): value[name]
      case .index(let i): value[i]
      }
    }
  }

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
    for part in parts { all.merge(part) { first, _ in first } }
    return all
  }()

  /// By topic; no rule stands in two.
  static var parts: [[String: CustomRule]] {
    [
      metadata, annotations, workloads, jobs, pods, podSpecs, podUpdates, amounts, services, storage, requests, policies,
      customResources, schemas, others,
    ]
  }

  static let fine: [CustomFinding] = []
  static let bad = [CustomFinding()]

  static func bad(_ condition: Bool) -> [CustomFinding] { condition ? bad : fine }

  /// A rule that holds for the value alone.
  static func refuse(_ isBad: @escaping @Sendable (Value, CustomScope) -> Bool) -> CustomRule {
    { value, scope in isBad(value, scope) ? bad : fine }
  }
}

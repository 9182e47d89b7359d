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

  /// Formats of strings that the rules name and nobody knows: they pass everything.
  package static var openFormats: [String] { ValidationRules.builtin.openFormats.sorted() }

  /// Code for rules that are not in the table, or that stands twice.
  package static var strayRules: [String] {
    var seen: Set<String> = []
    return CustomRules.parts.flatMap(\.keys).filter { !seen.insert($0).inserted || !ValidationRules.builtin.custom.contains($0) }
  }
}

/// One validation under way. A class, so that rules of rules share the findings; it never leaves the call.
final class Validator {
  let table: SchemaTable
  let rules: ValidationRules
  let kind: ResourceKind
  let operation: ValidationOperation
  let root: Value
  let oldRoot: Value?
  var errors: [FieldError] = []
  /// The enclosing pod or template, and the stored one.
  var pod: Value = .null
  var oldPod: Value = .null
  var path: [FieldStep] = []
  /// What `resourceNameOfContext` means here.
  var resourceNames: RuleFormat?
  /// What the last rule looked names up in, so that many references cost one collection.
  var names: (rule: ObjectIdentifier, place: String, known: Set<String>)?
  /// Where the enclosing pod or template stands.
  var podPlace = ""
  /// More errors than this help nobody.
  static let maximumErrors = 1000
  let bit: UInt8

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

  func walk(_ id: TypeID, _ value: Value, _ old: Value, isRoot: Bool = false) {
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
      let special = rules.special[Int(id.index)]
      guard special == .pod else { return members(id, special, value, old, isRoot: isRoot) }
      let outer = (pod, oldPod, podPlace)
      (pod, oldPod, podPlace) = (value, old, Self.text(path) + "/")
      members(id, special, value, old, isRoot: isRoot)
      (pod, oldPod, podPlace) = outer
    case .objectOrArray, .objectOrBool, .objectOrStrings:
      // A schema of its own below a schema: in JSON it stands where the field does.
      guard let schema = shape.fields.first(where: { table.shape($0.type).kind == .object }) else { return }
      if case .object = value { walk(schema.type, value, old) }
      for (i, element) in (value.array ?? []).enumerated() where element.object != nil {
        path.append(.index(i))
        walk(schema.type, element, old[i])
        path.removeLast()
      }
    default: return
    }
  }

  /// The rules of a struct, and what lies below it.
  private func members(_ id: TypeID, _ special: ValidationRules.Special, _ value: Value, _ old: Value, isRoot: Bool) {
    var skipped: [String] = []
    let list = rules.types[Int(id.index)]
    if !list.isEmpty {
      apply(list, value, old, isAllowed: isMain)
      // Addresses of old that are written back unchanged may break today's rules.
      if special == .endpoints, oldRoot != nil, Self.isSame(value["subsets"], old["subsets"]) { skipped.append("subsets") }
      for rule in rules.ending[Int(id.index)] {
        guard let field = rule.path.onlyField, holds(rule.when, value, old) else { continue }
        if rule.kind == .skip || (value[field].array?.count ?? 0) > Int(rule.maximum ?? .max) { skipped.append(field) }
      }
    }
    for field in rules.descents[Int(id.index)] where skipped.isEmpty || !skipped.contains(field.name) {
      // The status of the main resource was reset by the strategy: nothing in it is the client's.
      if isRoot, isMain, field.name == "status" { continue }
      if isRoot, field.name == "metadata" { continue }
      var member = value[field.name]
      if special == .statefulSet, field.name == "template" { member = Self.withClaims(value) }
      if member.isNull {
        guard field.isAlwaysThere else { continue }
        member = .emptyObject
      }
      path.append(.field(field.name))
      walk(field.type, member, old[field.name])
      path.removeLast()
    }
  }

  /// A stateful set's template as its pods will be: its claims are volumes.
  static func withClaims(_ spec: Value) -> Value {
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
  static let freeFinalizers: Set<String> = [
    "coordination.k8s.io", "apiextensions.k8s.io", "admissionregistration.k8s.io", "apiregistration.k8s.io",
  ]

  /// - Parameter isAllowed: whether rules that name no operation hold.
  func apply(_ list: [ValidationRule], _ value: Value, _ old: Value, isAllowed: Bool) {
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
}

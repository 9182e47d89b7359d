import Schema
import Testing
import Wire

/// An object that is fine, an edit that makes it wrong, and every error that it then has: no more, no fewer.
struct RuleCase: Sendable, CustomTestStringConvertible {
  var yaml: String
  /// What is replaced, by what.
  var edit: [(from: String, to: String)]
  var errors: [String]
  /// Nil: the object is created. Otherwise the edited object is written over the first.
  var operation: ValidationOperation?

  init(_ yaml: String, _ from: String, _ to: String, _ errors: String..., on operation: ValidationOperation? = nil) {
    self.yaml = yaml
    edit = [(from, to)]
    self.errors = errors
    self.operation = operation
  }

  init(_ yaml: String, _ edit: [(from: String, to: String)], _ errors: String..., on operation: ValidationOperation? = nil) {
    self.yaml = yaml
    self.edit = edit
    self.errors = errors
    self.operation = operation
  }

  var edited: String {
    edit.reduce(yaml) { text, edit in text.replacing(edit.from, with: edit.to) }
  }

  var testDescription: String { errors.first ?? "allowed: \(edit.map { "\($0.from) → \($0.to)" }.joined(separator: ", "))" }

  static func object(_ yaml: String) throws -> (value: Value, kind: ResourceKind) {
    let document = try YAML.decode(Array(yaml.utf8))
    let parts = (document.value["apiVersion"].string ?? "").split(separator: "/").map(String.init)
    let kind = try #require(
      table.kind(group: parts.count == 2 ? parts[0] : "", version: parts.last ?? "", kind: document.value["kind"].string ?? ""))
    let decoded = try table.decode(Array(yaml.utf8), encoding: .yaml, type: kind.type)
    try #require(decoded.strictErrors.isEmpty, "the test's object is no \(kind.kind): \(decoded.strictErrors)")
    var value = decoded.value
    if kind.isNamespaced, value["metadata"]["namespace"].isNull { value["metadata"]["namespace"] = "default" }
    table.applyDefaults(&value, kind: kind)
    return (value, kind)
  }

  /// As the write pipeline asks: the stored object has what the server stamps.
  static func errors(_ yaml: String, over old: String? = nil, _ operation: ValidationOperation = .create) throws -> [String] {
    var (value, kind) = try object(yaml)
    var stored = try old.map { try object($0).value }
    if stored != nil {
      for key in ["resourceVersion", "uid"] {
        stored?["metadata"][key] = "1"
        value["metadata"][key] = "1"
      }
    }
    return table.validate(value, old: stored, kind: kind, operation: operation).map(\.description)
  }

  func check() throws {
    for edit in edit { #expect(yaml.contains(edit.from), "nothing to replace: \(edit.from)") }
    let fine = try Self.errors(yaml)
    #expect(fine == [], "what should be fine is not: \(fine)")
    if let operation {
      let again = try Self.errors(yaml, over: yaml, operation)
      #expect(again == [], "what did not change is refused: \(again)")
      let found = try Self.errors(edited, over: yaml, operation)
      #expect(found == errors, "\(found)")
    } else {
      let found = try Self.errors(edited)
      #expect(found == errors, "\(found)")
    }
  }
}

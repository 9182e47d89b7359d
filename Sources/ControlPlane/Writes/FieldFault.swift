import Cache
import Client
import Schema
import Wire

/// A refusal of one field that rows cannot say, in upstream's words.
struct FieldFault: Sendable {
  var reason: String
  var field: String
  var message: String

  static func invalid(_ field: String, _ value: Value, _ detail: String) -> FieldFault {
    .init(reason: "FieldValueInvalid", field: field, message: "Invalid value: \(shown(value)): \(detail)")
  }

  static func required(_ field: String, _ detail: String = "") -> FieldFault {
    .init(reason: "FieldValueRequired", field: field, message: detail.isEmpty ? "Required value" : "Required value: \(detail)")
  }

  static func forbidden(_ field: String, _ detail: String) -> FieldFault {
    .init(reason: "FieldValueForbidden", field: field, message: "Forbidden: \(detail)")
  }

  static func notSupported(_ field: String, _ value: Value, _ supported: [String]) -> FieldFault {
    .init(
      reason: "FieldValueNotSupported", field: field,
      message: "Unsupported value: \(shown(value)): supported values: \(supported.map { "\"\($0)\"" }.joined(separator: ", "))")
  }

  /// Strings in quotes, numbers as they are, everything else as JSON.
  private static func shown(_ value: Value) -> String { value.isNull ? "null" : value.json }

  static let immutable = "field is immutable"
}

extension APIError {
  /// The 422 of a kind: causes one by one, and all of them in the message.
  static func invalid(_ kind: ResourceKind, _ name: String, _ faults: [FieldFault]) -> APIError {
    .invalid(kind.kind, group: kind.gvr.group, name, faults)
  }

  static func invalid(_ kind: String, group: String, _ name: String, _ faults: [FieldFault]) -> APIError {
    // Rows and strategies may say the same: once is enough.
    var seen: Set<String> = []
    let faults = faults.filter { seen.insert("\($0.field)\u{0}\($0.message)").inserted }
    let texts = faults.map { "\($0.field.isEmpty ? "[]" : $0.field): \($0.message)" }
    let what = group.isEmpty ? kind : "\(kind).\(group)"
    let list = texts.count == 1 ? texts[0] : "[\(texts.joined(separator: ", "))]"
    var error = APIError(.invalid, "\(what) \"\(name)\" is invalid: \(list)")
    error.name = name
    error.group = group
    error.kind = kind
    error.causes = faults.map { .init(reason: $0.reason, message: $0.message, field: $0.field.isEmpty ? "[]" : $0.field) }
    return error
  }
}

import Wire

/// What is wrong with one field of an object; upstream's `field.Error`.
package struct FieldError: Sendable, Equatable, CustomStringConvertible {
  package enum Kind: String, Sendable {
    case required = "Required"
    case invalid = "Invalid"
    case duplicate = "Duplicate"
    case notSupported = "NotSupported"
    case forbidden = "Forbidden"
    case tooLong = "TooLong"
    case tooMany = "TooMany"
    case notFound = "NotFound"
    case typeInvalid = "TypeInvalid"
    case `internal` = "Internal"

    /// The `reason` of a cause in a Status.
    package var cause: String {
      switch self {
      case .internal: "InternalError"
      default: "FieldValue\(rawValue)"
      }
    }

    var text: String {
      switch self {
      case .required: "Required value"
      case .invalid, .typeInvalid: "Invalid value"
      case .duplicate: "Duplicate value"
      case .notSupported: "Unsupported value"
      case .forbidden: "Forbidden"
      case .tooLong: "Too long"
      case .tooMany: "Too many"
      case .notFound: "Not found"
      case .internal: "Internal error"
      }
    }

    var showsValue: Bool {
      switch self {
      case .required, .forbidden, .tooLong, .internal: false
      default: true
      }
    }
  }

  package var kind: Kind
  /// `spec.ports[0].nodePort`; `[]` for the object itself.
  package var field: String
  /// What stands there; nil where nothing is shown.
  package var value: Value?
  package var detail: String

  package init(_ kind: Kind, _ field: String, value: Value? = nil, _ detail: String = "") {
    self.kind = kind
    self.field = field.isEmpty ? "[]" : field
    self.value = value
    self.detail = detail
  }

  /// The error without its field: the `message` of a cause.
  package var message: String {
    var text = kind.text
    if kind.showsValue, let value { text += ": \(Self.shown(value))" }
    return detail.isEmpty ? text : "\(text): \(detail)"
  }

  package var description: String { "\(field): \(message)" }

  /// A value as Go prints it in such errors.
  static func shown(_ value: Value) -> String {
    switch value {
    case .null: "\"null\""
    case .string(let text): quoted(text)
    default: value.json
    }
  }

  /// `%q`
  static func quoted(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case "\u{7}": out += "\\a"
      case "\u{8}": out += "\\b"
      case "\u{b}": out += "\\v"
      case "\u{c}": out += "\\f"
      case _ where scalar.value < 32 || scalar.value == 127:
        let digits = String(scalar.value, radix: 16)
        out += "\\x" + (digits.count == 1 ? "0" : "") + digits
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }
}

/// Which write is checked.
package enum ValidationOperation: Sendable, Equatable {
  case create, update, status
  /// `resize`, `ephemeralcontainers`, `finalize`, `binding`, `approval`.
  case subresource(String)

  var bit: UInt8 { Self.bit(name) }

  var name: String {
    switch self {
    case .create: "create"
    case .update: "update"
    case .status: "status"
    case .subresource(let name): name
    }
  }

  static func bit(_ name: String) -> UInt8 {
    switch name {
    case "create": 1
    case "update": 2
    case "status": 4
    case "resize": 8
    case "ephemeralcontainers": 16
    case "finalize": 32
    case "binding": 64
    case "approval": 128
    case "all": 7
    default: 0
    }
  }
}

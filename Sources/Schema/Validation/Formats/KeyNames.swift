/// Keys of maps, names of ports, variables and the like.
enum KeyNames {
  private static func dots(_ text: String) -> [String] {
    if text == "." { return ["must not be '.'"] }
    if text == ".." { return ["must not be '..'"] }
    if text.hasPrefix("..") { return ["must not start with '..'"] }
    return []
  }

  static func configMapKey(_ text: String) -> [String] {
    var messages: [String] = []
    if text.utf8.count > 253 { messages.append("must be no more than 253 characters") }
    if text.isEmpty || !text.utf8.allSatisfy({ $0.isAlphanumeric || $0 == 45 || $0 == 95 || $0 == 46 }) {
      messages.append(
        regexMessage(
          "a valid config key must consist of alphanumeric characters, '-', '_' or '.'", "[-._a-zA-Z0-9]+",
          ["key.name", "KEY_NAME", "key-name"]))
    }
    return messages + dots(text)
  }

  static func envVarName(_ text: String) -> [String] {
    var messages: [String] = []
    if text.utf8.first?.isDigit != false
      || !text.utf8.allSatisfy({ $0.isAlphanumeric || $0 == 45 || $0 == 95 || $0 == 46 })
    {
      messages.append(
        regexMessage(
          "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit",
          "[-._a-zA-Z][-._a-zA-Z0-9]*", ["my.env-name", "MY_ENV.NAME", "MyEnvName1"]))
    }
    return messages + dots(text)
  }

  static func portName(_ text: String) -> [String] {
    let bytes = text.utf8
    var messages: [String] = []
    if bytes.count > 15 { messages.append("must be no more than 15 characters") }
    if !bytes.allSatisfy({ $0.isLower || $0.isDigit || $0 == 45 }) || bytes.isEmpty {
      messages.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    }
    if !bytes.contains(where: \.isLower) { messages.append("must contain at least one letter (a-z)") }
    if text.contains("--") { messages.append("must not contain consecutive hyphens") }
    if bytes.first == 45 || bytes.last == 45 { messages.append("must not begin or end with a hyphen") }
    return messages
  }

  static func isIdentifier(_ text: String) -> Bool {
    guard let first = text.utf8.first, first.isLetter || first == 95 else { return false }
    return text.utf8.allSatisfy { $0.isAlphanumeric || $0 == 95 }
  }

  static let celReserved: Set<String> = [
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop",
    "package", "namespace", "return", "var", "void", "while",
  ]

  static func conditionReason(_ text: String) -> [String] {
    let bytes = text.utf8
    if let first = bytes.first, first.isLetter, let last = bytes.last, last.isAlphanumeric || last == 95,
      bytes.allSatisfy({ $0.isAlphanumeric || $0 == 95 || $0 == 44 || $0 == 58 })
    {
      return []
    }
    return [
      regexMessage(
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
        "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", ["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"])
    ]
  }

  static func sysctl(_ text: String) -> [String] {
    let parts = text.utf8.split(omittingEmptySubsequences: false) { $0 == 46 || $0 == 47 }
    let isFine =
      text.utf8.count <= 253
      && parts.allSatisfy { part in
        guard let first = part.first, let last = part.last, first.isLower || first.isDigit, last.isLower || last.isDigit else {
          return false
        }
        return part.allSatisfy { $0.isLower || $0.isDigit || $0 == 45 || $0 == 95 }
      }
    return isFine
      ? []
      : [
        #"must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"#
      ]
  }

  static func timeZone(_ text: String) -> [String] {
    if text.isEmpty { return ["timeZone must be nil or non-empty string"] }
    if text.lowercased() == "local" {
      return ["timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"]
    }
    let isName = text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
      !part.isEmpty && part.utf8.count <= 14 && part.utf8.first != 45
        && part.utf8.allSatisfy { $0.isAlphanumeric || $0 == 45 || $0 == 95 || $0 == 43 || $0 == 46 }
    }
    return isName ? [] : ["unknown time zone \(text)"]
  }
}

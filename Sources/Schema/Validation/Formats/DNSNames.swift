/// Names of DNS.
enum DNSNames {
  static let labelPattern = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
  static let subdomainPattern = #"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"#

  static func isLabel(_ bytes: some BidirectionalCollection<UInt8>) -> Bool {
    guard let first = bytes.first, let last = bytes.last, first != 45, last != 45 else { return false }
    return bytes.allSatisfy { $0.isLower || $0.isDigit || $0 == 45 }
  }

  static func isSubdomain(_ text: some StringProtocol) -> Bool {
    text.utf8.split(separator: 46, omittingEmptySubsequences: false).allSatisfy { isLabel($0) }
  }

  static func label(_ text: String) -> [String] {
    var messages: [String] = []
    if text.utf8.count > 63 { messages.append("must be no more than 63 characters") }
    if !isLabel(text.utf8) {
      messages.append(
        isSubdomain(text)
          ? "must not contain dots"
          : regexMessage(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
            labelPattern, ["my-name", "123-abc"]))
    }
    return messages
  }

  static func subdomain(_ text: String) -> [String] {
    var messages: [String] = []
    if text.utf8.count > 253 { messages.append("must be no more than 253 characters") }
    if !isSubdomain(text) {
      messages.append(
        regexMessage(
          "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
          subdomainPattern, ["example.com"]))
    }
    return messages
  }

  static func subdomainUnderscore(_ text: String) -> [String] {
    var messages: [String] = []
    if text.utf8.count > 253 { messages.append("must be no more than 253 characters") }
    let isFine = text.utf8.split(separator: 46, omittingEmptySubsequences: false).allSatisfy { label in
      let rest = label.first == 95 ? label.dropFirst() : label
      guard let first = rest.first, let last = rest.last, first.isLower || first.isDigit, last.isLower || last.isDigit else {
        return false
      }
      return rest.allSatisfy { $0.isLower || $0.isDigit || $0 == 45 || $0 == 95 }
    }
    if !isFine {
      messages.append(
        regexMessage(
          "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
          #"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*"#, ["example.com"]))
    }
    return messages
  }

  static func label1035(_ text: String) -> [String] {
    var messages: [String] = []
    if text.utf8.count > 63 { messages.append("must be no more than 63 characters") }
    if !isLabel(text.utf8) || text.utf8.first?.isDigit == true {
      messages.append(
        regexMessage(
          "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
          "[a-z]([-a-z0-9]*[a-z0-9])?", ["my-name", "abc-123"]))
    }
    return messages
  }

  static func wildcard(_ text: String) -> [String] {
    var messages: [String] = []
    if text.utf8.count > 253 { messages.append("must be no more than 253 characters") }
    if !text.hasPrefix("*.") || !isSubdomain(text.dropFirst(2)) {
      messages.append(
        regexMessage(
          "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
          #"\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"#, ["*.example.com"]))
    }
    return messages
  }
}

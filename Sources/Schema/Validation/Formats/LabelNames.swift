/// Keys and values of labels.
package enum LabelNames {
  static let namePattern = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

  static func isName(_ bytes: some BidirectionalCollection<UInt8>) -> Bool {
    guard let first = bytes.first, let last = bytes.last, first.isAlphanumeric, last.isAlphanumeric else { return false }
    return bytes.allSatisfy { $0.isAlphanumeric || $0 == 45 || $0 == 95 || $0 == 46 }
  }

  /// - Returns: what is wrong with it, nothing for a proper key.
  package static func key(_ text: String) -> [String] {
    let parts = text.utf8.split(separator: 47, omittingEmptySubsequences: false)
    let rule =
      "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
    let examples = ["MyName", "my.name", "123-abc"]
    var messages: [String] = []
    guard parts.count <= 2, let name = parts.last else {
      return [
        "a valid label key "
          + regexMessage(rule, namePattern, examples)
          + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
      ]
    }
    if parts.count == 2 {
      if parts[0].isEmpty {
        messages.append("prefix part must be non-empty")
      } else {
        messages += DNSNames.subdomain(String(Substring(parts[0]))).map { "prefix part \($0)" }
      }
    }
    if name.isEmpty {
      messages.append("name part must be non-empty")
    } else if name.count > 63 {
      messages.append("name part must be no more than 63 bytes")
    }
    if !isName(name) { messages.append("name part " + regexMessage(rule, namePattern, examples)) }
    return messages
  }

  /// - Returns: what is wrong with it, nothing for a proper value.
  package static func value(_ text: String) -> [String] {
    var messages: [String] = []
    if text.utf8.count > 63 { messages.append("must be no more than 63 bytes") }
    if !text.isEmpty, !isName(text.utf8) {
      messages.append(
        regexMessage(
          "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
          "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", ["MyValue", "my_value", "12345"]))
    }
    return messages
  }
}

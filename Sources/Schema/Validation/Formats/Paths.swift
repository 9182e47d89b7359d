/// Paths of files, URLs and names that contain slashes.
enum Paths {
  static func hasBackstep(_ text: String) -> Bool {
    text.split(separator: "/", omittingEmptySubsequences: false).contains("..")
  }

  static func relative(_ text: String) -> [String] {
    (text.hasPrefix("/") ? ["must be a relative path"] : []) + (hasBackstep(text) ? ["must not contain '..'"] : [])
  }

  static func segment(_ text: String) -> [String] {
    if text == "." { return ["may not be '.'"] }
    if text == ".." { return ["may not be '..'"] }
    return (text.contains("/") ? ["may not contain '/'"] : []) + (text.contains("%") ? ["may not contain '%'"] : [])
  }

  static func domainPrefixed(_ text: String) -> [String] {
    guard let slash = text.firstIndex(of: "/"), slash != text.startIndex, text.index(after: slash) != text.endIndex else {
      return ["must be a domain-prefixed path (such as \"acme.io/foo\")"]
    }
    let messages = DNSNames.subdomain(String(text[..<slash]))
    if !messages.isEmpty { return messages }
    let allowed = Set("/-._~%!$&'()*+,;=:".utf8)
    return text[text.index(after: slash)...].utf8.allSatisfy { $0.isAlphanumeric || allowed.contains($0) }
      ? [] : [#"Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')"#]
  }

  static func signerName(_ text: String) -> [String] {
    guard let slash = text.firstIndex(of: "/"), slash != text.startIndex, text.index(after: slash) != text.endIndex,
      !text[text.index(after: slash)...].contains("/")
    else { return ["must be a fully qualified domain and path of the form 'example.com/signer-name'"] }
    let domain = text[..<slash].split(separator: ".", omittingEmptySubsequences: false)
    for label in domain {
      if let message = DNSNames.label(String(label)).first { return ["validating label \"\(label)\": \(message)"] }
    }
    if domain.count < 2 { return ["should be a domain with at least two segments separated by dots"] }
    return text[text.index(after: slash)...].split(separator: ".", omittingEmptySubsequences: false).flatMap { label in
      DNSNames.subdomain(String(label)).prefix(1).map { "validating label \"\(label)\": \($0)" }
    }
  }

  static func nonResourceURL(_ text: String) -> [String] {
    if text == "*" || text == "/" { return [] }
    if text.isEmpty { return ["must not be empty"] }
    if !text.hasPrefix("/") { return ["must start with slash"] }
    if text.contains(" ") { return ["must not contain white-space"] }
    if text.contains("//") { return ["must not contain double slash"] }
    if let star = text.firstIndex(of: "*"), star != text.index(before: text.endIndex) || !text.hasSuffix("/*") {
      return ["wildcard can only do suffix matching"]
    }
    return []
  }

  static func webhookURL(_ text: String) -> [String] {
    let form = "; desired format: https://host[/path]"
    guard text.hasPrefix("https://") else { return ["'https' is the only allowed URL scheme\(form)"] }
    let rest = text.dropFirst("https://".count)
    let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    var messages: [String] = []
    if authority.isEmpty { messages.append("host must be specified\(form)") }
    if authority.contains("@") { messages.append("user information is not permitted in the URL") }
    if rest.contains("#") { messages.append("fragments are not permitted in the URL") }
    if rest.contains("?") { messages.append("query parameters are not permitted in the URL") }
    return messages
  }

  static func webhookPath(_ text: String) -> [String] {
    if text.isEmpty || text == "/" { return [] }
    guard text.hasPrefix("/") else { return ["must start with a '/'"] }
    let trimmed = text.hasSuffix("/") ? text.dropLast() : text[...]
    return trimmed.dropFirst().split(separator: "/", omittingEmptySubsequences: false).enumerated().flatMap { i, part -> [String] in
      if part.isEmpty { return ["segment[\(i)] may not be empty"] }
      return DNSNames.subdomain(String(part)).map { "segment[\(i)]: \($0)" }
    }
  }
}

import Wire

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

/// Names of resources that are counted or limited.
enum ResourceNames {
  static let standard: Set<String> = [
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage", "limits.cpu",
    "limits.memory", "limits.ephemeral-storage", "pods", "resourcequotas", "services", "replicationcontrollers", "secrets",
    "configmaps", "persistentvolumeclaims", "storage", "requests.storage", "services.nodeports", "services.loadbalancers",
  ]
  static let integers: Set<String> = [
    "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims",
    "services.nodeports", "services.loadbalancers",
  ]

  static func isHugePages(_ text: String) -> Bool { text.hasPrefix("hugepages-") || text.hasPrefix("requests.hugepages-") }

  static func name(_ text: String) -> [String] {
    let messages = LabelNames.key(text)
    if !messages.isEmpty { return messages }
    return text.contains("/") || standard.contains(text) || isHugePages(text)
      ? [] : ["must be a standard resource type or fully qualified"]
  }

  static func container(_ text: String) -> [String] {
    let messages = name(text)
    if !messages.isEmpty { return messages }
    if !text.contains("/") {
      return ["cpu", "memory", "ephemeral-storage"].contains(text) || text.hasPrefix("hugepages-")
        ? [] : ["must be a standard resource for containers"]
    }
    return text.contains("kubernetes.io/") || isExtended(text) ? [] : ["doesn't follow extended resource name standard"]
  }

  static func quota(_ text: String) -> [String] {
    let messages = name(text)
    if !messages.isEmpty { return messages }
    return text.contains("/") || standard.contains(text) && text != "storage" || isHugePages(text)
      ? [] : ["must be a standard resource for quota"]
  }

  static func isExtended(_ text: String) -> Bool {
    text.contains("/") && !text.contains("kubernetes.io/") && !text.hasPrefix("requests.")
      && LabelNames.key("requests.\(text)").isEmpty
  }

  static func isOvercommittable(_ text: String) -> Bool {
    guard let slash = text.firstIndex(of: "/") else { return !text.hasPrefix("hugepages-") }
    return text[..<slash].hasSuffix("kubernetes.io")
  }

  static func isWhole(_ text: String) -> Bool { integers.contains(text) || isExtended(text) }
}

/// Addresses as Go reads them.
enum Addresses {
  static let badIP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
  static let badCIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"

  struct Address: Equatable, CustomStringConvertible {
    /// 4 or 16.
    var bytes: [UInt8]
    var isV4: Bool { bytes.count == 4 }

    var description: String {
      if isV4 { return bytes.map { String($0) }.joined(separator: ".") }
      let words = stride(from: 0, to: 16, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
      var best = 0..<0
      var i = 0
      while i < 8 {
        var j = i
        while j < 8, words[j] == 0 { j += 1 }
        if j - i > best.count, j - i > 1 { best = i..<j }
        i = max(j, i + 1)
      }
      let text = { (range: Range<Int>) in range.map { String(words[$0], radix: 16) }.joined(separator: ":") }
      return best.isEmpty ? text(0..<8) : "\(text(0..<best.lowerBound))::\(text(best.upperBound..<8))"
    }
  }

  static func parse(_ text: some StringProtocol) -> Address? {
    if !text.contains(":") { return v4(text).map { Address(bytes: $0) } }
    guard text.utf8.count <= 45 else { return nil }
    var head: [UInt8] = []
    var tail: [UInt8] = []
    var seenGap = false
    var rest = Substring(text)
    if rest.hasPrefix("::") {
      seenGap = true
      rest = rest.dropFirst(2)
    } else if rest.hasPrefix(":") {
      return nil
    }
    while !rest.isEmpty {
      let part = rest.prefix { $0 != ":" }
      if part.contains(".") {
        guard part.endIndex == rest.endIndex, let last = v4(part) else { return nil }
        if seenGap { tail += last } else { head += last }
        rest = ""
        break
      }
      guard !part.isEmpty, part.utf8.count <= 4, let word = UInt16(part, radix: 16), part.utf8.first != 43 else { return nil }
      if seenGap { tail += [UInt8(word >> 8), UInt8(word & 255)] } else { head += [UInt8(word >> 8), UInt8(word & 255)] }
      rest = rest[part.endIndex...]
      if rest.isEmpty { break }
      if rest.hasPrefix("::") {
        guard !seenGap else { return nil }
        seenGap = true
        rest = rest.dropFirst(2)
      } else {
        rest = rest.dropFirst()
        if rest.isEmpty { return nil }
      }
    }
    let count = head.count + tail.count
    guard seenGap ? count < 16 : count == 16 else { return nil }
    return Address(bytes: head + [UInt8](repeating: 0, count: 16 - count) + tail)
  }

  private static func v4(_ text: some StringProtocol) -> [UInt8]? {
    let parts = text.utf8.split(separator: 46, omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var bytes: [UInt8] = []
    for part in parts {
      guard !part.isEmpty, part.count <= 3, part.allSatisfy(\.isDigit) else { return nil }
      let number = part.reduce(0) { $0 * 10 + Int($1 - 48) }
      guard number <= 255 else { return nil }
      bytes.append(UInt8(number))
    }
    return bytes
  }

  struct CIDR {
    var address: Address
    var length: Int
    var masked: Address {
      var bytes = address.bytes
      for i in bytes.indices {
        let kept = max(0, min(8, length - i * 8))
        bytes[i] &= kept == 0 ? 0 : ~UInt8(0) << UInt8(8 - kept)
      }
      return Address(bytes: bytes)
    }
    func contains(_ other: CIDR) -> Bool {
      other.address.isV4 == address.isV4 && other.length >= length && CIDR(address: other.address, length: length).masked == masked
    }
  }

  static func cidr(_ text: String) -> CIDR? {
    guard let slash = text.firstIndex(of: "/"), let address = parse(text[..<slash]) else { return nil }
    let digits = text[text.index(after: slash)...]
    guard !digits.isEmpty, digits.utf8.allSatisfy(\.isDigit), let length = Int(digits), length <= address.bytes.count * 8 else {
      return nil
    }
    return CIDR(address: address, length: length)
  }

  static func endpoint(_ text: String) -> [String] {
    guard let address = parse(text) else { return ["must be a valid IP address"] }
    let b = address.bytes
    var messages: [String] = []
    if b.allSatisfy({ $0 == 0 }) { messages.append("may not be unspecified (\(address.isV4 ? "0.0.0.0" : "::"))") }
    if address.isV4 ? b[0] == 127 : b.dropLast().allSatisfy({ $0 == 0 }) && b[15] == 1 {
      messages.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    }
    if address.isV4 ? b[0] == 169 && b[1] == 254 : b[0] == 0xfe && b[1] & 0xc0 == 0x80 {
      messages.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    }
    if address.isV4 ? b[0] == 224 && b[1] == 0 && b[2] == 0 : b[0] == 0xff && b[1] & 0x0f == 2 {
      messages.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    }
    return messages
  }
}

/// The schedule of a CronJob, as far as its form goes.
enum CronExpression {
  private static let macros: Set<String> = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"]
  private static let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
  private static let days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

  /// - Returns: what is wrong, in the words of the parser that upstream uses; nil where the schedule is fine.
  static func problem(_ text: String) -> String? {
    if text.isEmpty { return "empty spec string" }
    var text = text
    if text.hasPrefix("TZ=") || text.hasPrefix("CRON_TZ="), let blank = text.firstIndex(of: " ") {
      text = String(text[text.index(after: blank)...])
    }
    if text.hasPrefix("@") {
      if macros.contains(text) { return nil }
      if text.hasPrefix("@every ") {
        let duration = text.dropFirst("@every ".count)
        return duration.utf8.first?.isDigit == true && duration.utf8.last?.isLetter == true
          ? nil : "failed to parse duration \(text): time: invalid duration \"\(duration)\""
      }
      return "unrecognized descriptor: \(text)"
    }
    let fields = text.split(whereSeparator: \.isWhitespace).map(String.init)
    guard fields.count == 5 else { return "expected exactly 5 fields, found \(fields.count): [\(fields.joined(separator: " "))]" }
    let bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
    for (i, field) in fields.enumerated() {
      for part in field.split(separator: ",") {
        if let problem = range(String(part), bounds[i], names: i == 3 ? months : i == 4 ? days : [], offset: i == 3 ? 1 : 0) {
          return problem
        }
      }
    }
    return nil
  }

  private static func range(_ text: String, _ bounds: (Int, Int), names: [String], offset: Int) -> String? {
    let steps = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    let ends = steps[0].split(separator: "-", omittingEmptySubsequences: false).map(String.init)
    func number(_ text: String) -> Int? {
      if let i = names.firstIndex(of: text.lowercased()) { return i + offset }
      return Int(text)
    }
    var low = bounds.0
    var high = bounds.1
    if ends[0] != "*" && ends[0] != "?" {
      guard let first = number(ends[0]) else {
        return "failed to parse int from \(ends[0]): strconv.Atoi: parsing \(FieldError.quoted(ends[0])): invalid syntax"
      }
      low = first
      high = first
      if ends.count == 2 {
        guard let last = number(ends[1]) else {
          return "failed to parse int from \(ends[1]): strconv.Atoi: parsing \(FieldError.quoted(ends[1])): invalid syntax"
        }
        high = last
      } else if ends.count > 2 {
        return "too many hyphens: \(text)"
      }
    }
    if steps.count == 2 {
      guard let step = Int(steps[1]) else {
        return "failed to parse int from \(steps[1]): strconv.Atoi: parsing \(FieldError.quoted(steps[1])): invalid syntax"
      }
      if step == 0 { return "step of range should be a positive number: \(text)" }
      if ends.count == 1 { high = bounds.1 }
    } else if steps.count > 2 {
      return "too many slashes: \(text)"
    }
    if low < bounds.0 { return "beginning of range (\(low)) below minimum (\(bounds.0)): \(text)" }
    if high > bounds.1 { return "end of range (\(high)) above maximum (\(bounds.1)): \(text)" }
    if low > high { return "beginning of range (\(low)) beyond end of range (\(high)): \(text)" }
    return nil
  }
}

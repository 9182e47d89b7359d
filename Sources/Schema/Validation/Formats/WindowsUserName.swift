/// `[domain\]user`, as Windows knows them.
enum WindowsUserName {
  private static func isNetBIOS(_ text: Substring) -> Bool {
    (1...15).contains(text.count) && text.first != "." && !text.contains { "\\/:*?\"<>|".contains($0) }
  }

  private static func isDNS(_ text: Substring) -> Bool {
    text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { part in
      guard let first = part.utf8.first, let last = part.utf8.last else { return false }
      return first.isAlphanumeric && last.isAlphanumeric && part.utf8.allSatisfy { $0.isAlphanumeric || $0 == 45 }
    }
  }

  static func problems(_ text: String) -> [String] {
    if text.isEmpty { return ["runAsUserName cannot be an empty string"] }
    if text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
      return ["runAsUserName cannot contain control characters"]
    }
    let parts = text.split(separator: "\\", omittingEmptySubsequences: false)
    if parts.count > 2 { return ["runAsUserName cannot contain more than one backslash"] }
    var problems: [String] = []
    if parts.count == 2 {
      let domain = parts[0]
      if domain.count >= 256 {
        problems.append("runAsUserName's Domain length must be under 256 characters")
      } else if !isNetBIOS(domain), !isDNS(domain) {
        problems.append("runAsUserName's Domain doesn't match the NetBios nor the DNS format")
      }
    }
    let user = parts[parts.count - 1]
    if user.isEmpty {
      problems.append("runAsUserName's User cannot be empty")
    } else if user.count > 104 {
      problems.append("runAsUserName's User length must not be longer than 104 characters")
    }
    if !user.isEmpty, user.allSatisfy({ $0 == "." || $0 == " " }) {
      problems.append("runAsUserName's User cannot contain only periods or spaces")
    }
    if user.contains(where: { "\"/\\:;|=,+*?<>@[]".contains($0) }) {
      problems.append("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]")
    }
    return problems
  }
}

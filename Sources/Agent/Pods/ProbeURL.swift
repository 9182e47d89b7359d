/// Where a probe asks: the parts of an http or https URL, and what a redirect makes of them.
package struct ProbeURL: Equatable, Sendable {
  package var isTLS: Bool
  /// Without the brackets of IPv6.
  package var host: String
  package var port: Int
  /// With its query; begins with `/`.
  package var path: String

  package init(isTLS: Bool, host: String, port: Int, path: String) {
    self.isTLS = isTLS
    self.host = host
    self.port = port
    self.path = path.hasPrefix("/") ? path : "/\(path)"
  }

  package var authority: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
  package var text: String { "\(isTLS ? "https" : "http")://\(authority)\(path)" }

  /// - Parameter location: of the header `Location`, absolute or relative (RFC 3986, 5.2).
  /// - Returns: nil where it is no http or https URL.
  package func redirected(to location: String) -> ProbeURL? {
    var rest = location.prefix { $0 != "#" }
    var result = self
    if let mark = rest.firstRange(of: "://"), !rest[..<mark.lowerBound].contains(where: { "/?".contains($0) }) {
      switch rest[..<mark.lowerBound].lowercased() {
      case "http": result.isTLS = false
      case "https": result.isTLS = true
      default: return nil
      }
      rest = rest[mark.upperBound...]
    } else if rest.hasPrefix("//") {
      rest = rest.dropFirst(2)
    } else {
      let parts = path.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
      let base = parts.first ?? "/"
      if rest.isEmpty { return self }
      if rest.hasPrefix("?") {
        result.path = "\(base)\(rest)"
      } else if rest.hasPrefix("/") {
        result.path = Self.withoutDots(String(rest))
      } else {
        result.path = Self.withoutDots("\(base[...(base.lastIndex(of: "/") ?? base.startIndex)])\(rest)")
      }
      return result
    }
    var authority = rest.prefix { $0 != "/" && $0 != "?" }
    let path = rest[authority.endIndex...]
    if let at = authority.lastIndex(of: "@") { authority = authority[authority.index(after: at)...] }
    result.port = result.isTLS ? 443 : 80
    if let colon = authority.lastIndex(of: ":"), !authority[colon...].contains("]") {
      let digits = authority[authority.index(after: colon)...]
      if !digits.isEmpty {
        guard let port = UInt16(digits) else { return nil }
        result.port = Int(port)
      }
      authority = authority[..<colon]
    }
    result.host = String(authority.filter { $0 != "[" && $0 != "]" })
    guard !result.host.isEmpty else { return nil }
    result.path = path.hasPrefix("/") ? Self.withoutDots(String(path)) : "/\(path)"
    return result
  }

  /// Resolves `.` and `..` of a path; what follows `?` stays.
  private static func withoutDots(_ path: String) -> String {
    let query = path.firstIndex(of: "?") ?? path.endIndex
    var parts: [Substring] = []
    let words = path[..<query].split(separator: "/", omittingEmptySubsequences: false).dropFirst()
    for (i, word) in words.enumerated() {
      let isLast = i == words.count - 1
      switch word {
      case ".": if isLast { parts.append("") }
      case "..":
        _ = parts.popLast()
        if isLast { parts.append("") }
      default: parts.append(word)
      }
    }
    return "/\(parts.joined(separator: "/"))\(path[query...])"
  }
}

import Wire

/// Forms of strings. Each check gives upstream's messages, none where the text is fine. Matchers are written by hand: a Pod has dozens of names.
enum RuleFormat: String, Sendable {
  case nonEmpty, notBlank, oneLine, underSpec, underStatus, underSpecOrStatus, dns1123Label, dns1123Subdomain
  case dns1123SubdomainPrefix, dns1123SubdomainUnderscore, dnsSearch, dns1035Label, wildcardDns1123Subdomain, ingressHost, labelKey
  case qualifiedName, labelValue, configMapKey, envVarName, envVarNameRelaxed, httpHeaderName, portName, portNumberOrName, percent
  case cIdentifier, celIdentifier, ip, ipStrict, endpointIP, fqdn, cidr, cidrStrict, notIP, absolutePath, leadingSlash
  case relativePath, localPath, noBacksteps, noSlash, noPadding, pathSegment, domainPrefixedPath, domainPrefixedKey,
    fullyQualifiedName
  case csiDriverName, signerName, resourceName, containerResourceName, podResourceName, quotaResourceName, limitResourceName
  case claimResourceName, resourceNameOfContext, extendedResourceName, limitType, kubeFinalizer, sysctlName, iscsiName, hostPortList
  case cron, timeZone, printable, conditionReason, nodeFeatureName, leaseStrategy, groupVersion, webhookURL, webhookPath
  case nonResourceURL, simpleJSONPath, jsonObject, poolName, resourceQualifiedName, resourceFullyQualifiedName, semver, uuid
  case interfaceAddress, endpointAddressOfType, windowsUserName, clusterTrustBundleName, regexp, pemCertificates, certificateRequest
  case dryRun
  /// An address that an endpoint may have, of one family.
  case ipv4Endpoint, ipv6Endpoint

  /// - Parameter context: what a name of a resource is checked as, where the rule says "of the context".
  func check(_ text: String, context: RuleFormat? = nil) -> [String] {
    switch self {
    case .nonEmpty: return text.isEmpty ? [""] : []
    case .notBlank: return text.allSatisfy(\.isWhitespace) ? [""] : []
    case .oneLine: return text.utf8.contains { $0 == 10 || $0 == 13 } ? [""] : []
    case .underSpec: return text.hasPrefix(".spec.") ? [] : ["should be a json path under .spec"]
    case .underStatus: return text.hasPrefix(".status.") ? [] : ["should be a json path under .status"]
    case .underSpecOrStatus:
      return text.hasPrefix(".spec.") || text.hasPrefix(".status.") ? [] : ["should be a json path under either .spec or .status"]
    case .dns1123Label: return DNSNames.label(text)
    case .dns1123Subdomain: return DNSNames.subdomain(text)
    case .dns1123SubdomainPrefix: return DNSNames.subdomain(Self.withoutTrailingDash(text))
    case .dns1123SubdomainUnderscore: return DNSNames.subdomainUnderscore(text)
    case .dnsSearch:
      if text == "." { return [] }
      return DNSNames.subdomainUnderscore(text.hasSuffix(".") ? String(text.dropLast()) : text)
    case .dns1035Label: return DNSNames.label1035(text)
    case .wildcardDns1123Subdomain: return DNSNames.wildcard(text)
    case .ingressHost: return text.contains("*") ? DNSNames.wildcard(text) : DNSNames.subdomain(text)
    case .labelKey, .qualifiedName: return LabelNames.key(text)
    case .labelValue: return LabelNames.value(text)
    case .configMapKey: return KeyNames.configMapKey(text)
    case .envVarName: return KeyNames.envVarName(text)
    case .envVarNameRelaxed:
      if text.isEmpty { return ["environment variable name must be non-empty"] }
      return text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "=") }
        ? [] : ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
    case .httpHeaderName:
      return !text.isEmpty && text.utf8.allSatisfy { $0.isAlphanumeric || $0 == UInt8(ascii: "-") }
        ? []
        : [regexMessage("a valid HTTP header must consist of alphanumeric characters or '-'", "[-A-Za-z0-9]+", ["X-Header-Name"])]
    case .portName: return KeyNames.portName(text)
    case .portNumberOrName: return KeyNames.portName(text)
    case .percent:
      let digits = text.utf8.dropLast()
      return text.utf8.last == UInt8(ascii: "%") && !digits.isEmpty && digits.allSatisfy(\.isDigit)
        ? []
        : [
          regexMessage(
            "a valid percent string must be a numeric string followed by an ending '%'", "[0-9]+%", ["1%", "93%"])
        ]
    case .cIdentifier:
      return KeyNames.isIdentifier(text)
        ? []
        : [
          regexMessage(
            "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
            "[A-Za-z_][A-Za-z0-9_]*", ["my_name", "MY_NAME", "MyName"])
        ]
    case .celIdentifier:
      return KeyNames.isIdentifier(text) && !KeyNames.celReserved.contains(text) ? [] : ["must be a valid CEL identifier"]
    case .printable:
      for (i, scalar) in text.unicodeScalars.enumerated() where !Self.isPrintable(scalar) {
        let code = String(scalar.value, radix: 16, uppercase: true)
        return ["invalid character U+\(String(repeating: "0", count: max(0, 4 - code.count)))\(code) (at position \(i))"]
      }
      return []
    case .conditionReason: return KeyNames.conditionReason(text)
    case .ip: return Addresses.parse(text) == nil ? [Addresses.badIP] : []
    case .ipStrict:
      guard let address = Addresses.parse(text) else { return [Addresses.badIP] }
      return address.description == text ? [] : ["must be in canonical form (\"\(address)\")"]
    case .endpointIP: return Addresses.endpoint(text)
    // What the slice's type says stands in the context (Validator.format).
    case .endpointAddressOfType: return (context ?? .nonEmpty).check(text)
    case .ipv4Endpoint, .ipv6Endpoint:
      guard let address = Addresses.parse(text), address.isV4 == (self == .ipv4Endpoint) else {
        return ["must be a valid \(self == .ipv4Endpoint ? "IPv4" : "IPv6") address"]
      }
      return Addresses.endpoint(text)
    case .cidr: return Addresses.cidr(text) == nil ? [Addresses.badCIDR] : []
    case .cidrStrict:
      guard let cidr = Addresses.cidr(text) else { return [Addresses.badCIDR] }
      if cidr.masked != cidr.address { return ["must not have bits set beyond the prefix length"] }
      return "\(cidr.address)/\(cidr.length)" == text ? [] : ["must be in canonical form (\"\(cidr.address)/\(cidr.length)\")"]
    case .interfaceAddress:
      guard let cidr = Addresses.cidr(text) else {
        return ["must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"]
      }
      return "\(cidr.address)/\(cidr.length)" == text ? [] : ["must be in canonical form (\"\(cidr.address)/\(cidr.length)\")"]
    case .notIP: return Addresses.parse(text) == nil ? [] : ["must be a DNS name, not an IP address"]
    case .fqdn:
      let name = text.hasSuffix(".") ? String(text.dropLast()) : text
      let messages = DNSNames.subdomain(name)
      if !messages.isEmpty { return messages }
      return name.contains(".") ? [] : ["should be a domain with at least two segments separated by dots"]
    case .fullyQualifiedName:
      let messages = DNSNames.subdomain(text)
      if !messages.isEmpty { return messages }
      return text.split(separator: ".").count >= 3 ? [] : ["should be a domain with at least three segments separated by dots"]
    case .absolutePath, .leadingSlash: return text.hasPrefix("/") ? [] : ["must be an absolute path"]
    case .relativePath: return Paths.relative(text)
    case .localPath:
      let messages = Paths.relative(text)
      if !messages.isEmpty { return messages }
      return text.hasPrefix("..") && !text.hasPrefix("../") ? ["must not start with '..'"] : []
    case .noBacksteps: return Paths.hasBackstep(text) ? ["must not contain '..'"] : []
    case .noSlash: return text.contains("/") ? ["must not contain '/'"] : []
    case .noPadding:
      return text.first?.isWhitespace != false || text.last?.isWhitespace != false ? ["must not be padded with whitespace"] : []
    case .pathSegment: return Paths.segment(text)
    case .domainPrefixedPath: return Paths.domainPrefixed(text)
    case .domainPrefixedKey:
      let messages = LabelNames.key(text.lowercased())
      if !messages.isEmpty { return messages }
      return text.contains("/") ? [] : ["must be a domain-prefixed key (such as \"acme.io/foo\")"]
    case .csiDriverName: return DNSNames.subdomain(text.lowercased())
    case .signerName: return Paths.signerName(text)
    case .clusterTrustBundleName: return DNSNames.subdomain(text.split(separator: ":").last.map(String.init) ?? "")
    case .regexp: return RegularExpression.problem(text).map { [$0] } ?? []
    case .pemCertificates: return PEM.certificates(text)
    case .certificateRequest: return PEM.certificateRequest(text)
    case .dryRun: return text == "All" ? [] : ["supported values: \"All\""]
    case .resourceName: return ResourceNames.name(text)
    case .containerResourceName, .limitResourceName: return ResourceNames.container(text)
    case .podResourceName:
      return text == "cpu" || text == "memory" || text.hasPrefix("hugepages-")
        ? [] : ["supported values: \"cpu\", \"hugepages-\", \"memory\""]
    case .quotaResourceName: return ResourceNames.quota(text)
    case .claimResourceName:
      return LabelNames.key(text)
    case .resourceNameOfContext: return (context ?? .resourceName).check(text)
    case .extendedResourceName:
      return ResourceNames.isExtended(text) ? [] : ["doesn't follow extended resource name standard"]
    case .limitType:
      let messages = LabelNames.key(text)
      if !messages.isEmpty { return messages }
      return text.contains("/") || ["Pod", "Container", "PersistentVolumeClaim"].contains(text)
        ? [] : ["must be a standard limit type or fully qualified"]
    case .kubeFinalizer:
      return text.contains("/") || ["kubernetes", "orphan", "foregroundDeletion"].contains(text)
        ? [] : ["name is neither a standard finalizer name nor is it fully qualified"]
    case .sysctlName: return KeyNames.sysctl(text)
    case .hostPortList:
      let isList = text.split(separator: ",", omittingEmptySubsequences: false).allSatisfy { part in
        guard let colon = part.lastIndex(of: ":") else { return false }
        return colon != part.startIndex && Int(part[part.index(after: colon)...]) != nil
      }
      return isList ? [] : ["must be a host:port pair or multiple pairs separated by commas"]
    case .iscsiName:
      if text.hasPrefix("iqn.") || text.hasPrefix("eui.") || text.hasPrefix("naa.") { return [] }
      return ["must be valid format starting with iqn, eui, or naa"]
    case .cron: return CronExpression.problem(text).map { [$0] } ?? []
    case .timeZone: return KeyNames.timeZone(text)
    case .nodeFeatureName:
      let isName = text.split(separator: "/", omittingEmptySubsequences: false).enumerated().allSatisfy { i, part in
        guard let first = part.utf8.first, i == 0 ? first &- 65 < 26 : first.isLetter else { return false }
        return part.utf8.allSatisfy(\.isAlphanumeric)
      }
      return isName && text.utf8.count <= 253
        ? [] : [regexMessage("a feature's name must be of letters and digits", "[A-Z][a-zA-Z0-9]*(/[a-zA-Z][a-zA-Z0-9]*)*")]
    case .leaseStrategy:
      if text == "OldestEmulationVersion" { return [] }
      return text.contains("/")
        ? LabelNames.key(text)
        : ["must be a fully qualified name (such as \"acme.io/foo\") or one of the known strategies: OldestEmulationVersion"]
    case .poolName:
      if text.utf8.count > 253 { return ["must be no more than 253 characters"] }
      return text.split(separator: "/", omittingEmptySubsequences: false).flatMap { DNSNames.subdomain(String($0)) }
    case .windowsUserName: return WindowsUserName.problems(text)
    case .groupVersion:
      let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
      if parts.count == 1 { return parts[0].isEmpty ? ["version must be specified"] : DNSNames.label1035(parts[0]) }
      guard parts.count == 2 else { return ["unexpected GroupVersion string: \(text)"] }
      return (parts[0].isEmpty ? [] : DNSNames.subdomain(parts[0])) + DNSNames.label1035(parts[1])
    case .webhookURL: return Paths.webhookURL(text)
    case .webhookPath: return Paths.webhookPath(text)
    case .nonResourceURL: return Paths.nonResourceURL(text)
    case .simpleJSONPath: return text.hasPrefix(".") ? [] : ["must be a simple json path starting with ."]
    case .jsonObject: return (try? Value(json: text))?.object != nil ? [] : ["must be a valid JSON object"]
    case .resourceQualifiedName:
      let name = text.split(separator: "/", maxSplits: 1).last.map(String.init) ?? ""
      return RuleFormat.cIdentifier.check(name)
    case .resourceFullyQualifiedName:
      return text.contains("/") ? [] : ["a fully qualified name must be a domain and a name separated by a slash"]
    case .semver:
      let core = text.split(whereSeparator: { $0 == "-" || $0 == "+" }).first?.split(separator: ".") ?? []
      return core.count == 3 && core.allSatisfy { Int($0) != nil && ($0 == "0" || !$0.hasPrefix("0")) }
        ? [] : ["must be a string compatible with semver.org spec 2.0.0"]
    case .uuid:
      let groups = text.split(separator: "-", omittingEmptySubsequences: false)
      let isHex = { (part: Substring) in part.utf8.allSatisfy { $0.isDigit || $0 >= 97 && $0 <= 102 } }
      return groups.map(\.count) == [8, 4, 4, 4, 12] && groups.allSatisfy(isHex)
        ? []
        : [
          "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters"
        ]
    }
  }

  /// A name that a suffix will follow: its trailing dash, with the character before it, stands for one letter.
  static func withoutTrailingDash(_ text: String) -> String {
    text.count > 1 && text.hasSuffix("-") ? String(text.dropLast(2)) + "a" : text
  }

  private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
    case .spaceSeparator: scalar == " "
    default: true
    }
  }
}

/// What upstream says where a regular expression does not match.
func regexMessage(_ text: String, _ pattern: String, _ examples: [String] = []) -> String {
  if examples.isEmpty { return "\(text) (regex used for validation is '\(pattern)')" }
  let shown = examples.map { "'\($0)', " }.joined(separator: " or ")
  return "\(text) (e.g. \(shown)regex used for validation is '\(pattern)')"
}

extension UInt8 {
  var isDigit: Bool { self &- 48 < 10 }
  var isLower: Bool { self &- 97 < 26 }
  var isLetter: Bool { (self | 32) &- 97 < 26 }
  var isAlphanumeric: Bool { isDigit || isLetter }
}

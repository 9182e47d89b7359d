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
    let isFine =
      text.contains("/")
      ? text.contains("kubernetes.io/") || isExtended(text)
      : ["cpu", "memory", "ephemeral-storage"].contains(text) || text.hasPrefix("hugepages-")
    if isFine { return name(text) }
    return name(text)
      + [text.contains("/") ? "doesn't follow extended resource name standard" : "must be a standard resource for containers"]
  }

  static func quota(_ text: String) -> [String] {
    name(text)
      + (text.contains("/") || standard.contains(text) && text != "storage" || isHugePages(text)
        ? [] : ["must be a standard resource for quota"])
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

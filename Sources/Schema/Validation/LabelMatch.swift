import Wire

/// Whether labels are selected: a map of labels, or matchLabels and matchExpressions.
enum LabelMatch {
  static func matches(_ selector: Value, labels: Value) -> Bool {
    guard case .object(let members) = selector else { return false }
    let isSelector = members.members.contains { $0.key == "matchLabels" || $0.key == "matchExpressions" }
    let index = ObjectIndex(labels.object ?? Object())
    let exact = isSelector ? selector["matchLabels"].object ?? Object() : members
    guard exact.members.allSatisfy({ index[$0.key]?.string == $0.value.string && $0.value.string != nil }) else { return false }
    guard isSelector else { return true }
    return (selector["matchExpressions"].array ?? []).allSatisfy { expression in
      let found = index[expression["key"].string ?? ""] ?? .null
      let values = expression["values"].array ?? []
      return switch expression["operator"].string {
      case "In": values.contains(found)
      case "NotIn": !values.contains(found)
      case "Exists": !found.isNull
      case "DoesNotExist": found.isNull
      default: false
      }
    }
  }
}

/// JSON merge patch, RFC 7386: objects merge member by member, `null` removes, everything else replaces.
package enum MergePatch {
  /// - Throws: ``PatchError`` where the patch is no object: Kubernetes patches whole objects only.
  package static func apply(_ patch: Value, to target: Value) throws(PatchError) -> Value {
    guard case .object(let members) = patch else {
      throw PatchError(.malformed, "error decoding patch: json: cannot unmarshal a value that is no object into a merge patch")
    }
    return merged(members, into: target)
  }

  private static func merged(_ patch: Object, into target: Value) -> Value {
    var result = ObjectEditor(target.object ?? Object())
    for member in patch.members {
      switch member.value {
      case .null: result[member.key] = nil
      case .object(let inner): result[member.key] = merged(inner, into: result[member.key] ?? .null)
      default: result[member.key] = member.value
      }
    }
    return .object(result.object)
  }
}

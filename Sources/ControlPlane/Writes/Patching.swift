import Cache
import Client
import Schema
import Wire

extension ControlPlane {
  /// The answer to every server-side apply.
  package static let applyIsMissing = APIError(
    .unsupportedMediaType,
    "server-side apply is not served yet: use client-side apply (kubectl apply without --server-side; helm --server-side=false)")

  /// The object that a patch makes of the current one: merged, then decoded like a body.
  func patched(_ current: Value, _ patch: Patch, _ context: inout WriteContext) throws(APIError) -> Value {
    let kind = context.kind
    var target = current
    schema.convert(&target, from: schema.storageKind(of: kind), to: kind)
    var merged: Value
    do throws(PatchError) {
      switch patch.kind {
      case .json:
        target["kind"] = .string(kind.kind)
        target["apiVersion"] = .string(kind.apiVersion)
        merged = try JSONPatch.apply(patch.body, to: target)
      case .merge: merged = try MergePatch.apply(patch.body, to: target)
      case .strategic: merged = try schema.strategicMerge(patch.body, into: target, type: kind.type)
      case .apply: throw PatchError(.malformed, "an apply patch is no merge")
      }
    } catch { throw Self.failure(error, patch, context) }
    guard case .object = merged else { throw .badRequest("the patch leaves no object") }
    for (field, own) in [("kind", kind.kind), ("apiVersion", kind.apiVersion)] {
      guard let other = merged[field].string, other != own else { continue }
      throw Self.undecodable(patch, "the patch changes \(field) from \(own) to \(other)")
    }
    context.warnings += try check(&merged, madeBy: patch, type: kind.type, validation: context.request.options.fieldValidation)
    Conversion.write(&merged, from: kind, table: schema)
    return merged
  }

  /// Sees that what a patch made is of the type, as a body would have to be; what the type does not know is taken out.
  /// - Parameter validation: `Strict`, `Warn` or `Ignore`.
  /// - Returns: what the client is warned of.
  package func check(
    _ merged: inout Value, madeBy patch: Patch, type: TypeID, validation: String
  ) throws(APIError) -> [String] {
    let findings: [String]
    do throws(DecodeError) { findings = try schema.prune(&merged, type: type) } catch {
      throw Self.undecodable(patch, error.message)
    }
    if validation == "Strict", !findings.isEmpty {
      throw Self.undecodable(patch, "strict decoding error: \(findings.joined(separator: ", "))")
    }
    return validation == "Warn" ? findings : []
  }

  /// What a patch made is no object of the kind. The patch itself is shown, never the object: who may patch need not be allowed to read.
  private static func undecodable(_ patch: Patch, _ why: String) -> APIError {
    let message = "Invalid value: \"\(GoText.of(patch.body))\": \(why)"
    var refusal = APIError(.invalid, " \"\" is invalid: patch: \(message)")
    refusal.causes = [.init(reason: "FieldValueInvalid", message: message, field: "patch")]
    return refusal
  }

  private static func failure(_ error: PatchError, _ patch: Patch, _ context: WriteContext) -> APIError {
    // As upstream: nothing but the sentence, which clients show as it is.
    if error.kind == .inapplicable { return APIError(.invalid, error.message) }
    var refusal =
      error.kind == .tooLarge
      ? APIError(.requestEntityTooLarge, error.message)
      : error.kind == .malformed ? .badRequest(error.message) : APIError(.invalid, error.message)
    refusal.name = context.request.key.name
    refusal.group = context.kind.gvr.group
    refusal.kind = context.kind.gvr.resource
    return refusal
  }
}

/// A value as Go prints one (`%+v`): `map[a:1 b:[x y]]`.
private enum GoText {
  static func of(_ value: Value) -> String {
    switch value {
    case .null: "<nil>"
    case .string(let text): text
    case .array(let elements): "[\(elements.map(of).joined(separator: " "))]"
    case .object(let object):
      "map[\(object.members.sorted { $0.key < $1.key }.map { "\($0.key):\(of($0.value))" }.joined(separator: " "))]"
    default: value.json
    }
  }
}

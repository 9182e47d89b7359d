import Client
import Schema
import SwiftASN1
import Wire
import X509

/// Who may have, approve and sign which certificates.
///
/// Source: upstream's admission CertificateSubjectRestriction, CertificateApproval and CertificateSigning.
enum CertificateAdmission {
  static func admit(_ object: Value, old: Value?, _ context: WriteContext) throws(APIError) {
    guard context.kind.typeName == "certificates/v1.CertificateSigningRequest" else { return }
    let signer = (old ?? object)["spec"]["signerName"].string ?? ""
    switch context.request.subresource {
    case nil where old == nil:
      // A user's certificate cannot be taken back, so none makes its holder all-powerful.
      guard signer == CertificateSigner.signerName, groups(object["spec"]).contains("system:masters") else { return }
      throw refusal("use of \(signer) signer with system:masters group is not allowed", object, context)
    case "approval": try check("approve", signer, object, context)
    case "status":
      let isSame = ["certificate", "conditions"].allSatisfy { object["status"][$0] == (old ?? .null)["status"][$0] }
      if !isSame { try check("sign", signer, object, context) }
    default: break
    }
  }

  private static func check(_ verb: String, _ signer: String, _ object: Value, _ context: WriteContext) throws(APIError) {
    // `kubernetes.io/*` stands for every signer of a domain.
    for name in [signer, signer.prefix { $0 != "/" } + "/*"] {
      let attributes = RequestAttributes(
        user: context.request.identity, verb: verb, group: "certificates.k8s.io", resource: "signers", name: name)
      if context.controlPlane.decide(attributes).isAllowed { return }
    }
    throw refusal("user not permitted to \(verb) requests with signerName \"\(signer)\"", object, context)
  }

  private static func refusal(_ why: String, _ object: Value, _ context: WriteContext) -> APIError {
    let resource = context.kind.gvr.groupResource
    let name = context.objectName(object)
    return APIError(.forbidden, resource, name, "\(resource) \"\(name)\" is forbidden: \(why)")
  }

  /// The organizations of a request's subject: a client's groups.
  private static func groups(_ spec: Value) -> [String] {
    guard let bytes = Base64.decode(spec["request"].string ?? ""),
      let request = try? CertificateSigningRequest(pemEncoded: String(decoding: bytes, as: UTF8.self))
    else { return [] }
    return request.subject.flatMap { $0 }.filter { $0.type == .RDNAttributeType.organizationName }.compactMap { String($0.value) }
  }
}

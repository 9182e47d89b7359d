import Cache
import Client
import Logging
import Schema
import SwiftASN1
import Wire
import X509

/// Signs approved certificate requests of users (`kubernetes.io/kube-apiserver-client`).
///
/// In: requests in the cache that are approved and have no certificate. Out: `status.certificate`, or a condition that says why not.
/// Never: approves anything, or signs for another signer.
struct CertificateSigner: Sendable {
  static let signerName = "kubernetes.io/kube-apiserver-client"
  /// Seconds; what a request may ask for at most, and gets when it asks for nothing.
  static let lifetime: Int64 = 365 * 86400
  private static let requests = GroupVersionResource(
    group: "certificates.k8s.io", version: "v1", resource: "certificatesigningrequests")

  let authority: CertificateAuthority
  let client: any Client
  let logger: Logger

  /// Runs until the task is cancelled.
  func run() async {
    while !Task.isCancelled {
      let options = ListOptions(fieldSelector: "spec.signerName=\(Self.signerName)", sendInitialEvents: true)
      do throws(APIError) {
        for await batch in try await client.watch(Self.requests, namespace: "", options) {
          for event in batch {
            switch event {
            case .added(let object), .modified(let object): try await consider(object)
            default: break
            }
          }
        }
      } catch { logger.warning("certificate requests are looked at again in 10 s", metadata: ["error": "\(error.message)"]) }
      guard (try? await Task.sleep(for: .seconds(10))) != nil else { return }
    }
  }

  /// - Throws: where the answer could not be written: everything is looked at again.
  private func consider(_ object: EncodedObject) async throws(APIError) {
    let request = object.value
    let conditions = (request["status"]["conditions"].array ?? []).compactMap { $0["type"].string }
    guard conditions.contains("Approved"), !conditions.contains("Denied"), !conditions.contains("Failed"),
      request["status"]["certificate"].string?.isEmpty != false
    else { return }
    var status = request["status"]
    do throws(Refusal) {
      status["certificate"] = .string(Base64.encode(Array(try sign(request["spec"]).utf8)))
    } catch {
      status["conditions"].append([
        "type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": .string(error.why),
      ])
    }
    var signed = request
    signed["status"] = status
    do throws(APIError) {
      _ = try await client.update(
        Self.requests, object.key, subresource: "status", body: signed, WriteOptions(fieldManager: "kube-controller-manager"))
    } catch {
      // A newer state of the request comes by the watch.
      if error.reason != .conflict, error.reason != .notFound { throw error }
    }
  }

  struct Refusal: Error, Equatable {
    var why: String
  }

  /// The certificate, in PEM, that a request's spec asks for. Source: upstream's signer for API server clients.
  func sign(_ spec: Value) throws(Refusal) -> String {
    let usages = Set((spec["usages"].array ?? []).compactMap(\.string))
    guard usages.contains("client auth"), usages.isSubset(of: ["client auth", "digital signature", "key encipherment"]) else {
      throw Refusal(why: "usages must be \"client auth\", and beside it at most \"digital signature\" and \"key encipherment\"")
    }
    guard let bytes = Base64.decode(spec["request"].string ?? ""),
      let request = try? CertificateSigningRequest(pemEncoded: String(decoding: bytes, as: UTF8.self))
    else { throw Refusal(why: "spec.request is no certificate request in PEM") }
    guard request.publicKey.isValidSignature(request.signature, for: request) else {
      throw Refusal(why: "the request is not signed by its own key")
    }
    let asked = spec["expirationSeconds"].int ?? Self.lifetime
    do { return try authority.client(subject: request.subject, key: request.publicKey, seconds: min(asked, Self.lifetime)) } catch {
      throw Refusal(why: "\(error)")
    }
  }
}

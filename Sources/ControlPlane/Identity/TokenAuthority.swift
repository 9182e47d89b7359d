import Cache
import Client
import Crypto
import Schema
import Store
import Synchronization
import Wire

/// Issues and checks service-account tokens: ES256 JWTs, bound to what they were issued for.
///
/// The keys are a list in the store; the newest signs, all verify. So a second server, a backup and a rotation just work.
final class TokenAuthority: Sendable {
  private struct Key: Sendable {
    var id: String
    var key: P256.Signing.PrivateKey
  }

  private static let rememberedTokens = 1024

  private let keys: [Key]
  private let verified = Mutex<[String: Value]>([:])
  let issuer: String
  private let clock: Clock

  init(store: any StoreEngine, sealer: Sealer, issuer: String, clock: Clock) throws {
    self.issuer = issuer
    self.clock = clock
    let blob = try sealer.blob("service-account-keys", in: store) {
      Value.array([.string(P256.Signing.PrivateKey().pemRepresentation)]).jsonBytes
    }
    let texts = (try Value(json: blob).array ?? []).compactMap(\.string)
    keys = try texts.map { text in
      let key = try P256.Signing.PrivateKey(pemRepresentation: text)
      let digest = SHA256.hash(data: key.publicKey.derRepresentation)
      return Key(id: Base64URL.encode(Array(digest)), key: key)
    }
  }

  struct Claims {
    var namespace: String
    var account: String
    var accountUID: String
    var audiences: [String]
    var expirationSeconds: Int64
    /// `pod` or `secret` or `node` with name and uid.
    var bound: (kind: String, name: String, uid: String)?
    var node: (name: String, uid: String)?
  }

  /// - Returns: the token and when it ends.
  func issue(_ claims: Claims) throws(APIError) -> (token: String, expires: Timestamp) {
    let now = clock.now().seconds
    let expires = now + claims.expirationSeconds
    var kubernetes: Value = [
      "namespace": .string(claims.namespace),
      "serviceaccount": ["name": .string(claims.account), "uid": .string(claims.accountUID)],
    ]
    if let bound = claims.bound { kubernetes[bound.kind] = ["name": .string(bound.name), "uid": .string(bound.uid)] }
    if let node = claims.node { kubernetes["node"] = ["name": .string(node.name), "uid": .string(node.uid)] }
    let payload: Value = [
      "aud": .array(claims.audiences.map { .string($0) }), "exp": .int(expires), "iat": .int(now), "iss": .string(issuer),
      "jti": .string(clock.uuid()),
      "kubernetes.io": kubernetes, "nbf": .int(now), "sub": .string("system:serviceaccount:\(claims.namespace):\(claims.account)"),
    ]
    return (try sign(payload), Timestamp(seconds: expires))
  }

  private func sign(_ payload: Value) throws(APIError) -> String {
    guard let key = keys.last else { throw .internalError("there is no service account key") }
    let header: Value = ["alg": "ES256", "kid": .string(key.id)]
    let signed = "\(Base64URL.encode(header.jsonBytes)).\(Base64URL.encode(payload.jsonBytes))"
    do {
      let signature = try key.key.signature(for: Array(signed.utf8))
      return "\(signed).\(Base64URL.encode(Array(signature.rawRepresentation)))"
    } catch { throw .internalError("cannot sign a token: \(error)") }
  }

  // MARK: Tokens in secrets

  /// Who issued a token without an end: upstream's word, which clients look for.
  private static let unendingIssuer = "kubernetes/serviceaccount"
  private static let unendingClaims = "kubernetes.io/serviceaccount"

  /// A token without an end that counts while its secret holds it.
  func issueUnending(namespace: String, account: String, accountUID: String, secret: String) throws(APIError) -> String {
    try sign([
      "iss": .string(Self.unendingIssuer), "\(Self.unendingClaims)/namespace": .string(namespace),
      "\(Self.unendingClaims)/secret.name": .string(secret), "\(Self.unendingClaims)/service-account.name": .string(account),
      "\(Self.unendingClaims)/service-account.uid": .string(accountUID),
      "sub": .string("system:serviceaccount:\(namespace):\(account)"),
    ])
  }

  /// - Returns: what a token without an end names, where this cluster signed it.
  func verifyUnending(_ token: String) -> (account: ObjectKey, accountUID: String, secret: ObjectKey)? {
    guard let payload = signed(token), payload["iss"].string == Self.unendingIssuer else { return nil }
    func claim(_ name: String) -> String { payload["\(Self.unendingClaims)/\(name)"].string ?? "" }
    let namespace = claim("namespace")
    return (
      ObjectKey(namespace: namespace, name: claim("service-account.name")), claim("service-account.uid"),
      ObjectKey(namespace: namespace, name: claim("secret.name"))
    )
  }

  /// - Returns: the payload of a token that this cluster signed, that is valid now and meant for one of the audiences; nil otherwise.
  func verify(_ token: String, audiences: [String]) -> Value? {
    guard let payload = signed(token) else { return nil }
    let now = clock.now().seconds
    guard payload["iss"].string == issuer, (payload["exp"].int ?? 0) > now, (payload["nbf"].int ?? 0) <= now + 60 else {
      return nil
    }
    let meant = (payload["aud"].array ?? []).compactMap(\.string)
    return meant.contains { audiences.contains($0) } ? payload : nil
  }

  /// The payload of a token that one of the keys signed. A signature costs about 100 µs, so the last ones found good are remembered.
  private func signed(_ token: String) -> Value? {
    if let known = verified.withLock({ $0[token] }) { return known }
    guard let payload = checked(token) else { return nil }
    verified.withLock { verified in
      if verified.count >= Self.rememberedTokens { verified.removeAll(keepingCapacity: true) }
      verified[token] = payload
    }
    return payload
  }

  private func checked(_ token: String) -> Value? {
    let parts = token.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, token.utf8.count < 16 << 10, let header = Base64URL.decode(parts[0]).flatMap({ try? Value(json: $0) }),
      header["alg"].string == "ES256",
      let payload = Base64URL.decode(parts[1]).flatMap({ try? Value(json: $0) }), let raw = Base64URL.decode(parts[2]),
      let signature = try? P256.Signing.ECDSASignature(rawRepresentation: raw)
    else { return nil }
    let signed = Array("\(parts[0]).\(parts[1])".utf8)
    let wanted = header["kid"].string
    let isSigned = keys.contains { (wanted == nil || wanted == $0.id) && $0.key.publicKey.isValidSignature(signature, for: signed) }
    return isSigned ? payload : nil
  }

  /// The public keys as a JWK set.
  var keySet: Value {
    let list = keys.map { key -> Value in
      let point = Array(key.key.publicKey.rawRepresentation)
      return [
        "use": "sig", "kty": "EC", "kid": .string(key.id), "crv": "P-256", "alg": "ES256",
        "x": .string(Base64URL.encode(Array(point.prefix(32)))),
        "y": .string(Base64URL.encode(Array(point.suffix(32)))),
      ]
    }
    return ["keys": .array(list)]
  }

  /// The OIDC discovery document.
  var discovery: Value {
    [
      "issuer": .string(issuer), "jwks_uri": .string("\(issuer)/openid/v1/jwks"), "response_types_supported": ["id_token"],
      "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
    ]
  }
}

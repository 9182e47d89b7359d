import Crypto
import FoundationEssentials
import Store
import SwiftASN1
import Wire
import X509

/// The cluster's own certificate authorities and what they sign. Keys are P-256 and live sealed in the datastore.
///
/// Separate authorities for what servers present, for clients, for front proxies and for nodes: a stolen one opens one door.
package struct CertificateAuthority: Sendable {
  package enum Role: String, Sendable, CaseIterable {
    /// Signs what servers present.
    case server
    /// Signs clients: subject CN is the user, O its groups.
    case client
    /// Signs aggregating proxies.
    case frontProxy = "front-proxy"
    /// Signs what nodes present.
    case node
  }

  package struct Pair: Sendable {
    package var certificatePEM: String
    package var keyPEM: String
    package var expires: Date
  }

  package let role: Role
  package let certificatePEM: String
  private let certificate: Certificate
  private let key: P256.Signing.PrivateKey

  /// The authority of a role: from the datastore, made on first start.
  package init(_ role: Role, store: any StoreEngine, sealer: Sealer) throws {
    self.role = role
    let blob = try sealer.blob("ca-\(role.rawValue)", in: store) {
      let key = P256.Signing.PrivateKey()
      let certificate = try Self.selfSigned(role, key)
      let value: Value = [
        "certificate": .string(try certificate.serializeAsPEM().pemString + "\n"), "key": .string(key.pemRepresentation),
      ]
      return value.jsonBytes
    }
    let value = try Value(json: blob)
    certificatePEM = value["certificate"].string ?? ""
    certificate = try Certificate(pemEncoded: certificatePEM)
    key = try P256.Signing.PrivateKey(pemRepresentation: value["key"].string ?? "")
  }

  private static func selfSigned(_ role: Role, _ key: P256.Signing.PrivateKey) throws -> Certificate {
    let name = try DistinguishedName { CommonName("gantry-\(role.rawValue)-ca") }
    return try Certificate(
      version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey), notValidBefore: Date.now - 3600,
      notValidAfter: Date.now + 3650 * 86400,
      issuer: name, subject: name,
      extensions: Certificate.Extensions {
        Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
        Critical(KeyUsage(digitalSignature: true, keyCertSign: true, cRLSign: true))
        SubjectKeyIdentifier(hash: .init(key.publicKey))
      }, issuerPrivateKey: .init(key))
  }

  private func issue(
    _ name: DistinguishedName, usage: ExtendedKeyUsage, names: [GeneralName], keyPEM: String? = nil, lifetime: TimeInterval
  ) throws -> Pair {
    let own = try keyPEM.map { try P256.Signing.PrivateKey(pemRepresentation: $0) } ?? P256.Signing.PrivateKey()
    let expires = Date.now + lifetime
    let issued = try sign(name, .init(own.publicKey), usage: usage, names: names, expires: expires)
    return Pair(certificatePEM: issued, keyPEM: own.pemRepresentation + "\n", expires: expires)
  }

  /// A certificate in PEM.
  private func sign(
    _ name: DistinguishedName, _ publicKey: Certificate.PublicKey, usage: ExtendedKeyUsage, names: [GeneralName], expires: Date
  ) throws -> String {
    try Certificate(
      version: .v3, serialNumber: .init(), publicKey: publicKey, notValidBefore: Date.now - 3600, notValidAfter: expires,
      issuer: certificate.subject, subject: name,
      extensions: Certificate.Extensions {
        Critical(BasicConstraints.notCertificateAuthority)
        Critical(KeyUsage(digitalSignature: true))
        usage
        AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: certificate.publicKey).keyIdentifier)
        if !names.isEmpty { SubjectAlternativeNames(names) }
      }, issuerPrivateKey: .init(key)
    ).serializeAsPEM().pemString + "\n"
  }

  /// What a server presents.
  /// - Parameters:
  ///   - names: DNS names and IP addresses that clients may have used.
  ///   - lifetime: seconds.
  package func server(_ commonName: String, names: [String], lifetime: TimeInterval = 365 * 86400) throws -> Pair {
    let alternatives = names.map { name -> GeneralName in
      if let bytes = IPAddress(name)?.bytes { return .ipAddress(ASN1OctetString(contentBytes: bytes[...])) }
      return .dnsName(name)
    }
    return try issue(
      try DistinguishedName { CommonName(commonName) }, usage: try ExtendedKeyUsage([.serverAuth]), names: alternatives,
      lifetime: lifetime)
  }

  /// What a client presents: its user name and groups.
  /// - Parameter keyPEM: the client's own key; nil: a new one.
  package func client(
    _ user: String, groups: [String], keyPEM: String? = nil, lifetime: TimeInterval = 365 * 86400
  ) throws -> Pair {
    let name = try DistinguishedName {
      for group in groups { OrganizationName(group) }
      CommonName(user)
    }
    return try issue(name, usage: try ExtendedKeyUsage([.clientAuth]), names: [], keyPEM: keyPEM, lifetime: lifetime)
  }

  /// What a client presents that made its own key: the certificate, in PEM.
  func client(subject: DistinguishedName, key: Certificate.PublicKey, seconds: Int64) throws -> String {
    try sign(subject, key, usage: try ExtendedKeyUsage([.clientAuth]), names: [], expires: Date.now + Double(seconds))
  }

  /// A new private key, in PEM.
  package static func makeKey() -> String { P256.Signing.PrivateKey().pemRepresentation + "\n" }

  /// What a key is known by: the SHA-256 of its public half (SubjectPublicKeyInfo), in hexadecimal.
  package static func keyHash(keyPEM: String) throws -> String {
    keyHash(Certificate.PublicKey(try P256.Signing.PrivateKey(pemRepresentation: keyPEM).publicKey))
  }

  private static func keyHash(_ key: Certificate.PublicKey) -> String {
    SHA256.hash(data: Array(key.subjectPublicKeyInfoBytes)).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }

  /// User and groups of a client certificate that TLS has verified.
  /// - Parameter der: the leaf.
  package static func identity(der: [UInt8]) -> (name: String, groups: [String], keyHash: String)? {
    guard let certificate = try? Certificate(derEncoded: der) else { return nil }
    var name = ""
    var groups: [String] = []
    for relative in certificate.subject {
      for attribute in relative {
        guard let text = String(attribute.value) else { continue }
        if attribute.type == .RDNAttributeType.commonName { name = text }
        if attribute.type == .RDNAttributeType.organizationName { groups.append(text) }
      }
    }
    return name.isEmpty ? nil : (name, groups, keyHash(certificate.publicKey))
  }
}

/// The kubeconfig of an administrator.
package enum Kubeconfig {
  package static func text(server: String, caPEM: String, client: CertificateAuthority.Pair, user: String = "admin") -> String {
    func encoded(_ text: String) -> String { Base64.encode(text.utf8) }
    return """
      apiVersion: v1
      kind: Config
      clusters:
      - name: gantry
        cluster:
          server: \(server)
          certificate-authority-data: \(encoded(caPEM))
      users:
      - name: \(user)
        user:
          client-certificate-data: \(encoded(client.certificatePEM))
          client-key-data: \(encoded(client.keyPEM))
      contexts:
      - name: gantry
        context:
          cluster: gantry
          user: \(user)
      current-context: gantry

      """
  }
}

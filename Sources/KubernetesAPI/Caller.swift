import Client
import ControlPlane
import HTTP
import Wire

/// Who calls, from the connection's certificate and the request's head.
enum Caller {
  /// What a connection's certificate says, read once a connection.
  private struct CertificateSubject: Sendable {
    var name: String
    var groups: [String]
    var keyHash: String
  }

  /// - Throws: `.unauthorized`, and `.forbidden` for an impersonation that is not allowed.
  static func identify(_ head: RequestHead, _ controlPlane: ControlPlane) throws(APIError) -> Identity {
    var input = AuthenticationInput()
    if let subject = certificate(head.connection) { input.certificate = (subject.name, subject.groups, subject.keyHash) }
    if let authorization = head.fields["authorization"] {
      let parts = authorization.split(separator: " ", maxSplits: 1)
      if parts.count == 2, parts[0].lowercased() == "bearer" { input.bearerToken = String(parts[1]).trimmed }
    }
    // A certificate comes first, as upstream's union of authenticators has it.
    if input.certificate == nil, input.bearerToken == nil, let token = webSocketToken(head) { input.bearerToken = token }
    input.impersonation = try impersonation(head)
    return try controlPlane.authenticate(input)
  }

  private static func certificate(_ connection: Connection) -> CertificateSubject? {
    if let known = connection.attachment as? CertificateSubject { return known }
    guard let der = connection.peerCertificate, let found = CertificateAuthority.identity(der: der) else { return nil }
    let subject = CertificateSubject(name: found.name, groups: found.groups, keyHash: found.keyHash)
    connection.attachment = subject
    return subject
  }

  /// Browsers cannot set headers on a WebSocket: the token comes as a subprotocol `base64url.bearer.authorization.k8s.io.TOKEN`.
  private static func webSocketToken(_ head: RequestHead) -> String? {
    guard head.upgrade == "websocket" else { return nil }
    let prefix = "base64url.bearer.authorization.k8s.io."
    guard let offered = WebSocketProtocols.offered(head).first(where: { $0.hasPrefix(prefix) }) else { return nil }
    return Base64URL.decode(offered.dropFirst(prefix.count)).flatMap { String(validating: $0, as: UTF8.self) }
  }

  private static func impersonation(_ head: RequestHead) throws(APIError) -> Identity? {
    let groups = head.fields.all("impersonate-group")
    let uid = head.fields["impersonate-uid"] ?? ""
    guard let user = head.fields["impersonate-user"], !user.isEmpty else {
      if !groups.isEmpty || !uid.isEmpty {
        throw .badRequest("requested impersonation of groups or uid without impersonating a user")
      }
      return nil
    }
    var extra: [String: [String]] = [:]
    head.fields.forEach { name, value in
      let lower = name.lowercased()
      guard lower.hasPrefix("impersonate-extra-") else { return }
      let key = lower.dropFirst("impersonate-extra-".count)
      extra[Query.decode(key, plusIsSpace: false) ?? String(key), default: []].append(value)
    }
    return Identity(name: user, uid: uid, groups: groups, extra: extra)
  }
}

extension String {
  var trimmed: String {
    var text = self[...]
    while text.first == " " || text.first == "\t" { text.removeFirst() }
    while text.last == " " || text.last == "\t" { text.removeLast() }
    return String(text)
  }
}

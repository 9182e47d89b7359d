import Client
import ControlPlane
import Crypto
import Glibc
import HTTP
import Logging
import NIOCore
import NIOPosix
import Schema
import Wire

/// `/v2/`: the OCI distribution API. One small function an endpoint in RegistryEndpoints.swift.
///
/// Who calls is authenticated and authorized like everybody else: non-resource rules over `/v2/…` with the verbs get, head, put, post,
/// patch and delete. Nodes may pull.
package struct RegistryHandler: HTTPHandler {
  let controlPlane: ControlPlane
  let storage: RegistryStorage
  let logger: Logger
  /// Files block; the event loops must not.
  let threads: NIOThreadPool

  /// - Parameter directory: where blobs live; made where it is missing.
  package init(controlPlane: ControlPlane, directory: String, logger: Logger = Logger(label: "gantry.registry"))
    throws(RegistryError)
  {
    self.controlPlane = controlPlane
    storage = try RegistryStorage(directory: directory)
    self.logger = logger
    threads = .singleton
  }

  /// The largest blob, in bytes.
  private static let blobLimit = 64 << 30

  /// Who calls is known and allowed before a byte of a body is taken.
  package func policy(for head: RequestHead) -> RequestPolicy {
    let identity: Identity
    do throws(RegistryError) { identity = try authorize(head) } catch {
      return RequestPolicy { $0.respond(Self.response(error)) }
    }
    let body: RequestPolicy.Body =
      switch (head.method, head.path.contains("/blobs/uploads/")) {
      case ("POST", true), ("PATCH", true), ("PUT", true): .streamed(limit: Self.blobLimit)
      case ("PUT", false): .buffered(limit: RegistryLimits.manifestBytes)
      default: .ignored
      }
    // A large blob takes as long as it takes: the pause between its pieces is what is bounded.
    return RequestPolicy(body: body, isLongLived: head.path.contains("/blobs/")) { exchange in
      Task { await answer(exchange, identity) }
    }
  }

  /// Frees what nobody needs any more, at once and then daily, until the task is cancelled.
  package func run() async {
    let storage = storage
    _ = try? await threads.runIfActive { storage.removeLeftovers() }
    repeat {
      let garbage = try? await threads.runIfActive { storage.collectGarbage(now: time(nil)) }
      if let garbage, garbage != .init() {
        logger.info(
          "garbage collected",
          metadata: ["blobs": "\(garbage.blobs)", "bytes": "\(garbage.bytes)", "uploads": "\(garbage.uploads)"])
      }
    } while (try? await Task.sleep(for: .seconds(24 * 3600), tolerance: .seconds(600))) != nil
  }

  package func refusal(_ refusal: HTTPRefusal, for head: RequestHead) -> HTTPResponse {
    let code: RegistryError.Code = if case .bodyTooLarge = refusal { .sizeInvalid } else { .unsupported }
    return Self.response(RegistryError(code, refusal.description, status: refusal.status))
  }

  private func answer(_ exchange: Exchange, _ identity: Identity) async {
    var response: HTTPResponse?
    do {
      response = try await respond(to: try RegistryCall(exchange.head), exchange, identity)
    } catch let error as RegistryError {
      response = Self.response(error)
    } catch let error as HTTPBodyError {
      response = Self.response(RegistryError(.blobUploadInvalid, "\(error)"))
    } catch {
      logger.error("registry request failed", metadata: ["path": "\(exchange.head.path)", "error": "\(error)"])
      response = Self.response(RegistryError(.unavailable, "\(error)", status: 500))
    }
    guard let response else { return }
    // What a push or a deletion leaves behind is on record before it is answered; its chunks are not.
    if ["PUT", "DELETE"].contains(exchange.head.method) {
      controlPlane.record(
        RequestAttributes(user: identity, verb: exchange.head.method.lowercased(), path: exchange.head.path), code: response.status)
    }
    exchange.respond(response)
  }

  static func response(_ error: RegistryError) -> HTTPResponse {
    let body: Value = ["errors": [["code": .string(error.code.rawValue), "message": .string(error.message)]]]
    let headers = error.status == 401 ? [("www-authenticate", "Basic realm=\"gantry\"")] : []
    return HTTPResponse(
      error.status, headers: headers + [("docker-distribution-api-version", "registry/2.0")], type: "application/json",
      body.jsonBytes)
  }

  // MARK: Who

  /// Whether a caller who may push here may also read a blob there: else a mount would give it away.
  func mayRead(_ digest: Digest, of source: Repository, _ identity: Identity) -> Bool {
    controlPlane.decide(RequestAttributes(user: identity, verb: "get", path: "/v2/\(source)/blobs/\(digest)")).isAllowed
  }

  private func authorize(_ head: RequestHead) throws(RegistryError) -> Identity {
    var input = AuthenticationInput()
    input.certificate = Self.subject(of: head.connection)
    if let header = head.fields["authorization"] { input.bearerToken = Self.token(header) }
    let identity: Identity
    do throws(APIError) { identity = try controlPlane.authenticate(input) } catch {
      throw RegistryError(.unauthorized, "the token is not valid")
    }
    let attributes = RequestAttributes(user: identity, verb: head.method.lowercased(), path: head.path)
    guard controlPlane.decide(attributes).isAllowed else {
      if identity.name == Identity.anonymous.name {
        throw RegistryError(.unauthorized, "authenticate with a client certificate, or with a service account's token as password")
      }
      throw RegistryError(.denied, "user \"\(identity.name)\" cannot \(attributes.verb) path \"\(head.path)\"")
    }
    return identity
  }

  /// Read once a connection.
  private struct CertificateSubject: Sendable {
    var name: String
    var groups: [String]
    var keyHash: String
  }

  private static func subject(of connection: Connection) -> (name: String, groups: [String], keyHash: String)? {
    if let known = connection.attachment as? CertificateSubject { return (known.name, known.groups, known.keyHash) }
    guard let found = connection.peerCertificate.flatMap({ CertificateAuthority.identity(der: $0) }) else { return nil }
    connection.attachment = CertificateSubject(name: found.name, groups: found.groups, keyHash: found.keyHash)
    return found
  }

  /// A bearer token, or the password of basic authentication.
  private static func token(_ header: String) -> String? {
    if header.hasPrefix("Bearer ") { return String(header.dropFirst(7)) }
    guard header.hasPrefix("Basic "), let bytes = Base64.decode(String(header.dropFirst(6))) else { return nil }
    let text = String(decoding: bytes, as: UTF8.self)
    return text.firstIndex(of: ":").map { String(text[text.index(after: $0)...]) }
  }
}

/// One request, understood: which endpoint, which repository, which rest.
struct RegistryCall {
  enum Endpoint {
    case base, catalog
    case tags(Repository)
    case manifest(Repository, Reference)
    case blob(Repository, Digest)
    case startUpload(Repository)
    case upload(Repository, id: String)
    case referrers(Repository, Digest)
  }

  let endpoint: Endpoint
  let method: String
  private let query: [(name: String, value: String)]

  init(_ head: RequestHead) throws(RegistryError) {
    method = head.method
    query = head.query.split(separator: "&").map { part in
      let pair = part.split(separator: "=", maxSplits: 1)
      return (String(pair[0]), pair.count == 2 ? Self.decoded(pair[1]) : "")
    }
    var parts = Self.decoded(head.path[...]).split(separator: "/", omittingEmptySubsequences: false).dropFirst(2).map(String.init)
    if parts.isEmpty || parts == [""] {
      endpoint = .base
      return
    }
    if parts == ["_catalog"] {
      endpoint = .catalog
      return
    }
    guard parts.count >= 3, let last = parts.popLast(), let kind = parts.popLast() else {
      throw RegistryError(.nameInvalid, "there is no \(head.path.prefix(200))", status: 404)
    }
    if kind == "uploads", parts.last == "blobs" {
      parts.removeLast()
      let repository = try Repository(parts.joined(separator: "/"))
      endpoint = last.isEmpty ? .startUpload(repository) : .upload(repository, id: last)
      return
    }
    // A client may leave out the final slash of an upload's start.
    if kind == "blobs", last == "uploads" {
      endpoint = .startUpload(try Repository(parts.joined(separator: "/")))
      return
    }
    let repository = try Repository(parts.joined(separator: "/"))
    switch kind {
    case "tags" where last == "list": endpoint = .tags(repository)
    case "manifests": endpoint = .manifest(repository, try Reference(last))
    case "blobs", "referrers":
      guard let digest = Digest(last) else {
        throw RegistryError(.digestInvalid, "digest \"\(last.prefix(100))\" is not sha256 and 64 hexadecimal digits")
      }
      endpoint = kind == "blobs" ? .blob(repository, digest) : .referrers(repository, digest)
    default: throw RegistryError(.nameInvalid, "there is no \(head.path.prefix(200))", status: 404)
    }
  }

  func parameter(_ name: String) -> String? { query.first { $0.name == name }?.value }

  private static func decoded(_ text: Substring) -> String {
    guard text.utf8.contains(UInt8(ascii: "%")) else { return String(text) }
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), let pair = String(rest.prefix(2)), let value = UInt8(pair, radix: 16), rest.count >= 2 {
        rest = rest.dropFirst(2)
        bytes.append(value)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

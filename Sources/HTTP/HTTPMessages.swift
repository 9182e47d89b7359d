import NIOCore
import NIOHPACK
import NIOHTTP1

/// A request's header fields as they came, in either protocol's own storage: nothing is copied.
package struct HTTPFields: Sendable {
  private enum Storage: Sendable {
    case one(HTTPHeaders)
    case two(HPACKHeaders)
  }
  private let storage: Storage

  init(_ headers: HTTPHeaders) { storage = .one(headers) }
  init(_ headers: HPACKHeaders) { storage = .two(headers) }
  package init(_ pairs: [(String, String)] = []) { storage = .one(HTTPHeaders(pairs)) }

  /// The first field of that name, whatever its case.
  package subscript(name: String) -> String? {
    switch storage {
    case .one(let headers): headers.first(name: name)
    case .two(let headers): headers.first(name: name)
    }
  }

  /// Every field of that name, in order, as sent (not split at commas).
  package func all(_ name: String) -> [String] {
    switch storage {
    case .one(let headers): headers[name]
    case .two(let headers): headers[name]
    }
  }

  /// All fields in order, without HTTP/2's pseudo fields.
  package func forEach(_ body: (_ name: String, _ value: String) -> Void) {
    switch storage {
    case .one(let headers): for (name, value) in headers { body(name, value) }
    case .two(let headers): for (name, value, _) in headers where !name.hasPrefix(":") { body(name, value) }
    }
  }
}

/// A request before its body.
package struct RequestHead: Sendable {
  package enum Version: Sendable { case http1, http2 }

  package let method: String
  /// The target exactly as sent; signatures are computed over it.
  package let target: String
  /// The target up to `?`, still percent-encoded.
  package let path: String
  /// What follows `?`, still percent-encoded; "" where there is none.
  package let query: String
  package let fields: HTTPFields
  package let version: Version
  package let connection: Connection

  package init(method: String, target: String, fields: HTTPFields, version: Version, connection: Connection) {
    self.method = method
    self.target = target
    self.fields = fields
    self.version = version
    self.connection = connection
    let origin = Self.origin(target)
    if let mark = origin.utf8.firstIndex(of: UInt8(ascii: "?")) {
      path = String(origin[..<mark])
      query = String(origin[origin.utf8.index(after: mark)...])
    } else {
      path = String(origin)
      query = ""
    }
  }

  /// A target without scheme and authority, where it has them. Source: RFC 9112, 3.2.2.
  private static func origin(_ target: String) -> Substring {
    guard target.utf8.first != UInt8(ascii: "/") else { return target[...] }
    let lower = target.prefix(8).lowercased()
    guard lower.hasPrefix("http://") || lower.hasPrefix("https://") else { return target[...] }
    let authority = target.dropFirst(lower.hasPrefix("https") ? 8 : 7)
    let rest = authority.drop { $0 != "/" && $0 != "?" }
    return rest.first == "/" ? rest : "/" + rest
  }

  /// True where the client asks to leave HTTP for another protocol.
  package var upgrade: String? {
    guard version == .http1, let upgrade = fields["upgrade"] else { return nil }
    let asked = fields.all("connection").contains { $0.lowercased().contains("upgrade") }
    return asked ? upgrade.lowercased() : nil
  }
}

/// What a route wants to be given, decided from the head alone.
package struct RequestPolicy: Sendable {
  package enum Body: Sendable, Equatable {
    /// The route takes none: what comes is read and dropped.
    case ignored
    /// Collected before the handler runs; one byte more than the limit is answered with 413.
    case buffered(limit: Int)
    /// The handler runs at once and reads ``Exchange/bodyStream`` at its own pace.
    case streamed(limit: Int)
  }

  package var body: Body
  /// Watches, logs and upgrades: no answer deadline, counted apart, ended when the server drains.
  package var isLongLived: Bool
  /// Answered even where the server has as many requests as it takes: health, which says that it lives.
  package var isExempt = false
  /// Runs on the event loop and must not block it.
  package var handle: @Sendable (Exchange) -> Void

  package init(body: Body = .ignored, isLongLived: Bool = false, handle: @escaping @Sendable (Exchange) -> Void) {
    self.body = body
    self.isLongLived = isLongLived
    self.handle = handle
  }
}

/// Answers requests. Both functions run on the connection's event loop.
package protocol HTTPHandler: Sendable {
  func policy(for head: RequestHead) -> RequestPolicy
  /// The answer to a request that was refused below, in the words of this handler's API.
  func refusal(_ refusal: HTTPRefusal, for head: RequestHead) -> HTTPResponse
}

extension HTTPHandler {
  package func refusal(_ refusal: HTTPRefusal, for head: RequestHead) -> HTTPResponse {
    .text(refusal.status, refusal.description, headers: refusal == .tooManyRequests ? [("retry-after", "1")] : [])
  }
}

/// Produces a response body on the event loop, piece by piece, as fast as the client takes it.
package protocol BodyProducer: AnyObject, Sendable {
  /// Appends about `limit` bytes at most, without blocking.
  func produce(into buffer: inout ByteBuffer, limit: Int) -> BodyProgress
  /// The client or the server ended the exchange; nothing more is asked for. Called once unless `.end` was returned.
  func cancel()
}

package enum BodyProgress: Sendable {
  /// There is more at once.
  case more
  /// Nothing now: ask again after ``Exchange/wake()``.
  case idle
  case end
}

package struct HTTPResponse: Sendable {
  package enum Body: Sendable {
    case empty
    case bytes(ByteBuffer)
    case producer(any BodyProducer)
  }

  package var status: Int
  /// Names in lower case.
  package var headers: [(String, String)]
  package var body: Body
  /// A body with more bytes than this goes out in gzip to clients that take it; one that is produced always does. nil: never, as for
  /// everything whose pieces must be seen at once.
  package var compressesFrom: Int?

  package init(_ status: Int, headers: [(String, String)] = [], body: Body = .empty) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  package init(_ status: Int, headers: [(String, String)] = [], type: String, _ bytes: [UInt8]) {
    self.init(status, headers: [("content-type", type)] + headers, body: .bytes(ByteBuffer(bytes: bytes)))
  }

  /// The same answer, which may go out in gzip.
  package func compressing(from bytes: Int) -> HTTPResponse {
    var response = self
    response.compressesFrom = bytes
    return response
  }

  package static func text(_ status: Int, _ text: String, headers: [(String, String)] = []) -> HTTPResponse {
    HTTPResponse(
      status, headers: [("content-type", "text/plain; charset=utf-8"), ("x-content-type-options", "nosniff")] + headers,
      body: .bytes(ByteBuffer(string: text + "\n")))
  }
}

import Glibc

/// Listeners, TLS, HTTP/1.1 and HTTP/2, upgrades, and a client of the same kind. Below every door; knows no API.
///
/// In: bytes from sockets. Out: ``Exchange``s, one a request, given to an ``HTTPHandler`` on the event loop of their connection;
/// the handler answers there and then, or later from anywhere.
/// Never: knows what a path means, buffers more than a route's limit, hops to another thread by itself, or lets the failure of one
/// exchange end another one's.
///
/// Start with ``HTTPServer/start(_:handler:group:)`` and ``HTTPHandler``; ``HTTPClient`` is the other side.
package enum HTTP {
  /// Pieces in which a streamed response is produced, in bytes: enough to fill a TLS socket, small enough that a long list does not
  /// hold up the other exchanges of its loop.
  package static let pieceBytes = 256 << 10
}

/// What a server tolerates. Every number is a bound on what one client can cost.
package struct HTTPLimits: Sendable {
  /// Bytes of one request's head.
  package var headerBytes = 64 << 10
  /// Whole requests that are being answered and are not long-lived; more are refused with 429, but for those of exempt routes.
  package var exchanges = 800
  /// Long-lived exchanges (watches, logs, upgrades).
  package var longLivedExchanges = 200_000
  /// No more than half of the descriptors that this process may have: the rest is for its files, its runtime and its own connections.
  package var connections = min(60_000, HTTPLimits.descriptors / 2)
  /// From one address: nobody keeps everybody else out.
  package var connectionsPerAddress = min(30_000, HTTPLimits.descriptors / 4)
  /// Streams of one HTTP/2 connection. Informers keep hundreds of watches on one.
  package var streamsPerConnection = 4_000
  /// RST_STREAM and control frames of one connection in 30 s. NIO's 200 would end the connection of a client that cancels 200 watches
  /// (measured: spikes/README.md, B); far above what an honest client sends, far below what hurts.
  package var framesPer30Seconds = 50_000
  package var handshakeSeconds = 10
  /// From the first byte of a request (HTTP/1.1: from the connection's last answer or opening) to the end of its head.
  package var headSeconds = 30
  /// Bytes of bodies that are buffered and not whole yet, of all connections; the last quarter is for connections that hold no more than
  /// ``smallBodyBytes``, so that large bodies cannot keep small ones out.
  package var bufferedBytes = 512 << 20
  package var smallBodyBytes = 64 << 10
  /// From the head to the end of a body that is buffered or ignored; and the longest pause inside a streamed one.
  package var bodySeconds = 60
  /// From the end of a request to its answer, unless it is long-lived.
  package var answerSeconds = 60
  /// How long the client of a streamed answer may take nothing of what was written (128 to 512 KB).
  package var writeSeconds = 120
  /// The same for long-lived ones: somebody reads a log page by page.
  package var longLivedWriteSeconds = 1800
  /// How long, and how many bytes of, a body that was refused is dropped before its connection is closed.
  package var lingerSeconds = 5
  package var lingerBytes = 16 << 20
  /// A connection without an exchange.
  package var idleSeconds = 120

  package init() {}

  /// The soft limit is raised to the hard one first, as Go's runtime does: 1,024, as many systems begin with, is for programs that use select.
  private static let descriptors: Int = {
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    var limit = rlimit()
    guard getrlimit(resource, &limit) == 0 else { return 1024 }
    var raised = limit
    raised.rlim_cur = limit.rlim_max
    return Int(clamping: setrlimit(resource, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur)
  }()
}

/// Why a request never reached its route, or was given up.
package enum HTTPRefusal: Sendable, Equatable, CustomStringConvertible {
  case malformed(String)
  case headTooLarge
  case bodyTooLarge(limit: Int)
  case tooManyRequests
  case timeout
  case shuttingDown

  package var description: String {
    switch self {
    case .malformed(let why): "bad request: \(why)"
    case .headTooLarge: "request header fields too large"
    case .bodyTooLarge(let limit): "request body is larger than \(limit) bytes"
    case .tooManyRequests: "too many requests, try again later"
    case .timeout: "the request took too long"
    case .shuttingDown: "the server is shutting down"
    }
  }

  package var status: Int {
    switch self {
    case .malformed: 400
    case .headTooLarge: 431
    case .bodyTooLarge: 413
    case .tooManyRequests: 429
    case .timeout: 504
    case .shuttingDown: 503
    }
  }
}

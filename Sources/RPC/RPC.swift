/// Calls to containerd and etcd: gRPC over HTTP/2, messages by table.
///
/// In: a socket, a method's path, a ``Wire/Value`` (or bytes already encoded).
/// Out: the answer as ``Wire/Value``, a stream of answers, or a ``GRPCError`` with the server's status.
/// Never: retries a call by itself (only the caller knows whether that is safe), trusts a length it is told, knows what a message means.
package enum RPC {
  /// The longest message accepted or sent, in bytes. CRI's own limit is 16 MiB.
  package static let maximumMessage = 64 << 20
}

/// A call's failure, with the status of the gRPC specification.
package struct GRPCError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Status: Int, Sendable {
    case ok = 0
    case cancelled, unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists, permissionDenied, resourceExhausted
    case failedPrecondition, aborted, outOfRange, unimplemented, internalError, unavailable, dataLoss, unauthenticated
  }
  package var status: Status
  package var message: String

  package init(_ status: Status, _ message: String) {
    self.status = status
    self.message = message
  }

  package var description: String { "\(message) (\(status))" }
}

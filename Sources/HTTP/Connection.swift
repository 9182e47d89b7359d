import NIOCore
import Synchronization

/// One client connection, as its exchanges see it.
package final class Connection: Sendable {
  package let remoteAddress: String
  package let isTLS: Bool
  /// The client's certificate, in DER, already verified against the listener's client CAs; nil where it presented none.
  package let peerCertificate: [UInt8]?
  /// Bytes of bodies that are not whole yet.
  let bufferedBytes = Atomic<Int>(0)
  private let attachmentBox = Mutex<(any Sendable)?>(nil)

  package init(remoteAddress: String, isTLS: Bool, peerCertificate: [UInt8]?) {
    self.remoteAddress = remoteAddress
    self.isTLS = isTLS
    self.peerCertificate = peerCertificate
  }

  /// Whatever the handler wants to keep for the connection's life, such as who its certificate says it is.
  package var attachment: (any Sendable)? {
    get { attachmentBox.withLock { $0 } }
    set { attachmentBox.withLock { $0 = newValue } }
  }
}

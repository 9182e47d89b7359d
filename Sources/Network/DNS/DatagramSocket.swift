import Dispatch
import NIOCore
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// A UDP socket that no failing send closes, as it would one of NIO: an answer that cannot be delivered (the pod is gone, its source port
/// was a lie, a firewall refuses) concerns its asker alone.
///
/// In: datagrams, on a queue of the socket's own, one after the other. Out: what is sent, from any thread, without waiting. What cannot be sent
/// is lost, as UDP is.
final class DatagramSocket: Sendable {
  /// Whom a datagram came from or goes to.
  struct Peer: @unchecked Sendable {
    fileprivate var storage = sockaddr_storage()
    fileprivate var length = socklen_t(MemoryLayout<sockaddr_storage>.size)

    fileprivate init() {}

    init(_ address: SocketAddress) {
      length = address.withSockAddr { pointer, size in
        let bytes = UnsafeRawBufferPointer(start: pointer, count: min(size, MemoryLayout<sockaddr_storage>.size))
        withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: bytes) }
        return socklen_t(bytes.count)
      }
    }

    var address: SocketAddress? {
      withUnsafeBytes(of: storage) { bytes in
        switch Int32(storage.ss_family) {
        case AF_INET: SocketAddress(bytes.loadUnaligned(as: sockaddr_in.self))
        case AF_INET6: SocketAddress(bytes.loadUnaligned(as: sockaddr_in6.self))
        default: nil
        }
      }
    }

    fileprivate func withPointer<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
      withUnsafePointer(to: storage) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) } }
    }
  }

  /// The sending half: what those who answer later keep.
  final class Sender: Sendable {
    private let descriptor: Int32
    private let isOpen = Mutex(true)

    fileprivate init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// - Returns: false where the kernel refuses, at once: no route, no such port, a firewall.
    @discardableResult
    func send(_ bytes: [UInt8], to peer: Peer) -> Bool {
      isOpen.withLock { isOpen in
        isOpen
          && peer.withPointer { sendto(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, $1) } == bytes.count
      }
    }

    fileprivate func close() {
      isOpen.withLock { isOpen in
        if isOpen { Glibc.close(descriptor) }
        isOpen = false
      }
    }
  }

  let sender: Sender
  let localAddress: SocketAddress?
  nonisolated(unsafe) private let source: any DispatchSourceRead

  /// - Throws: `IOError` where the address is not this machine's.
  init(bind address: SocketAddress, receive: @escaping @Sendable (Sender, [UInt8], Peer) -> Void) throws {
    let own = Peer(address)
    let kind = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let descriptor = socket(Int32(own.storage.ss_family), kind, 0)
    guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
    guard own.withPointer({ bind(descriptor, $0, $1) }) == 0 else {
      let error = IOError(errnoCode: errno, reason: "bind")
      close(descriptor)
      throw error
    }
    var bound = Peer()
    _ = withUnsafeMutablePointer(to: &bound.storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &bound.length) }
    }
    localAddress = bound.address
    let sender = Sender(descriptor)
    self.sender = sender
    let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: DispatchQueue(label: "gantry.dns"))
    source.setEventHandler { Self.read(descriptor) { receive(sender, $0, $1) } }
    source.setCancelHandler { sender.close() }
    source.resume()
    self.source = source
  }

  deinit { source.cancel() }

  func stop() { source.cancel() }

  /// Everything that has come, at most a few hundred datagrams: then others have their turn.
  private static func read(_ descriptor: Int32, _ receive: ([UInt8], Peer) -> Void) {
    withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 16) { buffer in
      for _ in 0..<256 {
        var peer = Peer()
        let count = withUnsafeMutablePointer(to: &peer.storage) { pointer in
          pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            recvfrom(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT), $0, &peer.length)
          }
        }
        // An error that an earlier send left is read like a datagram; the next is behind it.
        if count < 0, errno == EAGAIN || errno == EBADF { return }
        if count >= 0 { receive(Array(buffer[..<count]), peer) }
      }
    }
  }
}

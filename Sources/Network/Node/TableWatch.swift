import CLinux
import Dispatch

#if canImport(Glibc)
  import Glibc
#endif

/// Tells when an nftables table of this network namespace is gone, as after `nft flush ruleset` (which a restart of the machine's own
/// firewall does): the kernel says so, nobody asks.
package enum TableWatch {
  /// One value for each time that one of the tables went; several in a row may be one. Without the kernel's word (no right to listen)
  /// nothing is ever told. Listening begins with the call and ends with the stream.
  package static func losses(of tables: [String]) -> AsyncStream<Void> {
    let (losses, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let queue = DispatchQueue(label: "gantry.network.tables")
    nonisolated(unsafe) let sources = tables.compactMap { name -> (any DispatchSourceRead)? in
      let socket = gantry_watch_tables()
      guard socket >= 0 else { return nil }
      let source = DispatchSource.makeReadSource(fileDescriptor: socket, queue: queue)
      source.setEventHandler { if gantry_table_went(socket, name) == 1 { continuation.yield() } }
      source.setCancelHandler { close(socket) }
      source.resume()
      return source
    }
    continuation.onTermination = { _ in for source in sources { source.cancel() } }
    return losses
  }
}

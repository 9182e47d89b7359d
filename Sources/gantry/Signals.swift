import CLinux
@preconcurrency import Dispatch
import Glibc

/// Waits for SIGTERM or SIGINT without polling.
enum Signals {
  /// What comes from now on; from now on neither ends the process by itself. Once a process.
  /// - Throws: ``StartFailure`` where the process has no descriptors left.
  static func termination() throws -> AsyncStream<Int32> {
    let pipe = gantry_termination_pipe()
    guard pipe >= 0 else { throw StartFailure("cannot wait for signals: \(String(cString: strerror(errno)))") }
    return AsyncStream { continuation in
      let source = DispatchSource.makeReadSource(fileDescriptor: pipe)
      // The handler keeps its source: it lives as long as the process.
      source.setEventHandler {
        var number: UInt8 = 0
        while withExtendedLifetime(source, { read(pipe, &number, 1) }) == 1 { continuation.yield(Int32(number)) }
      }
      source.resume()
    }
  }
}

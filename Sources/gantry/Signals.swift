@preconcurrency import Dispatch
import Glibc

/// Waits for SIGTERM or SIGINT without polling.
enum Signals {
  /// What comes from now on; from now on neither ends the process by itself.
  static func termination() -> AsyncStream<Int32> {
    AsyncStream { continuation in
      for number in [SIGTERM, SIGINT] {
        signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number)
        // The handler keeps its source: it lives as long as the process.
        source.setEventHandler {
          withExtendedLifetime(source) { _ = continuation.yield(number) }
        }
        source.resume()
      }
    }
  }
}

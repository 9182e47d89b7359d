@preconcurrency import Dispatch
import Glibc

/// Waits for SIGTERM or SIGINT without polling.
enum Signals {
  static func termination() async -> Int32 {
    let stream = AsyncStream<Int32> { continuation in
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
    for await number in stream { return number }
    return SIGTERM
  }
}

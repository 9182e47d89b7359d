import Client
import HTTP
import NIOCore
import Synchronization

/// Why streams could not be opened, for a few seconds.
///
/// kubectl tries a WebSocket first and, when that is refused, SPDY; it shows only what the second said. So the second is refused with the
/// reason of the first. Bounded in number and time; nothing is run again to find the reason.
final class StreamFailures: Sendable {
  private static let limit = 64
  private static let memory = TimeAmount.seconds(10)

  private struct Entry {
    var error: APIError
    var deadline: NIODeadline
  }
  private let entries = Mutex<[String: Entry]>([:])

  private static func key(_ request: Request) -> String { "\(request.identity.name) \(request.head.target)" }

  func remember(_ error: APIError, for request: Request) {
    let now = NIODeadline.now()
    entries.withLock { entries in
      if entries.count >= Self.limit { entries = entries.filter { $0.value.deadline > now } }
      guard entries.count < Self.limit else { return }
      entries[Self.key(request)] = Entry(error: error, deadline: now + Self.memory)
    }
  }

  /// The reason of the same caller's attempt a moment ago; told once.
  func recall(_ request: Request) -> APIError? {
    entries.withLock { entries in
      guard let entry = entries.removeValue(forKey: Self.key(request)), entry.deadline > .now() else { return nil }
      return entry.error
    }
  }
}

import NIOCore
import Synchronization

/// How many of something (connections, queries under way) one client may have at once, and all together: no pod may use up the
/// descriptors of the process that is also API server, scheduler and agent.
final class ClientBudget: Sendable {
  private struct State {
    var all = 0
    var byClient: [String: Int] = [:]
  }
  private let perClient: Int
  private let total: Int
  private let state = Mutex(State())

  init(perClient: Int, total: Int) {
    self.perClient = perClient
    self.total = total
  }

  /// - Parameter client: nil (no address of the Internet) counts as one client.
  /// - Returns: false where there is no more; else ``give(_:)`` is to be called once.
  func take(_ client: SocketAddress?) -> Bool {
    let name = Self.name(client)
    return state.withLock { state in
      guard state.all < total, state.byClient[name, default: 0] < perClient else { return false }
      state.all += 1
      state.byClient[name, default: 0] += 1
      return true
    }
  }

  func give(_ client: SocketAddress?) {
    let name = Self.name(client)
    state.withLock { state in
      state.all -= 1
      state.byClient[name] = state.byClient[name].flatMap { $0 > 1 ? $0 - 1 : nil }
    }
  }

  /// Ports do not count: a client has as many as it wants.
  private static func name(_ client: SocketAddress?) -> String { client?.ipAddress ?? "" }
}

import Synchronization
import Wire

/// The zone shared between the informers that change it and the event loops that answer from it.
///
/// The lock is held for one look-up or one change (microseconds, and as many more as a headless service has endpoints); the
/// loops never wait for anything longer.
package final class DNSZoneStore: Sendable {
  private let zone: Mutex<DNSZone>
  private let isComplete: Atomic<Bool>

  /// - Parameter isComplete: false: until ``complete()`` is called, what the zone does not know is not denied but answered with SERVFAIL, so
  ///   that resolvers ask again instead of remembering that a service does not exist.
  package init(domain: String, nameServer: IPAddress? = nil, isComplete: Bool = true) {
    zone = Mutex(DNSZone(domain: domain, nameServer: nameServer))
    self.isComplete = Atomic(isComplete)
  }

  /// Everything that exists has been told.
  package func complete() { isComplete.store(true, ordering: .releasing) }

  package func update(_ change: (inout DNSZone) -> Void) { zone.withLock { change(&$0) } }

  package func answer(_ question: DNSMessage.Question) -> DNSResponse? {
    let response = zone.withLock { $0.answer(question) }
    guard let response, response.answers.isEmpty, !isComplete.load(ordering: .acquiring) else { return response }
    return DNSResponse(code: .serverFailure, isAuthoritative: false)
  }
}

import Synchronization

/// The zone shared between the informers that change it and the event loops that answer from it.
///
/// The lock is held for one look-up or one change (a microsecond or two); the loops never wait for anything longer.
package final class DNSZoneStore: Sendable {
  private let zone: Mutex<DNSZone>

  package init(domain: String) { zone = Mutex(DNSZone(domain: domain)) }

  package func update(_ change: (inout DNSZone) -> Void) { zone.withLock { change(&$0) } }

  func answer(_ question: DNSMessage.Question) -> DNSResponse? { zone.withLock { $0.answer(question) } }
}

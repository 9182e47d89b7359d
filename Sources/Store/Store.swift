import Wire

/// The revisioned key-value store below everything: compare-and-swap transactions, ranges, a log of events.
///
/// In: transactions of a few keys. Out: revisions, and every change in the order of its revision. An acknowledgement follows the fsync.
/// Never: looks into a value, issues a revision twice, or makes something visible before it is durable.
package protocol StoreEngine: AnyObject, Sendable {
  /// Commits all writes or none.
  /// - Parameter completion: called on the engine's thread after the fsync and after the observer has seen the events.
  func commit(_ transaction: Transaction, completion: @escaping @Sendable (Result<Revision, StoreError>) -> Void)

  /// Every live record, in the order of keys, with the revision they stand for.
  func load() throws(StoreError) -> (records: [StoreRecord], revision: Revision)

  /// Events after a revision, oldest first.
  /// - Throws: ``StoreError/compacted(oldest:)`` where some of them are gone.
  func events(after revision: Revision, limit: Int) throws(StoreError) -> [StoreEvent]

  /// The last bytes of something deleted, or nil where there are none (any more).
  func history(uid: String) throws(StoreError) -> StoreRecord?

  /// Small named blobs: CAs, signing keys. Sealed by the caller.
  func blob(_ name: String) throws(StoreError) -> [UInt8]?
  func setBlob(_ name: String, _ value: [UInt8]) throws(StoreError)

  /// Set once, before the first commit: sees every batch of events before its completions run.
  func observe(_ observer: @escaping @Sendable (_ events: [StoreEvent], _ revision: Revision) -> Void)

  /// Names the cluster that this data belongs to.
  var clusterID: String { get }

  /// Finishes what is queued and closes.
  func close()
}

extension StoreEngine {
  package func commit(_ transaction: Transaction) async throws(StoreError) -> Revision {
    let result = await withCheckedContinuation { continuation in commit(transaction) { continuation.resume(returning: $0) } }
    return try result.get()
  }
}

/// What `metadata.resourceVersion` is.
package typealias Revision = Int64

package struct StoreKey: Hashable, Sendable, Comparable, CustomStringConvertible {
  package var resource: GroupResource
  package var key: ObjectKey

  package init(_ resource: GroupResource, _ key: ObjectKey) {
    self.resource = resource
    self.key = key
  }

  /// `group/resource`, namespace and name, with zero bytes between: ordered as the parts are.
  package var bytes: [UInt8] {
    Array("\(resource.group)/\(resource.resource)".utf8) + [0] + Array(key.namespace.utf8) + [0] + Array(key.name.utf8)
  }

  package init?(bytes: some Collection<UInt8>) {
    let parts = bytes.split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3 else { return nil }
    let resource = parts[0].split(separator: UInt8(ascii: "/"), maxSplits: 1, omittingEmptySubsequences: false)
    guard resource.count == 2 else { return nil }
    self.resource = GroupResource(
      group: String(decoding: resource[0], as: UTF8.self), resource: String(decoding: resource[1], as: UTF8.self))
    key = ObjectKey(namespace: String(decoding: parts[1], as: UTF8.self), name: String(decoding: parts[2], as: UTF8.self))
  }

  package var description: String { "\(resource) \(key)" }
  package static func < (a: Self, b: Self) -> Bool { (a.resource, a.key) < (b.resource, b.key) }
}

package struct StoreRecord: Sendable {
  package var key: StoreKey
  package var value: [UInt8]
  package var revision: Revision
}

package struct StoreEvent: Sendable {
  package var revision: Revision
  package var key: StoreKey
  /// nil: deleted.
  package var value: [UInt8]?
}

package struct Transaction: Sendable {
  /// Keys a transaction may touch.
  package static let maximumKeys = 64
  /// Bytes of one value.
  package static let maximumValue = 8 << 20

  package enum Compare: Sendable {
    case absent(StoreKey)
    /// The key's last write has this revision.
    case revision(StoreKey, Revision)
  }

  package enum Write: Sendable {
    case put(StoreKey, [UInt8])
    /// - Parameter uid: keeps the last bytes in the history range under it, if given.
    case delete(StoreKey, uid: String?)

    package var key: StoreKey {
      switch self {
      case .put(let key, _), .delete(let key, _): key
      }
    }
  }

  package var compares: [Compare]
  package var writes: [Write]
  /// Need not survive a crash: node leases only.
  package var isVolatile: Bool

  package init(compares: [Compare], writes: [Write], isVolatile: Bool = false) {
    self.compares = compares
    self.writes = writes
    self.isVolatile = isVolatile
  }
}

package enum StoreError: Error, Sendable, CustomStringConvertible {
  /// A compare did not hold; `current` is the key's revision, nil where it does not exist.
  case conflict(StoreKey, current: Revision?)
  case compacted(oldest: Revision)
  /// The disk is full. Nothing was changed; a later attempt succeeds once there is room.
  case full(path: String)
  case tooLarge(String)
  case closed
  /// Somebody else's data, a newer format, an unreadable file: one sentence with the way out.
  case refused(String)
  case failed(String)

  package var description: String {
    switch self {
    case .conflict(let key, let current): "\(key) is at revision \(current.map { String($0) } ?? "none")"
    case .compacted(let oldest): "events before revision \(oldest) are compacted"
    case .full(let path): "the disk that holds \(path) is full: free space, then try again"
    case .tooLarge(let what): what
    case .closed: "the store is closed"
    case .refused(let why), .failed(let why): why
    }
  }
}

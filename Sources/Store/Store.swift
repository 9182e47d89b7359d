import Wire

/// The revisioned key-value store below everything: compare-and-swap transactions, ranges, a log of events.
///
/// In: transactions of a few keys. Out: revisions, and every change in the order of its revision. An acknowledgement follows the fsync.
/// Never: looks into a value, issues a revision twice, or makes something visible before it is durable.
///
/// Every engine runs the suite in `Tests/StoreTests/Conformance.swift`.
package protocol StoreEngine: AnyObject, Sendable {
  /// Commits all writes or none.
  /// - Parameter completion: called on the engine's thread after the fsync and after the observer has seen the events.
  func commit(_ transaction: Transaction, completion: @escaping @Sendable (Result<Revision, StoreError>) -> Void)

  /// Every live record, in the order of keys, with the revision they stand for.
  func load() throws(StoreError) -> (records: [StoreRecord], revision: Revision)

  /// One key, now or as it was.
  /// - Returns: nil where it does not (or did not) exist.
  /// - Throws: ``StoreError/compacted(oldest:)`` for a revision whose state is gone.
  func get(_ key: StoreKey, at revision: Revision?) throws(StoreError) -> StoreRecord?

  /// Keys of one resource in order, now or as they were.
  /// - Parameters:
  ///   - namespace: nil for all.
  ///   - key: starts behind it.
  /// - Throws: ``StoreError/compacted(oldest:)`` for a revision whose state is gone.
  func range(_ resource: GroupResource, namespace: String?, after key: ObjectKey?, at revision: Revision?, limit: Int)
    throws(StoreError) -> [StoreRecord]

  /// Events after a revision, oldest first, each with what it replaced. A revision is never split: a few more than `limit` may come.
  /// Volatile writes are not among them (see ``volatileResources``).
  /// - Throws: ``StoreError/compacted(oldest:)`` where some of them are gone.
  func events(after revision: Revision, limit: Int) throws(StoreError) -> [StoreEvent]

  /// Forgets what was replaced up to a revision; returns when it is no longer readable, the space follows by itself.
  func compact(to revision: Revision) throws(StoreError)

  /// The revision up to which history is gone: the oldest that ``events(after:limit:)`` accepts.
  var oldestRevision: Revision { get }

  /// Resources that have had volatile writes: their log has gaps, nobody can resume from it.
  var volatileResources: Set<GroupResource> { get }

  /// The last bytes of something deleted, or nil where there are none (any more).
  func history(uid: String) throws(StoreError) -> StoreRecord?

  /// Small named blobs: CAs, signing keys. Sealed by the caller.
  func blob(_ name: String) throws(StoreError) -> [UInt8]?
  func setBlob(_ name: String, _ value: [UInt8]) throws(StoreError)

  /// Set once, before the first commit: sees every batch of events before its completions run.
  func observe(_ observer: @escaping @Sendable (_ events: [StoreEvent], _ revision: Revision) -> Void)

  /// Names the cluster that this data belongs to.
  var clusterID: String { get }

  /// Writes everything into one new private file, while the store is in use.
  func backup(to path: String) throws(StoreError)

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

  /// Group, resource, namespace and name with zero bytes between: ordered as the parts are.
  package var bytes: [UInt8] {
    var bytes = Self.prefix(resource, namespace: key.namespace)
    bytes.append(contentsOf: key.name.utf8)
    return bytes
  }

  /// What every key of a resource, or of one of its namespaces, begins with.
  static func prefix(_ resource: GroupResource, namespace: String?) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(160)
    bytes.append(contentsOf: resource.group.utf8)
    bytes.append(0)
    bytes.append(contentsOf: resource.resource.utf8)
    bytes.append(0)
    if let namespace {
      bytes.append(contentsOf: namespace.utf8)
      bytes.append(0)
    }
    return bytes
  }

  package init?(bytes: some Collection<UInt8>) {
    let parts = bytes.split(separator: 0, maxSplits: 4, omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    let text = parts.map { String(decoding: $0, as: UTF8.self) }
    resource = GroupResource(group: text[0], resource: text[1])
    key = ObjectKey(namespace: text[2], name: text[3])
  }

  /// A reservation (address, port, quota) rather than an object: never cached or watched, and any number in a transaction.
  package var isInternal: Bool { resource.isInternal }

  package var description: String { "\(resource) \(key)" }
  package static func < (a: Self, b: Self) -> Bool { (a.resource, a.key) < (b.resource, b.key) }
}

extension GroupResource {
  /// True for the groups that no API serves; their names begin with `~`.
  package var isInternal: Bool { group.utf8.first == UInt8(ascii: "~") }
}

package struct StoreRecord: Sendable {
  package var key: StoreKey
  package var value: [UInt8]
  package var revision: Revision

  package init(key: StoreKey, value: [UInt8], revision: Revision) {
    self.key = key
    self.value = value
    self.revision = revision
  }
}

package struct StoreEvent: Sendable {
  package var revision: Revision
  package var key: StoreKey
  /// nil: deleted.
  package var value: [UInt8]?
  /// What it replaced; nil for a creation, and in what ``StoreEngine/observe(_:)`` hands out: a follower knows it already.
  package var previous: StoreRecord?

  package init(revision: Revision, key: StoreKey, value: [UInt8]?, previous: StoreRecord? = nil) {
    self.revision = revision
    self.key = key
    self.value = value
    self.previous = previous
  }
}

package struct Transaction: Sendable {
  /// Keys a transaction may touch.
  package static let maximumKeys = 64
  /// Bytes of one value.
  package static let maximumValue = 8 << 20
  /// Bytes of one part of a key.
  package static let maximumName = 512

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
  /// Part of taking something away (a deletion, or a step on its way): also a full disk has room for it.
  package var frees: Bool

  /// - Parameter frees: nil: true where it only deletes.
  package init(compares: [Compare], writes: [Write], isVolatile: Bool = false, frees: Bool? = nil) {
    self.compares = compares
    self.writes = writes
    self.isVolatile = isVolatile
    self.frees = frees ?? writes.allSatisfy { if case .delete = $0 { true } else { false } }
  }

  /// Of its values.
  var bytes: Int {
    writes.reduce(0) { sum, write in
      if case .put(_, let value) = write { sum + value.count } else { sum }
    }
  }

  /// What no engine accepts: too many or too large, unusable names, two objects of one resource (they would share a revision,
  /// and a watch could not resume between them).
  var fault: StoreError? {
    if writes.count > Self.maximumKeys {
      return .tooLarge("a transaction writes at most \(Self.maximumKeys) keys, not \(writes.count)")
    }
    var resources: Set<GroupResource> = []
    var keys: Set<StoreKey> = []
    for write in writes {
      let key = write.key
      for part in [key.resource.group, key.resource.resource, key.key.namespace, key.key.name] {
        if part.utf8.count > Self.maximumName {
          return .tooLarge("a name has \(part.utf8.count) bytes; at most \(Self.maximumName) are stored")
        }
        if part.utf8.contains(0) { return .invalid("a name contains a zero byte") }
      }
      if !keys.insert(key).inserted { return .invalid("a transaction writes \(key) twice") }
      if !key.isInternal, !resources.insert(key.resource).inserted {
        return .invalid("a transaction writes at most one object of \(key.resource)")
      }
      if case .put(_, let value) = write, value.count > Self.maximumValue {
        return .tooLarge("\(key) has \(value.count) bytes; at most \(Self.maximumValue) are stored")
      }
    }
    return nil
  }
}

package enum StoreError: Error, Sendable, CustomStringConvertible {
  /// A compare did not hold; `current` is the key's revision, nil where it does not exist.
  case conflict(StoreKey, current: Revision?)
  case compacted(oldest: Revision)
  /// The disk is full. Nothing was changed; a later attempt succeeds once there is room.
  case full(path: String)
  case tooLarge(String)
  /// More waits to be written than may; nothing was tried. Later it may be.
  case busy
  /// The transaction itself is wrong; nothing of it was tried.
  case invalid(String)
  case closed
  /// The file is damaged.
  case corrupted(path: String, String)
  /// Somebody else's data, a newer format, an unreadable file: one sentence with the way out.
  case refused(String)
  case failed(String)

  package var description: String {
    switch self {
    case .conflict(let key, let current): "\(key) is at revision \(current.map { String($0) } ?? "none")"
    case .compacted(let oldest): "events before revision \(oldest) are compacted"
    case .full(let path):
      "the disk that holds \(path) is full: free space there, or delete objects (deletions still work), then try again"
    case .tooLarge(let what), .invalid(let what): what
    case .corrupted(let path, let why):
      "\(path) is damaged (\(why)): move it away and make a new one of a backup with: gantry restore FILE"
    case .busy: "too many writes wait for the disk: try again in a moment"
    case .closed: "the store is closed"
    case .refused(let why), .failed(let why): why
    }
  }
}

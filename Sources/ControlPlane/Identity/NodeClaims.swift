import Client
import Store
import Synchronization
import Wire

/// Which key a node's name belongs to: the one that claimed it first. A certificate for the name with another key is nobody's.
///
/// A claim is a record of its own in the store; it goes with the Node object, which frees the name. Held in memory, because every
/// request of a node asks.
final class NodeClaims: Sendable {
  static let resource = GroupResource(group: "~", resource: "nodekeys")

  private struct Claim {
    /// nil: the name was freed.
    var keyHash: [UInt8]?
    var revision: Revision
  }

  private let claims: Mutex<[String: Claim]>

  init(store: any StoreEngine) throws(StoreError) {
    var known: [String: Claim] = [:]
    var last: ObjectKey?
    while true {
      let records = try store.range(Self.resource, namespace: nil, after: last, at: nil, limit: 1000)
      for record in records { known[record.key.key.name] = Claim(keyHash: record.value, revision: record.revision) }
      guard let end = records.last else { break }
      last = end.key.key
    }
    claims = Mutex(known)
  }

  static func key(_ name: String) -> StoreKey { StoreKey(resource, ObjectKey(name: name)) }

  func keyHash(_ name: String) -> [UInt8]? { claims.withLock { $0[name]?.keyHash } }

  /// Learns from a commit that went through. Two of them may be told in another order than they happened in.
  func learn(_ write: Transaction.Write, _ revision: Revision) {
    guard write.key.resource == Self.resource else { return }
    let name = write.key.key.name
    let hash: [UInt8]? = if case .put(_, let value) = write { value } else { nil }
    claims.withLock { claims in
      // A Node without a claim leaves nothing behind.
      if let known = claims[name] ?? (hash == nil ? nil : Claim(revision: 0)), known.revision < revision {
        claims[name] = Claim(keyHash: hash, revision: revision)
      }
    }
  }
}

extension ControlPlane {
  /// Ties a node's name to a key.
  /// - Parameters:
  ///   - keyHash: see ``CertificateAuthority/keyHash(keyPEM:)``.
  ///   - isOwn: the node of this server, whose data directory holds no key any more (a restored backup): it takes its name over.
  /// - Throws: `.conflict` where the name belongs to another key.
  package func claimNode(_ name: String, keyHash: String, isOwn: Bool = false) async throws(APIError) {
    let key = NodeClaims.key(name)
    var transaction = Transaction(compares: [.absent(key)], writes: [.put(key, Array(keyHash.utf8))])
    do throws(StoreError) {
      let present = try store.get(key, at: nil)
      if let present {
        if present.value == Array(keyHash.utf8) { return }
        transaction.compares = [.revision(key, present.revision)]
      }
      if present == nil || isOwn { return learn(transaction, try await store.commit(transaction)) }
    } catch {
      guard case .conflict = error else { throw Self.failure(error) }
    }
    throw .conflict(
      GroupResource(resource: "nodes"), name,
      "the name belongs to another key: delete the Node to free it (kubectl delete node \(name)), or give this node another name")
  }

  /// True unless the name was claimed by another key.
  func mayBe(node name: String, keyHash: String) -> Bool {
    guard let claimed = nodeClaims.keyHash(name) else { return true }
    return claimed == Array(keyHash.utf8)
  }
}

import Client
import Store
import Wire

/// Which key a node's name belongs to: the one that claimed it first. A certificate for the name with another key is nobody's.
///
/// A claim is a record of its own in the store; it goes with the Node object, which frees the name.
extension ControlPlane {
  static func nodeClaim(_ name: String) -> StoreKey {
    StoreKey(GroupResource(group: "~", resource: "nodekeys"), ObjectKey(name: name))
  }

  /// Ties a node's name to a key.
  /// - Parameters:
  ///   - keyHash: see ``CertificateAuthority/keyHash(keyPEM:)``.
  ///   - isOwn: the node of this server, whose data directory holds no key any more (a restored backup): it takes its name over.
  /// - Throws: `.conflict` where the name belongs to another key.
  package func claimNode(_ name: String, keyHash: String, isOwn: Bool = false) async throws(APIError) {
    let key = Self.nodeClaim(name)
    let claimed = Transaction.Write.put(key, Array(keyHash.utf8))
    do throws(StoreError) {
      if let present = try store.get(key, at: nil) {
        if present.value == Array(keyHash.utf8) { return }
        if isOwn {
          _ = try await store.commit(Transaction(compares: [.revision(key, present.revision)], writes: [claimed]))
          return
        }
      } else {
        _ = try await store.commit(Transaction(compares: [.absent(key)], writes: [claimed]))
        return
      }
    } catch {
      guard case .conflict = error else { throw Self.failure(error) }
    }
    throw .conflict(
      GroupResource(resource: "nodes"), name,
      "the name belongs to another key: delete the Node to free it (kubectl delete node \(name)), or give this node another name")
  }

  /// True unless the name was claimed by another key.
  func mayBe(node name: String, keyHash: String) -> Bool {
    guard let claim = try? store.get(Self.nodeClaim(name), at: nil) else { return true }
    return claim.value == Array(keyHash.utf8)
  }
}

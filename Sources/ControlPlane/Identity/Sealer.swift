import Crypto
import Store

/// Seals the blobs that the datastore holds for the servers (CAs, signing keys) with a key that only servers have: the server token.
package struct Sealer: Sendable {
  package struct Failure: Error, CustomStringConvertible {
    package let description: String
  }

  private let key: SymmetricKey

  /// - Parameter token: at least 16 characters; kept outside of the datastore.
  package init(token: String) {
    key = HKDF<SHA256>.deriveKey(
      inputKeyMaterial: SymmetricKey(data: Array(token.utf8)), salt: Array("gantry".utf8), info: Array("sealed blobs 1".utf8),
      outputByteCount: 32)
  }

  package func seal(_ bytes: [UInt8], name: String) throws -> [UInt8] {
    guard let sealed = try AES.GCM.seal(bytes, using: key, authenticating: Array(name.utf8)).combined else {
      throw Failure(description: "cannot seal \(name)")
    }
    return Array(sealed)
  }

  package func open(_ sealed: [UInt8], name: String) throws -> [UInt8] {
    do { return Array(try AES.GCM.open(AES.GCM.SealedBox(combined: sealed), using: key, authenticating: Array(name.utf8))) } catch {
      throw Failure(
        description: "the datastore's keys were sealed with another server token: restore the file server-token that belongs to it")
    }
  }

  /// The blob of a name, made and stored where there is none.
  func blob(_ name: String, in store: any StoreEngine, make: () throws -> [UInt8]) throws -> [UInt8] {
    if let sealed = try store.blob(name) { return try open(sealed, name: name) }
    let made = try make()
    try store.setBlob(name, try seal(made, name: name))
    return made
  }
}

import Client
import Crypto
import Store
import Wire

/// Encrypts what must not lie in the clear on the disk: the values of the resources named here.
///
/// The key lives in the datastore, sealed by the server token, and every value names its key, so that keys can be changed without
/// rewriting everything at once. In memory objects are in the clear.
struct ValueSealer: Sendable {
  static let resources: Set<GroupResource> = [GroupResource(resource: "secrets")]

  private let keys: [UInt8: SymmetricKey]
  private let newest: UInt8

  init(store: any StoreEngine, sealer: Sealer) throws {
    let blob = try sealer.blob("value-keys", in: store) {
      let value: Value = [["id": 1, "key": .string(SymmetricKey(size: .bits256).withUnsafeBytes { Base64URL.encode(Array($0)) })]]
      return value.jsonBytes
    }
    var keys: [UInt8: SymmetricKey] = [:]
    for entry in try Value(json: blob).array ?? [] {
      guard let id = entry["id"].int.flatMap({ UInt8(exactly: $0) }), id > 0,
        let key = entry["key"].string.flatMap({ Base64URL.decode($0) })
      else { continue }
      keys[id] = SymmetricKey(data: key)
    }
    guard let newest = keys.keys.max() else {
      throw Sealer.Failure(description: "the datastore holds no key for encrypted values: restore a backup")
    }
    self.keys = keys
    self.newest = newest
  }

  /// The stored form of an object's bytes. The key of the record is authenticated with them: a value cannot be moved elsewhere.
  func seal(_ bytes: [UInt8], _ key: StoreKey) throws -> [UInt8] {
    guard Self.resources.contains(key.resource) else { return Envelope().wrap(bytes) }
    guard let secret = keys[newest], let sealed = try AES.GCM.seal(bytes, using: secret, authenticating: key.bytes).combined else {
      throw Sealer.Failure(description: "cannot encrypt \(key)")
    }
    return Envelope(codec: .sealedJSON, encryptionKey: newest).wrap(Array(sealed))
  }

  /// - Returns: nil where the value was tampered with, or its key is not here.
  func open(_ envelope: Envelope, _ body: ArraySlice<UInt8>, _ key: StoreKey) -> [UInt8]? {
    switch envelope.codec {
    case .json: return Array(body)
    case .sealedJSON:
      guard let secret = keys[envelope.encryptionKey], let box = try? AES.GCM.SealedBox(combined: Array(body)),
        let bytes = try? AES.GCM.open(box, using: secret, authenticating: key.bytes)
      else { return nil }
      return Array(bytes)
    }
  }
}

extension ControlPlane {
  /// What the store keeps of an object: an envelope, encrypted where the resource asks for it.
  func seal(_ bytes: [UInt8], _ key: StoreKey) throws(APIError) -> [UInt8] {
    do { return try valueSealer.seal(bytes, key) } catch { throw .internalError("\(error)") }
  }
}

import Logging
import Schema
import Store
import Synchronization
import Wire

/// What stands in the store, as this release understands it: decrypted, and brought into today's form where an older release wrote it.
///
/// Never: guesses at what a newer release wrote. ``checkOpened()`` refuses a store with such values as a whole.
final class StoredValues: Sendable {
  private let sealer: ValueSealer
  private let schema: SchemaTable
  private let kinds: [GroupResource: ResourceKind]
  private let newer = Mutex<StoreKey?>(nil)

  init(sealer: ValueSealer, schema: SchemaTable) {
    self.sealer = sealer
    self.schema = schema
    kinds = Dictionary(schema.stored.map { ($0.storage, schema.storageKind(of: $0)) }) { first, _ in first }
  }

  /// - Returns: the object's bytes; nil where the value was written by something newer, or was tampered with.
  func open(_ value: [UInt8], _ key: StoreKey) -> [UInt8]? {
    guard let (envelope, body) = Envelope.open(value), envelope.schemaStamp <= Envelope.currentStamp else {
      newer.withLock { $0 = $0 ?? key }
      return nil
    }
    guard let bytes = sealer.open(envelope, body, key) else { return nil }
    return envelope.schemaStamp < Envelope.currentStamp ? upgraded(bytes, key.resource) : bytes
  }

  /// Pruned, defaulted and written anew; the next write of the object stores it so.
  private func upgraded(_ bytes: [UInt8], _ resource: GroupResource) -> [UInt8] {
    guard let kind = kinds[resource], var value = try? Value(json: bytes),
      (try? schema.prune(&value, type: kind.type)) != nil
    else { return bytes }
    schema.applyDefaults(&value, kind: kind)
    return schema.encodeForStorage(value, kind: kind)
  }

  /// - Throws: ``StoreError/refused(_:)`` where a value asks for a newer release: without it objects would be missing, and be written over.
  func checkOpened() throws(StoreError) {
    guard let key = newer.withLock({ $0 }) else { return }
    throw .refused(
      "the datastore holds values that a newer release of Gantry wrote (\(key) is one): start that release, or restore a backup of this one"
    )
  }
}

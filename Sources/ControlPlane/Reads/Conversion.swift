import Schema
import Wire

/// The versions of a kind that share one place: both Events, both autoscalers.
enum Conversion {
  /// A stored object in the version of the reader.
  static func read(_ object: EncodedObject, as kind: ResourceKind, table: SchemaTable) -> EncodedObject {
    var value = object.withView(\.value)
    table.convert(&value, from: table.storageKind(of: kind), to: kind)
    guard let converted = try? EncodedObject(bytes: table.encodeForStorage(value, kind: kind), revision: object.revision) else {
      return object
    }
    return converted
  }

  /// Brings what a client wrote into the stored version.
  static func write(_ value: inout Value, from kind: ResourceKind, table: SchemaTable) {
    table.convert(&value, from: kind, to: table.storageKind(of: kind))
  }
}

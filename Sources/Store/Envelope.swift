/// What opens every stored value, so that a reader knows how to read it: format, codec, schema stamp, encryption key.
package struct Envelope: Sendable, Equatable {
  package static let size = 4
  /// Grows when the layout of this header changes.
  package static let format: UInt8 = 1
  /// Grows when the tables change in a way that stored values must follow.
  package static let currentStamp: UInt8 = 1

  package enum Codec: UInt8, Sendable { case json = 1, sealedJSON = 2 }

  package var codec: Codec
  /// The release of the schema that wrote the value; an older one is pruned and defaulted again on load.
  package var schemaStamp: UInt8
  /// 0: not encrypted.
  package var encryptionKey: UInt8

  package init(codec: Codec = .json, schemaStamp: UInt8 = Self.currentStamp, encryptionKey: UInt8 = 0) {
    self.codec = codec
    self.schemaStamp = schemaStamp
    self.encryptionKey = encryptionKey
  }

  package func wrap(_ body: [UInt8]) -> [UInt8] { [Self.format, codec.rawValue, schemaStamp, encryptionKey] + body }

  /// - Returns: nil where the value was written by something newer.
  package static func open(_ value: [UInt8]) -> (Envelope, ArraySlice<UInt8>)? {
    guard value.count >= size, value[0] == format, let codec = Codec(rawValue: value[1]) else { return nil }
    return (Envelope(codec: codec, schemaStamp: value[2], encryptionKey: value[3]), value[size...])
  }
}

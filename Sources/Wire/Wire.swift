/// Values as bytes, trees and views: JSON, YAML, protobuf primitives, patches. No knowledge of any kind.
///
/// In: bytes from a client, the store or a file.
/// Out: a ``JSONView`` over those bytes (reading costs no copy), or a ``Value`` tree where something is merged or admitted;
/// bytes again through ``JSONWriter``.
/// Never: knows a field's name, does I/O, or traps on what it is given.
package enum Wire {
  /// The deepest nesting accepted from anyone, in levels. Deeper input is refused, never followed.
  package static let maximumDepth = 200
}

/// Why bytes are not the JSON they claim to be.
package struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What is wrong, in words of the JSON grammar.
  package var message: String
  /// Offset in bytes from the start of the input.
  package var offset: Int

  package init(_ message: String, at offset: Int) {
    self.message = message
    self.offset = offset
  }

  package var description: String { "\(message) at byte \(offset)" }
}

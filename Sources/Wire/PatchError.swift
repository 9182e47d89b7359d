/// Why a patch was refused. The door maps the kind to a status; the message names what is wrong.
package struct PatchError: Error, Equatable, Sendable, CustomStringConvertible {
  package enum Kind: Sendable {
    /// The patch itself is no patch: 400.
    case malformed
    /// It does not apply to this object (a failed `test`, a missing path, an operation that nobody knows): 422, where upstream answers with its general sentence.
    case inapplicable
    /// Too many operations, or copies that grow too large: 413.
    case tooLarge
  }

  package var kind: Kind
  package var message: String

  package init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  package var description: String { message }
}

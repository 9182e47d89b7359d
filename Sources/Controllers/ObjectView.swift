import Wire

/// A projection of an object: the part of it that controllers read, taken out once when it comes.
package protocol ObjectView: Sendable {
  init(_ object: EncodedObject, _ view: JSONView)
}

extension ObjectView {
  package init(_ object: EncodedObject) { self = object.withView { Self(object, $0) } }
}

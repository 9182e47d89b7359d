import Wire

/// A projection of an object: the part of it that controllers read, taken out once when it comes.
package protocol ObjectView: Sendable {
  init(_ object: EncodedObject, _ view: JSONView)
}

extension JSONView {
  /// A count or a span as controllers reckon with it: 0…2³¹−1, as upstream's int32, so that no sum or product of a few overflows.
  /// What lies outside is the nearest inside: an object that somebody wrote must never end the process.
  var natural: Int64? { int.map { min(max($0, 0), Int64(Int32.max)) } }
}

extension ObjectView {
  package init(_ object: EncodedObject) { self = object.withView { Self(object, $0) } }
}

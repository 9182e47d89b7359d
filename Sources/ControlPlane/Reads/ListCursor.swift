import Cache
import Client
import Schema
import Store
import Wire

/// A list under way: a root of the cache's tree and a position in it. Producing a page costs no lock and no copy.
package struct ListCursor: Sendable {
  /// What the whole list stands for: `metadata.resourceVersion` of the answer.
  package let revision: Revision
  private let controlPlane: ControlPlane
  private let request: ReadRequest
  private let filter: ObjectFilter
  private let snapshot: Snapshot
  private var iterator: ObjectTree.Iterator
  private var produced = 0
  private var last: ObjectKey?
  private var pending: EncodedObject?

  init(_ controlPlane: ControlPlane, _ request: ReadRequest, _ filter: ObjectFilter, _ snapshot: Snapshot, after key: ObjectKey?) {
    self.controlPlane = controlPlane
    self.request = request
    self.filter = filter
    self.snapshot = snapshot
    revision = snapshot.revision
    if request.namespace == nil, case .attribute(let value) = filter.scope(request) {
      // A node's own pods: an index look-up, whatever the number of pods.
      iterator = snapshot.tree.iterate(term: value, after: key)
    } else {
      iterator = snapshot.tree.iterate(after: key, namespace: request.kind.isNamespaced ? request.namespace : nil)
    }
  }

  private mutating func advance() -> EncodedObject? {
    while let entry = iterator.next() {
      if let name = request.name, entry.object.key.name != name { continue }
      let object = controlPlane.converted(entry.object, to: request.kind)
      if filter.matches(object) { return object }
    }
    return nil
  }

  /// The next object, or nil at the end of the page.
  package mutating func next() -> EncodedObject? {
    if request.limit > 0, produced == request.limit { return nil }
    let object = pending ?? advance()
    pending = nil
    guard let object else { return nil }
    produced += 1
    last = object.key
    return object
  }

  /// After the page's last object: the token of the next page, "" where this was the last one.
  package mutating func continueToken() -> String {
    guard request.limit > 0, produced == request.limit, let last else { return "" }
    pending = pending ?? advance()
    guard pending != nil else { return "" }
    controlPlane.cache.resource(request.kind.storage).keep(snapshot)
    return ContinueToken(revision: revision, key: last).text
  }

  /// Objects behind this page; nil where only a look at each of them could say.
  package var remainingItemCount: Int64? {
    guard filter.isEmpty, request.name == nil, request.limit > 0 else { return nil }
    var rest = iterator
    var count: Int64 = pending == nil ? 0 : 1
    while rest.next() != nil { count += 1 }
    return count > 0 ? count : nil
  }
}

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

  package enum Step: Sendable {
    case object(EncodedObject)
    /// The turn's steps are used up; ask again in the next turn.
    case pause
    /// The end of the page.
    case end
  }

  private mutating func advance(_ steps: inout Int) -> Step {
    while steps > 0 {
      steps -= 1
      guard let entry = iterator.next() else { return .end }
      if let name = request.name, entry.object.key.name != name { continue }
      let object = controlPlane.converted(entry.object, to: request.kind)
      if filter.matches(object) { return .object(object) }
    }
    return .pause
  }

  /// The next object.
  /// - Parameter steps: objects that may still be looked at, whether they match or not; counted down. What an event loop does in one
  ///   turn is bounded by it, also where a selector matches nothing.
  package mutating func next(_ steps: inout Int) -> Step {
    if request.limit > 0, produced == request.limit { return .end }
    let step = pending.map { .object($0) } ?? advance(&steps)
    pending = nil
    guard case .object(let object) = step else { return step }
    produced += 1
    last = object.key
    return step
  }

  /// The next object, or nil at the end of the page, however long it takes.
  package mutating func next() -> EncodedObject? {
    var steps = Int.max
    guard case .object(let object) = next(&steps) else { return nil }
    return object
  }

  /// After the page's last object: the token of the next page, "" where this was the last one.
  /// - Returns: nil where the steps did not suffice to tell; ask again in the next turn.
  package mutating func continueToken(_ steps: inout Int) -> String? {
    guard request.limit > 0, produced == request.limit, let last else { return "" }
    if pending == nil {
      switch advance(&steps) {
      case .object(let object): pending = object
      case .pause: return nil
      case .end: return ""
      }
    }
    controlPlane.cache.resource(request.kind.storage).keep(snapshot)
    return ContinueToken(revision: revision, key: last).text
  }

  /// The same, however long it takes.
  package mutating func continueToken() -> String {
    var steps = Int.max
    return continueToken(&steps) ?? ""
  }

  /// Objects behind this page; nil where only a look at each of them could say.
  package var remainingItemCount: Int64? {
    guard filter.isEmpty, request.name == nil, request.limit > 0 else { return nil }
    let count = snapshot.tree.remaining(iterator) + (pending == nil ? 0 : 1)
    return count > 0 ? Int64(count) : nil
  }
}

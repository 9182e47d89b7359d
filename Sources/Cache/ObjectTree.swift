import Wire

/// An ordered map from key to object, with an index, whose versions share what they have in common: a snapshot is two roots.
package struct ObjectTree: Sendable {
  package struct Entry: Sendable {
    package internal(set) var object: EncodedObject
    /// What watchers of the resource select by (pods: the node's name), "" without one. Also a term of the index.
    package internal(set) var attribute: String
    /// Further terms of the index, such as `owner/UID`.
    package let terms: [String]

    package init(object: EncodedObject, attribute: String, terms: [String] = []) {
      self.object = object
      self.attribute = attribute
      self.terms = terms
    }
  }

  private var objects = Treap<Entry>()
  private var index = Treap<IndexEntry>()

  package init() {}

  package var count: Int { objects.count }

  package func get(_ key: ObjectKey) -> Entry? { objects.get(key) }

  /// - Returns: what stood there before.
  package mutating func put(_ entry: Entry) -> Entry? {
    let old = objects.put(entry)
    if let old { unindex(old, unless: entry) }
    if !entry.attribute.isEmpty { _ = index.put(IndexEntry(term: entry.attribute, entry: entry)) }
    for term in entry.terms { _ = index.put(IndexEntry(term: term, entry: entry)) }
    return old
  }

  package mutating func remove(_ key: ObjectKey) -> Entry? {
    guard let old = objects.remove(key) else { return nil }
    unindex(old, unless: nil)
    return old
  }

  private mutating func unindex(_ old: Entry, unless new: Entry?) {
    func stays(_ term: String) -> Bool { new.map { $0.attribute == term || $0.terms.contains(term) } ?? false }
    for term in [old.attribute] + old.terms where !term.isEmpty && !stays(term) {
      _ = index.remove(IndexEntry.Key(term: term, key: old.object.key))
    }
  }

  // MARK: Iteration

  package struct Iterator: Sendable {
    // One of both; not an enum, whose payload would be copied by every step.
    fileprivate var objects: Treap<Entry>.Iterator?
    private var index: Treap<IndexEntry>.Iterator?
    fileprivate let bound: String?

    fileprivate init(_ objects: Treap<Entry>.Iterator, namespace: String?) {
      self.objects = objects
      bound = namespace
    }

    fileprivate init(_ index: Treap<IndexEntry>.Iterator, term: String) {
      self.index = index
      bound = term
    }

    package mutating func next() -> Entry? {
      if let entry = objects?.next() {
        if bound == nil || bound == entry.object.key.namespace { return entry }
        objects = nil
      } else if let found = index?.next() {
        if bound == found.term { return found.entry }
        index = nil
      }
      return nil
    }
  }

  /// - Parameters:
  ///   - key: starts behind it.
  ///   - namespace: only that one; nil for all.
  package func iterate(after key: ObjectKey? = nil, namespace: String? = nil) -> Iterator {
    Iterator(
      Treap.Iterator(objects.root) { found in
        if let key, Entry.order(found, key) <= 0 { return true }
        if let namespace { return found.namespace < namespace }
        return false
      }, namespace: namespace)
  }

  /// How many objects an iterator of ``iterate(after:namespace:)`` over this very tree has before it. Costs the depth of the tree.
  package func remaining(_ iterator: Iterator) -> Int {
    guard let all = iterator.objects?.remaining else { return 0 }
    guard let namespace = iterator.bound else { return all }
    return max(0, all - Treap.Iterator(objects.root) { $0.namespace <= namespace }.remaining)
  }

  /// Objects with a term of the index, in the order of their keys, all namespaces.
  package func iterate(term: String, after key: ObjectKey? = nil) -> Iterator {
    Iterator(
      Treap.Iterator(index.root) { found in
        if found.term != term { return found.term < term }
        return key.map { Entry.order(found.key, $0) <= 0 } ?? false
      }, term: term)
  }
}

extension ObjectTree.Entry: TreapElement {
  var key: ObjectKey { object.key }

  static func order(_ a: ObjectKey, _ b: ObjectKey) -> Int {
    if a.namespace != b.namespace { return a.namespace < b.namespace ? -1 : 1 }
    if a.name == b.name { return 0 }
    return a.name < b.name ? -1 : 1
  }

  static func priority(_ key: ObjectKey) -> UInt32 { mixed(hash(key, 0xcbf2_9ce4_8422_2325)) }

  fileprivate static func hash(_ key: ObjectKey, _ seed: UInt64) -> UInt64 {
    var hash = seed
    for byte in key.namespace.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    hash = (hash ^ 0xff) &* 0x100_0000_01b3
    for byte in key.name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return hash
  }

  fileprivate static func mixed(_ hash: UInt64) -> UInt32 {
    UInt32(truncatingIfNeeded: (hash ^ hash >> 29) &* 0xbf58_476d_1ce4_e5b9 >> 32)
  }
}

/// One term of one object.
private struct IndexEntry: TreapElement {
  struct Key: Sendable {
    var term: String
    var key: ObjectKey
  }

  let term: String
  let entry: ObjectTree.Entry

  var key: Key { Key(term: term, key: entry.object.key) }

  static func order(_ a: Key, _ b: Key) -> Int {
    if a.term != b.term { return a.term < b.term ? -1 : 1 }
    return ObjectTree.Entry.order(a.key, b.key)
  }

  static func priority(_ key: Key) -> UInt32 {
    var hash: UInt64 = 0x8422_2325_cbf2_9ce4
    for byte in key.term.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return ObjectTree.Entry.mixed(ObjectTree.Entry.hash(key.key, hash))
  }
}

import Wire

/// An ordered map from key to object whose versions share what they have in common: a change copies one path, a snapshot is a root.
///
/// A treap with priorities drawn from the key, so that the same objects make the same tree.
package struct ObjectTree: Sendable {
  package struct Entry: Sendable {
    package let object: EncodedObject
    /// The resource's indexed attribute, "" without one.
    package let attribute: String

    package init(object: EncodedObject, attribute: String) {
      self.object = object
      self.attribute = attribute
    }
  }

  final class Node: Sendable {
    let entry: Entry
    let priority: UInt32
    let count: Int32
    let left: Node?
    let right: Node?

    init(_ entry: Entry, _ priority: UInt32, _ left: Node?, _ right: Node?) {
      self.entry = entry
      self.priority = priority
      self.left = left
      self.right = right
      count = 1 + (left?.count ?? 0) + (right?.count ?? 0)
    }

    var key: ObjectKey { entry.object.key }
    func with(left: Node?, right: Node?) -> Node { Node(entry, priority, left, right) }
  }

  private var root: Node?
  package init() {}

  package var count: Int { Int(root?.count ?? 0) }

  package func get(_ key: ObjectKey) -> Entry? {
    var node = root
    while let current = node {
      if key == current.key { return current.entry }
      node = key < current.key ? current.left : current.right
    }
    return nil
  }

  /// - Returns: what stood there before.
  package mutating func put(_ entry: Entry) -> Entry? {
    let old = get(entry.object.key)
    root = Self.insert(root, Node(entry, Self.priority(entry.object.key), nil, nil))
    return old
  }

  package mutating func remove(_ key: ObjectKey) -> Entry? {
    guard let old = get(key) else { return nil }
    root = root.flatMap { Self.remove($0, key) }
    return old
  }

  private static func priority(_ key: ObjectKey) -> UInt32 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in key.namespace.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    hash = (hash ^ 0xff) &* 0x100_0000_01b3
    for byte in key.name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    hash ^= hash >> 29
    return UInt32(truncatingIfNeeded: hash &* 0xbf58_476d_1ce4_e5b9 >> 32)
  }

  private static func insert(_ node: Node?, _ new: Node) -> Node {
    guard let node else { return new }
    if node.key == new.key { return Node(new.entry, node.priority, node.left, node.right) }
    if new.key < node.key {
      let left = insert(node.left, new)
      if left.priority > node.priority { return left.with(left: left.left, right: node.with(left: left.right, right: node.right)) }
      return node.with(left: left, right: node.right)
    }
    let right = insert(node.right, new)
    if right.priority > node.priority { return right.with(left: node.with(left: node.left, right: right.left), right: right.right) }
    return node.with(left: node.left, right: right)
  }

  private static func remove(_ node: Node, _ key: ObjectKey) -> Node? {
    if key == node.key { return merge(node.left, node.right) }
    if key < node.key { return node.with(left: node.left.flatMap { remove($0, key) }, right: node.right) }
    return node.with(left: node.left, right: node.right.flatMap { remove($0, key) })
  }

  private static func merge(_ a: Node?, _ b: Node?) -> Node? {
    guard let a else { return b }
    guard let b else { return a }
    return a.priority > b.priority ? a.with(left: a.left, right: merge(a.right, b)) : b.with(left: merge(a, b.left), right: b.right)
  }

  // MARK: Iteration

  /// A position in a snapshot. Costs the depth of the tree, whatever the number of objects.
  package struct Iterator: Sendable {
    private var stack: [Node] = []
    private let namespace: String?

    init(root: Node?, after key: ObjectKey?, namespace: String?) {
      self.namespace = namespace
      var node = root
      while let current = node {
        let isBefore =
          if let key { current.key <= key } else if let namespace { current.key.namespace < namespace } else { false }
        if isBefore {
          node = current.right
        } else {
          stack.append(current)
          node = current.left
        }
      }
    }

    package mutating func next() -> Entry? {
      guard let node = stack.popLast() else { return nil }
      if let namespace, node.key.namespace != namespace {
        stack = []
        return nil
      }
      var child = node.right
      while let current = child {
        stack.append(current)
        child = current.left
      }
      return node.entry
    }
  }

  /// - Parameters:
  ///   - key: starts behind it.
  ///   - namespace: only that one; nil for all.
  package func iterate(after key: ObjectKey? = nil, namespace: String? = nil) -> Iterator {
    Iterator(root: root, after: key, namespace: namespace)
  }
}

extension ObjectKey {
  fileprivate static func <= (a: ObjectKey, b: ObjectKey) -> Bool { !(b < a) }
}

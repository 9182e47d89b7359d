/// What a ``Treap`` holds: something with a place in an order.
protocol TreapElement: Sendable {
  associatedtype Key: Sendable
  var key: Key { get }
  /// Negative, zero or positive.
  static func order(_ a: Key, _ b: Key) -> Int
  /// Drawn from the key alone, so that the same elements make the same tree.
  static func priority(_ key: Key) -> UInt32
}

/// A persistent ordered set: a change copies one path (1.4 log2 n nodes), a copy of the value is a root.
struct Treap<Element: TreapElement>: Sendable {
  typealias Key = Element.Key

  final class Node: Sendable {
    let element: Element
    let priority: UInt32
    let count: Int32
    let left: Node?
    let right: Node?

    init(_ element: Element, _ priority: UInt32, _ left: Node?, _ right: Node?) {
      self.element = element
      self.priority = priority
      self.left = left
      self.right = right
      count = 1 + (left?.count ?? 0) + (right?.count ?? 0)
    }

    func with(left: Node?, right: Node?) -> Node { Node(element, priority, left, right) }
  }

  private(set) var root: Node?

  var count: Int { Int(root?.count ?? 0) }

  func get(_ key: Key) -> Element? {
    var node = root
    while let current = node {
      let order = Element.order(key, current.element.key)
      if order == 0 { return current.element }
      node = order < 0 ? current.left : current.right
    }
    return nil
  }

  /// - Returns: what stood there before.
  mutating func put(_ element: Element) -> Element? {
    var old: Element?
    root = Self.insert(root, Node(element, Element.priority(element.key), nil, nil), &old)
    return old
  }

  mutating func remove(_ key: Key) -> Element? {
    guard let root, let old = get(key) else { return nil }
    self.root = Self.remove(root, key)
    return old
  }

  private static func insert(_ node: Node?, _ new: Node, _ old: inout Element?) -> Node {
    guard let node else { return new }
    let order = Element.order(new.element.key, node.element.key)
    if order == 0 {
      old = node.element
      return Node(new.element, node.priority, node.left, node.right)
    }
    if order < 0 {
      let left = insert(node.left, new, &old)
      if left.priority > node.priority { return left.with(left: left.left, right: node.with(left: left.right, right: node.right)) }
      return node.with(left: left, right: node.right)
    }
    let right = insert(node.right, new, &old)
    if right.priority > node.priority { return right.with(left: node.with(left: node.left, right: right.left), right: right.right) }
    return node.with(left: node.left, right: right)
  }

  private static func remove(_ node: Node, _ key: Key) -> Node? {
    let order = Element.order(key, node.element.key)
    if order == 0 { return merge(node.left, node.right) }
    if order < 0 { return node.with(left: node.left.flatMap { remove($0, key) }, right: node.right) }
    return node.with(left: node.left, right: node.right.flatMap { remove($0, key) })
  }

  private static func merge(_ a: Node?, _ b: Node?) -> Node? {
    guard let a else { return b }
    guard let b else { return a }
    return a.priority > b.priority ? a.with(left: a.left, right: merge(a.right, b)) : b.with(left: merge(a, b.left), right: b.right)
  }

  /// A position. Costs the depth of the tree, whatever the number of elements.
  struct Iterator: Sendable {
    private var stack: [Node] = []

    /// - Parameter isBefore: true for the keys that are to be skipped: those of a beginning of the order.
    init(_ root: Node?, skipping isBefore: (Key) -> Bool) {
      var node = root
      while let current = node {
        if isBefore(current.element.key) {
          node = current.right
        } else {
          stack.append(current)
          node = current.left
        }
      }
    }

    /// Elements that are still to come. Costs the depth of the tree.
    var remaining: Int { stack.reduce(0) { $0 + 1 + Int($1.right?.count ?? 0) } }

    mutating func next() -> Element? {
      guard let node = stack.popLast() else { return nil }
      var child = node.right
      while let current = child {
        stack.append(current)
        child = current.left
      }
      return node.element
    }
  }
}

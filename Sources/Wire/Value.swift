/// A JSON value as a tree. Made only where something is merged, defaulted or admitted; reading goes through ``JSONView``.
package enum Value: Sendable {
  case null
  case bool(Bool)
  case int(Int64)
  case double(Double)
  case string(String)
  case array([Value])
  case object(Object)
}

/// The members of a JSON object in their order. Look-ups walk the members: objects of an API are small, and order matters more.
package struct Object: Sendable {
  package struct Member: Sendable {
    package var key: String
    package var value: Value

    package init(key: String, value: Value) {
      self.key = key
      self.value = value
    }
  }

  package var members: [Member]

  package init(_ members: [Member] = []) { self.members = members }

  package var isEmpty: Bool { members.isEmpty }
  package var count: Int { members.count }
  package var keys: [String] { members.map(\.key) }

  package func index(of key: String) -> Int? { members.firstIndex { $0.key == key } }

  /// The member's value, or nil where there is none. Setting nil removes the member; a new key goes to the end.
  package subscript(key: String) -> Value? {
    get { index(of: key).map { members[$0].value } }
    set {
      switch (index(of: key), newValue) {
      case (let i?, let value?): members[i].value = value
      case (let i?, nil): members.remove(at: i)
      case (nil, let value?): members.append(Member(key: key, value: value))
      case (nil, nil): break
      }
    }
  }

  /// In-place access that makes the member (as `null`) where it is missing: `object[orNull: "spec"]["replicas"] = 3`.
  package subscript(orNull key: String) -> Value {
    get { self[key] ?? .null }
    _modify {
      let i: Int
      if let found = index(of: key) {
        i = found
      } else {
        i = members.count
        members.append(Member(key: key, value: .null))
      }
      // Taken out while it changes, so that its storage stays uniquely referenced.
      var value = members[i].value
      members[i].value = .null
      defer { members[i].value = value }
      yield &value
    }
  }
}

extension Value {
  package static let emptyObject = Value.object(Object())

  package var isNull: Bool { if case .null = self { true } else { false } }
  package var string: String? { if case .string(let s) = self { s } else { nil } }
  package var bool: Bool? { if case .bool(let b) = self { b } else { nil } }
  package var array: [Value]? { if case .array(let a) = self { a } else { nil } }
  package var object: Object? { if case .object(let o) = self { o } else { nil } }

  /// The number as an integer; a double that holds a whole number counts.
  package var int: Int64? {
    switch self {
    case .int(let i): i
    case .double(let d): Int64(exactly: d)
    default: nil
    }
  }

  package var double: Double? {
    switch self {
    case .int(let i): Double(i)
    case .double(let d): d
    default: nil
    }
  }

  /// A member of an object: `.null` where it is missing or this is no object.
  /// Setting on `.null` makes an object; setting `.null` stores an explicit null (use ``remove(_:)`` to take a member out).
  package subscript(key: String) -> Value {
    get { if case .object(let o) = self { o[key] ?? .null } else { .null } }
    _modify {
      var object: Object
      if case .object(let o) = self { object = o } else { object = Object() }
      self = .null
      defer { self = .object(object) }
      yield &object[orNull: key]
    }
  }

  /// An element of an array: `.null` outside of it.
  package subscript(index: Int) -> Value {
    if case .array(let a) = self, a.indices.contains(index) { a[index] } else { .null }
  }

  /// A value deep inside: `.null` as soon as a step is missing.
  package subscript(path path: String...) -> Value {
    var value = self
    for key in path { value = value[key] }
    return value
  }

  /// Takes a member out and gives it back.
  @discardableResult
  package mutating func remove(_ key: String) -> Value? {
    guard case .object(var object) = self, let i = object.index(of: key) else { return nil }
    self = .null
    let removed = object.members.remove(at: i).value
    self = .object(object)
    return removed
  }

  package mutating func append(_ element: Value) {
    var array: [Value]
    if case .array(let a) = self { array = a } else { array = [] }
    self = .null
    array.append(element)
    self = .array(array)
  }
}

/// Equal as JSON: order of members does not matter, `1` equals `1.0`.
extension Value: Equatable {
  package static func == (a: Value, b: Value) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.bool(let x), .bool(let y)): x == y
    case (.int(let x), .int(let y)): x == y
    case (.double(let x), .double(let y)): x == y
    case (.int(let x), .double(let y)), (.double(let y), .int(let x)): Double(x) == y
    case (.string(let x), .string(let y)): x == y
    case (.array(let x), .array(let y)): x == y
    case (.object(let x), .object(let y)): x == y
    default: false
    }
  }
}

extension Object: Equatable {
  package static func == (a: Object, b: Object) -> Bool {
    guard a.count == b.count else { return false }
    var index: ObjectIndex?
    for (i, member) in a.members.enumerated() {
      // Most often both came from one writer and stand in one order.
      if b.members[i].key != member.key, index == nil { index = ObjectIndex(b) }
      let other = b.members[i].key == member.key ? b.members[i].value : index?[member.key]
      guard let other, other == member.value else { return false }
    }
    return true
  }
}

extension Value: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral, ExpressibleByFloatLiteral, ExpressibleByStringInterpolation
{
  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int64) { self = .int(value) }
  package init(floatLiteral value: Double) { self = .double(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(arrayLiteral elements: Value...) { self = .array(elements) }
  package init(nilLiteral: ()) { self = .null }
  package init(dictionaryLiteral elements: (String, Value)...) {
    self = .object(Object(elements.map { Object.Member(key: $0.0, value: $0.1) }))
  }
}

extension Object: ExpressibleByDictionaryLiteral {
  package init(dictionaryLiteral elements: (String, Value)...) { members = elements.map { Member(key: $0.0, value: $0.1) } }
}

/// JSON patch, RFC 6902: add, remove, replace, move, copy and test, all or nothing.
///
/// As upstream's library: an index may be negative (counted from the end), `-` appends.
package enum JSONPatch {
  package static let maximumOperations = 10_000
  /// Bytes that `copy` may add in one patch; without it a short patch doubles an object 10,000 times.
  static let maximumCopiedBytes = 3 * 1024 * 1024

  /// - Parameter patch: an array of operations.
  /// - Throws: ``PatchError``; `.malformed` for what is no list of operations, `.inapplicable` where one is unknown or does not fit the target.
  package static func apply(_ patch: Value, to target: Value) throws(PatchError) -> Value {
    guard case .array(let operations) = patch else {
      throw PatchError(.malformed, "error decoding patch: json: cannot unmarshal a value that is no array into a JSON patch")
    }
    guard operations.count <= maximumOperations else {
      throw PatchError(
        .tooLarge, "The allowed maximum operations in a JSON patch is \(maximumOperations), got \(operations.count)")
    }
    var document = target
    var copied = 0
    for operation in operations { try run(operation, on: &document, copied: &copied) }
    return document
  }

  private static func run(_ operation: Value, on document: inout Value, copied: inout Int) throws(PatchError) {
    guard case .object(let members) = operation else {
      throw PatchError(
        .malformed, "error decoding patch: json: cannot unmarshal a value that is no object into a JSON patch operation")
    }
    guard let name = members["op"]?.string else { throw PatchError(.inapplicable, "Unexpected kind: unknown") }
    guard let pathText = members["path"]?.string else {
      throw PatchError(.inapplicable, "jsonpatch \(name) operation does not apply: missing path")
    }
    let path = try tokens(pathText)
    func value() throws(PatchError) -> Value {
      guard let value = members["value"] else {
        throw PatchError(.inapplicable, "jsonpatch \(name) operation does not apply: missing value: \(pathText)")
      }
      return value
    }
    func from() throws(PatchError) -> (text: String, path: [String]) {
      guard let text = members["from"]?.string else {
        throw PatchError(.inapplicable, "jsonpatch \(name) operation does not apply: missing from: \(pathText)")
      }
      return (text, try tokens(text))
    }
    switch name {
    case "add": try add(try value(), at: path, pathText, in: &document)
    case "remove": _ = try remove(at: path[...], pathText, from: &document)
    case "replace": try replace(with: try value(), at: path, pathText, in: &document)
    case "move":
      let from = try from()
      guard from.path.count >= path.count || !path.starts(with: from.path) else {
        throw PatchError(.inapplicable, "jsonpatch move operation does not apply: \(pathText) lies inside \(from.text)")
      }
      let moved = try remove(at: from.path[...], from.text, from: &document)
      try add(moved, at: path, pathText, in: &document)
    case "copy":
      let from = try from()
      guard let source = find(from.path[...], in: document) else {
        throw PatchError(
          .inapplicable, "jsonpatch copy operation does not apply: doc is missing from path: \(from.text): missing value")
      }
      copied += size(of: source)
      guard copied <= maximumCopiedBytes else {
        throw PatchError(
          .tooLarge,
          "Unable to complete the copy, the accumulated size increase of copy is \(copied), exceeding the limit \(maximumCopiedBytes)"
        )
      }
      try add(source, at: path, pathText, in: &document)
    case "test":
      let expected = members["value"] ?? .null
      let found = find(path[...], in: document) ?? .null
      guard found == expected else {
        throw PatchError(.inapplicable, "testing value \(pathText) failed: test failed")
      }
    default: throw PatchError(.inapplicable, "Unexpected kind: \(name)")
    }
  }

  // MARK: Pointers (RFC 6901)

  private static func tokens(_ path: String) throws(PatchError) -> [String] {
    if path.isEmpty { return [] }
    guard path.utf8.first == UInt8(ascii: "/") else {
      throw PatchError(.inapplicable, "invalid path \"\(path.prefix(256))\": a JSON pointer starts with '/'")
    }
    let parts = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count < Wire.maximumDepth else { throw PatchError(.inapplicable, "a path of \(parts.count) steps is too deep") }
    return parts.map { String($0).replacing("~1", with: "/").replacing("~0", with: "~") }
  }

  private static func missing(_ path: String, _ what: String) -> PatchError {
    PatchError(.inapplicable, "operation does not apply: doc is missing \(what): \(path): missing value")
  }

  /// - Parameter isInsertion: the position after the last element is one too.
  private static func position(_ token: String, count: Int, isInsertion: Bool) -> Int? {
    if token == "-" { return isInsertion ? count : nil }
    guard token.utf8.first != UInt8(ascii: "+"), var index = Int(token) else { return nil }
    if index < 0 { index += isInsertion ? count + 1 : count }
    return index >= 0 && index < (isInsertion ? count + 1 : count) ? index : nil
  }

  private static func find(_ path: ArraySlice<String>, in value: Value) -> Value? {
    var value = value
    for token in path {
      switch value {
      case .object(let object):
        guard let next = object[token] else { return nil }
        value = next
      case .array(let array):
        guard let index = position(token, count: array.count, isInsertion: false) else { return nil }
        value = array[index]
      default: return nil
      }
    }
    return value
  }

  private static func add(_ new: Value, at path: [String], _ text: String, in document: inout Value) throws(PatchError) {
    guard depth(of: new) + path.count < Wire.maximumDepth else {
      throw PatchError(.inapplicable, "the patched object would be nested more than \(Wire.maximumDepth) levels deep")
    }
    guard let last = path.last else {
      document = new
      return
    }
    try change(at: path.dropLast(), text, in: &document) { parent throws(PatchError) in
      switch parent {
      case .object: parent[last] = new
      case .array(var array):
        guard let index = position(last, count: array.count, isInsertion: true) else {
          throw PatchError(
            .inapplicable, "error in add for path: '\(text)': Unable to access invalid index: \(last): invalid index referenced")
        }
        parent = .null
        array.insert(new, at: index)
        parent = .array(array)
      default: throw missing(text, "path")
      }
    }
  }

  private static func replace(with new: Value, at path: [String], _ text: String, in document: inout Value) throws(PatchError) {
    guard depth(of: new) + path.count < Wire.maximumDepth else {
      throw PatchError(.inapplicable, "the patched object would be nested more than \(Wire.maximumDepth) levels deep")
    }
    guard find(path[...], in: document) != nil else { throw missing(text, "key") }
    try change(at: path[...], text, in: &document) { $0 = new }
  }

  private static func remove(at path: ArraySlice<String>, _ text: String, from document: inout Value) throws(PatchError) -> Value {
    guard let last = path.last else { throw PatchError(.inapplicable, "the whole object cannot be removed by a patch") }
    var removed = Value.null
    try change(at: path.dropLast(), text, in: &document) { parent throws(PatchError) in
      switch parent {
      case .object:
        guard let value = parent.remove(last) else {
          throw PatchError(
            .inapplicable, "error in remove for path: '\(text)': Unable to remove nonexistent key: \(last): missing value")
        }
        removed = value
      case .array(var array):
        guard let index = position(last, count: array.count, isInsertion: false) else {
          throw PatchError(
            .inapplicable, "error in remove for path: '\(text)': Unable to access invalid index: \(last): invalid index referenced")
        }
        parent = .null
        removed = array.remove(at: index)
        parent = .array(array)
      default: throw missing(text, "path")
      }
    }
    return removed
  }

  private static func change(
    at path: ArraySlice<String>, _ text: String, in value: inout Value, _ body: (inout Value) throws(PatchError) -> Void
  ) throws(PatchError) {
    guard let token = path.first else { return try body(&value) }
    switch value {
    case .object(var object):
      guard let index = object.index(of: token) else { throw missing(text, "path") }
      value = .null
      try change(at: path.dropFirst(), text, in: &object.members[index].value, body)
      value = .object(object)
    case .array(var array):
      guard let index = position(token, count: array.count, isInsertion: false) else { throw missing(text, "path") }
      value = .null
      try change(at: path.dropFirst(), text, in: &array[index], body)
      value = .array(array)
    default: throw missing(text, "path")
    }
  }

  // MARK: Limits

  private static func depth(of value: Value) -> Int {
    switch value {
    case .object(let object): 1 + (object.members.lazy.map { depth(of: $0.value) }.max() ?? 0)
    case .array(let array): 1 + (array.lazy.map { depth(of: $0) }.max() ?? 0)
    default: 1
    }
  }

  /// About the bytes of the value as JSON.
  private static func size(of value: Value) -> Int {
    switch value {
    case .object(let object): object.members.reduce(2) { $0 + $1.key.utf8.count + 4 + size(of: $1.value) }
    case .array(let array): array.reduce(2) { $0 + 1 + size(of: $1) }
    case .string(let text): text.utf8.count + 2
    default: 4
    }
  }
}

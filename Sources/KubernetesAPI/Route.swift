import Client
import HTTP

/// The path of a resource, before it is known whether there is one.
struct ResourcePath: Sendable, Equatable {
  var group: String
  var version: String
  var resource: String
  var namespace: String?
  /// "" for the collection.
  var name: String
  var subresource: String
  /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
  var verb: String

  /// Exec, attach and port-forward are `create`, whatever the HTTP method (DESIGN section 9).
  var authorizationVerb: String {
    resource == "pods" && group.isEmpty && ["exec", "attach", "portforward"].contains(subresource) ? "create" : verb
  }
}

/// What a request is about.
enum Route: Sendable, Equatable {
  case resource(ResourcePath)
  /// `/version`, `/healthz`, discovery, …
  case path(String)

  /// - Throws: `.badRequest` for a path that is no proper percent encoding; `.methodNotAllowed` for an unknown method.
  init(_ head: RequestHead, _ query: Query) throws(APIError) {
    guard let segments = Self.segments(head.path) else { throw .badRequest("the path is not properly percent-encoded") }
    var rest = segments[...]
    let group: String
    switch rest.first {
    case "api" where rest.count >= 3:
      group = ""
      rest = rest.dropFirst()
    case "apis" where rest.count >= 4:
      group = rest[1]
      rest = rest.dropFirst(2)
    default:
      self = .path(segments.isEmpty ? "/" : "/" + segments.joined(separator: "/"))
      return
    }
    let version = rest.removeFirst()
    // The legacy form of a watch: /api/v1/watch/…
    var isOldWatch = false
    if rest.first == "watch", rest.count > 1 {
      isOldWatch = true
      rest = rest.dropFirst()
    }
    var path = ResourcePath(group: group, version: version, resource: "", namespace: nil, name: "", subresource: "", verb: "")
    // /namespaces/NS/RESOURCE…, but /namespaces/NAME/status and /finalize belong to the namespace itself.
    if rest.first == "namespaces", rest.count > 2, !(rest.count == 3 && ["status", "finalize"].contains(rest[rest.startIndex + 2]))
    {
      path.namespace = rest[rest.startIndex + 1]
      rest = rest.dropFirst(2)
    }
    path.resource = rest.removeFirst()
    if let name = rest.popFirst() { path.name = name }
    // A proxy's own path is the rest.
    path.subresource = rest.first ?? ""
    if rest.count > 1, path.subresource != "proxy" { throw KubernetesAPI.unknownPath }
    let isWatch = isOldWatch || query.flag("watch") && path.name.isEmpty
    path.verb = try Self.verb(head.method, hasName: !path.name.isEmpty, isWatch: isWatch, hasSubresource: !path.subresource.isEmpty)
    self = .resource(path)
  }

  private static func verb(_ method: String, hasName: Bool, isWatch: Bool, hasSubresource: Bool) throws(APIError) -> String {
    switch method {
    case "GET", "HEAD":
      // One object is read, not watched, whatever the query says: upstream's rule. The old path names a watch.
      if isWatch, !hasSubresource { return "watch" }
      return hasName ? "get" : "list"
    case "POST" where !hasName || hasSubresource: return "create"
    case "PUT" where hasName: return "update"
    case "PATCH" where hasName: return "patch"
    case "DELETE": return hasName ? "delete" : "deletecollection"
    default: throw KubernetesAPI.methodNotAllowed
    }
  }

  /// The segments of a path, decoded. Empty ones are left out.
  static func segments(_ path: String) -> [String]? {
    var segments: [String] = []
    for part in path.split(separator: "/") {
      guard let segment = Query.decode(part, plusIsSpace: false), segment != "..", segment != "." else { return nil }
      segments.append(segment)
    }
    return segments
  }
}

/// The query of a request, decoded.
struct Query: Sendable {
  let pairs: [(name: String, value: String)]

  init(_ raw: String) {
    if raw.isEmpty {
      pairs = []
      return
    }
    pairs = raw.split(separator: "&").prefix(1000).compactMap { pair in
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = Self.decode(parts[0], plusIsSpace: true),
        let value = parts.count == 2 ? Self.decode(parts[1], plusIsSpace: true) : ""
      else { return nil }
      return (name, value)
    }
  }

  /// The first value of that name.
  subscript(name: String) -> String? { pairs.first { $0.name == name }?.value }

  /// A flag as Go's converters read one: present and not `false` or `0`.
  func flag(_ name: String) -> Bool {
    guard let value = self[name] else { return false }
    return value != "false" && value != "0"
  }

  /// - Throws: `.badRequest` in the words of Go's converter.
  func integer(_ name: String) throws(APIError) -> Int? {
    guard let text = self[name], !text.isEmpty else { return nil }
    guard let number = Int(text) else {
      throw .badRequest(
        "\(name): Invalid value: \"\(text.prefix(64))\": strconv.ParseInt: parsing \"\(text.prefix(64))\": invalid syntax")
    }
    return number
  }

  /// Percent decoding; nil for a broken escape or bytes that are no UTF-8.
  static func decode(_ text: Substring, plusIsSpace: Bool) -> String? {
    guard text.utf8.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }) else { return String(text) }
    var bytes: [UInt8] = []
    var iterator = text.utf8.makeIterator()
    func digit(_ byte: UInt8?) -> UInt8? {
      switch byte {
      case .some(let c) where c >= 48 && c <= 57: c - 48
      case .some(let c) where c >= 65 && c <= 70: c - 55
      case .some(let c) where c >= 97 && c <= 102: c - 87
      default: nil
      }
    }
    while let byte = iterator.next() {
      switch byte {
      case UInt8(ascii: "%"):
        guard let high = digit(iterator.next()), let low = digit(iterator.next()) else { return nil }
        bytes.append(high << 4 | low)
      case UInt8(ascii: "+") where plusIsSpace: bytes.append(UInt8(ascii: " "))
      default: bytes.append(byte)
      }
    }
    return String(validating: bytes, as: UTF8.self)
  }
}

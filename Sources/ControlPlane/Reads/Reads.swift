import Cache
import Client
import Schema
import Store
import Wire

/// What a list or a watch asks for, as a door has understood it. Synchronous: answered inside an event loop.
package struct ReadRequest: Sendable {
  package var kind: ResourceKind
  /// nil: all namespaces, or a cluster-scoped kind.
  package var namespace: String?
  /// One object only, as `fieldSelector=metadata.name=x` also means.
  package var name: String?
  package var labelSelector = ""
  package var fieldSelector = ""
  package var resourceVersion = ""
  package var resourceVersionMatch = ""
  package var limit = 0
  package var `continue` = ""
  package var allowWatchBookmarks = false
  package var sendInitialEvents = false
  /// The client said something of it, true or false: a list refuses either.
  package var asksForInitialEvents = false

  package init(kind: ResourceKind, namespace: String? = nil) {
    self.kind = kind
    self.namespace = namespace
  }

  package init(kind: ResourceKind, namespace: String?, _ options: ListOptions) {
    self.init(kind: kind, namespace: namespace)
    labelSelector = options.labelSelector
    fieldSelector = options.fieldSelector
    resourceVersion = options.resourceVersion ?? ""
    resourceVersionMatch = options.resourceVersionMatch ?? ""
    limit = options.limit
    `continue` = options.continue
    allowWatchBookmarks = options.allowWatchBookmarks
    sendInitialEvents = options.sendInitialEvents
  }
}

extension ControlPlane {
  /// - Parameter version: at least this revision; "" and "0" for whatever there is.
  /// - Throws: `.notFound`; `.timeout` for a version that is still to come, `.badRequest` for one that is none.
  package func get(_ kind: ResourceKind, _ key: ObjectKey, resourceVersion version: String) throws(APIError) -> EncodedObject {
    let wanted = try parse(version)
    if wanted > cache.revision { throw tooLarge(wanted, current: cache.revision) }
    return try get(kind, key)
  }

  /// - Throws: `.notFound`.
  package func get(_ kind: ResourceKind, _ key: ObjectKey) throws(APIError) -> EncodedObject {
    guard let object = cache.resource(kind.storage).get(key) else { throw .notFound(kind.gvr.groupResource, key.name) }
    return converted(object, to: kind)
  }

  /// The object in the version of the reader. Most kinds have one version; both Events and both autoscalers have two.
  func converted(_ object: EncodedObject, to kind: ResourceKind) -> EncodedObject {
    guard kind.isConverted else { return object }
    return Conversion.read(object, as: kind, table: schema)
  }

  /// Opens a list: nothing is copied, objects come as they are asked for.
  /// - Throws: `.badRequest` for a bad selector or version, `.expired` for a page whose state is gone, `.timeout` for a future version.
  package func list(_ request: ReadRequest) throws(APIError) -> ListCursor {
    try Self.checkOptions(request)
    let filter = try ObjectFilter(request, table: schema)
    let resource = cache.resource(request.kind.storage)
    if !request.continue.isEmpty {
      guard request.resourceVersion.isEmpty || request.resourceVersion == "0" else {
        throw .badRequest("specifying resource version is not allowed when using continue")
      }
      let token = try ContinueToken(request.continue, request.namespace)
      // A state that is still to come is nobody's page: kept under its revision, it would be shown to others later.
      guard token.revision <= cache.revision else { throw ContinueToken.malformed("it names a state that is still to come") }
      let isGone = token.revision != 0 && resource.kept(token.revision) == nil
      if isGone { throw ContinueToken.expired(after: token.key) }
      let snapshot = resource.kept(token.revision) ?? resource.snapshot(revision: cache.revision)
      return ListCursor(self, request, filter, snapshot, after: token.key)
    }
    let snapshot = resource.snapshot(revision: cache.revision)
    let version = try parse(request.resourceVersion)
    switch request.resourceVersionMatch {
    case "", "NotOlderThan":
      if version > snapshot.revision { throw tooLarge(version, current: snapshot.revision) }
    case "Exact":
      if version > snapshot.revision { throw tooLarge(version, current: snapshot.revision) }
      guard version == snapshot.revision || resource.lastRevision <= version else {
        guard let kept = resource.kept(version) else {
          throw APIError(.expired, "The resourceVersion for the provided list is too old.")
        }
        return ListCursor(self, request, filter, kept, after: nil)
      }
      return ListCursor(self, request, filter, Snapshot(tree: snapshot.tree, revision: version), after: nil)
    default: break
    }
    return ListCursor(self, request, filter, snapshot, after: nil)
  }

  /// Whether the options of a list go together.
  private static func checkOptions(_ request: ReadRequest) throws(APIError) {
    let match = request.resourceVersionMatch
    var causes: [APIError.Cause] = []
    if !match.isEmpty {
      if request.resourceVersion.isEmpty {
        causes.append(forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"))
      }
      if !request.continue.isEmpty {
        causes.append(forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"))
      }
      if match != "Exact", match != "NotOlderThan" {
        causes.append(unsupported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""]))
      }
      if match == "Exact", request.resourceVersion == "0" {
        causes.append(
          forbidden("resourceVersionMatch", "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""))
      }
    }
    if request.asksForInitialEvents { causes.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")) }
    if !causes.isEmpty { throw .invalidOptions("ListOptions", causes) }
  }

  /// Whether the options of a watch go together.
  private static func checkWatchOptions(_ request: ReadRequest) throws(APIError) {
    let match = request.resourceVersionMatch
    var causes: [APIError.Cause] = []
    if request.asksForInitialEvents, match != "NotOlderThan" {
      causes.append(
        forbidden("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
    }
    if !match.isEmpty {
      if !request.asksForInitialEvents {
        causes.append(
          forbidden(
            "resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"))
      }
      if match != "NotOlderThan" { causes.append(unsupported("resourceVersionMatch", match, ["NotOlderThan"])) }
      if !request.continue.isEmpty {
        causes.append(forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"))
      }
    }
    if !causes.isEmpty { throw .invalidOptions("ListOptions", causes) }
  }

  private static func forbidden(_ field: String, _ text: String) -> APIError.Cause {
    .init(reason: "FieldValueForbidden", message: "Forbidden: \(text)", field: field)
  }

  private static func unsupported(_ field: String, _ value: String, _ supported: [String]) -> APIError.Cause {
    let list = supported.map { "\"\($0)\"" }.joined(separator: ", ")
    return .init(
      reason: "FieldValueNotSupported",
      message: "Unsupported value: \(Value.string(String(value.prefix(64))).json): supported values: \(list)", field: field)
  }

  /// Opens a watch. Events are pulled with ``Watch/next(limit:)`` when `onWake` says that there are some.
  package func watch(_ request: ReadRequest, target: any WakeTarget, onWake: @escaping @Sendable () -> Void) throws(APIError)
    -> Watch
  {
    try Self.checkWatchOptions(request)
    let filter = try ObjectFilter(request, table: schema)
    let resource = cache.resource(request.kind.storage)
    let version = try parse(request.resourceVersion)
    let scope = filter.scope(request)
    if version > 0, !request.sendInitialEvents {
      let current = cache.revision
      if version > current { throw tooLarge(version, current: current) }
      guard let cursor = resource.watch(after: version, scope: scope, target: target, onWake: onWake) else {
        throw APIError(.expired, "too old resource version: \(version) (\(current))")
      }
      return Watch(self, request, filter, cursor, initial: nil)
    }
    // "" and "0": the state first, as added objects, then what follows.
    let current = cache.revision
    if version > current { throw tooLarge(version, current: current) }
    let snapshot = resource.snapshot(revision: current)
    guard let cursor = resource.watch(after: snapshot.revision, scope: scope, target: target, onWake: onWake) else {
      throw APIError(.expired, "too old resource version: \(snapshot.revision) (\(current))")
    }
    return Watch(self, request, filter, cursor, initial: ListCursor(self, request, filter, snapshot, after: nil))
  }

  private func parse(_ version: String) throws(APIError) -> Revision {
    if version.isEmpty { return 0 }
    guard let number = Int64(version), number >= 0 else {
      throw .badRequest(
        "resourceVersion: Invalid value: \"\(version.prefix(64))\": strconv.ParseUint: parsing \"\(version.prefix(64))\": invalid syntax"
      )
    }
    return number
  }

  private func tooLarge(_ version: Revision, current: Revision) -> APIError {
    var error = APIError(.timeout, "Timeout: Too large resource version: \(version), current: \(current)")
    error.causes = [.init(reason: "ResourceVersionTooLarge", message: "Too large resource version", field: "")]
    error.retryAfterSeconds = 1
    return error
  }
}

/// Where a list goes on: revision and last key, opaque to clients.
struct ContinueToken {
  var revision: Revision
  var key: ObjectKey

  init(revision: Revision, key: ObjectKey) {
    self.revision = revision
    self.key = key
  }

  /// - Parameter namespace: what the list is bound to; a token of another one belongs to another list.
  init(_ text: String, _ namespace: String?) throws(APIError) {
    guard let bytes = Base64.decode(text), let value = try? Value(json: bytes), value["v"] == "1", let revision = value["rv"].int,
      revision >= 0, let name = value["name"].string
    else {
      throw Self.malformed("illegal base64 data or a token of another server")
    }
    self.revision = revision
    key = ObjectKey(namespace: value["ns"].string ?? "", name: name)
    if let namespace, namespace != key.namespace { throw Self.malformed("it belongs to another list") }
  }

  static func malformed(_ why: String) -> APIError { .badRequest("invalid continue token: continue key is not valid: \(why)") }

  var text: String {
    let value: Value = ["v": "1", "rv": .int(revision), "ns": .string(key.namespace), "name": .string(key.name)]
    return Base64.encode(value.jsonBytes)
  }

  /// The page's state is gone; the token in the error goes on from there over the newest state.
  static func expired(after key: ObjectKey) -> APIError {
    var error = APIError(
      .expired,
      "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list."
    )
    error.continueToken = ContinueToken(revision: 0, key: key).text
    return error
  }
}

import Cache
import Client
import ControlPlane
import HTTP
import Logging
import NIOCore
import Schema
import Synchronization
import Wire

/// The first door: the Kubernetes API over HTTP.
///
/// In: HTTP exchanges. Out: objects, lists, tables, watches, streams and `Status`, in the words and bytes that kubectl and the client
/// libraries expect. One file a verb, in `Verbs/`; what is no resource (discovery, OpenAPI, health) in `System/`.
/// Never: decodes an object to answer a read, changes state but through ``ControlPlane``, or answers anybody before authorization.
package final class KubernetesAPI: HTTPHandler {
  package struct Configuration: Sendable {
    /// `gitVersion` of `/version`; clients parse it.
    package var gitVersion = "v1.36.4+gantry"
    package var gitCommit = ""
    package var buildDate = "1970-01-01T00:00:00Z"
    /// Bytes of a request body; upstream's limit.
    package var bodyLimit = 3 << 20
    /// `HOST:PORT` that legacy discovery tells.
    package var serverAddress = "127.0.0.1:6443"

    package init() {}
  }

  /// One condition of health: nil, or what is wrong (told to those who may read `/healthz` verbosely; never a secret).
  package struct HealthCheck: Sendable {
    package var name: String
    /// Part of `/livez` too: a failure means that only a restart helps.
    package var isVital: Bool
    package var check: @Sendable () -> String?

    package init(_ name: String, isVital: Bool = false, _ check: @escaping @Sendable () -> String?) {
      self.name = name
      self.isVital = isVital
      self.check = check
    }
  }

  let controlPlane: ControlPlane
  let configuration: Configuration
  let healthChecks: [HealthCheck]
  let discovery: Discovery
  let openAPI: OpenAPI
  let logger: Logger
  let requests = RequestMetrics()
  let streamFailures = StreamFailures()
  private let loops = Mutex<[ObjectIdentifier: LoopWatches]>([:])
  private let extraMetrics: @Sendable () -> String

  package init(
    _ controlPlane: ControlPlane, _ configuration: Configuration = Configuration(), healthChecks: [HealthCheck] = [],
    extraMetrics: @escaping @Sendable () -> String = { "" }, logger: Logger = Logger(label: "gantry.kubernetes")
  ) {
    self.controlPlane = controlPlane
    self.configuration = configuration
    self.healthChecks = healthChecks
    openAPI = OpenAPI(table: controlPlane.schema)
    self.extraMetrics = extraMetrics
    self.logger = logger
    discovery = Discovery(controlPlane.schema, serverAddress: configuration.serverAddress)
  }

  var schema: SchemaTable { controlPlane.schema }

  /// The watches of one event loop.
  func watches(on loop: any EventLoop) -> LoopWatches {
    loops.withLock { loops in
      if let found = loops[ObjectIdentifier(loop)] { return found }
      let made = LoopWatches(loop)
      loops[ObjectIdentifier(loop)] = made
      return made
    }
  }

  func metricsText() -> String { controlPlane.metrics.render() + requests.render() + storedObjects() + extraMetrics() }

  private func storedObjects() -> String {
    var text = "# HELP apiserver_storage_objects Objects that are stored, by resource.\n# TYPE apiserver_storage_objects gauge\n"
    for resource in Set(schema.resources.filter(\.isStored).map(\.storage)).sorted(by: { $0.description < $1.description }) {
      text += "apiserver_storage_objects{resource=\"\(resource)\"} \(controlPlane.cache.resource(resource).count)\n"
    }
    return text
  }

  // MARK: HTTPHandler

  /// Authenticates, authorizes and resolves from the head alone: nobody's body is read who may not send it.
  package func policy(for head: RequestHead) -> RequestPolicy {
    var labels = RequestLabels(method: head.method)
    do throws(APIError) {
      let policy = try plan(head, &labels)
      return requests.observed(policy, labels)
    } catch {
      return requests.observed(RequestPolicy { [self] in fail($0, error) }, labels)
    }
  }

  private func plan(_ head: RequestHead, _ labels: inout RequestLabels) throws(APIError) -> RequestPolicy {
    let query = Query(head.query)
    let route = try Route(head, query)
    if case .resource(let path) = route {
      labels.describe(
        path, schema.resource(GroupVersionResource(group: path.group, version: path.version, resource: path.resource)))
    }
    let identity = try Caller.identify(head, controlPlane)
    switch route {
    case .path(let path): return try systemPolicy(path, head, query, identity)
    case .resource(let path):
      try authorize(path, query, identity)
      return try resourcePolicy(try resolve(path, head), head, query, identity)
    }
  }

  private func authorize(_ path: ResourcePath, _ query: Query, _ identity: Identity) throws(APIError) {
    try controlPlane.authorize(
      RequestAttributes(
        user: identity, verb: path.authorizationVerb, group: path.group, resource: path.resource, subresource: path.subresource,
        namespace: path.namespace ?? "", name: path.name, fieldSelector: query["fieldSelector"] ?? ""))
  }

  /// The kind behind a path, and whether it knows the verb.
  private func resolve(_ path: ResourcePath, _ head: RequestHead) throws(APIError) -> Target {
    let gvr = GroupVersionResource(group: path.group, version: path.version, resource: path.resource)
    guard let kind = schema.resource(gvr) else { throw Self.unknownPath }
    // Whether a kind is namespaced is part of its route. All namespaces at once can only be read.
    if kind.isNamespaced, path.namespace == nil, path.verb != "list", path.verb != "watch" {
      throw path.name.isEmpty ? Self.methodNotAllowed : Self.unknownPath
    }
    if !kind.isNamespaced, path.namespace != nil { throw Self.unknownPath }
    if path.subresource.isEmpty {
      guard kind.verbs.contains(path.verb) else { throw Self.methodNotAllowed }
      return Target(kind: kind, subresource: nil, path: path)
    }
    guard let subresource = kind.subresource(path.subresource) else { throw Self.unknownPath }
    guard subresource.verbs.contains(path.verb) else { throw Self.methodNotAllowed }
    return Target(kind: kind, subresource: subresource, path: path)
  }

  static let unknownPath = APIError(.notFound, "the server could not find the requested resource")
  static let methodNotAllowed = APIError(.methodNotAllowed, "the server does not allow this method on the requested resource")

  private func resourcePolicy(
    _ target: Target, _ head: RequestHead, _ query: Query, _ identity: Identity
  ) throws(APIError) -> RequestPolicy {
    let request = Request(target: target, head: head, query: query, identity: identity)
    if let subresource = target.subresource {
      switch (target.kind.typeName, subresource.name) {
      case ("core/v1.Pod", "log"): return podLog(request)
      case ("core/v1.Pod", "exec"), ("core/v1.Pod", "attach"): return try podStream(request)
      case (_, "scale"): return try scalePolicy(request)
      case ("core/v1.Pod", "binding"), ("core/v1.Pod", "eviction"), ("core/v1.ServiceAccount", "token"):
        return try actionPolicy(request)
      default:
        if subresource.isConnect {
          throw APIError(
            .methodNotAllowed, "\(target.kind.gvr.resource)/\(subresource.name) is not served by this release of Gantry")
        }
      }
    }
    switch target.path.verb {
    case "get": return try getPolicy(request)
    case "list": return try listPolicy(request)
    case "watch": return try watchPolicy(request)
    case "create": return target.kind.isStored ? try createPolicy(request) : try actionPolicy(request)
    case "update": return try updatePolicy(request)
    case "patch": return try patchPolicy(request)
    case "delete": return try deletePolicy(request)
    case "deletecollection": return try deleteCollectionPolicy(request)
    default: throw Self.methodNotAllowed
    }
  }

  package func refusal(_ refusal: HTTPRefusal, for head: RequestHead) -> HTTPResponse {
    let error =
      switch refusal {
      case .malformed(let why): APIError.badRequest(why)
      case .headTooLarge: APIError(.badRequest, "request header fields too large", code: 431)
      case .bodyTooLarge(let limit): APIError(.requestEntityTooLarge, "Request entity too large: limit is \(limit)")
      case .tooManyRequests:
        {
          var error = APIError(.tooManyRequests, "too many requests, please try again later")
          error.retryAfterSeconds = 1
          return error
        }()
      case .timeout: APIError(.timeout, "request did not complete within the allotted timeout")
      case .shuttingDown: APIError(.serviceUnavailable, "the server is shutting down")
      }
    return StatusBody.response(error, head, schema)
  }

  func fail(_ exchange: Exchange, _ error: APIError) { exchange.respond(StatusBody.response(error, exchange.head, schema)) }

  /// Runs an asynchronous answer; whatever it throws becomes a Status.
  func answer(_ exchange: Exchange, _ work: @escaping @Sendable () async throws(APIError) -> HTTPResponse) {
    Task.detached { [self] in
      do throws(APIError) { exchange.respond(try await work()) } catch { fail(exchange, error) }
    }
  }
}

/// What a request addresses, resolved.
struct Target: Sendable {
  var kind: ResourceKind
  var subresource: Subresource?
  var path: ResourcePath
  var key: ObjectKey { ObjectKey(namespace: path.namespace ?? "", name: path.name) }
}

/// A request to a resource, as the verbs see it.
struct Request: Sendable {
  var target: Target
  var head: RequestHead
  var query: Query
  var identity: Identity
  var kind: ResourceKind { target.kind }
  var key: ObjectKey { target.key }
}

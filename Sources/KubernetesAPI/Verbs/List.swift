import Client
import ControlPlane
import HTTP
import NIOCore
import Schema
import Wire

/// LIST: a root of the cache's tree and a position in it, written out in pieces as the client takes them.
extension KubernetesAPI {
  func listPolicy(_ request: Request) throws(APIError) -> RequestPolicy {
    let format = try Negotiation.output(request.head, request.query)
    let read = try readRequest(request)
    return RequestPolicy { [self] exchange in
      do throws(APIError) {
        let cursor = try controlPlane.list(read)
        exchange.respond(render(.cursor(cursor), isPage: read.limit > 0, request, format))
      } catch { fail(exchange, error) }
    }
  }

  /// What list and watch ask for.
  func readRequest(_ request: Request) throws(APIError) -> ReadRequest {
    let query = request.query
    var read = ReadRequest(kind: request.kind, namespace: request.target.path.namespace)
    if !request.key.name.isEmpty { read.name = request.key.name }
    read.labelSelector = query["labelSelector"] ?? ""
    read.fieldSelector = query["fieldSelector"] ?? ""
    read.resourceVersion = query["resourceVersion"] ?? ""
    read.resourceVersionMatch = query["resourceVersionMatch"] ?? ""
    read.limit = try query.integer("limit") ?? 0
    if read.limit < 0 { throw .badRequest("limit: Invalid value: \(read.limit): must be greater than or equal to 0") }
    read.continue = query["continue"] ?? ""
    read.allowWatchBookmarks = query.flag("allowWatchBookmarks")
    read.sendInitialEvents = query.flag("sendInitialEvents")
    read.asksForInitialEvents = query["sendInitialEvents"] != nil
    return read
  }

  func render(_ source: ListProducer.Source, isPage: Bool = false, _ request: Request, _ format: OutputFormat) -> HTTPResponse {
    let renderer = format.shape == .table ? TableRenderer(request, schema: schema) : nil
    let producer = ListProducer(
      source, isPage: isPage, request.kind, format, renderer, schema: schema, now: controlPlane.clock.now())
    // What fits one piece and one turn goes out whole, with its length.
    var first = ByteBuffer()
    let isWhole = producer.produce(into: &first, limit: HTTP.pieceBytes) == .end
    if !isWhole { producer.putBack(first) }
    return HTTPResponse(
      200, headers: [("content-type", format.contentType)] + headers(request), body: isWhole ? .bytes(first) : .producer(producer)
    ).compressing(from: Self.compressesFrom)
  }
}

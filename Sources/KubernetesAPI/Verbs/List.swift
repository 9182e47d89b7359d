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
        // A page says in its head whether another follows, so it is walked first (the objects are shared, not copied).
        let isPage = read.limit > 0 || format.encoding == .protobuf
        exchange.respond(isPage ? render(ListPage(cursor), request, format) : respond(.cursor(cursor), request, format))
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
    return read
  }

  /// A list whose objects are all at hand.
  func render(_ page: ListPage, _ request: Request, _ format: OutputFormat) -> HTTPResponse {
    guard format.encoding == .protobuf else { return respond(.page(page), request, format) }
    var metadata: Value = ["resourceVersion": .string(String(page.revision))]
    if !page.token.isEmpty { metadata["continue"] = .string(page.token) }
    if let remaining = page.remaining { metadata["remainingItemCount"] = .int(remaining) }
    let bytes =
      format.shape == .partial
      ? schema.protobufMetadataList(metadata: metadata, items: page.objects.map { schema.protobufMetadataMessage($0) })
      : schema.protobufList(
        kind: request.kind, metadata: metadata, items: page.objects.map { schema.protobufMessage($0, kind: request.kind) })
    return HTTPResponse(200, headers: Rendering.headers([]), type: format.contentType, bytes).compressing(from: Self.compressesFrom)
  }

  private func respond(_ source: ListProducer.Source, _ request: Request, _ format: OutputFormat) -> HTTPResponse {
    let renderer = format.shape == .table ? TableRenderer(request, schema: schema, now: controlPlane.clock.now()) : nil
    let producer = ListProducer(source, request.kind, format, renderer)
    let headers = Rendering.headers([])
    // Another form than compact JSON needs all of it.
    if format.isPretty || format.encoding == .yaml {
      return HTTPResponse(200, headers: headers, type: format.contentType, Rendering.finished(json(producer), format)).compressing(
        from: Self.compressesFrom)
    }
    // What fits one piece goes out whole, with its length.
    var first = ByteBuffer()
    let isWhole = producer.produce(into: &first, limit: HTTP.pieceBytes) == .end
    if !isWhole { producer.putBack(first) }
    return HTTPResponse(
      200, headers: [("content-type", format.contentType)] + headers, body: isWhole ? .bytes(first) : .producer(producer)
    ).compressing(from: Self.compressesFrom)
  }

  /// Everything at once.
  private func json(_ producer: ListProducer) -> [UInt8] {
    var all = ByteBuffer()
    while producer.produce(into: &all, limit: HTTP.pieceBytes) == .more {}
    return Array(all.readableBytesView)
  }
}

/// Objects of a list in their order, and what its metadata says of it.
struct ListPage: Sendable {
  var objects: [EncodedObject] = []
  var revision: Int64
  /// Leads to the next page; "" where this is the last.
  var token = ""
  var remaining: Int64?

  init(_ objects: [EncodedObject], revision: Int64) {
    self.objects = objects
    self.revision = revision
  }

  /// Walks the cursor to its end.
  init(_ cursor: ListCursor) {
    var cursor = cursor
    while let object = cursor.next() { objects.append(object) }
    revision = cursor.revision
    token = cursor.continueToken()
    remaining = token.isEmpty ? nil : cursor.remainingItemCount
  }
}

/// Writes a list piece by piece: at most 256 KB or 1 ms a turn. On its exchange's loop only.
final class ListProducer: BodyProducer, @unchecked Sendable {
  enum Source {
    case cursor(ListCursor)
    case page(ListPage)
  }

  private enum Rest {
    case cursor(ListCursor)
    case page(ArraySlice<EncodedObject>)
  }

  private var rest: Rest
  private let revision: Int64
  private let token: String
  private let remaining: Int64?
  private let kind: ResourceKind
  private let format: OutputFormat
  private let renderer: TableRenderer?
  private var hasBegun = false
  private var isFirst = true
  private var held: ByteBuffer?
  private var scratch: [UInt8] = []

  init(_ source: Source, _ kind: ResourceKind, _ format: OutputFormat, _ renderer: TableRenderer?) {
    switch source {
    case .cursor(let cursor):
      rest = .cursor(cursor)
      (revision, token, remaining) = (cursor.revision, "", nil)
    case .page(let page):
      rest = .page(page.objects[...])
      (revision, token, remaining) = (page.revision, page.token, page.remaining)
    }
    self.kind = kind
    self.format = format
    self.renderer = renderer
  }

  /// What was produced for a first look and goes out with the rest.
  func putBack(_ buffer: ByteBuffer) { held = buffer }

  private func next() -> EncodedObject? {
    // Taken out while it moves, so that it is not copied.
    switch rest {
    case .cursor(var cursor):
      rest = .page([])
      defer { rest = .cursor(cursor) }
      return cursor.next()
    case .page(var page):
      rest = .page([])
      defer { rest = .page(page) }
      return page.popFirst()
    }
  }

  func produce(into buffer: inout ByteBuffer, limit: Int) -> BodyProgress {
    if let held {
      buffer = held
      self.held = nil
      return .more
    }
    // Kept between the pieces, so that the room for one is made once.
    var out: [UInt8] = []
    swap(&out, &scratch)
    defer {
      out.removeAll(keepingCapacity: true)
      swap(&out, &scratch)
    }
    if !hasBegun {
      hasBegun = true
      begin(into: &out)
    }
    let deadline = NIODeadline.now() + .milliseconds(1)
    var count = 0
    while out.count < limit {
      guard let object = next() else {
        JSONWriter.literal("]}\n", into: &out)
        buffer.writeBytes(out)
        return .end
      }
      if !isFirst { out.append(UInt8(ascii: ",")) }
      isFirst = false
      switch format.shape {
      case .object: object.write(apiVersion: nil, kind: nil, into: &out)
      case .partial: Rendering.partial(object, into: &out)
      case .table: renderer?.row(object, into: &out)
      }
      count += 1
      if count & 15 == 0, NIODeadline.now() > deadline { break }
    }
    buffer.writeBytes(out)
    return .more
  }

  private func begin(into out: inout [UInt8]) {
    if let renderer { return renderer.open(revision: revision, token: token, remaining: remaining, into: &out) }
    let isPartial = format.shape == .partial
    JSONWriter.literal("{\"kind\":\"", into: &out)
    out.append(contentsOf: (isPartial ? "PartialObjectMetadataList" : kind.listKind).utf8)
    JSONWriter.literal("\",\"apiVersion\":\"", into: &out)
    out.append(contentsOf: (isPartial ? "meta.k8s.io/v1" : kind.apiVersion).utf8)
    JSONWriter.literal("\",\"metadata\":", into: &out)
    Rendering.listMetadata(revision, token, remaining, into: &out)
    JSONWriter.literal(",\"items\":[", into: &out)
  }

  func cancel() { rest = .page([]) }
}

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
        requests.count(verb: "list", status: 200)
        exchange.respond(response(cursor, read, request, format))
      } catch {
        requests.count(verb: "list", status: error.code)
        exchange.respond(StatusBody.response(error))
      }
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

  private func response(_ cursor: ListCursor, _ read: ReadRequest, _ request: Request, _ format: OutputFormat) -> HTTPResponse {
    var cursor = cursor
    let producer: ListProducer
    let renderer = format.shape == .table ? TableRenderer(request, schema: schema, now: controlPlane.clock.now()) : nil
    if read.limit > 0 || format.encoding == .protobuf {
      // A page says in its head whether another follows, so it is walked first (the objects are shared, not copied).
      var objects: [EncodedObject] = []
      while let object = cursor.next() { objects.append(object) }
      let remaining = cursor.remainingItemCount
      let token = cursor.continueToken()
      if format.encoding == .protobuf, format.shape == .object {
        return protobufList(objects, cursor.revision, token, token.isEmpty ? nil : remaining, request.kind)
      }
      producer = ListProducer(
        objects, revision: cursor.revision, token: token, remaining: token.isEmpty ? nil : remaining, request.kind, format, renderer
      )
    } else {
      producer = ListProducer(cursor, request.kind, format, renderer)
    }
    let headers = [("content-type", format.contentType), ("cache-control", "no-cache, private")]
    // What fits one piece goes out whole, with its length; indenting needs all of it anyway.
    var first = ByteBuffer()
    var progress = producer.produce(into: &first, limit: HTTP.pieceBytes)
    if format.isPretty {
      while progress == .more { progress = producer.produce(into: &first, limit: HTTP.pieceBytes) }
      return HTTPResponse(200, headers: headers, body: .bytes(ByteBuffer(bytes: PrettyJSON.indent(Array(first.readableBytesView)))))
    }
    if progress == .end { return HTTPResponse(200, headers: headers, body: .bytes(first)) }
    producer.putBack(first)
    return HTTPResponse(200, headers: headers, body: .producer(producer))
  }

  private func protobufList(
    _ objects: [EncodedObject], _ revision: Int64, _ token: String, _ remaining: Int64?, _ kind: ResourceKind
  ) -> HTTPResponse {
    var metadata: Value = ["resourceVersion": .string(String(revision))]
    if !token.isEmpty { metadata["continue"] = .string(token) }
    if let remaining { metadata["remainingItemCount"] = .int(remaining) }
    let bytes = schema.protobufList(kind: kind, metadata: metadata, items: objects.map { schema.protobufMessage($0, kind: kind) })
    return HTTPResponse(200, headers: [("cache-control", "no-cache, private")], type: "application/vnd.kubernetes.protobuf", bytes)
  }
}

/// Writes a list piece by piece: at most 256 KB or 1 ms a turn. On its exchange's loop only.
final class ListProducer: BodyProducer, @unchecked Sendable {
  private enum Source {
    case cursor(ListCursor)
    case page(ArraySlice<EncodedObject>)
  }

  private var source: Source
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

  init(_ cursor: ListCursor, _ kind: ResourceKind, _ format: OutputFormat, _ renderer: TableRenderer?) {
    source = .cursor(cursor)
    revision = cursor.revision
    token = ""
    remaining = nil
    self.kind = kind
    self.format = format
    self.renderer = renderer
  }

  init(
    _ page: [EncodedObject], revision: Int64, token: String, remaining: Int64?, _ kind: ResourceKind, _ format: OutputFormat,
    _ renderer: TableRenderer?
  ) {
    source = .page(page[...])
    self.revision = revision
    self.token = token
    self.remaining = remaining
    self.kind = kind
    self.format = format
    self.renderer = renderer
  }

  func putBack(_ buffer: ByteBuffer) { held = buffer }

  private func next() -> EncodedObject? {
    switch source {
    case .cursor(var cursor):
      // Taken out while it moves, so that it is not copied.
      source = .page([])
      let object = cursor.next()
      source = .cursor(cursor)
      return object
    case .page(var page):
      source = .page([])
      let object = page.popFirst()
      source = .page(page)
      return object
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
      case .partial: Rendering.partial(object, isItem: true, into: &out)
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
    JSONWriter.literal("\",\"metadata\":{\"resourceVersion\":\"", into: &out)
    JSONWriter.write(revision, into: &out)
    out.append(UInt8(ascii: "\""))
    if !token.isEmpty {
      JSONWriter.literal(",\"continue\":", into: &out)
      JSONWriter.write(token, into: &out)
    }
    if let remaining {
      JSONWriter.literal(",\"remainingItemCount\":", into: &out)
      JSONWriter.write(remaining, into: &out)
    }
    JSONWriter.literal("},\"items\":[", into: &out)
  }

  func cancel() { source = .page([]) }
}

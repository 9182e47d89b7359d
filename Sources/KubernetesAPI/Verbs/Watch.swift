import Cache
import Client
import ControlPlane
import HTTP
import NIOCore
import Schema
import Synchronization
import Wire

/// WATCH: a cursor, a filter and a stream. Events are the cache's bytes; a batch costs one hop a loop, whatever the number of watchers.
extension KubernetesAPI {
  /// Source: upstream ends watches without `timeoutSeconds` after a random time between 30 and 60 minutes.
  private static let defaultTimeout = 1800..<3600

  func watchPolicy(_ request: Request) throws(APIError) -> RequestPolicy {
    let format = try Negotiation.output(request.head, request.query, isStream: true)
    var read = try readRequest(request)
    read.limit = 0
    let asked = try request.query.integer("timeoutSeconds") ?? 0
    let timeout = asked > 0 ? min(asked, 86_400) : Int.random(in: Self.defaultTimeout)
    let finished = read
    return RequestPolicy(isLongLived: true) { [self] exchange in
      do throws(APIError) {
        try beginWatch(exchange, request, finished, format, timeout: timeout)
      } catch { fail(exchange, error) }
    }
  }

  private func beginWatch(
    _ exchange: Exchange, _ request: Request, _ read: ReadRequest, _ format: OutputFormat, timeout: Int
  ) throws(APIError) {
    let hub = watches(on: exchange.eventLoop)
    let producer = WatchProducer(request, format, schema: schema, sendsBookmarks: read.allowWatchBookmarks, hub: hub) {
      [clock = controlPlane.clock] in clock.now()
    }
    do throws(APIError) {
      producer.watch = try controlPlane.watch(read, target: hub) { [weak producer] in producer?.exchange?.wake() }
    } catch {
      // A version that is gone is told inside the stream, where reflectors look for it.
      guard error.reason == .expired else { throw error }
      producer.failure = error
    }
    producer.exchange = exchange
    producer.start(timeout: timeout)
    let type = format.encoding == .protobuf ? "application/vnd.kubernetes.protobuf;stream=watch" : "application/json"
    exchange.respond(
      HTTPResponse(200, headers: [("content-type", type)] + headers(request), body: .producer(producer)))
  }
}

/// The watches of one event loop: wakes arrive together, bookmarks are due together. Everything but ``wake(_:)`` happens on the loop.
final class LoopWatches: WakeTarget, @unchecked Sendable {
  private let loop: any EventLoop
  private var quiet: [ObjectIdentifier: WatchProducer] = [:]
  private var ticker: RepeatedTask?

  init(_ loop: any EventLoop) { self.loop = loop }

  func wake(_ cursors: [WatchCursor]) { loop.execute { for cursor in cursors { cursor.onWake() } } }

  /// Watches that want a bookmark about once a minute. Source: upstream's bookmark frequency.
  func add(_ producer: WatchProducer) {
    quiet[ObjectIdentifier(producer)] = producer
    guard ticker == nil else { return }
    ticker = loop.scheduleRepeatedTask(initialDelay: .seconds(60), delay: .seconds(60)) { [weak self] _ in
      guard let self else { return }
      for producer in quiet.values { producer.requestBookmark() }
    }
  }

  func remove(_ producer: WatchProducer) {
    quiet[ObjectIdentifier(producer)] = nil
    if quiet.isEmpty {
      ticker?.cancel()
      ticker = nil
    }
  }
}

/// One watch's stream. On its exchange's loop only.
final class WatchProducer: BodyProducer, @unchecked Sendable {
  /// Objects looked at between two looks at the clock.
  private static let batch = 64

  var watch: Watch?
  var failure: APIError?
  weak var exchange: Exchange?
  private let kind: ResourceKind
  private let format: OutputFormat
  private let schema: SchemaTable
  private let sendsBookmarks: Bool
  private let hub: LoopWatches
  private let now: @Sendable () -> Timestamp
  /// Its columns are made once.
  private let table: TableRenderer?
  private var hasSentColumns = false
  /// Events that were looked at and not written yet: objects can be large, and a piece is bounded in bytes.
  private var queue: ArraySlice<WatchEvent> = []
  private var isOver = false
  private var wantsBookmark = false
  private var isTimedOut = false
  private var timer: Scheduled<Void>?

  init(
    _ request: Request, _ format: OutputFormat, schema: SchemaTable, sendsBookmarks: Bool, hub: LoopWatches,
    now: @escaping @Sendable () -> Timestamp
  ) {
    table = format.shape == .table ? TableRenderer(request, schema: schema) : nil
    kind = request.kind
    self.format = format
    self.schema = schema
    self.sendsBookmarks = sendsBookmarks
    self.hub = hub
    self.now = now
  }

  func start(timeout: Int) {
    timer = exchange?.eventLoop.scheduleTask(in: .seconds(Int64(timeout))) { [weak self] in
      guard let self else { return }
      isTimedOut = true
      exchange?.wake()
    }
    if sendsBookmarks { hub.add(self) }
  }

  func requestBookmark() {
    wantsBookmark = true
    exchange?.wake()
  }

  func produce(into buffer: inout ByteBuffer, limit: Int) -> BodyProgress {
    var out: [UInt8] = []
    defer { buffer.writeBytes(out) }
    if let failure {
      write(.error(failure), into: &out)
      stop()
      return .end
    }
    guard let watch else { return .end }
    let deadline = NIODeadline.now() + .milliseconds(1)
    // What was true of the last look is not true any more.
    var isDrained = false
    var promised: WatchEvent?
    while out.count < limit {
      if let event = queue.popFirst() {
        write(event, into: &out)
        continue
      }
      if isOver || isDrained && isTimedOut && promised == nil {
        stop()
        return .end
      }
      if isDrained {
        guard let bookmark = promised else { return .idle }
        promised = nil
        wantsBookmark = false
        write(bookmark, into: &out)
        continue
      }
      if NIODeadline.now() >= deadline { return .more }
      // Asked for before the look: what the bookmark promises must have been seen.
      promised = wantsBookmark || isTimedOut && sendsBookmarks ? watch.bookmark : nil
      let batch = watch.next(limit: Self.batch)
      queue = batch.events[...]
      isOver = batch.isEnd
      isDrained = !batch.hasMore
    }
    return .more
  }

  func cancel() { stop() }

  private func stop() {
    timer?.cancel()
    timer = nil
    hub.remove(self)
    watch?.close()
    watch = nil
    queue = []
  }

  // MARK: Events

  private func write(_ event: WatchEvent, into out: inout [UInt8]) {
    if format.encoding == .protobuf { return writeProtobuf(event, into: &out) }
    switch event {
    case .added(let object): frame("ADDED", into: &out) { self.object(object, into: &$0) }
    case .modified(let object): frame("MODIFIED", into: &out) { self.object(object, into: &$0) }
    case .deleted(let object): frame("DELETED", into: &out) { self.object(object, into: &$0) }
    case .bookmark(let revision, let isInitialEnd): frame("BOOKMARK", into: &out) { bookmark(revision, isInitialEnd, into: &$0) }
    case .error(let error): frame("ERROR", into: &out) { JSONWriter.write(StatusBody.value(error), into: &$0) }
    }
  }

  private func frame(_ type: StaticString, into out: inout [UInt8], _ object: (inout [UInt8]) -> Void) {
    JSONWriter.literal("{\"type\":\"", into: &out)
    JSONWriter.literal(type, into: &out)
    JSONWriter.literal("\",\"object\":", into: &out)
    object(&out)
    JSONWriter.literal("}\n", into: &out)
  }

  private func object(_ object: EncodedObject, into out: inout [UInt8]) {
    guard let table else { return Rendering.object(object, kind, format, nil, into: &out) }
    table.open(revision: object.revision, token: "", remaining: nil, withColumns: !hasSentColumns, into: &out)
    hasSentColumns = true
    table.row(object, now: now(), into: &out)
    JSONWriter.literal("]}", into: &out)
  }

  private func bookmark(_ revision: Int64, _ isInitialEnd: Bool, into out: inout [UInt8]) {
    JSONWriter.write(bookmarkValue(revision, isInitialEnd), into: &out)
  }

  private func bookmarkValue(_ revision: Int64, _ isInitialEnd: Bool) -> Value {
    var metadata: Value = ["resourceVersion": .string(String(revision)), "creationTimestamp": .null]
    if isInitialEnd { metadata["annotations"] = ["k8s.io/initial-events-end": "true"] }
    switch format.shape {
    case .object: return ["kind": .string(kind.kind), "apiVersion": .string(kind.apiVersion), "metadata": metadata]
    case .partial: return ["kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata]
    case .table:
      let partial: Value = ["kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata]
      return [
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": ["resourceVersion": .string(String(revision))],
        "columnDefinitions": .null, "rows": [["cells": [], "object": partial]],
      ]
    }
  }

  private func writeProtobuf(_ event: WatchEvent, into out: inout [UInt8]) {
    func frame(_ type: String, _ object: [UInt8]) { out.append(contentsOf: schema.protobufWatchFrame(type: type, object: object)) }
    func bytes(_ object: EncodedObject) -> [UInt8] {
      format.shape == .partial ? schema.encodeProtobufMetadata(object) : schema.encodeProtobuf(object, kind: kind)
    }
    switch event {
    case .added(let object): frame("ADDED", bytes(object))
    case .modified(let object): frame("MODIFIED", bytes(object))
    case .deleted(let object): frame("DELETED", bytes(object))
    case .bookmark(let revision, let isInitialEnd):
      let value = bookmarkValue(revision, isInitialEnd)
      let type = format.shape == .partial ? schema.type(named: "meta/v1.PartialObjectMetadata") ?? kind.type : kind.type
      frame(
        "BOOKMARK",
        schema.encodeProtobuf(
          value, type: type, apiVersion: value["apiVersion"].string ?? "", kind: value["kind"].string ?? ""))
    case .error(let error):
      guard let type = schema.type(named: "meta/v1.Status") else { return }
      frame("ERROR", schema.encodeProtobuf(StatusBody.value(error), type: type, apiVersion: "v1", kind: "Status"))
    }
  }
}

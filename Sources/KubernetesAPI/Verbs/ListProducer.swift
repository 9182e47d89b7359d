import Client
import ControlPlane
import HTTP
import NIOCore
import Schema
import Wire

/// Writes a list piece by piece, in any form: at most 256 KB or 1 ms a turn. On its exchange's loop only.
///
/// What must be known before the first byte is found out in turns of the same length: whether another page follows (the page's objects are
/// gathered, shared, not copied) and, in protobuf, how long all items are (they are encoded, and kept until they go out).
final class ListProducer: BodyProducer, @unchecked Sendable {
  enum Source {
    case cursor(ListCursor)
    case objects([EncodedObject], revision: Int64)
  }

  private enum Stage {
    /// A page's objects so far.
    case gathering([EncodedObject])
    /// Items in protobuf so far, and their bytes.
    case encoding([ByteBuffer], count: Int)
    /// What was encoded, the next piece last.
    case sending([ByteBuffer])
    case writing(any ListText)
  }

  private static let turn = TimeAmount.milliseconds(1)

  private let schema: SchemaTable
  private let kind: ResourceKind
  private let format: OutputFormat
  private let renderer: TableRenderer?
  private let now: Timestamp
  private let revision: Int64
  private var token = ""
  private var remaining: Int64?
  /// Where objects come from; one of both. Moved in place: a copy would cost more than a step.
  private var cursor: ListCursor?
  private var objects: ArraySlice<EncodedObject> = []
  private var stage: Stage
  private var isFirst = true
  private var held: ByteBuffer?
  private var scratch: [UInt8] = []

  /// - Parameter isPage: a page says in its head whether another follows.
  init(
    _ source: Source, isPage: Bool, _ kind: ResourceKind, _ format: OutputFormat, _ renderer: TableRenderer?, schema: SchemaTable,
    now: Timestamp
  ) {
    switch source {
    case .cursor(let cursor): (self.cursor, revision) = (cursor, cursor.revision)
    case .objects(let objects, let at): (self.objects, revision) = (objects[...], at)
    }
    self.schema = schema
    self.kind = kind
    self.format = format
    self.renderer = renderer
    self.now = now
    stage = .gathering([])
    if !isPage { stage = afterGathering() }
  }

  /// What was produced for a first look and goes out with the rest.
  func putBack(_ buffer: ByteBuffer) { held = buffer }

  func cancel() {
    cursor = nil
    objects = []
    stage = .sending([])
  }

  func produce(into buffer: inout ByteBuffer, limit: Int) -> BodyProgress {
    if let held {
      buffer = held
      self.held = nil
      return .more
    }
    let deadline = NIODeadline.now() + Self.turn
    while true {
      // Taken out while it is worked on, so that nothing of it is copied.
      let current = stage
      stage = .sending([])
      switch current {
      case .gathering(let objects): guard gather(objects, until: deadline) else { return .more }
      case .encoding(let pieces, let count): guard encode(pieces, count: count, until: deadline) else { return .more }
      case .sending(var pieces):
        guard var piece = pieces.popLast() else { return .end }
        buffer = piece.readSlice(length: min(limit, piece.readableBytes)) ?? ByteBuffer()
        if piece.readableBytes > 0 { pieces.append(piece) }
        stage = .sending(pieces)
        return pieces.isEmpty ? .end : .more
      case .writing(let text): return write(text, into: &buffer, limit: limit, until: deadline)
      }
    }
  }

  private func next(_ steps: inout Int) -> ListCursor.Step {
    if let step = cursor?.next(&steps) { return step }
    steps -= 1
    return objects.popFirst().map { .object($0) } ?? .end
  }

  // MARK: Gathering

  /// - Returns: true where the page is complete.
  private func gather(_ objects: [EncodedObject], until deadline: NIODeadline) -> Bool {
    var objects = objects
    repeat {
      var steps = 16
      while true {
        switch next(&steps) {
        case .object(let object): objects.append(object)
        case .pause: break
        case .end:
          guard let found = cursor?.continueToken(&steps) ?? nil else { break }
          token = found
          remaining = found.isEmpty ? nil : cursor?.remainingItemCount
          cursor = nil
          self.objects = objects[...]
          stage = afterGathering()
          return true
        }
        if steps <= 0 { break }
      }
    } while NIODeadline.now() < deadline
    stage = .gathering(objects)
    return false
  }

  private func afterGathering() -> Stage {
    if format.encoding == .protobuf { return .encoding([], count: 0) }
    return .writing(
      format.encoding == .yaml ? YAMLListText(key: renderer == nil ? "items" : "rows") : JSONListText(isPretty: format.isPretty))
  }

  // MARK: Protobuf

  /// - Returns: true where every item is encoded.
  private func encode(_ pieces: [ByteBuffer], count: Int, until deadline: NIODeadline) -> Bool {
    var (pieces, count) = (pieces, count)
    var out = ByteBuffer()
    repeat {
      var steps = 1
      switch next(&steps) {
      case .pause: continue
      case .object(let object):
        let item = format.shape == .partial ? schema.protobufMetadataItem(object) : schema.protobufItem(object, kind: kind)
        out.writeBytes(item)
        count += item.count
      case .end:
        pieces.append(out)
        var metadata: Value = ["resourceVersion": .string(String(revision))]
        if !token.isEmpty { metadata["continue"] = .string(token) }
        if let remaining { metadata["remainingItemCount"] = .int(remaining) }
        let head =
          format.shape == .partial
          ? schema.protobufMetadataListHead(metadata: metadata, itemBytes: count)
          : schema.protobufListHead(kind: kind, metadata: metadata, itemBytes: count)
        stage = .sending(merged(head, pieces).reversed())
        return true
      }
    } while NIODeadline.now() < deadline && out.readableBytes < HTTP.pieceBytes
    pieces.append(out)
    stage = .encoding(pieces, count: count)
    return false
  }

  /// Pieces of a turn may be short: put together, they are worth a write each.
  private func merged(_ head: [UInt8], _ pieces: [ByteBuffer]) -> [ByteBuffer] {
    var merged: [ByteBuffer] = []
    var last = ByteBuffer(bytes: head)
    for piece in pieces {
      if last.readableBytes + piece.readableBytes > HTTP.pieceBytes {
        merged.append(last)
        last = piece
      } else {
        last.writeImmutableBuffer(piece)
      }
    }
    return merged + [last]
  }

  // MARK: Text

  private func write(
    _ text: any ListText, into buffer: inout ByteBuffer, limit: Int, until deadline: NIODeadline
  ) -> BodyProgress {
    var text = text
    // Kept between the pieces, so that the room for one is made once.
    var out: [UInt8] = []
    swap(&out, &scratch)
    defer {
      out.removeAll(keepingCapacity: true)
      swap(&out, &scratch)
    }
    if !text.hasBegun { text.begin(head(), into: &out) }
    let stride = text.isCheap && renderer == nil ? 16 : 1
    repeat {
      var steps = stride
      while steps > 0, out.count < limit {
        switch next(&steps) {
        case .pause: break
        case .object(let object):
          text.item(isFirst: isFirst, into: &out) { self.write(object, into: &$0) }
          isFirst = false
        case .end:
          text.end(isEmpty: isFirst, into: &out)
          buffer.writeBytes(out)
          return .end
        }
      }
    } while out.count < limit && NIODeadline.now() < deadline
    buffer.writeBytes(out)
    stage = .writing(text)
    return .more
  }

  private func write(_ object: EncodedObject, into out: inout [UInt8]) {
    switch format.shape {
    case .object: object.write(apiVersion: nil, kind: nil, into: &out)
    case .partial: Rendering.partial(object, into: &out)
    case .table: renderer?.row(object, now: now, into: &out)
    }
  }

  /// JSON up to and including the bracket that opens the items.
  private func head() -> [UInt8] {
    var out: [UInt8] = []
    if let renderer {
      renderer.open(revision: revision, token: token, remaining: remaining, into: &out)
      return out
    }
    let isPartial = format.shape == .partial
    JSONWriter.literal("{\"kind\":\"", into: &out)
    out.append(contentsOf: (isPartial ? "PartialObjectMetadataList" : kind.listKind).utf8)
    JSONWriter.literal("\",\"apiVersion\":\"", into: &out)
    out.append(contentsOf: (isPartial ? "meta.k8s.io/v1" : kind.apiVersion).utf8)
    JSONWriter.literal("\",\"metadata\":", into: &out)
    Rendering.listMetadata(revision, token, remaining, into: &out)
    JSONWriter.literal(",\"items\":[", into: &out)
    return out
  }
}

/// A list as text, written item by item.
private protocol ListText {
  var hasBegun: Bool { get }
  /// An item costs no more than copying it.
  var isCheap: Bool { get }
  /// - Parameter head: JSON up to and including the bracket that opens the items.
  mutating func begin(_ head: [UInt8], into out: inout [UInt8])
  /// - Parameter json: appends the item's JSON.
  mutating func item(isFirst: Bool, into out: inout [UInt8], _ json: (inout [UInt8]) -> Void)
  mutating func end(isEmpty: Bool, into out: inout [UInt8])
}

private struct JSONListText: ListText {
  private(set) var hasBegun = false
  private var printer: PrettyJSON?
  private var scratch: [UInt8] = []
  var isCheap: Bool { printer == nil }

  init(isPretty: Bool) { printer = isPretty ? PrettyJSON() : nil }

  mutating func begin(_ head: [UInt8], into out: inout [UInt8]) {
    hasBegun = true
    write(head, into: &out)
  }

  mutating func item(isFirst: Bool, into out: inout [UInt8], _ json: (inout [UInt8]) -> Void) {
    guard printer != nil else {
      if !isFirst { out.append(UInt8(ascii: ",")) }
      return json(&out)
    }
    scratch.removeAll(keepingCapacity: true)
    if !isFirst { scratch.append(UInt8(ascii: ",")) }
    json(&scratch)
    printer?.write(scratch, into: &out)
  }

  mutating func end(isEmpty: Bool, into out: inout [UInt8]) {
    write(Array("]}".utf8), into: &out)
    out.append(UInt8(ascii: "\n"))
  }

  private mutating func write(_ json: [UInt8], into out: inout [UInt8]) {
    if printer == nil { out.append(contentsOf: json) } else { printer?.write(json, into: &out) }
  }
}

/// Members come in order: some stand before the items, some behind.
private struct YAMLListText: ListText {
  private(set) var hasBegun = false
  private let key: String
  private var tail: [UInt8] = []
  private var scratch: [UInt8] = []
  var isCheap: Bool { false }

  init(key: String) { self.key = key }

  mutating func begin(_ head: [UInt8], into out: inout [UInt8]) {
    hasBegun = true
    guard let frame = try? Value(json: head + Array("]}".utf8)), let members = frame.object?.members else { return }
    let before = members.filter { YAMLWriter.isOrdered($0.key, key) }
    let behind = members.filter { YAMLWriter.isOrdered(key, $0.key) }
    if !before.isEmpty { out += YAMLWriter.bytes(.object(Object(before))) }
    if !behind.isEmpty { tail = YAMLWriter.bytes(.object(Object(behind))) }
    out += Array("\(key):".utf8)
  }

  mutating func item(isFirst: Bool, into out: inout [UInt8], _ json: (inout [UInt8]) -> Void) {
    if isFirst { out.append(UInt8(ascii: "\n")) }
    scratch.removeAll(keepingCapacity: true)
    json(&scratch)
    guard let value = try? Value(json: scratch) else { return }
    // Items of a list stand at the level of their key.
    out += YAMLWriter.bytes(.array([value]))
  }

  mutating func end(isEmpty: Bool, into out: inout [UInt8]) {
    if isEmpty { out += Array(" []\n".utf8) }
    out += tail
  }
}

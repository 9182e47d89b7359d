import Wire

extension SchemaTable {
  /// The protobuf body of an object: envelope and message.
  /// - Parameters: apiVersion, kind: as the client sees it.
  package func encodeProtobuf(_ object: EncodedObject, kind: ResourceKind) -> [UInt8] {
    ProtobufEnvelope(apiVersion: kind.apiVersion, kind: kind.kind, raw: protobufMessage(object, kind: kind)).bytes
  }

  /// The protobuf body of any value whose type the table knows: Status, Scale, TokenRequest, a list that was built.
  package func encodeProtobuf(_ value: Value, type: TypeID, apiVersion: String, kind: String) -> [UInt8] {
    ProtobufEnvelope(apiVersion: apiVersion, kind: kind, raw: protobufMessage(value.jsonBytes, type: type, resourceVersion: nil))
      .bytes
  }

  /// An object's message alone.
  package func protobufMessage(_ object: EncodedObject, kind: ResourceKind) -> [UInt8] {
    var writer = ProtobufWriter(capacity: object.count + 64)
    object.withView { write(message: $0, shape(kind.type), resourceVersion: version(object), into: &writer) }
    return writer.bytes
  }

  /// A message from JSON bytes of a type; empty where they are no JSON.
  package func protobufMessage(_ json: [UInt8], type: TypeID, resourceVersion: String?) -> [UInt8] {
    var writer = ProtobufWriter(capacity: json.count + 64)
    json.withUnsafeBufferPointer { buffer in
      var tape = JSONTape(capacity: max(64, buffer.count / 16))
      _ = try? tape.read(buffer) { write(message: $0, shape(type), resourceVersion: resourceVersion, into: &writer) }
    }
    return writer.bytes
  }

  /// An object as an item of a list: tag, length and message.
  package func protobufItem(_ object: EncodedObject, kind: ResourceKind) -> [UInt8] {
    item(shape(kind.type), object, capacity: object.count + 64)
  }

  private func item(_ shape: Shape, _ object: EncodedObject, capacity: Int) -> [UInt8] {
    var writer = ProtobufWriter(capacity: capacity)
    object.withView { write(message: $0, shape, resourceVersion: version(object), into: &writer) }
    writer.prependTag(2, length: writer.count)
    return writer.bytes
  }

  /// The body of a list up to its items (``protobufItem(_:kind:)``), which follow: envelope and metadata.
  /// - Parameters:
  ///   - metadata: a meta/v1.ListMeta: resourceVersion, continue, remainingItemCount.
  ///   - itemBytes: of all items.
  package func protobufListHead(kind: ResourceKind, metadata: Value, itemBytes: Int) -> [UInt8] {
    listHead(apiVersion: kind.apiVersion, kind: kind.listKind, metadata: metadata, itemBytes: itemBytes)
  }

  private func listHead(apiVersion: String, kind: String, metadata: Value, itemBytes: Int) -> [UInt8] {
    var writer = ProtobufWriter(capacity: 256)
    if let type = type(named: "meta/v1.ListMeta") {
      let head = protobufMessage(metadata.jsonBytes, type: type, resourceVersion: nil)
      writer.prepend(head)
      writer.prependTag(1, length: head.count)
    }
    return ProtobufEnvelope(apiVersion: apiVersion, kind: kind, raw: writer.bytes).bytes(followedBy: itemBytes)
  }

  /// What was never written (a dry run) has no version.
  private func version(_ object: EncodedObject) -> String? { object.revision > 0 ? String(object.revision) : nil }

  // MARK: Metadata alone

  private static let metadataVersion = "meta.k8s.io/v1"

  /// The protobuf body of an object's metadata: an enveloped meta.k8s.io/v1 PartialObjectMetadata.
  package func encodeProtobufMetadata(_ object: EncodedObject) -> [UInt8] {
    ProtobufEnvelope(apiVersion: Self.metadataVersion, kind: "PartialObjectMetadata", raw: protobufMetadataMessage(object)).bytes
  }

  private func protobufMetadataMessage(_ object: EncodedObject) -> [UInt8] {
    guard let type = type(named: "meta/v1.PartialObjectMetadata") else { return [] }
    var writer = ProtobufWriter(capacity: 1024)
    object.withView { write(message: $0, shape(type), resourceVersion: version(object), into: &writer) }
    return writer.bytes
  }

  /// The same as an item of a PartialObjectMetadataList.
  package func protobufMetadataItem(_ object: EncodedObject) -> [UInt8] {
    guard let type = type(named: "meta/v1.PartialObjectMetadata") else { return [] }
    return item(shape(type), object, capacity: 1024)
  }

  /// The body of a PartialObjectMetadataList up to its items (``protobufMetadataItem(_:)``), which follow.
  package func protobufMetadataListHead(metadata: Value, itemBytes: Int) -> [UInt8] {
    listHead(apiVersion: Self.metadataVersion, kind: "PartialObjectMetadataList", metadata: metadata, itemBytes: itemBytes)
  }

  /// One frame of a watch stream: four bytes of length, then a bare meta/v1.WatchEvent. Only the object inside has an envelope.
  /// Source: client-go reads watches with the raw serializer.
  /// - Parameter object: an enveloped object.
  package func protobufWatchFrame(type: String, object: [UInt8]) -> [UInt8] {
    var writer = ProtobufWriter(capacity: object.count + 96)
    writer.prepend(object)
    writer.prependTag(1, length: object.count)
    writer.prependTag(2, length: writer.count)
    writer.prependString(1, type)
    let body = writer.bytes
    let length = UInt32(truncatingIfNeeded: body.count)
    return [UInt8(length >> 24), UInt8(length >> 16 & 255), UInt8(length >> 8 & 255), UInt8(length & 255)] + body
  }

  // MARK: Messages

  private func write(message view: JSONView, _ shape: Shape, resourceVersion: String?, into writer: inout ProtobufWriter) {
    guard view.isObject else { return }
    withUnsafeTemporaryAllocation(of: JSONView?.self, capacity: max(1, shape.fields.count)) { members in
      members.initialize(repeating: nil)
      view.forEachMember { key, value in
        if let name = key.string, let position = shape.position(of: name), !value.isNull { members[position] = value }
      }
      write(shape, shape.wire, UnsafeBufferPointer(members), resourceVersion: resourceVersion, into: &writer)
    }
  }

  private func write(
    _ shape: Shape, _ node: WireNode, _ members: UnsafeBufferPointer<JSONView?>, resourceVersion: String?,
    into writer: inout ProtobufWriter
  ) {
    for (number, entry) in node.entries.reversed() {
      switch entry {
      case .inlined(let inner):
        let end = writer.count
        write(shape, inner, members, resourceVersion: nil, into: &writer)
        writer.prependTag(number, length: writer.count - end)
      case .field(let position):
        let field = shape.fields[position]
        if let resourceVersion, shape.name == "meta/v1.ObjectMeta", field.name == "resourceVersion" {
          writer.prependString(number, resourceVersion)
          continue
        }
        let fieldShape = self.shape(field.type)
        guard let view = members[position] else {
          if !field.isPointer { writeAbsent(number, fieldShape, into: &writer) }
          continue
        }
        let inner = field.name == "metadata" ? resourceVersion : nil
        switch fieldShape.kind {
        case .list:
          let element = self.shape(fieldShape.element)
          for item in view.map({ $0 }).reversed() { write(item, element, number, resourceVersion: nil, into: &writer) }
        case .map: write(map: view, self.shape(fieldShape.element), number, into: &writer)
        default: write(view, fieldShape, number, resourceVersion: inner, into: &writer)
        }
      }
    }
  }

  /// Upstream writes whatever is no pointer, even when it is zero: the same bytes leave here.
  private func writeAbsent(_ number: Int, _ shape: Shape, into writer: inout ProtobufWriter) {
    let end = writer.count
    switch shape.kind {
    case .string, .enum: break
    case .bool, .int32, .int64: return writer.prependVarint(number, 0)
    case .double: return writer.prependFixed64(number, 0)
    case .object:
      withUnsafeTemporaryAllocation(of: JSONView?.self, capacity: max(1, shape.fields.count)) { members in
        members.initialize(repeating: nil)
        write(shape, shape.wire, UnsafeBufferPointer(members), resourceVersion: nil, into: &writer)
      }
    case .quantity: writer.prependString(1, "0")
    case .intOrString:
      writer.prependString(3, "")
      writer.prependVarint(2, 0)
      writer.prependVarint(1, 0)
    case .time, .microTime, .rawExtension: break
    case .duration: writer.prependVarint(1, 0)
    case .bytes, .list, .map, .listMessage, .rawJSON, .objectOrArray, .objectOrBool, .objectOrStrings: return
    }
    writer.prependTag(number, length: writer.count - end)
  }

  private func write(map view: JSONView, _ element: Shape, _ number: Int, into writer: inout ProtobufWriter) {
    var entries: [(key: JSONView, value: JSONView)] = []
    view.forEachMember { entries.append(($0, $1)) }
    for entry in entries.reversed() {
      let end = writer.count
      write(entry.value, element, 2, resourceVersion: nil, into: &writer)
      writer.prependString(1, entry.key.string ?? "")
      writer.prependTag(number, length: writer.count - end)
    }
  }

  private func write(_ view: JSONView, _ shape: Shape, _ number: Int, resourceVersion: String?, into writer: inout ProtobufWriter) {
    let end = writer.count
    switch shape.kind {
    case .string, .enum: return writer.prependString(number, view.string ?? "")
    case .bool: return writer.prependVarint(number, view.bool == true ? 1 : 0)
    case .int32, .int64: return writer.prependVarint(number, view.int ?? 0)
    case .double: return writer.prependFixed64(number, (view.double ?? 0).bitPattern)
    case .bytes: writer.prepend(Base64.decode(view.string ?? "") ?? [])
    case .object: write(message: view, shape, resourceVersion: resourceVersion, into: &writer)
    case .quantity: writer.prependString(1, view.string ?? "0")
    case .intOrString:
      writer.prependString(3, view.string ?? "")
      writer.prependVarint(2, view.int ?? 0)
      writer.prependVarint(1, view.isString ? 1 : 0)
    case .time, .microTime:
      if let time = view.string.flatMap({ Timestamp($0) }), !time.isZero {
        writer.prependVarint(2, (time.microseconds - time.seconds * 1_000_000) * 1000)
        writer.prependVarint(1, time.seconds)
      }
    case .duration: writer.prependVarint(1, view.string.flatMap { GoDuration($0) }?.nanoseconds ?? 0)
    case .listMessage: for item in view.map({ $0 }).reversed() { writer.prependString(1, item.string ?? "") }
    case .rawExtension, .rawJSON:
      writer.prepend(view.rawBytes)
      writer.prependTag(1, length: view.rawBytes.count)
    case .objectOrArray, .objectOrBool, .objectOrStrings: write(either: view, shape.kind, into: &writer)
    case .list, .map: return
    }
    writer.prependTag(number, length: writer.count - end)
  }

  private func write(either view: JSONView, _ kind: Shape.Kind, into writer: inout ProtobufWriter) {
    guard let schemaProps else { return }
    func prepend(_ view: JSONView, _ number: Int, _ writer: inout ProtobufWriter) {
      let end = writer.count
      write(message: view, schemaProps, resourceVersion: nil, into: &writer)
      writer.prependTag(number, length: writer.count - end)
    }
    if view.isObject {
      prepend(view, kind == .objectOrBool ? 2 : 1, &writer)
      // A schema stands for "allowed".
      if kind == .objectOrBool { writer.prependVarint(1, 1) }
    } else if let allows = view.bool {
      writer.prependVarint(1, allows ? 1 : 0)
    } else {
      for item in view.map({ $0 }).reversed() {
        if kind == .objectOrStrings { writer.prependString(2, item.string ?? "") } else { prepend(item, 2, &writer) }
      }
    }
  }
}

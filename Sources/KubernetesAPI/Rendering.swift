import Client
import ControlPlane
import HTTP
import NIOCore
import Schema
import Wire

/// Writes objects as clients see them. Bytes are spliced, not decoded.
enum Rendering {
  /// One object, in the asked shape.
  static func object(
    _ object: EncodedObject, _ kind: ResourceKind, _ format: OutputFormat, _ renderer: TableRenderer?, into out: inout [UInt8]
  ) {
    switch format.shape {
    case .object: object.write(apiVersion: kind.apiVersion, kind: kind.kind, into: &out)
    case .partial: partial(object, isItem: false, into: &out)
    case .table:
      guard let renderer else { return }
      renderer.open(revision: object.revision, token: "", remaining: nil, into: &out)
      renderer.row(object, into: &out)
      JSONWriter.literal("]}", into: &out)
    }
  }

  /// The answer to a get or a write.
  static func response(
    _ object: EncodedObject, _ request: Request, _ format: OutputFormat, schema: SchemaTable, now: Timestamp, status: Int = 200,
    warnings: [String] = []
  ) -> HTTPResponse {
    var out: [UInt8] = []
    if format.encoding == .protobuf, format.shape == .object {
      out = schema.encodeProtobuf(object, kind: request.kind)
    } else {
      let renderer = format.shape == .table ? TableRenderer(request, schema: schema, now: now) : nil
      self.object(object, request.kind, format, renderer, into: &out)
      out = finished(out, format)
    }
    return HTTPResponse(status, headers: headers(warnings), type: format.contentType, out)
  }

  static func response(_ value: Value, _ format: OutputFormat, status: Int = 200, warnings: [String] = []) -> HTTPResponse {
    var format = format
    if format.encoding == .protobuf { format.encoding = .json }
    return HTTPResponse(status, headers: headers(warnings), type: format.contentType, finished(value.jsonBytes, format))
  }

  static func finished(_ bytes: [UInt8], _ format: OutputFormat) -> [UInt8] {
    if format.isPretty { return PrettyJSON.indent(bytes) }
    return bytes + [UInt8(ascii: "\n")]
  }

  /// Warnings as headers that kubectl prints: `299 - "text"`.
  static func headers(_ warnings: [String]) -> [(String, String)] {
    var headers: [(String, String)] = [("cache-control", "no-cache, private")]
    for warning in warnings.prefix(32) {
      var text = ""
      for scalar in warning.unicodeScalars.prefix(512) {
        if scalar == "\"" || scalar == "\\" { text += "\\" }
        if scalar.value >= 32, scalar.value != 127 { text.unicodeScalars.append(scalar) } else { text += " " }
      }
      headers.append(("warning", "299 - \"\(text)\""))
    }
    return headers
  }

  /// `PartialObjectMetadata`: the object's metadata alone.
  static func partial(_ object: EncodedObject, isItem: Bool, into out: inout [UInt8]) {
    JSONWriter.literal(#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#, into: &out)
    metadata(object, into: &out)
    out.append(UInt8(ascii: "}"))
  }

  /// The object's metadata with its resourceVersion where upstream has it.
  private static func metadata(_ object: EncodedObject, into out: inout [UInt8]) {
    object.withView { view in
      out.append(UInt8(ascii: "{"))
      var isFirst = true
      var hasVersion = false
      func comma() {
        if !isFirst { out.append(UInt8(ascii: ",")) }
        isFirst = false
      }
      func version() {
        hasVersion = true
        guard object.revision > 0 else { return }
        comma()
        JSONWriter.literal("\"resourceVersion\":\"", into: &out)
        JSONWriter.write(object.revision, into: &out)
        out.append(UInt8(ascii: "\""))
      }
      view["metadata"].forEachMember { key, value in
        let isBefore =
          key.equals("name") || key.equals("generateName") || key.equals("namespace") || key.equals("selfLink") || key.equals("uid")
        if !isBefore, !hasVersion { version() }
        comma()
        out.append(contentsOf: key.rawBytes)
        out.append(UInt8(ascii: ":"))
        out.append(contentsOf: value.rawBytes)
      }
      if !hasVersion { version() }
      out.append(UInt8(ascii: "}"))
    }
  }
}

/// `Table`: what `kubectl get` prints.
struct TableRenderer: Sendable {
  enum Include: String { case none = "None", metadata = "Metadata", object = "Object" }

  private let kind: ResourceKind
  private let schema: SchemaTable
  private let include: Include
  private let now: Timestamp
  private let columns: [UInt8]

  init(_ request: Request, schema: SchemaTable, now: Timestamp) {
    kind = request.kind
    self.schema = schema
    self.now = now
    include = request.query["includeObject"].flatMap(Include.init) ?? .metadata
    columns =
      Value.array(
        schema.columns(kind).map { column in
          [
            "name": .string(column.name), "type": .string(column.type), "format": .string(column.format),
            "description": .string(column.name == "Name" ? "Name must be unique within a namespace." : ""),
            "priority": .int(Int64(column.priority)),
          ]
        }
      ).jsonBytes
  }

  /// Up to and including the bracket that opens the rows.
  /// - Parameter withColumns: false for the events of a watch after the first.
  func open(revision: Int64, token: String, remaining: Int64?, withColumns: Bool = true, into out: inout [UInt8]) {
    JSONWriter.literal(#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":""#, into: &out)
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
    JSONWriter.literal("},\"columnDefinitions\":", into: &out)
    if withColumns { out.append(contentsOf: columns) } else { JSONWriter.literal("null", into: &out) }
    JSONWriter.literal(",\"rows\":[", into: &out)
  }

  func row(_ object: EncodedObject, into out: inout [UInt8]) {
    object.withView { view in
      JSONWriter.literal("{\"cells\":[", into: &out)
      for (i, cell) in schema.cells(kind, view, now: now).enumerated() {
        if i > 0 { out.append(UInt8(ascii: ",")) }
        JSONWriter.write(cell, into: &out)
      }
      out.append(UInt8(ascii: "]"))
      if let conditions = schema.rowConditions(kind, view) {
        JSONWriter.literal(",\"conditions\":", into: &out)
        JSONWriter.write(conditions, into: &out)
      }
    }
    switch include {
    case .none: JSONWriter.literal(",\"object\":null", into: &out)
    case .metadata:
      JSONWriter.literal(",\"object\":", into: &out)
      Rendering.partial(object, isItem: true, into: &out)
    case .object:
      JSONWriter.literal(",\"object\":", into: &out)
      object.write(apiVersion: kind.apiVersion, kind: kind.kind, into: &out)
    }
    out.append(UInt8(ascii: "}"))
  }
}

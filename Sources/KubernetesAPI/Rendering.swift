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
    _ object: EncodedObject, _ kind: ResourceKind, _ format: OutputFormat, _ table: (renderer: TableRenderer, now: Timestamp)?,
    into out: inout [UInt8]
  ) {
    switch format.shape {
    case .object: object.write(apiVersion: kind.apiVersion, kind: kind.kind, into: &out)
    case .partial: partial(object, into: &out)
    case .table:
      guard let table else { return }
      table.renderer.open(revision: object.revision, token: "", remaining: nil, into: &out)
      table.renderer.row(object, now: table.now, into: &out)
      JSONWriter.literal("]}", into: &out)
    }
  }

  /// JSON in the form that was asked for; ends with a line feed.
  static func finished(_ json: [UInt8], _ format: OutputFormat) -> [UInt8] {
    if format.encoding == .yaml, let value = try? Value(json: json) { return YAMLWriter.bytes(value) }
    if format.isPretty { return PrettyJSON.indent(json) }
    return json + [UInt8(ascii: "\n")]
  }

  /// `"resourceVersion":…` and what follows it in the metadata of a list or table.
  static func listMetadata(_ revision: Int64, _ token: String, _ remaining: Int64?, into out: inout [UInt8]) {
    JSONWriter.literal("{\"resourceVersion\":\"", into: &out)
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
    out.append(UInt8(ascii: "}"))
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
  static func partial(_ object: EncodedObject, into out: inout [UInt8]) {
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

extension KubernetesAPI {
  /// Bodies with more bytes than this go out in gzip to clients that take it. Source: upstream's threshold.
  static let compressesFrom = 128 << 10

  /// Said with every answer about such a kind. Source: Kubernetes' API life cycle.
  private static let deprecations: [String: String] = [
    "core/v1.Endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    "core/v1.ComponentStatus": "v1 ComponentStatus is deprecated in v1.19+",
  ]

  func headers(_ request: Request, _ warnings: [String] = []) -> [(String, String)] {
    Rendering.headers((Self.deprecations[request.kind.typeName].map { [$0] } ?? []) + warnings)
  }

  /// The answer to a get or a write.
  func render(
    _ object: EncodedObject, _ request: Request, _ format: OutputFormat, status: Int = 200, warnings: [String] = []
  ) -> HTTPResponse {
    var out: [UInt8] = []
    switch (format.encoding, format.shape) {
    case (.protobuf, .object): out = schema.encodeProtobuf(object, kind: request.kind)
    case (.protobuf, .partial): out = schema.encodeProtobufMetadata(object)
    default:
      let table = format.shape == .table ? (TableRenderer(request, schema: schema), controlPlane.clock.now()) : nil
      Rendering.object(object, request.kind, format, table, into: &out)
      out = Rendering.finished(out, format)
    }
    return HTTPResponse(status, headers: headers(request, warnings), type: format.contentType, out).compressing(
      from: Self.compressesFrom)
  }

  /// A built answer: a Status, a review, a Scale.
  func render(_ value: Value, _ format: OutputFormat, status: Int = 200) -> HTTPResponse {
    StatusBody.response(value, format, status, Rendering.headers([]), schema)
  }
}

import Client
import HTTP
import NIOCore
import Wire

/// The form of an answer.
struct OutputFormat: Sendable, Equatable {
  enum Encoding: Sendable { case json, yaml, protobuf }
  enum Shape: Sendable, Equatable {
    case object
    case table
    /// Metadata only: for one object, for a list, and for the objects of a watch.
    case partial
  }
  var encoding = Encoding.json
  var shape = Shape.object
  var isPretty = false

  var contentType: String {
    switch encoding {
    case .json: "application/json"
    case .yaml: "application/yaml"
    case .protobuf: "application/vnd.kubernetes.protobuf"
    }
  }
}

/// One media type of an `Accept` header.
struct MediaType: Sendable, Equatable {
  var type: String
  var parameters: [String: String]

  /// The types of an `Accept` header, those with the greater weight (`q`) first, else in the client's order.
  static func list(_ header: String) -> [MediaType] {
    let types = unweighted(header)
    guard types.contains(where: { $0.parameters["q"] != nil }) else { return types }
    return types.enumerated().map { (offset: $0.offset, weight: $0.element.weight, type: $0.element) }.filter { $0.weight > 0 }
      .sorted { ($1.weight, $0.offset) < ($0.weight, $1.offset) }.map(\.type)
  }

  private var weight: Double { parameters["q"].map { Double($0) ?? 0 } ?? 1 }

  private static func unweighted(_ header: String) -> [MediaType] {
    header.split(separator: ",").prefix(32).compactMap { item in
      let parts = item.split(separator: ";").map { String($0).trimmed }
      guard let type = parts.first, !type.isEmpty else { return nil }
      var parameters: [String: String] = [:]
      for part in parts.dropFirst() {
        let pair = part.split(separator: "=", maxSplits: 1)
        if pair.count == 2 { parameters[pair[0].lowercased()] = String(pair[1]) }
      }
      return MediaType(type: type.lowercased(), parameters: parameters)
    }
  }
}

enum Negotiation {
  private static func notAcceptable(_ types: String) -> APIError {
    APIError(.notAcceptable, "only the following media types are accepted: \(types)")
  }

  /// What the client asks for.
  /// - Parameter isStream: events follow each other: neither YAML nor indented.
  /// - Throws: `.notAcceptable` where none of its types can be made.
  static func output(_ head: RequestHead, _ query: Query, isStream: Bool = false) throws(APIError) -> OutputFormat {
    var format = OutputFormat()
    format.isPretty = !isStream && isPretty(head, query)
    guard let accept = head.fields["accept"], !accept.isEmpty else { return format }
    for media in MediaType.list(accept) {
      switch media.type {
      case "*/*", "application/*", "application/json": format.encoding = .json
      case "application/yaml" where !isStream: format.encoding = .yaml
      case "application/vnd.kubernetes.protobuf": format.encoding = .protobuf
      default: continue
      }
      guard let shape = media.parameters["as"] else { return format }
      guard media.parameters["g"] == "meta.k8s.io", let version = media.parameters["v"], version == "v1" || version == "v1beta1"
      else { continue }
      switch shape {
      // Cells have no form in protobuf that clients read; those who ask for it take JSON too.
      case "Table" where format.encoding != .protobuf: format.shape = .table
      case "PartialObjectMetadata", "PartialObjectMetadataList": format.shape = .partial
      default: continue
      }
      return format
    }
    throw notAcceptable(
      isStream
        ? "application/json, application/vnd.kubernetes.protobuf;stream=watch"
        : "application/json, application/yaml, application/vnd.kubernetes.protobuf")
  }

  /// The form of an error: whatever the client reads, and JSON where that is nothing that is made here.
  static func errors(_ head: RequestHead) -> OutputFormat {
    var format = (try? output(head, Query(head.query))) ?? OutputFormat()
    format.shape = .object
    return format
  }

  /// People read what curl and browsers fetch.
  private static func isPretty(_ head: RequestHead, _ query: Query) -> Bool {
    if let asked = query["pretty"] { return asked != "false" && asked != "0" }
    guard let agent = head.fields["user-agent"] else { return false }
    return agent.hasPrefix("curl") || agent.hasPrefix("Wget") || agent.hasPrefix("Mozilla/5.0")
  }
}

/// Indents JSON as upstream's pretty printer does: two spaces, empty containers on one line. Fed in pieces that end between two tokens.
struct PrettyJSON {
  private var depth = 0
  /// A container was opened and nothing of it has come yet.
  private var isOpen = false

  static func indent(_ bytes: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(bytes.count * 2)
    var printer = PrettyJSON()
    printer.write(bytes, into: &out)
    out.append(UInt8(ascii: "\n"))
    return out
  }

  private func newline(into out: inout [UInt8]) {
    out.append(UInt8(ascii: "\n"))
    out.append(contentsOf: repeatElement(UInt8(ascii: " "), count: depth * 2))
  }

  /// The first thing inside of a container stands on a line of its own.
  private mutating func enter(into out: inout [UInt8]) {
    if isOpen { newline(into: &out) }
    isOpen = false
  }

  mutating func write(_ bytes: [UInt8], into out: inout [UInt8]) {
    var i = 0
    while i < bytes.count {
      let byte = bytes[i]
      switch byte {
      case UInt8(ascii: "\""):
        enter(into: &out)
        let start = i
        i += 1
        while i < bytes.count, bytes[i] != UInt8(ascii: "\"") { i += bytes[i] == UInt8(ascii: "\\") ? 2 : 1 }
        out.append(contentsOf: bytes[start...min(i, bytes.count - 1)])
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        enter(into: &out)
        out.append(byte)
        depth += 1
        isOpen = true
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        depth -= 1
        if !isOpen { newline(into: &out) }
        isOpen = false
        out.append(byte)
      case UInt8(ascii: ","):
        out.append(byte)
        newline(into: &out)
      case UInt8(ascii: ":"):
        out.append(byte)
        out.append(UInt8(ascii: " "))
      case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\t"), UInt8(ascii: "\r"): break
      default:
        enter(into: &out)
        out.append(byte)
      }
      i += 1
    }
  }
}

import Client
import HTTP
import NIOCore
import Schema
import Wire

/// What a write's body and query say.
enum RequestBody {
  /// The encoding that the head names.
  /// - Throws: `.unsupportedMediaType`.
  static func encoding(_ head: RequestHead) throws(APIError) -> BodyEncoding {
    guard let header = head.fields["content-type"], !header.isEmpty else { return .json }
    switch MediaType.list(header).first?.type {
    case "application/json": return .json
    case "application/yaml": return .yaml
    case "application/vnd.kubernetes.protobuf": return .protobuf
    default:
      throw APIError(
        .unsupportedMediaType,
        "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"
      )
    }
  }

  /// An object of the route's kind.
  static func object(_ bytes: [UInt8], _ encoding: BodyEncoding, _ kind: ResourceKind, _ schema: SchemaTable) throws(APIError)
    -> Decoded
  {
    let decoded: Decoded
    do throws(DecodeError) { decoded = try schema.decode(bytes, encoding: encoding, expected: kind) } catch {
      throw .badRequest("\(kind.kind) in version \"\(kind.gvr.version)\" cannot be handled as a \(kind.kind): \(error.message)")
    }
    try check(decoded, apiVersion: kind.apiVersion, kind: kind.kind)
    return decoded
  }

  /// A body of another type than the route's own: a Scale, a Binding.
  static func value(
    _ bytes: [UInt8], _ encoding: BodyEncoding, type: String, apiVersion: String, kind: String, _ schema: SchemaTable
  ) throws(APIError) -> Decoded {
    guard let id = schema.type(named: type) else { throw .internalError("no type \(type)") }
    let decoded: Decoded
    do throws(DecodeError) { decoded = try schema.decode(bytes, encoding: encoding, type: id) } catch {
      throw .badRequest("\(kind) cannot be read: \(error.message)")
    }
    try check(decoded, apiVersion: apiVersion, kind: kind)
    return decoded
  }

  /// An absent kind or version means the route's.
  private static func check(_ decoded: Decoded, apiVersion: String, kind: String) throws(APIError) {
    if !decoded.apiVersion.isEmpty, decoded.apiVersion != apiVersion {
      throw .badRequest(
        "the API version in the data (\(decoded.apiVersion)) does not match the expected API version (\(apiVersion))")
    }
    if !decoded.kind.isEmpty, decoded.kind != kind {
      throw .badRequest("the kind in the data (\(decoded.kind)) does not match the expected kind (\(kind))")
    }
  }

  /// The options of a write: `dryRun`, `fieldManager`, `fieldValidation`, `force`.
  static func options(_ head: RequestHead, _ query: Query) throws(APIError) -> WriteOptions {
    let name =
      switch head.method {
      case "PUT": "UpdateOptions"
      case "PATCH": "PatchOptions"
      default: "CreateOptions"
      }
    var options = WriteOptions(fieldManager: try fieldManager(head, query, name), fieldValidation: "Warn")
    options.dryRun = try dryRun(query["dryRun"], name)
    switch query["fieldValidation"] {
    case nil, "": break
    case let asked? where ["Strict", "Warn", "Ignore"].contains(asked): options.fieldValidation = asked
    case let asked?:
      throw .invalidOptions(
        name,
        [
          .init(
            reason: "FieldValueNotSupported",
            message: "Unsupported value: \"\(asked.prefix(64))\": supported values: \"Ignore\", \"Strict\", \"Warn\"",
            field: "fieldValidation")
        ])
    }
    options.force = query.flag("force")
    return options
  }

  /// - Parameter value: nil where nobody asks. An empty one is refused: it would write what somebody meant to try.
  static func dryRun(_ value: String?, _ options: String) throws(APIError) -> Bool {
    guard let value else { return false }
    guard value == "All" else {
      throw .invalidOptions(
        options,
        [
          .init(
            reason: "FieldValueNotSupported", message: "Unsupported value: [\"\(value.prefix(64))\"]: supported values: \"All\"",
            field: "dryRun")
        ])
    }
    return true
  }

  /// The query's, or the program's name as its User-Agent begins.
  private static func fieldManager(_ head: RequestHead, _ query: Query, _ options: String) throws(APIError) -> String {
    if let asked = query["fieldManager"], !asked.isEmpty {
      if asked.utf8.count > 128 {
        throw .invalidOptions(
          options, [.init(reason: "FieldValueTooLong", message: "Too long: may not be more than 128 bytes", field: "fieldManager")])
      }
      if asked.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
        throw .invalidOptions(
          options,
          [
            .init(
              reason: "FieldValueInvalid", message: "Invalid value: \(Value.string(asked).json): must be printable characters",
              field: "fieldManager")
          ])
      }
      return asked
    }
    let agent = head.fields["user-agent"] ?? ""
    let name = agent.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).first ?? ""
    return String(String.UnicodeScalarView(name.unicodeScalars.filter { $0.value >= 32 && $0.value != 127 }.prefix(128)))
  }

  static func bytes(_ exchange: Exchange) -> [UInt8] { Array(exchange.body.readableBytesView) }
}

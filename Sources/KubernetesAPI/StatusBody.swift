import Client
import HTTP
import Schema
import Wire

/// `APIError` as a `Status`: the one place where this door turns errors into answers.
enum StatusBody {
  static func value(_ error: APIError) -> Value {
    var metadata = Value.emptyObject
    if let token = error.continueToken { metadata["continue"] = .string(token) }
    var status: Value = [
      "kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure", "message": .string(error.message),
    ]
    if !error.reason.rawValue.isEmpty { status["reason"] = .string(error.reason.rawValue) }
    var details = Value.emptyObject
    if !error.name.isEmpty { details["name"] = .string(error.name) }
    if !error.group.isEmpty { details["group"] = .string(error.group) }
    if !error.kind.isEmpty { details["kind"] = .string(error.kind) }
    if !error.uid.isEmpty { details["uid"] = .string(error.uid) }
    if !error.causes.isEmpty {
      details["causes"] = .array(
        error.causes.map { cause in
          var value: Value = ["reason": .string(cause.reason), "message": .string(cause.message)]
          if !cause.field.isEmpty { value["field"] = .string(cause.field) }
          return value
        })
    }
    if let seconds = error.retryAfterSeconds { details["retryAfterSeconds"] = .int(Int64(seconds)) }
    if details != .emptyObject || error.reason == .notFound { status["details"] = details }
    status["code"] = .int(Int64(error.code))
    return status
  }

  /// - Parameter head: of the request, which says what its client reads.
  static func response(_ error: APIError, _ head: RequestHead, _ schema: SchemaTable) -> HTTPResponse {
    var headers: [(String, String)] = [("cache-control", "no-cache, private")]
    if let seconds = error.retryAfterSeconds { headers.append(("retry-after", String(seconds))) }
    if error.code == 401 { headers.append(("www-authenticate", "Bearer realm=\"gantry\"")) }
    return response(value(error), Negotiation.errors(head), error.code, headers, schema)
  }

  /// A value that says its own kind and version, in the form that was asked for; JSON where it has no other.
  static func response(
    _ value: Value, _ format: OutputFormat, _ status: Int, _ headers: [(String, String)], _ schema: SchemaTable
  ) -> HTTPResponse {
    var format = format
    if format.encoding == .protobuf {
      if let type = type(of: value, schema) {
        let bytes = schema.encodeProtobuf(
          value, type: type, apiVersion: value["apiVersion"].string ?? "", kind: value["kind"].string ?? "")
        return HTTPResponse(status, headers: headers, type: format.contentType, bytes)
      }
      format.encoding = .json
    }
    return HTTPResponse(status, headers: headers, type: format.contentType, Rendering.finished(value.jsonBytes, format))
  }

  private static func type(of value: Value, _ schema: SchemaTable) -> TypeID? {
    let kind = value["kind"].string ?? ""
    switch kind {
    case "Status": return schema.type(named: "meta/v1.Status")
    case "Scale": return schema.type(named: "autoscaling/v1.Scale")
    case "TokenRequest": return schema.type(named: "authentication/v1.TokenRequest")
    default:
      let version = (value["apiVersion"].string ?? "").split(separator: "/").map(String.init)
      return schema.kind(group: version.count == 2 ? version[0] : "", version: version.last ?? "", kind: kind)?.type
    }
  }

  /// The answer to an action that leaves no object behind.
  static func success(name: String, _ resource: GroupResource, uid: String) -> Value {
    var details: Value = ["name": .string(name)]
    if !resource.group.isEmpty { details["group"] = .string(resource.group) }
    details["kind"] = .string(resource.resource)
    if !uid.isEmpty { details["uid"] = .string(uid) }
    return ["kind": "Status", "apiVersion": "v1", "metadata": .emptyObject, "status": "Success", "details": details]
  }
}

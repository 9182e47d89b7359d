import Client
import HTTP
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

  static func response(_ error: APIError) -> HTTPResponse {
    var headers: [(String, String)] = [("cache-control", "no-cache, private")]
    if let seconds = error.retryAfterSeconds { headers.append(("retry-after", String(seconds))) }
    if error.code == 401 { headers.append(("www-authenticate", "Bearer realm=\"gantry\"")) }
    return HTTPResponse(error.code, headers: headers, type: "application/json", value(error).jsonBytes + [UInt8(ascii: "\n")])
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

import Wire

/// A refusal or failure of the API, in terms that both doors understand. Each door renders it in one place: the Kubernetes door
/// as a `Status`, the AWS door as an error of the service.
package struct APIError: Error, Sendable, Equatable {
  /// `Status.reason`, spelled as upstream spells it.
  package enum Reason: String, Sendable {
    case unknown = ""
    case unauthorized = "Unauthorized"
    case forbidden = "Forbidden"
    case notFound = "NotFound"
    case alreadyExists = "AlreadyExists"
    case conflict = "Conflict"
    case gone = "Gone"
    case expired = "Expired"
    case invalid = "Invalid"
    case serverTimeout = "ServerTimeout"
    case timeout = "Timeout"
    case tooManyRequests = "TooManyRequests"
    case badRequest = "BadRequest"
    case methodNotAllowed = "MethodNotAllowed"
    case notAcceptable = "NotAcceptable"
    case requestEntityTooLarge = "RequestEntityTooLarge"
    case unsupportedMediaType = "UnsupportedMediaType"
    case internalError = "InternalError"
    case serviceUnavailable = "ServiceUnavailable"

    /// The HTTP status that upstream sends with the reason.
    package var code: Int {
      switch self {
      case .unknown, .internalError, .serverTimeout: 500
      case .unauthorized: 401
      case .forbidden: 403
      case .notFound: 404
      case .alreadyExists, .conflict: 409
      case .gone, .expired: 410
      case .invalid: 422
      case .timeout: 504
      case .tooManyRequests: 429
      case .badRequest: 400
      case .methodNotAllowed: 405
      case .notAcceptable: 406
      case .requestEntityTooLarge: 413
      case .unsupportedMediaType: 415
      case .serviceUnavailable: 503
      }
    }
  }

  /// One entry of `Status.details.causes`.
  package struct Cause: Sendable, Equatable {
    /// `FieldValueInvalid`, `FieldValueRequired`, …
    package var reason: String
    package var message: String
    /// A field path such as `spec.ports[1].nodePort`.
    package var field: String

    package init(reason: String, message: String, field: String) {
      self.reason = reason
      self.message = message
      self.field = field
    }
  }

  package var reason: Reason
  package var message: String
  package var code: Int
  /// The object that the error is about: `details.name`, `.group`, `.kind` (a resource's plural for most reasons) and `.uid`.
  package var name = ""
  package var group = ""
  package var kind = ""
  package var uid = ""
  package var causes: [Cause] = []
  /// Seconds after which a retry may succeed.
  package var retryAfterSeconds: Int?
  /// With `.expired` of a page: a token that goes on over the newest state (`metadata.continue` of the Status).
  package var continueToken: String?

  package init(_ reason: Reason, _ message: String, code: Int? = nil) {
    self.reason = reason
    self.message = message
    self.code = code ?? reason.code
  }

  package init(_ reason: Reason, _ resource: GroupResource, _ name: String, _ message: String) {
    self.init(reason, message)
    self.name = name
    group = resource.group
    kind = resource.resource
  }

  package static func notFound(_ resource: GroupResource, _ name: String) -> APIError {
    APIError(.notFound, resource, name, "\(resource) \"\(name)\" not found")
  }

  package static func alreadyExists(_ resource: GroupResource, _ name: String) -> APIError {
    APIError(.alreadyExists, resource, name, "\(resource) \"\(name)\" already exists")
  }

  package static func conflict(_ resource: GroupResource, _ name: String, _ why: String) -> APIError {
    APIError(.conflict, resource, name, "Operation cannot be fulfilled on \(resource) \"\(name)\": \(why)")
  }

  /// The message of an optimistic-lock conflict, which clients match on.
  package static let objectModified = "the object has been modified; please apply your changes to the latest version and try again"

  package static func badRequest(_ message: String) -> APIError { APIError(.badRequest, message) }
  package static func internalError(_ message: String) -> APIError {
    APIError(.internalError, "Internal error occurred: \(message)")
  }
}

extension APIError {
  /// What a request's options have wrong: `ListOptions`, `CreateOptions`, `DeleteOptions`, … of group meta.k8s.io.
  package static func invalidOptions(_ options: String, _ causes: [Cause]) -> APIError {
    let texts = causes.map { "\($0.field): \($0.message)" }
    let list = texts.count == 1 ? texts[0] : "[\(texts.joined(separator: ", "))]"
    var error = APIError(.invalid, "\(options).meta.k8s.io \"\" is invalid: \(list)")
    error.group = "meta.k8s.io"
    error.kind = options
    error.causes = causes
    return error
  }
}

import Client
import ControlPlane
import HTTP
import NIOCore
import Schema
import Wire

/// Paths that are no resource: version, health, metrics, discovery, OpenAPI, token keys.
extension KubernetesAPI {
  func systemPolicy(_ path: String, _ head: RequestHead, _ query: Query, _ identity: Identity) throws(APIError) -> RequestPolicy {
    let verb = head.method == "HEAD" ? "get" : head.method.lowercased()
    try controlPlane.authorize(RequestAttributes(user: identity, verb: verb, path: path))
    guard verb == "get" else { throw Self.methodNotAllowed }
    var policy = RequestPolicy { [self] exchange in
      do throws(APIError) { exchange.respond(try system(path, head, query)) } catch { fail(exchange, error) }
    }
    // Who asks whether the server lives is told so, however much it has to do.
    policy.isExempt = ["/healthz", "/livez", "/readyz"].contains { path == $0 || path.hasPrefix("\($0)/") }
    return policy
  }

  private func system(_ path: String, _ head: RequestHead, _ query: Query) throws(APIError) -> HTTPResponse {
    let format = Negotiation.errors(head)
    let parts = path.split(separator: "/").map(String.init)
    switch parts.first {
    case nil: return render(["paths": .array(paths.map { .string($0) })], format)
    case "version" where parts.count == 1: return render(version, OutputFormat(isPretty: true))
    case "healthz", "livez", "readyz": return try health(parts, query)
    case "metrics" where parts.count == 1:
      return HTTPResponse(200, type: "text/plain; version=0.0.4; charset=utf-8", Array(metricsText().utf8))
    case "api", "apis": return try discovery.response(parts, head, format)
    case "openapi": return try openAPIResponse(parts, head)
    case ".well-known" where parts == [".well-known", "openid-configuration"]:
      return HTTPResponse(
        200, headers: [("cache-control", "public, max-age=3600")], type: "application/json", controlPlane.tokenDiscovery.jsonBytes)
    case "openid" where parts == ["openid", "v1", "jwks"]:
      return HTTPResponse(
        200, headers: [("cache-control", "public, max-age=3600")], type: "application/jwk-set+json",
        controlPlane.tokenKeySet.jsonBytes)
    default: throw Self.unknownPath
    }
  }

  /// Everything that is served, for `GET /`.
  private var paths: [String] {
    var paths = ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis"]
    for group in schema.groups where !group.name.isEmpty {
      paths.append("/apis/\(group.name)")
      paths += group.versions.map { "/apis/\(group.name)/\($0.version)" }
    }
    return paths + ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"]
  }

  private var version: Value {
    let numbers = configuration.gitVersion.drop { $0 == "v" }.split(separator: ".")
    return [
      "major": .string(numbers.first.map(String.init) ?? "1"), "minor": .string(numbers.dropFirst().first.map(String.init) ?? "36"),
      "gitVersion": .string(configuration.gitVersion), "gitCommit": .string(configuration.gitCommit), "gitTreeState": "clean",
      "buildDate": .string(configuration.buildDate), "goVersion": "none", "compiler": "swiftc", "platform": "linux/amd64",
    ]
  }

  // MARK: Health

  private func health(_ parts: [String], _ query: Query) throws(APIError) -> HTTPResponse {
    let endpoint = parts[0]
    let excluded = Set(query.pairs.filter { $0.name == "exclude" }.map(\.value))
    let relevant = [HealthCheck("ping", isVital: true) { nil }] + healthChecks.filter { endpoint != "livez" || $0.isVital }
    if parts.count == 2 {
      guard let check = relevant.first(where: { $0.name == parts[1] }) else { throw Self.unknownPath }
      let failure = check.check()
      return .text(failure == nil ? 200 : 500, failure.map { "internal server error: \($0)" } ?? "ok")
    }
    guard parts.count == 1 else { throw Self.unknownPath }
    var lines = ""
    var failed: [String] = []
    for check in relevant {
      if excluded.contains(check.name) {
        lines += "[+]\(check.name) excluded: ok\n"
      } else if let failure = check.check() {
        failed.append(check.name)
        lines += "[-]\(check.name) failed: \(failure)\n"
      } else {
        lines += "[+]\(check.name) ok\n"
      }
    }
    guard failed.isEmpty else { return .text(500, lines + "\(endpoint) check failed") }
    if query["verbose"] != nil { return .text(200, lines + "\(endpoint) check passed") }
    return HTTPResponse(200, type: "text/plain; charset=utf-8", Array("ok".utf8))
  }
}

/// Chooses the handler of a request by the first route that matches. One port carries several doors (DESIGN section 7, Doors).
package struct Router: HTTPHandler {
  package struct Route: Sendable {
    let matches: @Sendable (RequestHead) -> Bool
    let handler: any HTTPHandler

    package init(_ handler: any HTTPHandler, where matches: @escaping @Sendable (RequestHead) -> Bool) {
      self.matches = matches
      self.handler = handler
    }

    /// Paths that begin so; `/v2/` also matches `/v2`.
    package static func prefix(_ prefix: String, _ handler: any HTTPHandler) -> Route {
      let bare = prefix.hasSuffix("/") ? String(prefix.dropLast()) : prefix
      return Route(handler) { head in head.path.hasPrefix(prefix) || head.path == bare }
    }
  }

  private let routes: [Route]
  private let otherwise: any HTTPHandler

  package init(_ routes: [Route], otherwise: any HTTPHandler) {
    self.routes = routes
    self.otherwise = otherwise
  }

  private func handler(for head: RequestHead) -> any HTTPHandler {
    routes.first { $0.matches(head) }?.handler ?? otherwise
  }

  package func policy(for head: RequestHead) -> RequestPolicy { handler(for: head).policy(for: head) }
  package func refusal(_ refusal: HTTPRefusal, for head: RequestHead) -> HTTPResponse {
    handler(for: head).refusal(refusal, for: head)
  }
}

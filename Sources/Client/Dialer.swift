import Wire

/// How servers reach into nodes: exec, attach, port-forward and logs. Every outbound connection of a server goes through one
/// dialer, which resolves to endpoints itself and never through a ClusterIP or the cluster's DNS (DESIGN section 7).
package protocol Dialer: Sendable {
  /// - Throws: `.serviceUnavailable` where no session to the node is open, naming the node.
  func node(_ name: String) throws(APIError) -> any NodeEndpoint
}

/// What an agent answers. In one process it is the agent itself; from elsewhere a multiplexed session that the agent keeps open.
package protocol NodeEndpoint: Sendable {
  /// - Parameters:
  ///   - subresource: `log`, `exec`, `attach` or `portforward`.
  ///   - query: the request's options, as upstream names them (`container`, `command`, `stdin`, `tty`, `follow`, `tailLines`, …).
  func connect(
    pod: ObjectKey, uid: String, subresource: String, query: [(name: String, value: String)]
  ) async throws(APIError) -> any ByteStream
}

import HTTP
import NIOCore
import Testing
import Wire

/// Lines of a watch, one event each.
private struct EventReader {
  var iterator: InboundBytes.AsyncIterator
  var rest: [UInt8] = []

  init(_ response: HTTPClient.Response) { iterator = response.body.makeAsyncIterator() }

  mutating func next() async throws -> Value? {
    while true {
      if let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
        let line = Array(rest[..<end])
        rest.removeSubrange(...end)
        return try Value(json: line)
      }
      guard let piece = try await iterator.next() else { return nil }
      rest += Array(piece.readableBytesView)
    }
  }
}

@Suite(.timeLimit(.minutes(1))) struct WatchTests {
  private static let maps = "/api/v1/namespaces/default/configmaps"

  @Test("a watch tells every change in order, over HTTP/1.1 and 2", arguments: [HTTPClient.Version.http1, .http2])
  func order(version: HTTPClient.Version) async throws {
    try await TestServer.with { test in
      let client = try test.client(user: "admin", groups: ["system:masters"], version: version)
      defer { client.close() }
      let list = try await test.call("GET", Self.maps).json
      let from = list["metadata"]["resourceVersion"].string ?? ""
      var events = EventReader(try await client.request("GET", "\(Self.maps)?watch=1&resourceVersion=\(from)"))
      for i in 0..<50 {
        _ = try await test.call("POST", Self.maps, TestServer.configMap("m\(i)"))
        let event = try #require(try await events.next())
        #expect(
          event["type"] == "ADDED" && event["object"]["metadata"]["name"].string == "m\(i)"
            && event["object"]["kind"] == "ConfigMap")
      }
      _ = try await test.call("DELETE", "\(Self.maps)/m0")
      let gone = try #require(try await events.next())
      #expect(gone["type"] == "DELETED" && gone["object"]["metadata"]["name"] == "m0")
    }
  }

  @Test("sendInitialEvents gives the state, then a bookmark that says so")
  func initialEvents() async throws {
    try await TestServer.with { test in
      for name in ["a", "b"] { _ = try await test.call("POST", Self.maps, TestServer.configMap(name)) }
      let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
      var events = EventReader(try await test.client.request("GET", "\(Self.maps)?\(query)"))
      #expect(try await events.next()?["object"]["metadata"]["name"] == "a")
      #expect(try await events.next()?["object"]["metadata"]["name"] == "b")
      let bookmark = try #require(try await events.next())
      #expect(bookmark["type"] == "BOOKMARK" && bookmark["object"]["kind"] == "ConfigMap")
      #expect(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true")
      _ = try await test.call("DELETE", "\(Self.maps)/a")
      #expect(try await events.next()?["type"] == "DELETED")
      let refused = try await test.call("GET", "\(Self.maps)?watch=1&sendInitialEvents=true")
      #expect(refused.status == 422)
    }
  }

  @Test("an object that stops matching the selector is told as deleted")
  func selectors() async throws {
    try await TestServer.with { test in
      var events = EventReader(try await test.client.request("GET", "/api/v1/pods?watch=1&labelSelector=app%3Da"))
      let pods = "/api/v1/namespaces/default/pods"
      let made = try await test.call("POST", pods, TestServer.pod("p"))
      #expect(made.status == 201, "\(made.text)")
      #expect(try await events.next()?["type"] == "ADDED")
      let patched = try await test.call(
        "PATCH", "\(pods)/p", ["metadata": ["labels": ["app": "b"]]], headers: [("content-type", "application/merge-patch+json")])
      #expect(patched.status == 200, "\(patched.text)")
      #expect(try await events.next()?["type"] == "DELETED")
    }
  }

  @Test("timeoutSeconds ends a watch properly")
  func timeout() async throws {
    try await TestServer.with { test in
      var events = EventReader(
        try await test.client.request("GET", "\(Self.maps)?watch=1&timeoutSeconds=1&allowWatchBookmarks=true"))
      #expect(try await events.next()?["type"] == "BOOKMARK")
      #expect(try await events.next() == nil)
    }
  }

  @Test("a thousand watches that are cancelled leave their connection and the other watch alone")
  func cancelled() async throws {
    try await TestServer.with { test in
      var kept = EventReader(try await test.client.request("GET", "\(Self.maps)?watch=1"))
      for _ in 0..<10 {
        try await withThrowingTaskGroup(of: Void.self) { group in
          for _ in 0..<100 {
            group.addTask {
              let response = try await test.client.request("GET", "\(Self.maps)?watch=1")
              #expect(response.status == 200)
            }
          }
          try await group.waitForAll()
        }
      }
      _ = try await test.call("POST", Self.maps, TestServer.configMap("after"))
      #expect(try await kept.next()?["object"]["metadata"]["name"] == "after")
      #expect(test.server.statistics.connections == 1)
    }
  }
}

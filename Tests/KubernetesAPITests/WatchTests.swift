import HTTP
import NIOCore
import Schema
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

@Suite(.timeLimit(.minutes(5))) struct WatchTests {
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

  @Test("metadata is watched as protobuf: frames with their length, objects and the bookmark in their envelopes")
  func protobufMetadata() async throws {
    try await TestServer.with { test in
      _ = try await test.call("POST", Self.maps, TestServer.configMap("a"))
      let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
      let response = try await test.client.request(
        "GET", "\(Self.maps)?\(query)",
        headers: [("accept", "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")])
      #expect(response["content-type"] == "application/vnd.kubernetes.protobuf;stream=watch")
      let schema = SchemaTable.builtin
      let metadataType = try #require(schema.type(named: "meta/v1.PartialObjectMetadata"))
      var pieces = response.body.makeAsyncIterator()
      var bytes: [UInt8] = []
      func frame() async throws -> [UInt8] {
        while true {
          if bytes.count >= 4 {
            let length = bytes[..<4].reduce(0) { $0 << 8 | Int($1) }
            if bytes.count >= 4 + length {
              defer { bytes.removeFirst(4 + length) }
              return Array(bytes[4..<(4 + length)])
            }
          }
          bytes += Array(try #require(try await pieces.next()).readableBytesView)
        }
      }
      for (type, name) in [("ADDED", "a"), ("BOOKMARK", "")] {
        let message = try await frame()
        // Field 1 of a bare WatchEvent.
        #expect(message.starts(with: [0x0a, UInt8(type.utf8.count)] + Array(type.utf8)))
        // The object inside has an envelope of its own: found by its beginning.
        let start = try #require((0..<(message.count - 4)).first { Array(message[$0..<($0 + 4)]) == [0x6b, 0x38, 0x73, 0] })
        let envelope = try ProtobufEnvelope(Array(message[start...]))
        #expect(envelope.kind == "PartialObjectMetadata" && envelope.apiVersion == "meta.k8s.io/v1")
        let metadata = try schema.decodeProtobuf(envelope.raw, type: metadataType)["metadata"]
        #expect(metadata["name"].string ?? "" == name && metadata["resourceVersion"].string?.isEmpty == false)
      }
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

  @Test("a watcher that lags far behind gets everything, in order", arguments: [HTTPClient.Version.http1, .http2])
  func lagging(version: HTTPClient.Version) async throws {
    try await TestServer.with { test in
      let client = try test.client(user: "admin", groups: ["system:masters"], version: version)
      defer { client.close() }
      _ = try await test.call("POST", Self.maps, TestServer.configMap("a"))
      var events = EventReader(try await client.request("GET", "\(Self.maps)?watch=1"))
      let text = String(repeating: "x", count: 400_000)
      for i in 0..<40 {
        let patched = try await test.call(
          "PATCH", "\(Self.maps)/a", ["data": ["i": .string("\(i)"), "text": .string(text)]],
          headers: [("content-type", "application/merge-patch+json")])
        #expect(patched.status == 200)
      }
      #expect(try await events.next()?["type"] == "ADDED")
      for i in 0..<40 {
        let event = try #require(try await events.next())
        #expect(event["type"] == "MODIFIED" && event["object"]["data"]["i"].string == "\(i)")
      }
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

import Cache
import Client
import ControlPlane
import Testing
import Wire

/// Nobody waits for a wake here.
private final class Nobody: WakeTarget {
  func wake(_ cursors: [WatchCursor]) {}
}

/// What one turn of an event loop may cost.
@Suite struct ListCursorTests {
  /// Ten config maps, the last of which a selector finds.
  private func with(_ body: (TestPlane, ReadRequest) async throws -> Void) async throws {
    try await TestPlane.with { test in
      let maps = GroupVersionResource(version: "v1", resource: "configmaps")
      for i in 0..<10 {
        _ = try await test.admin.create(
          maps, namespace: "default",
          body: ["metadata": ["name": .string("m\(i)"), "labels": ["last": .string(i == 9 ? "yes" : "no")]]], WriteOptions())
      }
      var request = ReadRequest(kind: try test.plane.kind(maps), namespace: "default")
      request.labelSelector = "last=yes"
      try await body(test, request)
    }
  }

  @Test("a list whose selector matches next to nothing pauses when its steps are used up, and goes on")
  func pause() async throws {
    try await with { test, request in
      var cursor = try test.plane.list(request)
      var turns = 0
      var found: [String] = []
      list: while true {
        var steps = 4
        turns += 1
        switch cursor.next(&steps) {
        case .pause: #expect(steps == 0)
        case .object(let object): found.append(object.key.name)
        case .end: break list
        }
      }
      // 4 + 4 + 2 of ten, then the end.
      #expect(found == ["m9"] && turns == 4)
    }
  }

  @Test("whether another page follows is found out in turns too")
  func token() async throws {
    try await with { test, request in
      var request = request
      request.labelSelector = "last=no"
      request.limit = 9
      var cursor = try test.plane.list(request)
      for _ in 0..<9 { #expect(cursor.next() != nil) }
      var steps = 1
      #expect(cursor.continueToken(&steps) == nil && steps == 0)
      steps = 1
      #expect(cursor.continueToken(&steps) == "")
    }
  }

  @Test("the first state of a watch comes in turns")
  func watch() async throws {
    try await with { test, request in
      let watch = try test.plane.watch(request, target: Nobody()) {}
      defer { watch.close() }
      for _ in 0..<2 {
        let batch = watch.next(limit: 4)
        #expect(batch.events.isEmpty && batch.hasMore)
      }
      let batch = watch.next(limit: 4)
      #expect(batch.events.count == 1 && batch.hasMore)
    }
  }

  @Test("what is behind a page is counted without a look at it, in one namespace and in all")
  func remaining() async throws {
    try await with { test, request in
      let maps = GroupVersionResource(version: "v1", resource: "configmaps")
      _ = try await test.admin.create(maps, namespace: "kube-system", body: ["metadata": ["name": "other"]], WriteOptions())
      var request = request
      request.labelSelector = ""
      request.limit = 3
      for (namespace, others) in [("default", 0), (nil, 1)] as [(String?, Int64)] {
        request.namespace = namespace
        var all = request
        all.limit = 0
        var count: Int64 = 0
        var whole = try test.plane.list(all)
        while whole.next() != nil { count += 1 }
        #expect(count == 10 + others)
        var page = try test.plane.list(request)
        while page.next() != nil {}
        #expect(page.remainingItemCount == count - 3)
        #expect(page.continueToken() != "")
        #expect(page.remainingItemCount == count - 3)
      }
    }
  }
}

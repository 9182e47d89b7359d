import HTTP
import NIOCore
import Testing
import Wire

@Suite(.timeLimit(.minutes(5))) struct MetricsTests {
  @Test("requests are counted and timed under upstream's names, with labels from the table alone")
  func requests() async throws {
    try await TestServer.with { test in
      let maps = "/api/v1/namespaces/default/configmaps"
      _ = try await test.call("POST", maps, TestServer.configMap("a"))
      for _ in 0..<3 { _ = try await test.call("GET", "\(maps)/a") }
      _ = try await test.call("GET", "\(maps)/b")
      _ = try await test.call("GET", "/api/v1/namespaces/default/inventions/x")
      let watch = try await test.client.request("GET", "\(maps)?watch=1")
      var events = watch.body.makeAsyncIterator()
      _ = try await events.next()
      let metrics = try await test.call("GET", "/metrics")
      #expect(metrics.header("content-type")?.hasPrefix("text/plain; version=0.0.4") == true)
      func labels(_ verb: String, _ scope: String) -> String {
        "component=\"apiserver\",group=\"\",resource=\"configmaps\",scope=\"\(scope)\",subresource=\"\",verb=\"\(verb)\",version=\"v1\""
      }
      let lines = Set(metrics.text.split(separator: "\n").map(String.init))
      #expect(lines.contains("apiserver_request_total{code=\"200\",\(labels("GET", "resource"))} 3"))
      #expect(lines.contains("apiserver_request_total{code=\"404\",\(labels("GET", "resource"))} 1"))
      #expect(lines.contains("apiserver_request_total{code=\"201\",\(labels("POST", "resource"))} 1"))
      #expect(lines.contains("apiserver_request_duration_seconds_bucket{\(labels("GET", "resource")),le=\"+Inf\"} 4"))
      #expect(lines.contains("apiserver_request_duration_seconds_count{\(labels("GET", "resource"))} 4"))
      #expect(lines.contains("apiserver_longrunning_requests{\(labels("WATCH", "namespace"))} 1"))
      #expect(lines.contains("apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1"))
      #expect(lines.contains("apiserver_storage_objects{resource=\"configmaps\"} 1"))
      for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds", "process_open_fds"] {
        #expect(lines.contains { $0.hasPrefix("\(name) ") }, "\(name)")
      }
      #expect(!metrics.text.contains("inventions"))
    }
  }
}

import HTTP
import NIOCore
import Schema
import Synchronization
import Wire

/// What a request is counted under. Everything comes from the table and from fixed sets: no client's text becomes a label.
struct RequestLabels: Hashable, Sendable {
  private(set) var verb: String
  private(set) var group = ""
  private(set) var version = ""
  private(set) var resource = ""
  private(set) var subresource = ""
  private(set) var scope = ""

  private static let methods: Set<String> = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
  private static let streams: Set<String> = ["exec", "attach", "portforward", "proxy", "log"]

  init(method: String) { verb = Self.methods.contains(method) ? method : "other" }

  /// - Parameter kind: nil where the table has no such resource; then only the verb is told.
  mutating func describe(_ path: ResourcePath, _ kind: ResourceKind?) {
    // Source: upstream's metrics name a verb by its method where an object is read or written.
    switch path.verb {
    case "list", "watch", "deletecollection": verb = path.verb.uppercased()
    default: break
    }
    guard let kind else { return }
    group = kind.gvr.group
    version = kind.gvr.version
    resource = kind.gvr.resource
    if let known = kind.subresource(path.subresource) {
      subresource = known.name
      if Self.streams.contains(known.name) { verb = "CONNECT" }
    }
    scope = !path.name.isEmpty || path.verb == "create" ? "resource" : path.namespace == nil ? "cluster" : "namespace"
  }

  var isMutating: Bool { ["POST", "PUT", "PATCH", "DELETE", "DELETECOLLECTION"].contains(verb) }

  var text: String {
    "component=\"apiserver\",group=\"\(group)\",resource=\"\(resource)\",scope=\"\(scope)\",subresource=\"\(subresource)\",verb=\"\(verb)\",version=\"\(version)\""
  }
}

/// Requests by what they were, how they ended and how long they took, under upstream's names.
///
/// One lock and one look-up at a request's beginning and end; at most some thousand series (resources of the table × verbs).
final class RequestMetrics: Sendable {
  /// Seconds. Source: upstream's buckets of `apiserver_request_duration_seconds`.
  private static let bounds: [Double] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
  ]

  private struct Series {
    var codes: [Int: Int] = [:]
    /// Requests by the first bound that they kept; the last is for those that kept none.
    var buckets = [Int](repeating: 0, count: RequestMetrics.bounds.count + 1)
    var seconds = 0.0
    var longRunning = 0
    var isLongRunning = false

    mutating func begin() {
      isLongRunning = true
      longRunning += 1
    }

    mutating func end(_ isLongLived: Bool, code: Int, bucket: Int, seconds: Double) {
      if isLongLived { longRunning -= 1 }
      codes[code, default: 0] += 1
      buckets[bucket] += 1
      self.seconds += seconds
    }
  }

  private struct State {
    var series: [RequestLabels: Series] = [:]
    var readOnly = 0
    var mutating = 0
  }

  private let state = Mutex(State())

  /// The policy with its requests counted, from their bodies' arrival to the end of their answers.
  func observed(_ policy: RequestPolicy, _ labels: RequestLabels) -> RequestPolicy {
    var observed = policy
    let isLongLived = policy.isLongLived
    observed.handle = { [self] exchange in
      let start = NIODeadline.now()
      begin(labels, isLongLived)
      exchange.onClose { [unowned exchange] in
        self.end(labels, isLongLived, code: exchange.status, seconds: Double((NIODeadline.now() - start).nanoseconds) / 1e9)
      }
      policy.handle(exchange)
    }
    return observed
  }

  private func begin(_ labels: RequestLabels, _ isLongLived: Bool) {
    state.withLock { state in
      if isLongLived {
        state.series[labels, default: Series()].begin()
      } else if labels.isMutating {
        state.mutating += 1
      } else {
        state.readOnly += 1
      }
    }
  }

  private func end(_ labels: RequestLabels, _ isLongLived: Bool, code: Int, seconds: Double) {
    let bucket = Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count
    state.withLock { state in
      if !isLongLived { if labels.isMutating { state.mutating -= 1 } else { state.readOnly -= 1 } }
      state.series[labels, default: Series()].end(isLongLived, code: code, bucket: bucket, seconds: seconds)
    }
  }

  func render() -> String {
    let (all, readOnly, mutating) = state.withLock { ($0.series, $0.readOnly, $0.mutating) }
    let sorted = all.map { (text: $0.key.text, labels: $0.key, series: $0.value) }.sorted { $0.text < $1.text }
    var text = "# HELP apiserver_current_inflight_requests Requests that are being answered, by kind.\n"
    text += "# TYPE apiserver_current_inflight_requests gauge\n"
    text += "apiserver_current_inflight_requests{request_kind=\"mutating\"} \(mutating)\n"
    text += "apiserver_current_inflight_requests{request_kind=\"readOnly\"} \(readOnly)\n"
    text +=
      "# HELP apiserver_longrunning_requests Watches and streams that are open.\n# TYPE apiserver_longrunning_requests gauge\n"
    for (labels, _, series) in sorted where series.isLongRunning {
      text += "apiserver_longrunning_requests{\(labels)} \(series.longRunning)\n"
    }
    text += "# HELP apiserver_request_total Requests that were answered, by what they asked for and the answer's code.\n"
    text += "# TYPE apiserver_request_total counter\n"
    for (labels, _, series) in sorted {
      for (code, count) in series.codes.sorted(by: { $0.key < $1.key }) {
        text += "apiserver_request_total{code=\"\(code)\",\(labels)} \(count)\n"
      }
    }
    text += "# HELP apiserver_request_duration_seconds From the whole request to the end of its answer.\n"
    text += "# TYPE apiserver_request_duration_seconds histogram\n"
    for (labels, _, series) in sorted where !series.codes.isEmpty {
      var count = 0
      for (bound, kept) in zip(Self.bounds, series.buckets) {
        count += kept
        let shown = bound == bound.rounded() ? String(Int(bound)) : String(bound)
        text += "apiserver_request_duration_seconds_bucket{\(labels),le=\"\(shown)\"} \(count)\n"
      }
      count += series.buckets[Self.bounds.count]
      text += "apiserver_request_duration_seconds_bucket{\(labels),le=\"+Inf\"} \(count)\n"
      text += "apiserver_request_duration_seconds_sum{\(labels)} \(series.seconds)\n"
      text += "apiserver_request_duration_seconds_count{\(labels)} \(count)\n"
    }
    return text
  }
}

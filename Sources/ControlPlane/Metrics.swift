import Synchronization

/// Counters and histograms of one process, rendered as Prometheus text. Labels come from fixed sets, never from a client's text.
package final class Metrics: Sendable {
  private struct Series: Hashable {
    var name: String
    var labels: String
  }

  private static let bounds: [Double] = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 10, 60]
  private struct Histogram {
    var buckets = [Int](repeating: 0, count: Metrics.bounds.count)
    var count = 0
    var sum = 0.0
  }

  private struct State {
    var counters: [Series: Double] = [:]
    var histograms: [Series: Histogram] = [:]
  }

  private let state = Mutex(State())

  private func text(_ labels: [(String, String)]) -> String { labels.map { "\($0.0)=\"\($0.1)\"" }.joined(separator: ",") }

  package func count(_ name: String, _ labels: [(String, String)] = [], by amount: Double = 1) {
    let series = Series(name: name, labels: text(labels))
    state.withLock { $0.counters[series, default: 0] += amount }
  }

  package func observe(_ name: String, _ labels: [(String, String)] = [], seconds: Double) {
    let series = Series(name: name, labels: text(labels))
    state.withLock { state in
      for (i, bound) in Self.bounds.enumerated() where seconds <= bound {
        state.histograms[series, default: Histogram()].buckets[i] += 1
      }
      state.histograms[series, default: Histogram()].count += 1
      state.histograms[series, default: Histogram()].sum += seconds
    }
  }

  package func render() -> String {
    let (counters, histograms) = state.withLock { ($0.counters, $0.histograms) }
    var lines: [String] = []
    func braces(_ labels: String) -> String { labels.isEmpty ? "" : "{\(labels)}" }
    for (name, group) in Dictionary(grouping: counters, by: \.key.name).sorted(by: { $0.key < $1.key }) {
      lines.append("# TYPE \(name) counter")
      for (series, value) in group.sorted(by: { $0.key.labels < $1.key.labels }) {
        lines.append("\(name)\(braces(series.labels)) \(value)")
      }
    }
    for (name, group) in Dictionary(grouping: histograms, by: \.key.name).sorted(by: { $0.key < $1.key }) {
      lines.append("# TYPE \(name) histogram")
      for (series, histogram) in group.sorted(by: { $0.key.labels < $1.key.labels }) {
        let prefix = series.labels.isEmpty ? "" : series.labels + ","
        for (bound, count) in zip(Self.bounds, histogram.buckets) {
          lines.append("\(name)_bucket{\(prefix)le=\"\(bound)\"} \(count)")
        }
        lines.append("\(name)_bucket{\(prefix)le=\"+Inf\"} \(histogram.count)")
        lines.append("\(name)_sum\(braces(series.labels)) \(histogram.sum)")
        lines.append("\(name)_count\(braces(series.labels)) \(histogram.count)")
      }
    }
    return (lines + ProcessMetrics.lines()).joined(separator: "\n") + "\n"
  }
}

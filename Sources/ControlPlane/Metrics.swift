import Glibc
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
    return (lines + Self.process()).joined(separator: "\n") + "\n"
  }

  /// Memory and processor time of this process, under the names that every exporter uses.
  private static func process() -> [String] {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    let seconds =
      Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
    var lines = ["# TYPE process_cpu_seconds_total counter", "process_cpu_seconds_total \(seconds)"]
    guard let file = fopen("/proc/self/statm", "re") else { return lines }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 128)
    guard fgets(&line, Int32(line.count), file) != nil else { return lines }
    let fields = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self).split(separator: " ")
    if fields.count > 1, let pages = Int(fields[1]) {
      lines += [
        "# TYPE process_resident_memory_bytes gauge", "process_resident_memory_bytes \(pages * Int(sysconf(Int32(_SC_PAGESIZE))))",
      ]
    }
    return lines
  }
}

import Glibc

/// `gantry-bench [NAME …]`: each benchmark prints ratios against a floor or a peer measured in the same run. None named: all.
@main struct Bench {
  static let all: [(name: String, what: String, run: @Sendable () async throws -> Void)] = [
    ("schema", "the table, and a pod's way in and out", SchemaBenchmark.run),
    ("store", "acknowledged writes, file size under churn", StoreBenchmark.run),
    ("cache", "bytes of a cached pod, reads", CacheBenchmark.run),
    ("watch", "fan-out of one write to thousands of watchers", WatchBenchmark.run),
    ("http", "GET and LIST of the API against a bare SwiftNIO server", HTTPBenchmark.run),
    ("scheduler", "placements", SchedulerBenchmark.run),
  ]

  static func main() async {
    let arguments = Array(CommandLine.arguments.dropFirst())
    do {
      if arguments.first == "store-child", arguments.count >= 2 {
        return try await StoreChild.run(path: arguments[1], bytes: arguments.count > 2 ? Int(arguments[2]) ?? 512 : 512)
      }
      if let unknown = arguments.first(where: { name in !all.contains { $0.name == name } }) {
        print("no benchmark \(unknown); there are:")
        for benchmark in all { print("  \(benchmark.name): \(benchmark.what)") }
        exit(2)
      }
      print(Report.head)
      for benchmark in all where arguments.isEmpty || arguments.contains(benchmark.name) {
        try await benchmark.run()
      }
    } catch {
      print("failed: \(error)")
      exit(1)
    }
  }
}

import Client
import Synchronization
import Testing
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// The measurement that `make bench` repeats through the real server; here without HTTP, to see where the time goes.
@Suite("scale", .enabled(if: getenv("GANTRY_SCALE") != nil, "set GANTRY_SCALE=1"))
struct ScaleTests {
  @Test("a deployment of 5,000 pods on 1,000 nodes is bound in a few seconds")
  func fleet() async throws {
    try await HollowCluster.with(nodes: 1000, runsPods: false) { cluster in
      let counts = Mutex((created: 0, bound: 0))
      let (done, signal) = AsyncStream.makeStream(of: Void.self)
      let start = ContinuousClock.now
      let watch = Task {
        let bound = Mutex(Set<ObjectKey>())
        let seen = Mutex(Set<ObjectKey>())
        await ObjectFeed(client: cluster.admin, resource: .pods).run { changes in
          for case .set(let object) in changes {
            seen.withLock { _ = $0.insert(object.key) }
            if object.withView({ $0["spec"]["nodeName"].isPresent }) { bound.withLock { _ = $0.insert(object.key) } }
          }
          let now = (seen.withLock(\.count), bound.withLock(\.count))
          let before = counts.withLock { counts in
            defer { counts = now }
            return counts
          }
          if now.0 / 1000 != before.created / 1000 || now.1 / 1000 != before.bound / 1000 {
            print("  \(now.0) created, \(now.1) bound after \(ContinuousClock.now - start)")
          }
          if now.1 == 5000 { signal.yield() }
        }
      }
      try await cluster.deployment("web", replicas: 5000)
      for await _ in done { break }
      let time = ContinuousClock.now - start
      var usage = rusage()
      getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
      print(
        "  bound in \(time); process CPU \(usage.ru_utime.tv_sec) s user, \(usage.ru_stime.tv_sec) s system, \(usage.ru_maxrss / 1024) MB at most"
      )
      watch.cancel()
      await watch.value
      #expect(time < .seconds(10))
    }
  }
}

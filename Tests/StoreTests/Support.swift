import Glibc
import Store
import Synchronization
import Testing
import Wire

let testResource = GroupResource(resource: "configmaps")
func testKey(_ name: String, namespace: String = "default") -> StoreKey {
  StoreKey(testResource, ObjectKey(namespace: namespace, name: name))
}

extension StoreEngine {
  @discardableResult
  func put(_ name: String, _ value: [UInt8], isVolatile: Bool = false) async throws(StoreError) -> Revision {
    try await commit(Transaction(compares: [], writes: [.put(testKey(name), value)], isVolatile: isVolatile))
  }
}

final class TestClock: Sendable {
  private let value = Atomic<Int64>(1_000_000)
  var seconds: Int64 {
    get { value.load(ordering: .relaxed) }
    set { value.store(newValue, ordering: .relaxed) }
  }
}

/// A directory of its own, gone afterwards.
func withTemporaryDirectory<R>(_ body: (String) async throws -> R) async throws -> R {
  var template = Array("/tmp/gantry-test-XXXXXX".utf8CString)
  let path = try template.withUnsafeMutableBufferPointer { buffer in
    let start = try #require(buffer.baseAddress)
    _ = try #require(mkdtemp(start))
    return String(cString: start)
  }
  do {
    let result = try await body(path)
    _ = system("rm -rf --one-file-system '\(path)'")
    return result
  } catch {
    _ = system("rm -rf --one-file-system '\(path)'")
    throw error
  }
}

/// Numbers that a seed replays.
struct Seeded {
  var state: UInt64
  init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }
  mutating func next(_ bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % bound
  }
}

final class SeenRevisions: Sendable {
  private let revisions = Mutex<[Revision]>([])
  var all: [Revision] { revisions.withLock { $0 } }
  func add(_ more: [Revision]) { revisions.withLock { $0 += more } }
}

/// Holds up the thread that comes to it until it is opened, once and for all.
final class Gate: @unchecked Sendable {
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
  init() { sem_init(semaphore, 0, 0) }
  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }
  func open() { sem_post(semaphore) }
  func pass() {
    while sem_wait(semaphore) != 0 {}
    sem_post(semaphore)
  }
}

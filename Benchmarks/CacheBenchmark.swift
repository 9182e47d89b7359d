import Cache
import Glibc
import Store
import Synchronization
import Wire

/// Bytes that a cached pod of 5 KB costs beside its own, and what reads cost while 30,000 pods are there.
enum CacheBenchmark {
  static func run() async throws {
    let pods = 30_000
    let store = MemoryStore()
    let cache = Cache(
      ringBytes: 1 << 20, open: { _, value in Envelope.open(value).map { Array($0.1) } },
      index: { _ in { object in object.withView { $0["spec"]["nodeName"].string ?? "" } } })
    try cache.follow(store)
    let before = residentBytes()
    var bytes = 0
    for i in 0..<pods {
      let pod = pod(i)
      bytes += pod.count
      store.put(StoreBenchmark.key(i), Envelope().wrap(pod))
    }
    let after = residentBytes()
    let used = after - before
    print(
      "cache       \(pods) pods of \(bytes / pods) bytes, indexed by node, 1 MB ring: \(used / pods) bytes each, \(used / pods - bytes / pods) beside its own: \(ratio(Double(used), Double(bytes)))x"
    )
    let resource = cache.resource(GroupResource(resource: "pods"))
    let clock = ContinuousClock()
    let reads = 200_000
    var found = 0
    let get = clock.measure { for i in 0..<reads where resource.get(StoreBenchmark.key(i * 7919 % pods).key) != nil { found += 1 } }
    precondition(found == reads)
    var dictionary: [ObjectKey: Int] = [:]
    for i in 0..<pods { dictionary[StoreBenchmark.key(i).key] = i }
    let plain = clock.measure { for i in 0..<reads where dictionary[StoreBenchmark.key(i * 7919 % pods).key] != nil { found += 1 } }
    print(
      "cache       get: \(Int(seconds(get) * 1e9) / reads) ns, a dictionary: \(Int(seconds(plain) * 1e9) / reads) ns: \(ratio(seconds(get), seconds(plain)))x"
    )
    let walk = clock.measure {
      var iterator = resource.snapshot(revision: 0).tree.iterate()
      while iterator.next() != nil { found += 1 }
    }
    let node = clock.measure {
      var iterator = resource.snapshot(revision: 0).tree.iterate(term: "node-77")
      while iterator.next() != nil { found += 1 }
    }
    print(
      "cache       walk over all: \(Int(seconds(walk) * 1e9) / pods) ns a pod; pods of one of 300 nodes: \(Int(seconds(node) * 1e6)) µs"
    )
  }

  /// Canonical bytes of about 5 KB, as a Deployment's pod with managedFields has.
  static func pod(_ i: Int) -> [UInt8] {
    let value: Value = [
      "metadata": [
        "name": .string("pod-\(i)"), "namespace": "default", "uid": .string("2f1d3c5e-7a9b-4c1d-8e2f-\(100_000_000_000 + i)"),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "annotations": ["filling": .string(String(repeating: "managedFields ", count: 340))],
      ], "spec": ["nodeName": .string("node-\(i % 300)")],
      "status": ["phase": "Running", "podIP": .string("10.0.\(i >> 8 & 255).\(i & 255)")],
    ]
    return value.jsonBytes
  }
}

/// A store without a disk: what remains is the cache's own cost.
final class MemoryStore: StoreEngine {
  private let revision = Mutex<Revision>(0)
  private let observer = Mutex<(@Sendable ([StoreEvent], Revision) -> Void)?>(nil)

  func put(_ key: StoreKey, _ value: [UInt8]) { put([(key, value)]) }

  func put(_ writes: [(StoreKey, [UInt8])]) {
    revision.withLock { revision in
      var events: [StoreEvent] = []
      for (key, value) in writes {
        revision += 1
        events.append(StoreEvent(revision: revision, key: key, value: value))
      }
      observer.withLock { $0 }?(events, revision)
    }
  }

  func commit(_ transaction: Transaction, completion: @escaping @Sendable (Result<Revision, StoreError>) -> Void) {
    completion(.failure(.closed))
  }
  func load() throws(StoreError) -> (records: [StoreRecord], revision: Revision) { ([], 0) }
  func get(_ key: StoreKey, at revision: Revision?) throws(StoreError) -> StoreRecord? { nil }
  func range(_ resource: GroupResource, namespace: String?, after key: ObjectKey?, at revision: Revision?, limit: Int)
    throws(StoreError)
    -> [StoreRecord]
  { [] }
  func events(after revision: Revision, limit: Int) throws(StoreError) -> [StoreEvent] { [] }
  func compact(to revision: Revision) throws(StoreError) {}
  var oldestRevision: Revision { 0 }
  var volatileResources: Set<GroupResource> { [] }
  func history(uid: String) throws(StoreError) -> StoreRecord? { nil }
  func blob(_ name: String) throws(StoreError) -> [UInt8]? { nil }
  func setBlob(_ name: String, _ value: [UInt8]) throws(StoreError) {}
  func observe(_ observer: @escaping @Sendable ([StoreEvent], Revision) -> Void) { self.observer.withLock { $0 = observer } }
  var clusterID: String { "memory" }
  func backup(to path: String) throws(StoreError) {}
  func close() {}
}

/// Resident memory of this process, from /proc.
func residentBytes() -> Int {
  let file = open("/proc/self/statm", O_RDONLY)
  guard file >= 0 else { return 0 }
  defer { close(file) }
  var buffer = [UInt8](repeating: 0, count: 128)
  let count = max(0, read(file, &buffer, buffer.count))
  let fields = String(decoding: buffer.prefix(count), as: UTF8.self).split(separator: " ")
  return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
}

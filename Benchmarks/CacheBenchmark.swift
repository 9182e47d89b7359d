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
      store.put(key(i), Envelope().wrap(pod))
    }
    let after = residentBytes()
    let used = after - before
    Report.line(
      "cache: a pod of \(Report.count(Double(bytes / pods))) bytes, indexed by node, 1 MB ring",
      "\(Report.count(Double(used / pods))) bytes", against: "its own bytes", ratio: Double(used) / Double(bytes), .atMost(0.5))
    let resource = cache.resource(GroupResource(resource: "pods"))
    let clock = ContinuousClock()
    let reads = 200_000
    var found = 0
    let get = clock.measure { for i in 0..<reads where resource.get(key(i * 7919 % pods).key) != nil { found += 1 } }
    precondition(found == reads)
    var dictionary: [ObjectKey: Int] = [:]
    for i in 0..<pods { dictionary[key(i).key] = i }
    let plain = clock.measure { for i in 0..<reads where dictionary[key(i * 7919 % pods).key] != nil { found += 1 } }
    Report.line(
      "cache: get by key", Report.time(seconds(get) / Double(reads)),
      against: "a dictionary \(Report.time(seconds(plain) / Double(reads)))", ratio: seconds(get) / seconds(plain), .atMost(10))
    let walk = clock.measure {
      var iterator = resource.snapshot(revision: 0).tree.iterate()
      while iterator.next() != nil { found += 1 }
    }
    Report.line(
      "cache: walk over all, a pod", Report.time(seconds(walk) / Double(pods)),
      against: "a get by key \(Report.time(seconds(get) / Double(reads)))",
      ratio: seconds(walk) / Double(pods) / seconds(get) * Double(reads), .atMost(0.5))
    let node = clock.measure {
      var iterator = resource.snapshot(revision: 0).tree.iterate(term: "node-77")
      while iterator.next() != nil { found += 1 }
    }
    Report.line(
      "cache: the pods of one of 300 nodes", Report.time(seconds(node)), against: "the walk over all \(Report.time(seconds(walk)))",
      ratio: seconds(node) / seconds(walk), .atMost(0.02))
    precondition(found == reads * 2 + pods + pods / 300)
  }

  static func key(_ i: Int) -> StoreKey {
    StoreKey(
      GroupResource(resource: "pods"),
      ObjectKey(namespace: "default", name: "web-\(i % 300)-7d4b9c55f\(i % 9)-\(String(i, radix: 36))"))
  }

  /// Canonical bytes of about 5 KB, as a running pod of one of 300 Deployments has: what differs from pod to pod differs here too.
  static func pod(_ i: Int) -> [UInt8] {
    let second = { (offset: Int) -> Value in
      let time = i * 7 + offset
      func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
      return .string("2026-01-\(two(1 + time / 86400 % 28))T\(two(time / 3600 % 24)):\(two(time / 60 % 60)):\(two(time % 60))Z")
    }
    // Digits without a pattern, as identifiers and addresses have.
    let digits =
      String(UInt64(i + 1) &* 0x9E37_79B9_7F4A_7C15, radix: 16) + String(UInt64(i + 7) &* 0xD6E8_FEB8_6659_FD93, radix: 16)
    var pod = FullPod.value
    pod["metadata"]["name"] = .string(key(i).key.name)
    pod["metadata"]["namespace"] = "default"
    pod["metadata"]["uid"] = .string("\(digits.prefix(8))-7a9b-4c1d-8e2f-\(100_000_000_000 + i)")
    pod["metadata"]["creationTimestamp"] = second(0)
    pod["metadata"]["labels"]["app"] = .string("web-\(i % 300)")
    pod["metadata"]["ownerReferences"] = [
      [
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": .string("web-\(i % 300)-7d4b9c55f\(i % 9)"),
        "uid": .string("uid-\(i % 300)"),
      ]
    ]
    pod["spec"]["nodeName"] = .string("node-\(i % 300)")
    pod["status"]["podIP"] = .string("10.0.\(i >> 8 & 255).\(i & 255)")
    pod["status"]["startTime"] = second(1)
    pod["status"]["containerStatuses"] = [
      [
        "name": "web", "state": ["running": ["startedAt": second(3)]], "lastState": [:], "ready": true, "restartCount": 0,
        "image": "nginx:1.27", "imageID": "sha256:1", "containerID": .string("containerd://\(digits)\(digits)"), "started": true,
      ]
    ]
    return pod.jsonBytes
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

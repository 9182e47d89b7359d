import Cache
import Store
import Synchronization
import Wire

/// Finds free service addresses and node ports. What decides is the store: a reservation is a key that must not exist yet; this only
/// proposes, from what the services in the cache hold.
final class Allocators: Sendable {
  let serviceCIDR: String
  let nodePorts: ClosedRange<Int>
  private let first: UInt32
  private let count: UInt32
  private let services = GroupResource(resource: "services")
  private let taken = Mutex<(revision: Int64, addresses: Set<String>, ports: Set<Int>)>((-1, [], []))

  init?(serviceCIDR: String, nodePorts: ClosedRange<Int>) {
    let parts = serviceCIDR.split(separator: "/")
    guard parts.count == 2, let address = Self.number(String(parts[0])), let bits = UInt32(parts[1]), (8...28).contains(bits) else {
      return nil
    }
    self.serviceCIDR = serviceCIDR
    self.nodePorts = nodePorts
    count = 1 << (32 - bits)
    first = address & ~(count - 1)
  }

  private static func number(_ text: String) -> UInt32? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    let bytes = parts.compactMap { UInt8($0) }
    guard parts.count == 4, bytes.count == 4 else { return nil }
    return bytes.reduce(0) { $0 << 8 | UInt32($1) }
  }

  /// Whether it is an IPv4 address, of this range or not.
  static func isAddress(_ text: String) -> Bool { number(text) != nil }

  private static func text(_ number: UInt32) -> String { [24, 16, 8, 0].map { String(number >> $0 & 255) }.joined(separator: ".") }

  /// The address that the `kubernetes` service has, and the one for DNS.
  var kubernetesAddress: String { Self.text(first + 1) }
  var dnsAddress: String { Self.text(first + 10) }

  func contains(address: String) -> Bool { Self.number(address).map { $0 > first && $0 < first + count - 1 } ?? false }

  /// Reservations live beside the objects, in a group that no API serves.
  func key(address: String) -> StoreKey { StoreKey(GroupResource(group: "~", resource: "addresses"), ObjectKey(name: address)) }
  func key(port: Int) -> StoreKey { StoreKey(GroupResource(group: "~", resource: "nodeports"), ObjectKey(name: String(port))) }

  private func reservations(_ cache: Cache) -> (addresses: Set<String>, ports: Set<Int>) {
    let resource = cache.resource(services)
    let revision = resource.lastRevision
    return taken.withLock { taken in
      if taken.revision == revision { return (taken.addresses, taken.ports) }
      var addresses: Set<String> = []
      var ports: Set<Int> = []
      var iterator = resource.snapshot(revision: 0).tree.iterate()
      while let entry = iterator.next() {
        entry.object.withView { view in
          addresses.formUnion(view["spec"]["clusterIPs"].compactMap(\.string))
          view["spec"]["ports"].forEach { if let port = $0["nodePort"].int { ports.insert(Int(port)) } }
          if let port = view["spec"]["healthCheckNodePort"].int { ports.insert(Int(port)) }
        }
      }
      taken = (revision, addresses, ports)
      return (addresses, ports)
    }
  }

  func isTaken(address: String, in cache: Cache) -> Bool { reservations(cache).addresses.contains(address) }
  func isTaken(port: Int, in cache: Cache) -> Bool { reservations(cache).ports.contains(port) }

  /// An address of the upper band; the lower one (at most 256 addresses) is for those who ask for one.
  /// Source: "Service ClusterIP allocation": min(max(16, size/16), 256).
  func freeAddress(in cache: Cache) -> String? {
    let taken = reservations(cache).addresses
    let band = min(max(16, count / 16), 256)
    for range in [(first + band)..<(first + count - 1), (first + 1)..<(first + band)] {
      guard !range.isEmpty else { continue }
      let start = UInt32.random(in: range)
      for offset in 0..<UInt32(min(range.count, 70_000)) {
        let candidate = range.lowerBound + (start - range.lowerBound + offset) % UInt32(range.count)
        let text = Self.text(candidate)
        if !taken.contains(text), text != dnsAddress, text != kubernetesAddress { return text }
      }
    }
    return nil
  }

  func freePort(in cache: Cache, besides mine: Set<Int>) -> Int? {
    let taken = reservations(cache).ports
    // The lower 86 ports are for those who ask for one (upstream's static band).
    let band = min(nodePorts.lowerBound + 86, nodePorts.upperBound)
    for range in [band...nodePorts.upperBound, nodePorts.lowerBound...band] {
      let start = Int.random(in: range)
      for offset in 0..<range.count {
        let candidate = range.lowerBound + (start - range.lowerBound + offset) % range.count
        if !taken.contains(candidate), !mine.contains(candidate) { return candidate }
      }
    }
    return nil
  }
}

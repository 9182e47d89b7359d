import Cache
import Client
import Logging
import Schema
import Store
import Synchronization
import Wire

/// What both doors stand on: kinds, reads, the write pipeline, authentication, authorization, allocation, the in-process ``Client``.
///
/// In: requests that a door has understood, with the identity that makes them. Out: objects as bytes, watches, refusals as `APIError`.
/// Never: knows a wire format or a URL, runs a controller, or lets anybody past authorization and admission.
package final class ControlPlane: Sendable {
  package struct Configuration: Sendable {
    package var serviceCIDR = "10.96.0.0/12"
    package var clusterDomain = "cluster.local"
    /// Where the `kubernetes` service leads: what agents forward to.
    package var advertiseAddress = "127.0.0.1"
    package var advertisePort = 6443
    package var nodePorts: ClosedRange<Int> = 30000...32767
    /// The `iss` of service-account tokens.
    package var issuer = "https://kubernetes.default.svc.cluster.local"

    package init() {}
  }

  package let configuration: Configuration
  package let schema: SchemaTable
  package let store: any StoreEngine
  package let cache: Cache
  package let clock: Clock
  package let logger: Logger
  package let metrics = Metrics()
  let authorizer: Authorizer
  let tokens: TokenAuthority
  let allocators: Allocators
  let valueSealer: ValueSealer
  let quotaLedger = QuotaLedger()
  let nodeClaims: NodeClaims
  let gates = WriteGates()
  let auditLog = Mutex<AuditLog?>(nil)
  private let dialer = Mutex<(any Dialer)?>(nil)
  let streams = InProcessWakeTarget()

  /// Opens the control plane over a store: fills the cache, makes sure that what every cluster has is there.
  /// - Throws: ``StoreError`` of the store; `APIError` where a bootstrap object cannot be written.
  package init(
    _ configuration: Configuration, store: any StoreEngine, sealer: Sealer, schema: SchemaTable = .builtin, clock: Clock = .system,
    logger: Logger = Logger(label: "gantry.controlplane")
  ) throws {
    self.configuration = configuration
    self.schema = schema
    self.store = store
    self.clock = clock
    self.logger = logger
    let valueSealer = try ValueSealer(store: store, sealer: sealer)
    self.valueSealer = valueSealer
    let reader = StoredValues(sealer: valueSealer, schema: schema)
    cache = Cache(open: { key, value in reader.open(value, key) }, index: Self.index)
    try cache.follow(store)
    try reader.checkOpened()
    nodeClaims = try NodeClaims(store: store)
    authorizer = Authorizer(cache: cache)
    tokens = try TokenAuthority(store: store, sealer: sealer, issuer: configuration.issuer, clock: clock)
    guard let allocators = Allocators(serviceCIDR: configuration.serviceCIDR, nodePorts: configuration.nodePorts) else {
      throw APIError.badRequest(
        "service CIDR \(configuration.serviceCIDR) is no IPv4 block of at least sixteen addresses, such as 10.96.0.0/12")
    }
    self.allocators = allocators
  }

  /// What watchers of a resource are sorted by, besides names.
  private static func index(_ resource: GroupResource) -> (@Sendable (EncodedObject) -> String)? {
    guard resource == GroupResource(resource: "pods") else { return nil }
    return { object in object.withView { $0["spec"]["nodeName"].string ?? "" } }
  }

  /// Follows the keys beside the objects (claims, ledgers) that are held in memory too.
  func learn(_ transaction: Transaction, _ revision: Revision) {
    for write in transaction.writes where write.key.isInternal {
      quotaLedger.learn(write, revision)
      nodeClaims.learn(write, revision)
    }
  }

  /// Tells how nodes are reached. Set once, when the first agent or session is there.
  package func setDialer(_ dialer: any Dialer) { self.dialer.withLock { $0 = dialer } }

  func node(_ name: String) throws(APIError) -> any NodeEndpoint {
    guard let dialer = dialer.withLock({ $0 }) else {
      throw APIError(.serviceUnavailable, "node \(name) is not connected to this server")
    }
    return try dialer.node(name)
  }

  /// A client that acts as somebody, with the same authorization and admission as over HTTP.
  package func client(as identity: Identity) -> any Client { LocalClient(self, identity) }

  /// The kind of a resource.
  /// - Throws: `.notFound` in the words of an unknown path.
  package func kind(_ resource: GroupVersionResource) throws(APIError) -> ResourceKind {
    guard let kind = schema.resource(resource) else {
      throw APIError(.notFound, "the server could not find the requested resource")
    }
    return kind
  }
}

/// Time and chance, handed in.
package struct Clock: Sendable {
  package var now: @Sendable () -> Timestamp
  package var uuid: @Sendable () -> String
  /// The five characters that end a generated name.
  package var suffix: @Sendable () -> String

  package init(
    now: @escaping @Sendable () -> Timestamp, uuid: @escaping @Sendable () -> String,
    suffix: @escaping @Sendable () -> String
  ) {
    self.now = now
    self.uuid = uuid
    self.suffix = suffix
  }

  package static let system = Clock(
    now: { Timestamp(microseconds: SystemTime.microseconds()) },
    uuid: {
      var random = SystemRandomNumberGenerator()
      return UUIDText.version4(using: &random)
    },
    suffix: {
      // No vowels: no words. Source: apimachinery's rand.String alphabet, as names of pods show it.
      let alphabet = Array("bcdfghjklmnpqrstvwxz2456789")
      return String((0..<5).map { _ in alphabet[Int.random(in: 0..<alphabet.count)] })
    })
}

import Client
import Synchronization
import Wire

/// Keeps a zone in step with the cluster's services and endpoint slices.
package struct DNSDriver: Sendable {
  private let client: any Client
  private let zone: DNSZoneStore

  /// - Parameter client: may list and watch services and endpoint slices.
  package init(client: any Client, zone: DNSZoneStore) {
    self.client = client
    self.zone = zone
  }

  /// Follows until the task is cancelled; what the zone knows then stays.
  package func run() async {
    // A slice that is gone is known by its key alone: which service it belonged to is remembered here.
    let owners = SliceOwners()
    await ObjectFeeds(client: client, .services, .endpointSlices).run(whenSynced: { zone.complete() }) { resource, changes in
      // Objects are read before the lock is taken, which holds for one change only: event loops answer from the zone meanwhile.
      for change in changes {
        switch (change, resource == .services) {
        case (.set(let object), true):
          let service = Self.service(object)
          zone.update { $0.set(service) }
        case (.deleted(let key), true): zone.update { $0.remove(serviceNamed: key.name, namespace: key.namespace) }
        case (.set(let object), false):
          let (service, endpoints) = Self.slice(object)
          let old = owners.exchange(object.key, service)
          zone.update { zone in
            if let old, old != service { zone.set([], ofService: old, namespace: object.key.namespace, slice: object.key.name) }
            if let service { zone.set(endpoints, ofService: service, namespace: object.key.namespace, slice: object.key.name) }
          }
        case (.deleted(let key), false):
          guard let old = owners.exchange(key, nil) else { continue }
          zone.update { $0.set([], ofService: old, namespace: key.namespace, slice: key.name) }
        case (.synced, _): break
        }
      }
    }
  }

  private final class SliceOwners: Sendable {
    private let owners = Mutex([ObjectKey: String]())

    /// - Returns: the owner until now.
    func exchange(_ key: ObjectKey, _ service: String?) -> String? {
      owners.withLock { owners in
        defer { owners[key] = service }
        return owners[key]
      }
    }
  }

  static func service(_ object: EncodedObject) -> DNSZone.Service {
    object.withView { view in
      let spec = view["spec"]
      let isExternal = spec["type"].equals("ExternalName")
      return DNSZone.Service(
        namespace: object.key.namespace, name: object.key.name,
        clusterIPs: isExternal ? [] : spec["clusterIPs"].compactMap(\.string).filter { $0 != "None" },
        ports: spec["ports"].map { port($0) },
        externalName: isExternal ? spec["externalName"].string : nil,
        publishesNotReady: spec["publishNotReadyAddresses"].bool ?? false)
    }
  }

  private static func port(_ view: JSONView) -> DNSZone.Port {
    DNSZone.Port(
      name: view["name"].string ?? "", proto: (view["protocol"].string ?? "TCP").lowercased(),
      port: UInt16(clamping: view["port"].int ?? 0))
  }

  static func slice(_ object: EncodedObject) -> (service: String?, endpoints: [DNSZone.Endpoint]) {
    object.withView { view in
      let ports = view["ports"].map { port($0) }
      var endpoints: [DNSZone.Endpoint] = []
      view["endpoints"].forEach { endpoint in
        let isReady = endpoint["conditions"]["ready"].bool ?? true
        for address in endpoint["addresses"].compactMap(\.string) {
          endpoints.append(.init(address: address, hostname: endpoint["hostname"].string, isReady: isReady, ports: ports))
        }
      }
      return (view["metadata"]["labels"]["kubernetes.io/service-name"].string, endpoints)
    }
  }
}

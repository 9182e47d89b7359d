import Client
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
    let (synced, seen) = AsyncStream.makeStream(of: GroupVersionResource.self)
    await withDiscardingTaskGroup { group in
      group.addTask {
        var unseen: Set<GroupVersionResource> = [.services, .endpointSlices]
        for await resource in synced where unseen.remove(resource) != nil && unseen.isEmpty {
          zone.complete()
          return
        }
      }
      group.addTask {
        await ObjectFeed(client: client, resource: .services).run { changes in
          zone.update { zone in
            for change in changes {
              switch change {
              case .set(let object): zone.set(Self.service(object))
              case .deleted(let key): zone.remove(serviceNamed: key.name, namespace: key.namespace)
              case .synced: seen.yield(.services)
              }
            }
          }
        }
      }
      group.addTask {
        // A slice that is gone is known by its key alone: which service it belonged to is remembered here.
        let owners = SliceOwners()
        await ObjectFeed(client: client, resource: .endpointSlices).run { changes in
          for change in changes {
            switch change {
            case .set(let object):
              let (service, endpoints) = Self.slice(object)
              if let old = await owners.exchange(object.key, service), old != service {
                zone.update { $0.set([], ofService: old, namespace: object.key.namespace, slice: object.key.name) }
              }
              guard let service else { continue }
              zone.update { $0.set(endpoints, ofService: service, namespace: object.key.namespace, slice: object.key.name) }
            case .deleted(let key):
              if let old = await owners.exchange(key, nil) {
                zone.update { $0.set([], ofService: old, namespace: key.namespace, slice: key.name) }
              }
            case .synced: seen.yield(.endpointSlices)
            }
          }
        }
      }
    }
  }

  private actor SliceOwners {
    private var owners: [ObjectKey: String] = [:]

    /// - Returns: the owner until now.
    func exchange(_ key: ObjectKey, _ service: String?) -> String? {
      let old = owners[key]
      owners[key] = service
      return old
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

import Testing

import Network

/// Names of a cluster, as "Kubernetes DNS-Based Service Discovery" has them.
@Suite struct DNSZoneTests {
  static func zone() -> DNSZone {
    var zone = DNSZone(domain: "cluster.local")
    let http = DNSZone.Port(name: "http", proto: "tcp", port: 80)
    zone.set(.init(namespace: "default", name: "web", clusterIPs: ["10.96.0.20"], ports: [http]))
    zone.set(.init(namespace: "db", name: "pg", clusterIPs: [], ports: [.init(name: "pg", proto: "tcp", port: 5432)]))
    zone.set(.init(namespace: "default", name: "far", clusterIPs: [], ports: [], externalName: "example.org"))
    let pg = DNSZone.Port(name: "pg", proto: "tcp", port: 5432)
    zone.set(
      [
        .init(address: "10.42.0.5", hostname: "pg-0", isReady: true, ports: [pg]),
        .init(address: "10.42.0.6", isReady: true, ports: [pg]),
        .init(address: "10.42.0.7", isReady: false, ports: [pg]),
      ], ofService: "pg", namespace: "db", slice: "pg-1")
    return zone
  }

  static func ask(_ name: String, _ type: DNSMessage.RecordType, _ zone: DNSZone = zone()) -> DNSResponse? {
    zone.answer(.init(name: name, type: type.rawValue, recordClass: 1))
  }

  static func text(_ record: DNSMessage.Record) -> String {
    switch record.data {
    case .address(let bytes): bytes.map { String($0) }.joined(separator: ".")
    case .name(let name): name
    case .service(_, _, let port, let target): "\(port) \(target)"
    case .authority(let primary, _, _, _): primary
    case .text(let text): text
    }
  }

  @Test(
    "answers",
    arguments: [
      ("web.default.svc.cluster.local", DNSMessage.RecordType.a, ["10.96.0.20"]),
      ("WEB.Default.svc.Cluster.local", .a, ["10.96.0.20"]),
      ("web.default.svc.cluster.local", .aaaa, []),
      ("_http._tcp.web.default.svc.cluster.local", .srv, ["80 web.default.svc.cluster.local"]),
      ("pg.db.svc.cluster.local", .a, ["10.42.0.5", "10.42.0.6"]),
      ("pg-0.pg.db.svc.cluster.local", .a, ["10.42.0.5"]),
      ("10-42-0-6.pg.db.svc.cluster.local", .a, ["10.42.0.6"]),
      ("_pg._tcp.pg.db.svc.cluster.local", .srv, ["5432 pg-0.pg.db.svc.cluster.local", "5432 10-42-0-6.pg.db.svc.cluster.local"]),
      ("far.default.svc.cluster.local", .a, ["example.org"]),
      ("10-42-0-9.default.pod.cluster.local", .a, ["10.42.0.9"]),
      ("20.0.96.10.in-addr.arpa", .ptr, ["web.default.svc.cluster.local"]),
      ("5.0.42.10.in-addr.arpa", .ptr, ["pg-0.pg.db.svc.cluster.local"]),
      ("default.svc.cluster.local", .a, []),
      ("svc.cluster.local", .a, []),
      ("dns-version.cluster.local", .txt, ["1.1.0"]),
    ])
  func answers(name: String, type: DNSMessage.RecordType, expected: [String]) throws {
    let response = try #require(Self.ask(name, type))
    #expect(response.code == .noError)
    #expect(response.answers.map(Self.text) == expected)
    #expect(response.answers.isEmpty == !response.authority.isEmpty, "an empty answer names the zone's authority")
  }

  @Test(
    "names that do not exist",
    arguments: [
      "nothing.default.svc.cluster.local", "web.other.svc.cluster.local", "a.web.default.svc.cluster.local",
      "other.svc.cluster.local",
      "_http._udp.web.default.svc.cluster.local", "pg-1.pg.db.svc.cluster.local", "web.cluster.local",
      "x-y.default.pod.cluster.local",
      "www.example.org.default.svc.cluster.local",
    ])
  func missing(name: String) throws { #expect(try #require(Self.ask(name, .a)).code == .nameError) }

  @Test("names of others are forwarded", arguments: ["example.org", "local", "notcluster.local", "9.9.9.9.in-addr.arpa"])
  func foreign(name: String) { #expect(Self.ask(name, .a) == nil) }

  @Test("a service and its endpoints leave with every name they had")
  func removal() throws {
    var zone = Self.zone()
    zone.remove(serviceNamed: "pg", namespace: "db")
    zone.set([], ofService: "pg", namespace: "db", slice: "pg-1")
    #expect(Self.ask("pg.db.svc.cluster.local", .a, zone)?.code == .nameError)
    #expect(Self.ask("db.svc.cluster.local", .a, zone)?.code == .nameError)
    #expect(Self.ask("5.0.42.10.in-addr.arpa", .ptr, zone) == nil)
    #expect(Self.ask("web.default.svc.cluster.local", .a, zone)?.code == .noError)
  }

  @Test("a changed ClusterIP leaves no reverse name behind")
  func changedAddress() {
    var zone = Self.zone()
    zone.set(.init(namespace: "default", name: "web", clusterIPs: ["10.96.0.30"], ports: []))
    #expect(Self.ask("20.0.96.10.in-addr.arpa", .ptr, zone) == nil)
    #expect(Self.ask("30.0.96.10.in-addr.arpa", .ptr, zone)?.answers.map(Self.text) == ["web.default.svc.cluster.local"])
  }
}

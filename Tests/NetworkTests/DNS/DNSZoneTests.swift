import Testing

import Network
import Wire

/// Names of a cluster, as "Kubernetes DNS-Based Service Discovery" has them.
@Suite struct DNSZoneTests {
  static func zone() -> DNSZone {
    var zone = DNSZone(domain: "cluster.local", nameServer: IPAddress("10.96.0.10"))
    let http = DNSZone.Port(name: "http", proto: "tcp", port: 80)
    zone.set(.init(namespace: "default", name: "web", clusterIPs: ["10.96.0.20"], ports: [http]))
    zone.set(.init(namespace: "db", name: "pg", clusterIPs: [], ports: [.init(name: "pg", proto: "tcp", port: 5432)]))
    zone.set(.init(namespace: "default", name: "far", clusterIPs: [], ports: [], externalName: "example.org"))
    zone.set([.init(address: "10.42.0.8", isReady: true, ports: [http])], ofService: "web", namespace: "default", slice: "web-1")
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

  @Test("before everything is known nothing is denied: a resolver asks again instead of remembering that there is no service")
  func incomplete() {
    let store = DNSZoneStore(domain: "cluster.local", isComplete: false)
    let question = DNSMessage.Question(
      name: "web.default.svc.cluster.local", type: DNSMessage.RecordType.a.rawValue, recordClass: 1)
    #expect(store.answer(question)?.code == .serverFailure)
    store.update {
      $0.set(
        .init(
          namespace: "default", name: "web", clusterIPs: ["10.96.0.20"], ports: [], externalName: nil, publishesNotReady: false))
    }
    #expect(store.answer(question)?.answers.count == 1)
    let other = DNSMessage.Question(name: "db.default.svc.cluster.local", type: DNSMessage.RecordType.a.rawValue, recordClass: 1)
    #expect(store.answer(other)?.code == .serverFailure)
    store.complete()
    #expect(store.answer(other)?.code == .nameError)
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
      ("cluster.local", .soa, ["ns.dns.cluster.local"]),
      ("cluster.local", .ns, ["ns.dns.cluster.local"]),
      ("cluster.local", .a, []),
      ("ns.dns.cluster.local", .a, ["10.96.0.10"]),
      ("ns.dns.cluster.local", .aaaa, []),
      ("10-42-0-8.web.default.svc.cluster.local", .a, ["10.42.0.8"]),
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

  @Test("an alias to a name of others names what is still to be asked; one to a service ends with its addresses")
  func aliases() throws {
    var zone = Self.zone()
    zone.set(.init(namespace: "default", name: "near", clusterIPs: [], ports: [], externalName: "web.default.svc.cluster.local."))
    let far = try #require(Self.ask("far.default.svc.cluster.local", .a, zone))
    #expect(far.continuation == .init(name: "example.org", type: 1))
    let near = try #require(Self.ask("near.default.svc.cluster.local", .a, zone))
    #expect(near.continuation == nil && near.answers.map(Self.text) == ["web.default.svc.cluster.local.", "10.96.0.20"])
    #expect(try #require(Self.ask("far.default.svc.cluster.local", .srv, zone)).continuation == nil)
  }

  @Test("every asker sees all addresses, each first at some time, and an alias stays before them")
  func rotation() throws {
    let response = try #require(Self.ask("pg.db.svc.cluster.local", .a))
    var firsts: Set<String> = []
    for id in 0..<4 {
      var rotated = response
      rotated.rotate(by: id)
      #expect(rotated.answers.map(Self.text).sorted() == ["10.42.0.5", "10.42.0.6"])
      firsts.insert(Self.text(rotated.answers[0]))
    }
    #expect(firsts == ["10.42.0.5", "10.42.0.6"])
    var alias = try #require(Self.ask("far.default.svc.cluster.local", .a))
    let target = DNSMessage.Record(name: "example.org", type: .a, timeToLive: 5, data: .address([1, 2, 3, 4]))
    let other = DNSMessage.Record(name: "example.org", type: .a, timeToLive: 5, data: .address([1, 2, 3, 5]))
    alias.answers += [target, other]
    alias.rotate(by: 1)
    #expect(alias.answers.map(Self.text) == ["example.org", "1.2.3.5", "1.2.3.4"])
  }

  @Test("an upstream's answers are read back as they were written")
  func upstreamAnswers() throws {
    let query = try DNSMessage(DNSMessage.query(.init(name: "www.example.org", type: 1), id: 77))
    #expect(query.id == 77 && !query.isResponse && query.recursionDesired && query.question?.name == "www.example.org")
    let records: [DNSMessage.Record] = [
      .init(name: "www.example.org", type: .cname, timeToLive: 60, data: .name("web.example.net")),
      .init(name: "web.example.net", type: .a, timeToLive: 70_000, data: .address([203, 0, 113, 7])),
      .init(name: "web.example.net", type: .aaaa, timeToLive: 60, data: .address([UInt8](repeating: 7, count: 16))),
    ]
    let text = DNSMessage.Record(name: "web.example.net", type: .txt, timeToLive: 60, data: .text("left out"))
    let bytes = DNSResponse(isAuthoritative: false, answers: [text] + records).encode(for: query, limit: 512)
    let read = try DNSMessage.answers(in: bytes)
    #expect(read.code == 0 && read.records == records)
    for length in 0..<bytes.count { _ = try? DNSMessage.answers(in: Array(bytes.prefix(length))) }
    #expect(throws: DNSMessage.Malformed.self) { try DNSMessage.answers(in: DNSMessage.query(.init(name: "a", type: 1), id: 1)) }
  }

  @Test("an upstream's answer is one to the question that was asked, however it writes capitals; an error may leave it out")
  func questions() {
    let query = DNSMessage.query(.init(name: "www.example.org", type: 1), id: 77)
    func answer(_ name: String, type: UInt16 = 1) -> [UInt8] {
      var bytes = DNSMessage.query(.init(name: name, type: type), id: 9)
      bytes[2] |= 0x80
      return bytes
    }
    #expect(DNSMessage.isAnswer(answer("wwW.Example.org"), to: query))
    for other in [answer("evil"), answer("www.example.com"), answer("www.example.org", type: 28), query, [], [1, 2, 0x81]] {
      #expect(!DNSMessage.isAnswer(other, to: query), "\(other)")
    }
    #expect(DNSMessage.isAnswer([0, 9, 0x81, 2, 0, 0, 0, 0, 0, 0, 0, 0], to: query))
    #expect(!DNSMessage.isAnswer([0, 9, 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0], to: query))
    let whole = answer("www.example.org")
    for length in 0..<whole.count { #expect(!DNSMessage.isAnswer(Array(whole.prefix(length)), to: query)) }
  }

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

import Client
import Controllers
import Testing
import Wire

@Suite("one Service")
struct EndpointTests {
  private func service(_ spec: Value = [:], labels: Value = [:]) -> ServiceView {
    var more: Value = [
      "spec": ["selector": ["app": "web"], "ports": [["name": "http", "port": 80, "targetPort": "web"]], "ipFamilies": ["IPv4"]]
    ]
    for member in spec.object?.members ?? [] { more["spec"][member.key] = member.value }
    return ServiceView(stored("web", more, labels: labels))
  }

  private func served(_ name: String, _ address: String, port: Int64 = 8080, ready: Bool = true, deleting: Bool = false) -> PodView
  {
    pod(
      name, readySince: ready ? noon : nil, address: address, deleting: deleting,
      spec: ["containers": [["ports": [["name": "web", "containerPort": .int(port)]]]]])
  }

  private func slice(_ body: Value, name: String = "s") throws -> SliceView {
    var more = body
    let labels = body["metadata"]["labels"]
    more.remove("metadata")
    return try #require(SliceView(stored(name, more, labels: labels)))
  }

  private func created(_ operations: [Operation]) -> [Value] {
    operations.compactMap { if case .create(_, _, let body) = $0 { body } else { nil } }
  }

  @Test("every pod stands in a slice with its state; a named port is the pod's own")
  func slices() throws {
    let pods = [
      served("a", "10.0.0.1"), served("b", "10.0.0.2", ready: false), served("c", "10.0.0.3", deleting: true),
      served("d", "10.0.0.4", port: 9090),
      pod("none"), pod("done", phase: "Succeeded", address: "10.0.0.9"),
    ]
    let bodies = created(EndpointSliceReconcile(service: service(labels: ["team": "x"]), pods: pods, zones: ["n1": "z1"]).decide())
    #expect(bodies.count == 2, "two ports, two slices")
    let first = try #require(bodies.first { $0["ports"][0]["port"] == 8080 })
    #expect(first["metadata"]["labels"]["kubernetes.io/service-name"] == "web" && first["metadata"]["labels"]["team"] == "x")
    #expect(first["ports"][0]["name"] == "http" && first["addressType"] == "IPv4")
    let endpoints = first["endpoints"].array ?? []
    #expect(endpoints.map { $0["addresses"][0].string } == ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    #expect(endpoints.map { $0["conditions"]["ready"].bool } == [true, false, false])
    #expect(endpoints.map { $0["conditions"]["serving"].bool } == [true, false, true])
    #expect(endpoints.map { $0["conditions"]["terminating"].bool } == [false, false, true])
    #expect(endpoints[0]["nodeName"] == "n1" && endpoints[0]["zone"] == "z1" && endpoints[0]["targetRef"]["name"] == "a")
  }

  @Test("with publishNotReadyAddresses everybody is ready; one family takes its own addresses")
  func families() {
    let dual = service(["publishNotReadyAddresses": true, "ipFamilies": ["IPv4", "IPv6"]])
    let bodies = created(EndpointSliceReconcile(service: dual, pods: [served("a", "10.0.0.1 fd00::1", ready: false)]).decide())
    #expect(bodies.compactMap { $0["addressType"].string } == ["IPv4", "IPv6"])
    #expect(bodies.compactMap { $0["endpoints"][0]["addresses"][0].string } == ["10.0.0.1", "fd00::1"])
    #expect(
      bodies.allSatisfy {
        $0["endpoints"][0]["conditions"]["ready"] == true && $0["endpoints"][0]["conditions"]["serving"] == false
      })
  }

  @Test("250 pods take three slices; what exists is kept, and nothing is written when nothing changed")
  func many() throws {
    let pods = (0..<250).map { served("p\($0)", "10.0.\($0 / 250).\($0 % 250 + 1)") }
    let bodies = created(EndpointSliceReconcile(service: service(), pods: pods).decide())
    #expect(bodies.map { $0["endpoints"].array?.count } == [100, 100, 50])
    let slices = try bodies.enumerated().map { try slice($1, name: $1["metadata"]["name"].string ?? "\($0)") }
    #expect(EndpointSliceReconcile(service: service(), pods: pods, slices: slices).decide().isEmpty)
    let fewer = EndpointSliceReconcile(service: service(), pods: Array(pods.dropFirst()), slices: slices).decide()
    #expect(fewer.count == 1, "one slice changes")
    let relabelled = EndpointSliceReconcile(service: service(labels: ["team": "y"]), pods: pods, slices: slices).decide()
    #expect(relabelled.count == 3)
    let none = EndpointSliceReconcile(service: service(), pods: [], slices: slices).decide()
    #expect(none.count { if case .delete = $0 { true } else { false } } == 2 && none.count == 3, "one stays, empty")
  }

  @Test("the older form has ready and not ready apart, leaves out who is going, and is cut at 1,000 with a word about it")
  func endpoints() throws {
    let pods = [served("a", "10.0.0.1"), served("b", "10.0.0.2", ready: false), served("c", "10.0.0.3", deleting: true)]
    guard case .create(_, _, let body)? = EndpointsReconcile(service: service(), pods: pods).decide(nil) else {
      Issue.record("nothing created")
      return
    }
    #expect(body["subsets"].array?.count == 1 && body["metadata"]["annotations"].isNull)
    #expect(body["subsets"][0]["addresses"].array?.compactMap { $0["ip"].string } == ["10.0.0.1"])
    #expect(body["subsets"][0]["notReadyAddresses"].array?.compactMap { $0["ip"].string } == ["10.0.0.2"])
    #expect(body["subsets"][0]["ports"][0]["port"] == 8080)
    let crowd = (0..<1200).map { served("p\($0)", "10.\($0 / 250).0.\($0 % 250)", ready: $0 >= 100) }
    guard case .create(_, _, let cut)? = EndpointsReconcile(service: service(), pods: crowd).decide(nil) else {
      Issue.record("nothing created")
      return
    }
    #expect(cut["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"] == "truncated")
    #expect(cut["subsets"][0]["addresses"].array?.count == 1000 && cut["subsets"][0]["notReadyAddresses"].isNull, "ready ones stay")
    var more = cut
    more.remove("metadata")
    let existing = EndpointsView(
      stored(
        "web", ["metadata": ["annotations": cut["metadata"]["annotations"]], "subsets": cut["subsets"]],
        labels: cut["metadata"]["labels"]))
    #expect(EndpointsReconcile(service: service(), pods: crowd).decide(existing) == nil)
    guard case .patch(_, _, nil, let patch)? = EndpointsReconcile(service: service(), pods: pods).decide(existing) else {
      Issue.record("nothing patched")
      return
    }
    #expect(patch.body["metadata"]["annotations"].object?.keys == ["endpoints.kubernetes.io/over-capacity"])
  }
}

import Client
import Controllers
import Testing
import Wire

@Suite("Endpoints that somebody else writes") struct MirroringTests {
  private static let web = ObjectKey(namespace: "default", name: "web")

  private func endpoints(_ addresses: [Value], metadata: Value = [:]) -> EncodedObject {
    stored(
      "web",
      [
        "metadata": metadata,
        "subsets": [
          [
            "addresses": .array(addresses), "notReadyAddresses": [["ip": "10.0.0.9"]],
            "ports": [["port": 80, "protocol": "TCP"], ["name": "b", "port": 81, "protocol": "UDP"]],
          ]
        ],
      ])
  }

  /// As the server stores what was created.
  private func made(_ slice: Value, _ name: String) throws -> MirroredSlice {
    var body = slice
    body["metadata"]["name"] = .string(name)
    body["metadata"]["uid"] = .string("uid-\(name)")
    return try #require(MirroredSlice(try EncodedObject(bytes: body.jsonBytes, revision: 8)))
  }

  @Test("a subset becomes a slice for each family, ready and not ready together, owned by the Endpoints")
  func slices() throws {
    let mirrored = try #require(MirroredEndpoints(endpoints([["ip": "10.0.0.1", "nodeName": "n1"], ["ip": "fd00::1"]])))
    #expect(mirrored.slices.map { $0["addressType"] } == ["IPv4", "IPv6"])
    let slice = mirrored.slices[0]
    #expect(slice["endpoints"][0] == ["addresses": ["10.0.0.1"], "conditions": ["ready": true], "nodeName": "n1"])
    #expect(slice["endpoints"][1] == ["addresses": ["10.0.0.9"], "conditions": ["ready": false]])
    #expect(slice["ports"][0] == ["name": "", "port": 80, "protocol": "TCP"])
    #expect(slice["metadata"]["labels"]["kubernetes.io/service-name"] == "web")
    #expect(slice["metadata"]["ownerReferences"][0]["kind"] == "Endpoints")
  }

  @Test("one that asks not to be mirrored is not")
  func skipped() {
    let skip: Value = ["endpointslice.kubernetes.io/skip-mirror": "true"]
    #expect(MirroredEndpoints(endpoints([["ip": "10.0.0.1"]], metadata: ["labels": skip])) == nil)
    let lock: Value = ["control-plane.alpha.kubernetes.io/leader": "{}"]
    #expect(MirroredEndpoints(endpoints([["ip": "10.0.0.1"]], metadata: ["annotations": lock])) == nil)
  }

  @Test("what is there stays, what changed is made before the old goes, what is no longer wanted goes")
  func changes() throws {
    let before = try #require(MirroredEndpoints(endpoints([["ip": "10.0.0.1"]]))).slices
    let after = try #require(MirroredEndpoints(endpoints([["ip": "10.0.0.2"]]))).slices
    let own = [try made(before[0], "web-1")]
    #expect(MirroredSlice.changes(from: own, to: before, of: Self.web).isEmpty)
    let changes = MirroredSlice.changes(from: own, to: after, of: Self.web)
    guard changes.count == 2, case .create = changes[0], case .delete(_, let key, _) = changes[1] else {
      Issue.record("\(changes)")
      return
    }
    #expect(key.name == "web-1")
    #expect(MirroredSlice.changes(from: own, to: [], of: Self.web).count == 1)
  }
}

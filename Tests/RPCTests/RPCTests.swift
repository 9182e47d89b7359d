import RPC
import Testing
import Wire

@Suite("Protobuf by table")
struct ProtoTableTests {
  @Test("a sandbox request reads back as it was written")
  func roundTrip() throws {
    let request: Value = [
      "config": [
        "metadata": ["name": "web", "uid": "u-1", "namespace": "default", "attempt": 2], "hostname": "web",
        "dns_config": ["servers": ["10.96.0.10"], "searches": ["a", "b"]],
        "port_mappings": [["protocol": "UDP", "container_port": 53, "host_port": 5353]], "labels": ["a": "1", "b": "2"],
        "linux": ["security_context": ["namespace_options": ["network": "NODE"], "run_as_user": ["value": -5]]],
      ], "runtime_handler": "",
    ]
    let bytes = try ProtoTable.cri.encode(request, as: "RunPodSandboxRequest")
    #expect(try ProtoTable.cri.decode(bytes, as: "RunPodSandboxRequest") == request)
  }

  @Test("a field that a message does not have is refused by name")
  func unknownField() {
    let error = #expect(throws: ProtoTable.Failure.self) { try ProtoTable.cri.encode(["nonsense": 1], as: "VersionRequest") }
    #expect(error?.description == "VersionRequest has no field nonsense")
  }

  @Test("bytes from outside never trap, whatever they are", arguments: 0..<50 as Range<UInt64>)
  func fuzz(seed: UInt64) throws {
    var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
    func next() -> UInt64 {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return state
    }
    let valid = try ProtoTable.cri.encode(
      ["items": [["id": "abc", "metadata": ["name": "n", "attempt": 1], "labels": ["k": "v"], "created_at": 123_456]]],
      as: "ListPodSandboxResponse")
    for _ in 0..<500 {
      var bytes = valid
      for _ in 0...(next() % 4) { bytes[Int(next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: next()) }
      if next() % 3 == 0 { bytes.removeLast(Int(next() % UInt64(bytes.count))) }
      for message in ["ListPodSandboxResponse", "ContainerStatusResponse", "PodSandboxConfig"] {
        _ = try? ProtoTable.cri.decode(bytes, as: message)
      }
    }
  }

  @Test("a packed list and an unpacked one are the same")
  func packed() throws {
    // PortForwardRequest.port = 2: packed 80, 443.
    #expect(try ProtoTable.cri.decode([0x12, 3, 80, 0xbb, 3], as: "PortForwardRequest") == ["port": [80, 443]])
    #expect(try ProtoTable.cri.decode([0x10, 80, 0x10, 0xbb, 3], as: "PortForwardRequest") == ["port": [80, 443]])
  }

  @Test(
    "how long a call may take, as its header can say it",
    arguments: [
      (Duration.seconds(1), "1000m"), (.milliseconds(5), "5m"), (.zero, "1m"), (.seconds(-5), "1m"), (.seconds(200_000), "200000S"),
      (.seconds(Int64.max), "99999999S"), (.seconds(9_300_000_000_000_000), "99999999S"),
    ])
  func deadlines(limit: Duration, header: String) { #expect(GRPCDeadline.header(GRPCDeadline.milliseconds(limit)) == header) }

  @Test("a call to a socket that is not there fails as unavailable and names it")
  func unavailable() async {
    let client = CRIClient(GRPCClient(.unix("/nonexistent/containerd.sock")))
    let error = await #expect(throws: GRPCError.self) { try await client.call("Version") }
    #expect(error?.status == .unavailable)
    #expect(error?.message.contains("/nonexistent/containerd.sock") == true)
  }
}

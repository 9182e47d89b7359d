import Network
import Testing
import Wire

#if canImport(Glibc)
  import Glibc
#endif

private func key(_ name: String) -> ObjectKey { ObjectKey(namespace: "default", name: name) }
private func ip(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

private let serviceAddress = "10.96.0.50"

/// The real nftables between real network namespaces. Needs root.
@Suite("service proxy", .enabled(if: TestNode.isPossible, "needs root, nft and busybox"))
struct ServiceProxyTests {
  private func proxy(_ node: TestNode) async throws -> ServiceProxy {
    var configuration = ServiceProxy.Configuration(node: "n")
    configuration.table = "gantry-test"
    configuration.clusterCIDRs = [try #require(CIDR("10.244.0.0/16"))]
    configuration.podCIDRs = [try #require(CIDR("10.244.0.0/24"))]
    configuration.serviceCIDRs = [try #require(CIDR("10.96.0.0/16"))]
    configuration.commandPrefix = node.inNode.prefix
    try await ServiceInterface(
      name: "gt-services", addresses: [try ip("10.96.0.10")], serviceCIDRs: configuration.serviceCIDRs,
      source: try ip(TestNode.nodeAddress), command: node.inNode
    ).create()
    try await node.outside.run("ip", "route", "add", "10.96.0.0/16", "via", TestNode.nodeAddress)
    let proxy = ServiceProxy(configuration)
    try await proxy.start()
    return proxy
  }

  private func slice(_ addresses: [String], state: SliceFacts.Endpoint.State = .ready, service: String = "s") throws -> SliceFacts {
    SliceFacts(
      service: key(service), endpoints: try addresses.map { .init(address: try ip($0), node: "n", state: state) },
      ports: [.init(port: 8080)])
  }

  private func expose(_ proxy: ServiceProxy, _ addresses: [String], nodePort: UInt16 = 0) async throws {
    await proxy.setService(
      key("s"), ServiceFacts(clusterIPs: [try ip(serviceAddress)], ports: [.init(port: 80, nodePort: nodePort)]))
    await proxy.setSlice(key("s-1"), try slice(addresses))
    await proxy.flush()
  }

  @Test("a service address leads to its pods from a pod and from the host, to all of them, and the client's address is kept")
  func clusterIP() async throws {
    try await TestNode.with("cip") { node in
      for i in TestNode.pods.indices { try await node.serve(pod: i, port: 8080) }
      let proxy = try await proxy(node)
      try await expose(proxy, TestNode.pods)
      var answers: Set<Substring> = []
      for _ in 0..<24 { answers.formUnion(await node.ask(node.inNode, serviceAddress, 80).split(separator: " ").prefix(1)) }
      #expect(answers == ["pod0", "pod1"])
      try await expose(proxy, [TestNode.pods[1]])
      let fromPod = await node.ask(node.pod(0), serviceAddress, 80)
      #expect(fromPod.hasPrefix("pod1 ") && fromPod.contains("10.244.0.2]:"), "\(fromPod)")
      let fromOutside = await node.ask(node.outside, serviceAddress, 80)
      #expect(fromOutside.hasPrefix("pod1 ") && fromOutside.contains("192.0.2.2]:"), "\(fromOutside)")
    }
  }

  @Test("a pod reaches itself through its service")
  func hairpin() async throws {
    try await TestNode.with("hp") { node in
      try await node.serve(pod: 0, port: 8080)
      let proxy = try await proxy(node)
      try await expose(proxy, [TestNode.pods[0]], nodePort: 30080)
      #expect(await node.ask(node.pod(0), serviceAddress, 80).hasPrefix("pod0"))
      #expect(await node.ask(node.pod(0), TestNode.nodeAddress, 30080).hasPrefix("pod0"))
    }
  }

  @Test("a node port answers on every address of the node: from outside, from a pod, from the host, and on 127.0.0.1")
  func nodePort() async throws {
    try await TestNode.with("np") { node in
      try await node.serve(pod: 0, port: 8080)
      let proxy = try await proxy(node)
      try await expose(proxy, [TestNode.pods[0]], nodePort: 30080)
      let fromOutside = await node.ask(node.outside, TestNode.nodeAddress, 30080)
      #expect(fromOutside.hasPrefix("pod0") && fromOutside.contains("192.0.2.2]:"), "\(fromOutside)")
      #expect(await node.ask(node.inNode, "127.0.0.1", 30080).hasPrefix("pod0"))
      #expect(await node.ask(node.inNode, TestNode.nodeAddress, 30080).hasPrefix("pod0"))
      #expect(await node.ask(node.pod(1), TestNode.nodeAddress, 30080).hasPrefix("pod0"))
      await proxy.setService(key("s"), nil)
      await proxy.flush()
      #expect(await node.ask(node.outside, TestNode.nodeAddress, 30080) == "")
    }
  }

  @Test("a service without endpoints, and an address of no service, refuse at once instead of hanging")
  func refused() async throws {
    try await TestNode.with("rf") { node in
      let proxy = try await proxy(node)
      try await expose(proxy, [])
      for from in [node.pod(0), node.inNode, node.outside] {
        for address in [serviceAddress, "10.96.77.7"] {
          // Status 1 is bash's "connection refused"; `timeout` would say 124.
          let status = try await from.run("sh", "-c", "timeout 50 bash -c 'exec 3<>/dev/tcp/\(address)/80' 2>/dev/null; echo $?")
          #expect(status.trimmed == "1")
        }
      }
    }
  }

  @Test("an endpoint that goes takes no new connection, and those that exist go on")
  func removal() async throws {
    try await TestNode.with("rm") { node in
      for i in TestNode.pods.indices { try await node.serve(pod: i, port: 8080) }
      let proxy = try await proxy(node)
      try await expose(proxy, [TestNode.pods[0]])
      let pipe = "/tmp/\(node.name)"
      try await node.host.run("mkfifo", "\(pipe)-ready", "\(pipe)-go")
      let script = """
        exec 3<>/dev/tcp/\(serviceAddress)/80; read -t 50 greeting <&3; echo up > \(pipe)-ready; read go < \(pipe)-go
        echo still here >&3; read -t 50 line <&3; echo ${greeting%% *} $line
        """
      async let client = node.outside.run("timeout", "55", "bash", "-c", script)
      try await node.host.run("timeout", "55", "cat", "\(pipe)-ready")
      await proxy.setSlice(key("s-1"), try slice([TestNode.pods[1]]))
      await proxy.flush()
      for _ in 0..<8 { #expect(await node.ask(node.outside, serviceAddress, 80).hasPrefix("pod1")) }
      try await node.host.run("timeout", "55", "sh", "-c", "echo go > \(pipe)-go")
      #expect(try await client.trimmed == "pod0 still here")
      try await node.host.run("rm", "-f", "\(pipe)-ready", "\(pipe)-go")
    }
  }

  @Test("draining returns when no new connection can arrive")
  func drain() async throws {
    try await TestNode.with("dr") { node in
      for i in TestNode.pods.indices { try await node.serve(pod: i, port: 8080) }
      let proxy = try await proxy(node)
      try await expose(proxy, TestNode.pods)
      await proxy.drain(try ip(TestNode.pods[0]))
      for _ in 0..<12 { #expect(await node.ask(node.outside, serviceAddress, 80).hasPrefix("pod1")) }
    }
  }

  @Test("what an earlier run left is replaced, what somebody tore out comes back, and cleanup leaves nothing")
  func reconciles() async throws {
    try await TestNode.with("rc") { node in
      try await node.serve(pod: 0, port: 8080)
      try await node.inNode.run("nft", "add", "table", "ip", "gantry-test")
      try await node.inNode.run("nft", "add", "map", "ip", "gantry-test", "fronts", "{ type inet_service : verdict ; }")
      let proxy = try await proxy(node)
      try await expose(proxy, [TestNode.pods[0]])
      #expect(await node.ask(node.pod(1), serviceAddress, 80).hasPrefix("pod0"))
      try await node.inNode.run("nft", "flush", "ruleset")
      try await expose(proxy, [TestNode.pods[0], TestNode.pods[1]])
      try await expose(proxy, [TestNode.pods[0]])
      #expect(await node.ask(node.pod(1), serviceAddress, 80).hasPrefix("pod0"))
      try await node.inNode.run("nft", "flush", "ruleset")
      await proxy.restore()
      #expect(await node.ask(node.pod(1), serviceAddress, 80).hasPrefix("pod0"))
      let transactions = await proxy.transactions
      await proxy.restore()
      #expect(await proxy.transactions == transactions, "what is there is left alone")
      await proxy.cleanup()
      #expect(try await node.inNode.run("nft", "list", "ruleset").trimmed == "")
    }
  }

  @Test("an endpoint that comes or goes is elements only: no chain, map or rule is made anew, and other services' stay as they are")
  func elementsOnly() async throws {
    try await TestNode.with("el") { node in
      let proxy = try await proxy(node)
      for i in 0..<50 {
        await proxy.setService(key("o\(i)"), ServiceFacts(clusterIPs: [try ip("10.96.1.\(i + 1)")], ports: [.init(port: 80)]))
        await proxy.setSlice(key("o\(i)-1"), try slice(["10.244.0.9"], service: "o\(i)"))
      }
      try await expose(proxy, [TestNode.pods[0]], nodePort: 30080)
      // Handles are given once: what is made anew has another.
      func skeleton() async throws -> String { try await node.inNode.run("nft", "-a", "-t", "list", "table", "ip", "gantry-test") }
      func elements() async throws -> Set<Substring> {
        var found: Set<Substring> = []
        for map in ["fronts", "nodeports", "f0", "f1", "n0", "n1"] {
          let text = try await node.inNode.run("nft", "list", "map", "ip", "gantry-test", map)
          let inside = text.drop { $0 != "=" }.split(whereSeparator: { ",{}\n".contains($0) })
          found.formUnion(inside.map { "\(map) \($0.filter { $0 != "\t" && $0 != " " && $0 != "=" })" }.filter { $0.contains(":") })
        }
        return found
      }
      let before = (try await skeleton(), try await elements(), await proxy.transactions)
      try await expose(proxy, TestNode.pods, nodePort: 30080)
      let after = (try await skeleton(), try await elements(), await proxy.transactions)
      #expect(after.0 == before.0)
      #expect(after.2 == before.2 + 1)
      #expect(
        after.1.subtracting(before.1).count == 4, "front, slot and the same of the node port: \(after.1.subtracting(before.1))")
      #expect(before.1.subtracting(after.1).count == 2, "the fronts' old counts: \(before.1.subtracting(after.1))")
      try await expose(proxy, [TestNode.pods[0]], nodePort: 30080)
      let (skeletonAgain, elementsAgain) = (try await skeleton(), try await elements())
      #expect(skeletonAgain == before.0 && elementsAgain == before.1)
    }
  }

  @Test("more endpoints than there are slot chains: the chains grow")
  func growth() async throws {
    try await TestNode.with("gr") { node in
      try await node.serve(pod: 0, port: 8080)
      let proxy = try await proxy(node)
      try await expose(proxy, [TestNode.pods[0]])
      try await expose(proxy, (0..<40).map { "10.244.0.\(10 + $0)" })
      try await expose(proxy, [TestNode.pods[0]])
      #expect(await node.ask(node.pod(1), serviceAddress, 80).hasPrefix("pod0"))
      #expect(await proxy.transactions == 4, "no change was refused")
    }
  }

  @Test("the kernel tells when a table goes")
  func watch() async throws {
    let (name, other) = ("gt\(getpid())-watch", "gt\(getpid())-other")
    let host = Command()
    let losses = TableWatch.losses(of: [name])
    try await host.run("nft", "add", "table", "ip", name)
    try await host.run("nft", "-f", "-", input: "table ip \(other) { }\ndelete table ip \(other)\n")
    try await host.run("nft", "delete", "table", "ip", name)
    #expect(await losses.first { _ in true } != nil)
  }

  @Test(
    "UDP clients that go on from one port leave an endpoint that goes, whatever number of services it has", .timeLimit(.minutes(5)),
    .enabled(if: Command.find("conntrack") != nil, "needs conntrack"))
  func datagrams() async throws {
    try await TestNode.with("udp") { node in
      let proxy = try await proxy(node)
      let server =
        "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 5353)); print(flush=True)\n"
      let loop = "while True: d, p = s.recvfrom(99); s.sendto(sys.argv[1].encode(), p)"
      for i in TestNode.pods.indices {
        let start = "python3 -c \"$0\" pod\(i) </dev/null >\(node.pipe) 2>/dev/null &"
        try await node.host.run("mkfifo", node.pipe)
        try await node.pod(i).run("sh", "-c", start, server + loop)
        try await node.host.run("sh", "-c", "read line < \(node.pipe); rm \(node.pipe)")
      }
      func expose(_ addresses: [String]) async throws {
        for i in 1...50 {
          let port = ServiceFacts.Port(transport: .udp, port: 53, nodePort: 30000 + UInt16(i))
          await proxy.setService(key("d\(i)"), ServiceFacts(clusterIPs: [try ip("10.96.9.\(i)")], ports: [port]))
          await proxy.setSlice(
            key("d\(i)-1"),
            SliceFacts(
              service: key("d\(i)"), endpoints: try addresses.map { .init(address: try ip($0), node: "n") },
              ports: [.init(transport: .udp, port: 5353)]))
        }
        await proxy.flush()
      }
      let client =
        "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 7777)); s.settimeout(10); "
        + "s.sendto(b'?', (sys.argv[1], int(sys.argv[2]))); print(s.recv(99).decode())"
      func ask(_ address: String, _ port: Int) async throws -> String {
        try await node.outside.run("python3", "-c", client, address, "\(port)").trimmed
      }
      for pod in TestNode.pods.indices {
        try await expose([TestNode.pods[pod]])
        #expect(try await ask("10.96.9.1", 53) == "pod\(pod)")
        #expect(try await ask("10.96.9.50", 53) == "pod\(pod)")
        #expect(try await ask(TestNode.nodeAddress, 30007) == "pod\(pod)")
      }
    }
  }

  @Test(
    "the node's own addresses lead to its listeners from pods, the host and outside, while others have their port on all addresses")
  func ownAddresses() async throws {
    try await TestNode.with("own") { node in
      _ = try await proxy(node)
      func table(_ listener: UInt16) throws -> NodeTable {
        NodeTable(
          instance: "gantry-test", [.init(address: try ip("10.96.0.10"), transport: .tcp, port: 443, listener: listener)],
          command: node.inNode)
      }
      // What an earlier run left leads nowhere.
      try await table(1).create()
      try await node.serve(node.inNode, port: 443, "echo another")
      try await node.serve(node.inNode, port: 40443, "echo own")
      let table = try table(40443)
      try await table.create()
      for from in [node.pod(0), node.inNode, node.outside] {
        #expect(await node.ask(from, "10.96.0.10", 443) == "own")
        #expect(await node.ask(from, TestNode.nodeAddress, 443) == "another")
      }
      try await node.inNode.run("nft", "flush", "ruleset")
      await table.restore()
      #expect(await node.ask(node.pod(0), "10.96.0.10", 443) == "own")
      await table.remove()
      #expect(try await node.inNode.run("nft", "list", "tables").trimmed == "")
    }
  }

  @Test("more endpoints than the smallest draw has: every one of them is drawn", .timeLimit(.minutes(5)))
  func everyEndpoint() async throws {
    try await TestNode.with("dw") { node in
      let proxy = try await proxy(node)
      try await expose(proxy, [])
      let ports: [UInt16] = Array(8080..<8091)
      for port in ports {
        try await node.serve(node.pod(0), port: Int(port), "echo \(port)")
        let pod = SliceFacts.Endpoint(address: try ip(TestNode.pods[0]), node: "n")
        await proxy.setSlice(key("s-\(port)"), SliceFacts(service: key("s"), endpoints: [pod], ports: [.init(port: port)]))
      }
      await proxy.flush()
      var missing = Set(ports.map { "\($0)" })
      while !missing.isEmpty { missing.remove(await node.ask(node.pod(1), serviceAddress, 80)) }
      #expect(await proxy.transactions > 1)
    }
  }

  @Test("pods that leave the cluster appear with the node's address")
  func masquerade() async throws {
    try await TestNode.with("mq") { node in
      _ = try await proxy(node)
      let greet = "echo peer $(ss -Hnt state established sport = :9090 | awk '{print $4}')"
      try await node.serve(node.outside, port: 9090, greet)
      let answer = await node.ask(node.pod(0), "192.0.2.2", 9090)
      #expect(answer.contains("192.0.2.1]:"), "\(answer)")
    }
  }
}

import Client
import ControlPlane
import Network
import Testing
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// The whole network of a node against the whole control plane. Changes the network namespace that it runs in, so it wants one of its
/// own: `GANTRY_NETNS=1 unshare -n swift test … --filter NodeNetworkTests`.
@Suite("node network", .enabled(if: getenv("GANTRY_NETNS") != nil, "run by scripts/test in a network namespace of its own"))
struct NodeNetworkTests {
  @Test(
    "a pod made by CNI reaches services by name and address, itself by its service, and the API server by the kubernetes address")
  func whole() async throws {
    let host = Command()
    let directory = "/tmp/gantry-net\(getpid())"
    try await host.run("ip", "link", "set", "lo", "up")
    try await HollowCluster.with(nodes: 0) { cluster in
      var configuration = try #require(
        Network.Configuration(
          node: "n", clusterCIDR: "10.42.0.0/16", serviceCIDR: "10.96.0.0/12", apiServers: [.init(host: "127.0.0.1", port: 7443)]))
      configuration.instance = "gt-net"
      configuration.podCIDRs = [try #require(CIDR("10.42.0.0/24"))]
      configuration.cniConfDirectory = "\(directory)/net.d"
      configuration.cniStateDirectory = "\(directory)/state"
      let network = try await Network.start(configuration, client: cluster.controlPlane.client(as: .node("n")))
      let running = Task { await network.run() }

      // Two pods, as containerd would make them.
      let list = try Value(json: try await host.run("cat", "\(directory)/net.d/10-gantry.conflist"))
      var ptp = list["plugins"][0]
      ptp["cniVersion"] = list["cniVersion"]
      ptp["name"] = list["name"]
      var addresses: [String] = []
      for i in 0..<2 {
        try await host.run("ip", "netns", "add", "gtn-\(i)")
        let environment = [
          "env", "CNI_COMMAND=ADD", "CNI_CONTAINERID=c\(i)", "CNI_NETNS=/run/netns/gtn-\(i)", "CNI_IFNAME=eth0",
          "CNI_PATH=/usr/lib/cni",
        ]
        let result = try Value(json: try await host.run(environment + ["/usr/lib/cni/ptp"], input: ptp.json))
        let address = try #require(result["ips"][0]["address"].string).split(separator: "/")[0]
        addresses.append(String(address))
        let serve = "busybox nc -ll -p 8080 -e echo pod\(i) </dev/null >/dev/null 2>&1 &"
        try await host.run("ip", "netns", "exec", "gtn-\(i)", "sh", "-c", serve)
      }
      try await host.run("sh", "-c", "busybox nc -ll -p 7443 -e echo apiserver </dev/null >/dev/null 2>&1 &")

      try await cluster.apply(
        .services,
        #"{"metadata":{"name":"web"},"spec":{"type":"NodePort","clusterIP":"10.96.7.7","ports":[{"port":80,"nodePort":30123,"targetPort":8080}]}}"#
      )
      func slice(_ addresses: [String]) async throws {
        let endpoints = addresses.map { #"{"addresses":["\#($0)"],"conditions":{"ready":true},"nodeName":"n"}"# }.joined(
          separator: ",")
        let name = ObjectKey(namespace: "default", name: "web-1")
        _ = try? await cluster.admin.delete(.endpointSlices, name, DeleteOptions())
        try await cluster.apply(
          .endpointSlices,
          #"{"metadata":{"name":"web-1","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4","ports":[{"port":8080}],"endpoints":[\#(endpoints)]}"#
        )
      }
      try await slice([addresses[0]])

      func ask(_ from: [String], _ address: String, _ port: Int) async -> String {
        let script = "exec 3<>/dev/tcp/\(address)/\(port) && read -t 5 line <&3 && echo $line"
        return ((try? await host.run(from + ["timeout", "6", "bash", "-c", script])) ?? "").split(separator: "\n").joined()
      }
      let pod = { (i: Int) in ["ip", "netns", "exec", "gtn-\(i)"] }
      var answer = ""
      for _ in 0..<200 where answer.isEmpty { answer = await ask(pod(1), "10.96.7.7", 80) }
      #expect(answer == "pod0")
      #expect(await ask([], "10.96.7.7", 80) == "pod0", "from the host, which has no default route")
      #expect(await ask(pod(0), "10.96.7.7", 80) == "pod0", "itself")
      #expect(await ask([], "127.0.0.1", 30123) == "pod0")
      #expect(await ask(pod(1), "10.42.0.1", 30123) == "pod0")
      #expect(await ask(pod(1), "10.96.0.1", 443) == "apiserver")
      let lookup = try await host.run(pod(1) + ["busybox", "nslookup", "web.default.svc.cluster.local", "10.96.0.10"])
      #expect(lookup.contains("10.96.7.7"), "\(lookup)")
      let kubernetes = try await host.run(pod(1) + ["busybox", "nslookup", "kubernetes.default.svc.cluster.local", "10.96.0.10"])
      #expect(kubernetes.contains("10.96.0.1"), "\(kubernetes)")

      running.cancel()
      await running.value
      await network.cleanup()
      #expect(try await host.run("nft", "list", "tables").isEmpty)
      #expect(!(try await host.run("ip", "-br", "link")).contains("gt-net"))
      for i in 0..<2 {
        _ = try? await host.run("sh", "-c", "kill -9 $(ip netns pids gtn-\(i))")
        try await host.run("ip", "netns", "delete", "gtn-\(i)")
      }
      try await host.run("rm", "-r", directory)
    }
  }
}

import Foundation
import Synchronization
import Testing

/// A containerd that somebody else runs.
@Suite struct RuntimeTests {
  @Test(
    "--containerd: pods run in the one that is given, from the cluster's registry; while it is dead the node says so; down takes them out and leaves it running"
  )
  func given() async throws {
    let directory = "/tmp/gantry-ctd-\(UInt32.random(in: .min ... .max))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    let socket = "\(directory)/c.sock"
    let text = """
      version = 2
      root = "\(directory)/root"
      state = "\(directory)/state"
      [grpc]
        address = "\(socket)"
      [plugins."io.containerd.grpc.v1.cri"]
        restrict_oom_score_adj = true
        [plugins."io.containerd.grpc.v1.cri".cni]
          bin_dir = "/usr/lib/cni"
          conf_dir = "\(directory)/net.d"
        [plugins."io.containerd.grpc.v1.cri".registry]
          config_path = "\(directory)/certs.d"
      """
    try Data(text.utf8).write(to: URL(fileURLWithPath: "\(directory)/config.toml"))
    // Kept outside the closure that starts it: it is to outlive the cluster.
    let containerd = Mutex<Running?>(nil)
    func containers() async throws -> String {
      try await Command.run(["ctr", "--address", socket, "--namespace", "k8s.io", "containers", "ls", "-q"]).output
    }
    var failure: (any Error)?
    do {
      let begin = { (cluster: Cluster) in
        let running = try Running(cluster.inside(["containerd", "--config", "\(directory)/config.toml"]))
        containerd.withLock { $0 = running }
        #expect(await running.waits { $0.contains("containerd successfully booted") })
      }
      try await Cluster.with(["--containerd", socket], before: begin) { cluster in
        try await cluster.apply(Manifest.deployment("web", replicas: 1))
        try await cluster.rolledOut("web")
        // The sandbox and the container in it.
        #expect(try await containers().split(separator: "\n").count == 2)

        // It dies: Gantry does not start another in its place, the node says what is missing, and the pods run on.
        let node = "node/\(cluster.name)"
        let dead = containerd.withLock { $0 }
        dead?.signal(SIGKILL)
        _ = await dead?.outcome()
        try await cluster.kubectl("wait", node, "--for=condition=Ready=false", Patience.kubectl)
        let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}: {.status.conditions[?(@.type==\"Ready\")].message}"
        let told = try await cluster.kubectl("get", node, "-o", ready)
        #expect(told.hasPrefix("KubeletNotReady: container runtime is down") && told.contains(socket), "\(told)")
        let port = try await cluster.kubectl("get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}")
        try await Command.run(cluster.inside(["curl", "-fsS", "--max-time", "5", "http://127.0.0.1:\(port)/"]))
        try await begin(cluster)
        try await cluster.kubectl("wait", node, "--for=condition=Ready", Patience.kubectl)
        try await cluster.rolledOut("web")
        #expect(try await containers().split(separator: "\n").count == 2)
      }
      #expect(try await containers().isEmpty, "down leaves no container of Gantry's")
      #expect(try FileManager.default.contentsOfDirectory(atPath: "\(directory)/net.d").isEmpty)
      #expect(try FileManager.default.contentsOfDirectory(atPath: "\(directory)/certs.d").isEmpty)
      #expect(try await Command.run(["ctr", "--address", socket, "version"]).status == 0, "it still runs")
    } catch { failure = error }
    let running = containerd.withLock { $0 }
    running?.signal(SIGTERM)
    _ = await running?.outcome()
    try await Command.run(["rm", "-rf", directory])
    if let failure { throw failure }
  }
}

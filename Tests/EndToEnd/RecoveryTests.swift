import Foundation
import Testing

/// What stays and what comes back when something dies.
@Suite struct RecoveryTests {
  @Test("a killed container is started again")
  func killedContainerRestarts() async throws {
    try await Cluster.with { cluster in
      try await cluster.apply(WorkloadTests.deployment("web", replicas: 1))
      try await cluster.rolledOut("web")
      let pod = try await cluster.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")
      let watch = try cluster.kubectlRunning(
        "get", "pod", pod, "-w", "-o",
        "jsonpath={.status.containerStatuses[0].restartCount}{\" \"}{.status.containerStatuses[0].ready}{\"\\n\"}")
      #expect(await watch.waits { $0.contains("0 true") })
      let uid = try await cluster.kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid}")
      let servers = try await Command.run(["pgrep", "-f", "httpd -f -p 8080 -h /www"]).output.split(separator: "\n").compactMap {
        Int32($0)
      }
      let container = try #require(servers.first { (try? cgroup(of: $0).contains(uid)) == true })
      kill(container, SIGKILL)
      #expect(await watch.waits { $0.contains("1 true") })
      watch.signal(SIGTERM)
    }
  }

  private func cgroup(of pid: Int32) throws -> String { try String(contentsOfFile: "/proc/\(pid)/cgroup", encoding: .utf8) }

  @Test("kill -9 of gantry up: containers stay, state is intact, the restarted agent adopts what runs")
  func killedServerComesBack() async throws {
    try await Cluster.with { cluster in
      try await cluster.apply(WorkloadTests.deployment("web", replicas: 2))
      try await cluster.rolledOut("web")
      let query =
        "jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{\"\\n\"}{end}"
      let before = try await cluster.kubectl("get", "pods", "-o", query)
      let port = try await cluster.kubectl("get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}")
      await cluster.kill9()
      // Traffic needs no control plane.
      #expect(
        try await Command.run(cluster.inside(["curl", "-fsS", "--max-time", "5", "http://127.0.0.1:\(port)/"])).output == "v1\n")
      try await cluster.start()
      try await cluster.rolledOut("web")
      #expect(try await cluster.kubectl("get", "pods", "-o", query) == before)
      // It still acts: a new template rolls out.
      try await cluster.apply(WorkloadTests.deployment("web", replicas: 2, message: "v2"))
      try await cluster.rolledOut("web")
      #expect(
        try await Command.run(cluster.inside(["curl", "-fsS", "--max-time", "5", "http://127.0.0.1:\(port)/"])).output == "v2\n")
    }
  }

  @Test("SIGTERM drains and exits with 0; down leaves no process, mount, namespace or rule")
  func downLeavesNothing() async throws {
    let directory = try await Cluster.with { cluster in
      try await cluster.apply(WorkloadTests.deployment("web", replicas: 2))
      try await cluster.rolledOut("web")
      #expect(await cluster.terminate()?.status == 0)
      try await Command.run(cluster.inside([Cluster.gantry, "down", "--data-dir", cluster.dataDirectory]))
      #expect(try await Command.run(cluster.inside(["nft", "list", "tables"])).output == "")
      #expect(try await Command.run(cluster.inside(["ip", "-o", "link"])).output.split(separator: "\n").count == 1)
      return cluster.dataDirectory
    }
    #expect(!(try String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)).contains(directory))
    #expect(try await Command.run(["pgrep", "-f", directory], mayFail: true).output == "")
    #expect(!FileManager.default.fileExists(atPath: directory))
  }
}

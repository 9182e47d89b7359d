import Foundation
import Testing
import Wire

/// What stays and what comes back when something dies.
@Suite struct RecoveryTests {
  /// Containers by pod, and how often each was started again: what must not change.
  private static let containers =
    "jsonpath={range .items[*]}{.metadata.name} {.status.podIP} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{\"\\n\"}{end}"

  private func cgroup(of pid: Int32) throws -> String { try String(contentsOfFile: "/proc/\(pid)/cgroup", encoding: .utf8) }

  /// The first process of a pod's container that has the words on its command line.
  private func process(_ words: String, ofPod uid: String) async throws -> Int32 {
    let found = try await Command.run(["pgrep", "-f", words]).output.split(separator: "\n").compactMap { Int32($0) }
    return try #require(found.first { (try? cgroup(of: $0))?.contains(uid) == true })
  }

  private func answer(_ cluster: Cluster, _ port: String) async throws -> String {
    try await Command.run(cluster.inside(["curl", "-fsS", "--max-time", "5", "http://127.0.0.1:\(port)/"])).output
  }

  @Test("a killed container is started again")
  func killedContainerRestarts() async throws {
    try await Cluster.with { cluster in
      try await cluster.apply(Manifest.deployment("web", replicas: 1))
      try await cluster.rolledOut("web")
      let pod = try await cluster.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")
      let watch = try cluster.kubectlRunning(
        "get", "pods", "--field-selector", "metadata.name=\(pod)", "-w", "-o",
        "jsonpath={.status.containerStatuses[0].restartCount}{\" \"}{.status.containerStatuses[0].ready}{\"\\n\"}")
      #expect(await watch.waits { $0.contains("0 true") })
      let uid = try await cluster.kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid}")
      kill(try await process("httpd -f -p 8080 -h /www", ofPod: uid), SIGKILL)
      #expect(await watch.waits { $0.contains("1 true") })
      watch.signal(SIGTERM)

      // A status that somebody overwrites is the node's again at once.
      let phases = try cluster.kubectlRunning(
        "get", "pods", "--field-selector", "metadata.name=\(pod)", "-w", "-o", "jsonpath=<{.status.phase} {.status.podIP}>")
      let address = try await cluster.kubectl("get", "pod", pod, "-o", "jsonpath={.status.podIP}")
      #expect(await phases.waits { $0.contains("<Running \(address)>") })
      try await cluster.kubectl(
        "patch", "pod", pod, "--subresource=status", "--type=merge", "-p", #"{"status":{"phase":"Pending","podIP":"10.9.9.9"}}"#)
      #expect(await phases.waits { $0.contains("<Pending 10.9.9.9><Running \(address)>") })
      phases.signal(SIGTERM)

      // So is the node's own, as after a silence.
      let nodes = try cluster.kubectlRunning(
        "get", "nodes", "-w", "-o", "jsonpath=<{.status.conditions[?(@.type==\"Ready\")].status}>")
      #expect(await nodes.waits { $0.contains("<True>") })
      try await cluster.kubectl(
        "patch", "node", cluster.name, "--subresource=status", "--type=strategic", "-p",
        #"{"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}}"#)
      #expect(
        await nodes.waits { text in text.firstRange(of: "<Unknown>").map { text[$0.upperBound...].contains("<True>") } ?? false })
      nodes.signal(SIGTERM)
    }
  }

  @Test(
    "kill -9 of gantry up: containers stay, state is intact, the restarted agent adopts what runs and catches up with what changed")
  func killedServerComesBack() async throws {
    try await Cluster.with { cluster in
      try await cluster.apply(Manifest.deployment("web", replicas: 2))
      try await cluster.apply(
        Manifest.pod("goes", "sleep 1000", spec: "nodeName: \(cluster.name)") + "\n---\n"
          + Manifest.pod("dies", "sleep 4321", restart: "Always"))
      try await cluster.rolledOut("web")
      try await cluster.kubectl("wait", "--for=condition=Ready", "pod/goes", "pod/dies", Patience.kubectl)
      let before = try await cluster.kubectl("get", "pods", "-l", "app=web", "-o", Self.containers)
      let port = try await cluster.kubectl("get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}")
      let goes = try await cluster.kubectl("get", "pod", "goes", "-o", "jsonpath={.metadata.uid}")
      let dies = try await cluster.kubectl("get", "pod", "dies", "-o", "jsonpath={.metadata.uid}")
      await cluster.kill9()
      // Traffic needs no control plane.
      #expect(try await answer(cluster, port) == "v1\n")
      // While no agent runs, a container dies, and a pod goes from the store: by a server without a node.
      kill(try await process("sleep 4321", ofPod: dies), SIGKILL)
      try await cluster.start("server")
      try await cluster.kubectl("delete", "pod", "goes", "--force", "--grace-period=0")
      await cluster.kill9()
      _ = try await process("sleep 1000", ofPod: goes)

      try await cluster.start()
      try await cluster.rolledOut("web")
      #expect(try await cluster.kubectl("get", "pods", "-l", "app=web", "-o", Self.containers) == before)
      try await cluster.kubectl(
        "wait", "pod/dies", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", Patience.kubectlEvent)
      #expect(
        try await cluster.kubectl(
          "get", "pod", "dies", "-o", "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}")
          == "137")
      try await eventually("the container of the deleted pod ends") { try await ended("sleep 1000", goes) }
      // It still acts: a new template rolls out.
      try await cluster.apply(Manifest.deployment("web", replicas: 2, message: "v2"))
      try await cluster.rolledOut("web")
      #expect(try await answer(cluster, port) == "v2\n")
    }
  }

  @Test("where runc takes seconds to clean up behind a container: no exit is missed, whether the agent was there or not")
  func slowRuntime() async throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("gantry-slow-\(UInt32.random(in: .min ... .max))")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let runc = directory.appendingPathComponent("runc").path
    let isSlow = directory.appendingPathComponent("slow")
    let script = """
      #!/bin/sh
      case " $* " in *" delete "*) [ ! -e \(isSlow.path) ] || sleep 6 ;; esac
      exec /usr/sbin/runc "$@"

      """
    try Data(script.utf8).write(to: URL(fileURLWithPath: runc))
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: runc)
    let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin"
    try await Cluster.with(environment: ["PATH": "\(directory.path):\(path)"]) { cluster in
      try await cluster.apply(Manifest.pod("dies", "sleep 4322", restart: "Always"))
      try await cluster.kubectl("wait", "--for=condition=Ready", "pod/dies", Patience.kubectl)
      let uid = try await cluster.kubectl("get", "pod", "dies", "-o", "jsonpath={.metadata.uid}")
      try Data().write(to: isSlow)
      kill(try await process("sleep 4322", ofPod: uid), SIGKILL)
      try await cluster.kubectl(
        "wait", "pod/dies", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", Patience.kubectlEvent)
      try await cluster.kubectl("wait", "--for=condition=Ready", "pod/dies", Patience.kubectl)
      // The agent that comes back finds it running in CRI's books, and the exit was told before it listened.
      await cluster.kill9()
      kill(try await process("sleep 4322", ofPod: uid), SIGKILL)
      try await cluster.start()
      try await cluster.kubectl(
        "wait", "pod/dies", "--for=jsonpath={.status.containerStatuses[0].restartCount}=2", Patience.kubectlEvent)
      try FileManager.default.removeItem(at: isSlow)
    }
  }

  @Test("services answer while the server is killed and started again: no request fails")
  func servicesOutliveServers() async throws {
    try await Cluster.with { cluster in
      try await cluster.apply(Manifest.deployment("web", replicas: 2))
      try await cluster.rolledOut("web")
      let port = try await cluster.kubectl("get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}")
      let address = try await cluster.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
      let stop = "\(cluster.dataDirectory)/stop-requests"
      let script = """
        ok=0; bad=0; echo started
        while [ ! -e \(stop) ]; do
          for url in http://127.0.0.1:\(port)/ http://\(address)/; do
            if curl -fsS --max-time 5 $url >/dev/null; then ok=$((ok+1)); else bad=$((bad+1)); fi
          done
        done
        echo "ok=$ok bad=$bad"
        """
      let requests = try Running(cluster.inside(["sh", "-c", script]))
      #expect(await requests.waits { $0.contains("started") })
      for _ in 0..<3 {
        await cluster.kill9()
        try await cluster.start()
      }
      _ = await cluster.terminate()
      try await cluster.start()
      try await cluster.rolledOut("web")
      try Data().write(to: URL(fileURLWithPath: stop))
      let outcome = await requests.outcome()
      #expect(outcome.output.contains(" bad=0") && !outcome.output.contains("ok=0"), "\(outcome)")
    }
  }

  private func ended(_ words: String, _ uid: String) async throws -> Bool {
    let found = try await Command.run(["pgrep", "-f", words], mayFail: true).output.split(separator: "\n").compactMap { Int32($0) }
    return !found.contains { (try? cgroup(of: $0))?.contains(uid) == true }
  }

  /// For what no event tells: looked at ten times a second.
  private func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
    let start = ContinuousClock.now
    while ContinuousClock.now - start < .seconds(Patience.seconds) {
      if try await condition() { return }
      try await Task.sleep(for: .milliseconds(100))
    }
    Issue.record("\(what): not within \(Patience.seconds) s")
  }

  @Test("gantry's own containerd is killed: it is started again and the pods run on; a reboot: all pods come back in new sandboxes")
  func runtimeDies() async throws {
    try await Cluster.with { cluster in
      try await cluster.apply(Manifest.deployment("web", replicas: 2))
      try await cluster.apply(
        Manifest.pod(
          "initialized", "sleep 1000", restart: "Always",
          spec:
            "initContainers: [{ name: first, image: \"\(Manifest.busybox)\", command: [\"true\"] }]"))
      try await cluster.rolledOut("web")
      try await cluster.kubectl("wait", "--for=condition=Ready", "pod/initialized", Patience.kubectl)
      let before = try await cluster.kubectl("get", "pods", "-o", Self.containers)
      func runtime() throws -> Int32 {
        let text = try String(contentsOfFile: "\(cluster.dataDirectory)/containerd/containerd.pid", encoding: .utf8)
        return try #require(Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)))
      }
      let first = try runtime()
      // One that is ending meanwhile: the runtime that was told is gone.
      try await cluster.apply(
        Manifest.pod("ending", "trap '' TERM; while true; do sleep 1; done").replacing(
          "terminationGracePeriodSeconds: 1", with: "terminationGracePeriodSeconds: 10"))
      try await cluster.kubectl("wait", "--for=condition=Ready", "pod/ending", Patience.kubectl)
      let told = try cluster.kubectlRunning(
        "get", "events", "-w", "--field-selector", "involvedObject.name=ending", "-o", "jsonpath=<{.reason}>")
      try await cluster.kubectl("delete", "pod", "ending", "--wait=false")
      #expect(await told.waits { $0.contains("<Killing>") })
      told.signal(SIGKILL)
      kill(first, SIGKILL)
      try await eventually("containerd is started again") { try runtime() != first }
      try await cluster.apply(Manifest.pod("after", "true"))
      try await cluster.kubectl("wait", "pod/after", "--for=jsonpath={.status.phase}=Succeeded", Patience.kubectl)
      try await cluster.kubectl("delete", "pod", "after")
      try await cluster.kubectl("wait", "--for=delete", "pod/ending", Patience.kubectlEvent)
      #expect(try await cluster.kubectl("get", "pods", "-o", Self.containers) == before)
      try await cluster.kubectl("wait", "--for=condition=Ready", "node", "--all", Patience.kubectl)

      // As when the power goes: everything that runs is gone, the disk stays.
      await cluster.kill9()
      let socket = "\(cluster.dataDirectory)/containerd/containerd.sock"
      for pid in try await Command.run(["pgrep", "-f", socket], mayFail: true).output.split(separator: "\n") {
        kill(try #require(Int32(pid)), SIGKILL)
      }
      kill(try runtime(), SIGKILL)
      let uids = try await Command.run(["ls", "\(cluster.dataDirectory)/kubelet/pods"]).output.split(separator: "\n")
      for process in try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap({ Int32($0) }) {
        guard let groups = try? cgroup(of: process), uids.contains(where: { groups.contains($0) }) else { continue }
        kill(process, SIGKILL)
      }
      for mount in try String(contentsOfFile: "/proc/self/mounts", encoding: .utf8).split(separator: "\n").reversed() {
        let path = String(mount.split(separator: " ")[1])
        if path.hasPrefix(cluster.dataDirectory) { try await Command.run(["umount", "-l", path], mayFail: true) }
      }
      try await Command.run(cluster.inside(["nft", "flush", "ruleset"]))

      try await cluster.start()
      try await cluster.rolledOut("web")
      try await cluster.kubectl("wait", "--for=condition=Ready", "pods", "--all", Patience.kubectl)
      let restarts = "jsonpath={range .items[*]}{.status.containerStatuses[0].restartCount}{end}"
      try await eventually("every container was started once more") {
        try await cluster.kubectl("get", "pods", "-o", restarts) == "111"
      }
      try await cluster.kubectl("wait", "--for=condition=Ready", "pods", "--all", Patience.kubectl)
      let events = try await cluster.kubectl("get", "events", "-o", "jsonpath={range .items[*]}{.reason}: {.message}{\"\\n\"}{end}")
      #expect(!events.contains("is reserved"), "\(events)")
      let port = try await cluster.kubectl("get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}")
      #expect(try await answer(cluster, port) == "v1\n")
    }
  }

  @Test("SIGTERM drains and exits with 0; down leaves no process, mount, namespace or rule")
  func downLeavesNothing() async throws {
    let directory = try await Cluster.with { cluster in
      try await cluster.apply(Manifest.deployment("web", replicas: 2))
      try await cluster.apply(
        Manifest.pod("port", "sleep 1000", restart: "Always", container: "ports: [{ containerPort: 8080, hostPort: 8089 }]"))
      try await cluster.rolledOut("web")
      try await cluster.kubectl("wait", "--for=condition=Ready", "pod/port", Patience.kubectl)
      #expect(
        try await Command.run(cluster.inside(["nft", "list", "ruleset"])).output.contains("8089"), "the host port has its rule")
      #expect(await cluster.terminate()?.status == 0)
      try await Command.run(cluster.inside([Cluster.gantry, "down", "--data-dir", cluster.dataDirectory]))
      #expect(try await Command.run(cluster.inside(["nft", "list", "ruleset"])).output == "")
      #expect(try await Command.run(cluster.inside(["ip", "-o", "link"])).output.split(separator: "\n").count == 1)
      // Its pods come back, and their restarts go on where they were.
      try await cluster.start()
      let count = "jsonpath={.status.containerStatuses[0].restartCount}"
      try await cluster.kubectl("wait", "pod/port", "--for=\(count)=1", Patience.kubectlEvent)
      try await cluster.kubectl("wait", "--for=condition=Ready", "pod/port", Patience.kubectl)
      let last = "jsonpath={.status.containerStatuses[0].lastState.terminated.reason}"
      #expect(try await cluster.kubectl("get", "pod", "port", "-o", last) == "ContainerStatusUnknown")
      return cluster.dataDirectory
    }
    #expect(!(try String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)).contains(directory))
    #expect(try await Command.run(["pgrep", "-f", directory], mayFail: true).output == "")
    #expect(!FileManager.default.fileExists(atPath: directory))
  }
}

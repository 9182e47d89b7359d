import Agent
import Client
import Glibc
import Logging
import Network
import RPC
import Synchronization
import Testing
import Wire

/// The agent against a real containerd of its own, in its own directory, with pods on a subnet of their own.
@Suite("Agent with containerd", .serialized, .timeLimit(.minutes(5)))
struct AgentIntegrationTests {
  static var reasonToSkip: String? {
    if geteuid() != 0 { return "not root" }
    for program in ["containerd", "runc", "ctr", "busybox"] where Command.find(program) == nil {
      return "\(program) is not installed"
    }
    if access("/usr/lib/cni/ptp", X_OK) != 0 { return "CNI plugins are not in /usr/lib/cni" }
    return nil
  }

  static func run(_ words: String...) async throws -> String { try await Command().run(words) }

  /// A world that takes itself away.
  static func withAgent(
    _ change: (inout AgentConfiguration) -> Void = { _ in },
    _ body: (Agent, MemoryClient, AgentConfiguration) async throws -> Void
  ) async throws {
    let directory = "/tmp/gantry-agent-test-\(getpid())"
    var configuration = AgentConfiguration(nodeName: "test", nodeAddress: "127.0.0.1", dataDirectory: directory)
    change(&configuration)
    configuration.cniConfDirectory = "\(directory)/cni"
    mkdir(directory, 0o755)
    mkdir(configuration.cniConfDirectory, 0o755)
    let network =
      #"{"cniVersion":"0.4.0","name":"t\#(getpid())","plugins":[{"type":"ptp","ipMasq":false,"ipam":{"type":"host-local","dataDir":"\#(directory)/ipam","ranges":[[{"subnet":"10.213.77.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}}]}"#
    try write(network, "\(configuration.cniConfDirectory)/10-test.conflist")
    let client = MemoryClient()
    client.put(.namespaces, ["metadata": ["name": "default"]])
    let agent = try await Agent.start(configuration, client: client)
    do {
      try await image(configuration)
      try await body(agent, client, configuration)
    } catch {
      await agent.stopEverything()
      throw error
    }
    await agent.stopEverything()
    #expect(try await Self.run("sh", "-c", "grep -c \(directory) /proc/self/mountinfo || true").hasPrefix("0"))
    _ = try await Self.run("rm", "-rf", directory)
  }

  static func write(_ text: String, _ path: String) throws {
    let file = try #require(fopen(path, "w"))
    fputs(text, file)
    fclose(file)
  }

  /// busybox-static as an image of one layer.
  static func image(_ configuration: AgentConfiguration) async throws {
    let root = "\(configuration.dataDirectory)/image"
    let script = """
      set -e; mkdir -p \(root)/fs/bin \(root)/fs/tmp; cp $(command -v busybox) \(root)/fs/bin/busybox
      for c in sh sleep cat echo httpd wget nc id ls hostname kill true false env; do ln -sf busybox \(root)/fs/bin/$c; done
      tar -C \(root)/fs -cf \(root)/layer.tar .
      d=$(sha256sum \(root)/layer.tar | cut -d' ' -f1)
      printf '{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["/bin/sh"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' $d > \(root)/config.json
      printf '[{"Config":"config.json","RepoTags":["docker.io/test/busybox:1"],"Layers":["layer.tar"]}]' > \(root)/manifest.json
      tar -C \(root) -cf \(root)/image.tar config.json layer.tar manifest.json
      ctr -a \(configuration.dataDirectory)/containerd/containerd.sock -n k8s.io images import \(root)/image.tar
      """
    _ = try await run("sh", "-c", script)
  }

  static func pod(_ name: String, _ script: String, _ change: (inout Value) -> Void = { _ in }) -> Value {
    var pod: Value = [
      "metadata": ["name": .string(name), "namespace": "default", "uid": .string("uid-\(name)"), "generation": 1],
      "spec": [
        "nodeName": "test", "restartPolicy": "Always", "terminationGracePeriodSeconds": 1, "dnsPolicy": "Default",
        "containers": [
          [
            "name": "main", "image": "docker.io/test/busybox:1", "imagePullPolicy": "IfNotPresent",
            "command": ["/bin/sh", "-c", .string(script)],
            "terminationMessagePath": "/dev/termination-log",
          ]
        ],
      ], "status": ["phase": "Pending"],
    ]
    change(&pod)
    return pod
  }

  static func collect(_ stream: any ByteStream) async throws -> [UInt8: String] {
    var bytes: [UInt8: [UInt8]] = [:]
    for try await frame in stream.frames { bytes[frame.channel, default: []] += frame.bytes }
    return bytes.mapValues { String(decoding: $0, as: UTF8.self) }
  }

  @Test(
    "a pod runs, is asked, logs, and goes without a trace",
    .enabled(if: reasonToSkip == nil, "needs root, containerd, runc, CNI plugins, busybox"))
  func lifecycle() async throws {
    try await Self.withAgent { agent, client, configuration in
      let key = ObjectKey(namespace: "default", name: "web")
      client.put(.configMaps, ["metadata": ["name": "settings", "namespace": "default"], "data": ["greeting": "hello\n"]])
      client.put(
        .pods,
        Self.pod("web", "echo $GREETING $POD; cat /etc/settings/greeting; trap 'exit 0' TERM; sleep 1000 & wait") { pod in
          var container = pod["spec"]["containers"][0]
          container["env"] = [
            ["name": "GREETING", "valueFrom": ["configMapKeyRef": ["name": "settings", "key": "greeting"]]],
            ["name": "POD", "valueFrom": ["fieldRef": ["fieldPath": "metadata.name"]]],
          ]
          container["volumeMounts"] = [["name": "settings", "mountPath": "/etc/settings"]]
          container["readinessProbe"] = ["exec": ["command": ["cat", "/etc/settings/greeting"]], "periodSeconds": 1]
          pod["spec"]["containers"] = [container]
          pod["spec"]["volumes"] = [["name": "settings", "configMap": ["name": "settings"]]]
        })
      let running = try #require(
        await client.wait(.pods, key) { pod in
          (pod?["status"]["conditions"].array ?? []).contains { $0["type"].string == "Ready" && $0["status"].string == "True" }
        },
        "\(client.value(.pods, key)?["status"].json ?? "") \(client.state.withLock { $0.objects[.events]?.values.map { $0.value["note"].json } ?? [] })"
      )
      #expect(running["status"]["phase"].string == "Running")
      #expect(running["status"]["podIP"].string?.hasPrefix("10.213.77.") == true)
      #expect(running["status"]["containerStatuses"][0]["state"]["running"]["startedAt"].string != nil)

      let log = try await agent.connect(pod: key, uid: "", subresource: "log", query: [])
      #expect(try await Self.collect(log)[0] == "hello web\nhello\n")

      let exec = try await agent.connect(
        pod: key, uid: "", subresource: "exec",
        query: [
          ("command", "sh"), ("command", "-c"), ("command", "cat; echo err >&2; exit 3"), ("stdin", "true"), ("stdout", "true"),
          ("stderr", "true"),
        ])
      let big = String(repeating: "0123456789abcdef", count: 20_000)
      try await exec.send(StreamFrame(channel: 0, bytes: Array(big.utf8)))
      try await exec.finish(channel: 0)
      let output = try await Self.collect(exec)
      #expect(output[1]?.count == big.count)
      #expect(output[2] == "err\n")
      #expect(try Value(json: output[3] ?? "")["details"]["causes"][0]["message"].string == "3")

      // More than may wait on the way.
      let sizeText = try await Self.run("sh", "-c", "stat -c %s $(command -v busybox)")
      let size = try #require(Int(sizeText.filter(\.isNumber)))
      let counted = try await agent.connect(
        pod: key, uid: "", subresource: "exec",
        query: [("command", "cat")] + [String](repeating: "/bin/busybox", count: 4).map { ("command", $0) } + [("stdout", "true")])
      var bytes = 0
      for try await frame in counted.frames where frame.channel == 1 { bytes += frame.bytes.count }
      #expect(bytes == size * 4)

      // A deletion as the API tells it: a timestamp first, the object goes when the node says so.
      var deleting = try #require(client.value(.pods, key))
      deleting["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:01Z"
      deleting["metadata"]["deletionGracePeriodSeconds"] = 5
      client.put(.pods, deleting)
      #expect(await client.wait(.pods, key) { $0 == nil } != nil)
      #expect(access("\(configuration.podDirectory)/uid-web", F_OK) != 0)

      // A container that fails is started again and then waits longer.
      let crash = ObjectKey(namespace: "default", name: "crash")
      client.put(.pods, Self.pod("crash", "echo -n broken > /dev/termination-log; exit 7"))
      let crashed = try #require(
        await client.wait(.pods, crash) {
          $0?["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].string == "CrashLoopBackOff"
        })
      let status = crashed["status"]["containerStatuses"][0]
      #expect(status["restartCount"].int == 1)
      #expect(status["lastState"]["terminated"]["exitCode"].int == 7)
      #expect(status["lastState"]["terminated"]["message"].string == "broken")
      #expect(crashed["status"]["phase"].string == "Running")

      let job = ObjectKey(namespace: "default", name: "job")
      client.put(.pods, Self.pod("job", "echo done") { $0["spec"]["restartPolicy"] = "Never" })
      #expect(await client.wait(.pods, job) { $0?["status"]["phase"].string == "Succeeded" } != nil)
      let finished = try await agent.connect(pod: job, uid: "", subresource: "log", query: [])
      #expect(try await Self.collect(finished)[0] == "done\n")
    }
  }

  private static func frame(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

  @Test(
    "a log that has grown gets a new file, whoever follows it misses no line, and only so many files are kept",
    .enabled(if: reasonToSkip == nil, "needs root, containerd, runc, CNI plugins, busybox"))
  func logRotation() async throws {
    try await Self.withAgent {
      $0.containerLogMaximumBytes = 1000
      $0.containerLogMaximumFiles = 3
    } _: { agent, client, configuration in
      let key = ObjectKey(namespace: "default", name: "talker")
      // Each line that it is sent comes back a hundred times.
      client.put(
        .pods,
        Self.pod("talker", "while read w; do i=0; while [ $i -lt 100 ]; do echo $w $i; i=$((i+1)); done; done; sleep 1000") { pod in
          var container = pod["spec"]["containers"][0]
          container["stdin"] = true
          pod["spec"]["containers"] = [container]
        })
      _ = try #require(await client.wait(.pods, key) { $0?["status"]["phase"].string == "Running" })
      let input = try await agent.connect(
        pod: key, uid: "", subresource: "attach", query: [("stdin", "true"), ("stdout", "true"), ("stderr", "true")])
      let log = try await agent.connect(pod: key, uid: "", subresource: "log", query: [("follow", "true")])
      var frames = log.frames.makeAsyncIterator()
      var seen = ""
      let directory = "\(configuration.podLogDirectory)/default_talker_uid-talker/main"
      for word in ["a", "b", "c", "d"] {
        try await input.send(StreamFrame(channel: 0, bytes: Array("\(word)\n".utf8)))
        while !seen.hasSuffix("\(word) 99\n"), let frame = try await frames.next() { seen += Self.frame(frame.bytes) }
        await agent.rotateLogs()
      }
      let expected = ["a", "b", "c", "d"].map { word in (0..<100).map { "\(word) \($0)\n" }.joined() }.joined()
      #expect(seen == expected)
      #expect(try await Self.run("ls", directory).split(separator: "\n").sorted() == ["0.log", "0.log.1", "0.log.2"])
      #expect(try await Self.run("sh", "-c", "head -1 \(directory)/0.log.1").hasSuffix("F d 0\n"))
    }
  }

  @Test(
    "on a full disk unused images go; what runs, and the sandbox's own, stays",
    .enabled(if: reasonToSkip == nil, "needs root, containerd, runc, CNI plugins, busybox"))
  func imagesAreCollected() async throws {
    try await Self.withAgent {
      $0.imageHighThresholdPercent = 0
      $0.imageLowThresholdPercent = 0
    } _: { agent, client, configuration in
      let root = "\(configuration.dataDirectory)/image"
      let other = """
        set -e; cd \(root); mkdir other; echo other > other/file; tar -C other -cf layer.tar .
        d=$(sha256sum layer.tar | cut -d' ' -f1)
        printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' $d > config.json
        sed -i s,test/busybox:1,test/unused:1, manifest.json; tar -cf other.tar config.json layer.tar manifest.json
        ctr -a \(configuration.dataDirectory)/containerd/containerd.sock -n k8s.io images import other.tar
        """
      _ = try await Self.run("sh", "-c", other)
      let key = ObjectKey(namespace: "default", name: "user")
      client.put(.pods, Self.pod("user", "sleep 1000"))
      _ = try #require(await client.wait(.pods, key) { $0?["status"]["phase"].string == "Running" })
      func images() async throws -> [String] {
        let words = [
          "ctr", "-a", "\(configuration.dataDirectory)/containerd/containerd.sock", "-n", "k8s.io", "images", "ls", "-q",
        ]
        return try await Command().run(words).split(separator: "\n").map(String.init).filter { !$0.hasPrefix("sha256:") }.sorted()
      }
      // The runtime's own list follows an import a moment later, and tells nobody.
      while try await images().contains("docker.io/test/unused:1") { await agent.collectImages() }
      #expect(try await images() == ["docker.io/test/busybox:1", "registry.gantry.internal/pause:1"])
    }
  }

  @Test(
    "who asks a runtime that is not there waits for it, and does not take it for one without pods",
    .enabled(if: reasonToSkip == nil, "needs root, containerd, runc, CNI plugins, busybox"))
  func waitsForTheRuntime() async throws {
    try await Self.withAgent { agent, client, configuration in
      let key = ObjectKey(namespace: "default", name: "runs")
      client.put(.pods, Self.pod("runs", "sleep 1000"))
      _ = try #require(await client.wait(.pods, key) { $0?["status"]["phase"].string == "Running" })
      await agent.stop()
      let pid = try await Self.run("cat", "\(configuration.dataDirectory)/containerd/containerd.pid")
      _ = try await Self.run("sh", "-c", "kill -9 \(pid)")
      let cri = CRIClient(GRPCClient(.unix("\(configuration.dataDirectory)/containerd/containerd.sock")))
      async let list = cri.answer("ListPodSandbox", log: Logger(label: "test"))
      let second = try await Agent.start(configuration, client: client)
      #expect(await list?["items"].array?.count == 1)
      #expect(await cri.answer("PodSandboxStatus", ["pod_sandbox_id": "absent"], log: Logger(label: "test")) == nil)
      await second.stop()
    }
  }

  @Test(
    "another agent goes on where the first left off: what runs, restart counts, back-off and addresses",
    .enabled(if: reasonToSkip == nil, "needs root, containerd, runc, CNI plugins, busybox"))
  func takesOver() async throws {
    try await Self.withAgent { agent, client, configuration in
      let (runs, crashes) = (ObjectKey(namespace: "default", name: "runs"), ObjectKey(namespace: "default", name: "crashes"))
      client.put(.pods, Self.pod("runs", "sleep 1000"))
      client.put(.pods, Self.pod("crashes", "exit 1"))
      @Sendable func container(_ pod: Value?) -> Value { pod?["status"]["containerStatuses"][0] ?? .null }
      _ = try #require(await client.wait(.pods, runs) { container($0)["state"]["running"].object != nil })
      _ = try #require(
        await client.wait(.pods, crashes) { container($0)["state"]["waiting"]["reason"].string == "CrashLoopBackOff" })
      let before = try #require(client.value(.pods, runs))
      await agent.stop()
      // A runtime that takes its time is waited for and not killed: this one hears nothing for six seconds.
      let runtime = "\(configuration.dataDirectory)/containerd/containerd.pid"
      let pid = try await Self.run("cat", runtime).filter(\.isNumber)
      async let resumed = Self.run("sh", "-c", "kill -STOP \(pid); sleep 6; kill -CONT \(pid)")
      let second = try await Agent.start(configuration, client: client)
      _ = try await resumed
      #expect(try await Self.run("cat", runtime).filter(\.isNumber) == pid)
      // Its back-off is 10 s still, not forgotten: so the second restart, which the second agent does, leads to 20 s.
      let crashed = try #require(
        await client.wait(.pods, crashes) { container($0)["state"]["waiting"]["message"].string?.contains("back-off 20s") == true },
        "\(client.value(.pods, crashes)?["status"].json ?? "")")
      #expect(container(crashed)["restartCount"].int == 2)
      let after = try #require(client.value(.pods, runs))
      for field in ["containerID", "restartCount", "state"] { #expect(container(after)[field] == container(before)[field]) }
      for field in ["podIP", "startTime", "conditions"] { #expect(after["status"][field] == before["status"][field]) }
      await second.stop()
    }
  }
}

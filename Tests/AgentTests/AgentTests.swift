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
@Suite("Agent with containerd", .serialized)
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
  static func withAgent(_ body: (Agent, MemoryClient, AgentConfiguration) async throws -> Void) async throws {
    let directory = "/tmp/gantry-agent-test-\(getpid())"
    var configuration = AgentConfiguration(nodeName: "test", nodeAddress: "127.0.0.1", dataDirectory: directory)
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
}

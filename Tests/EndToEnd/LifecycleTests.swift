import Foundation
import Testing
import Wire

extension OneCluster {
  /// How containers start, end, and start again.
  @Suite struct Lifecycle {
    private static let scratch = "volumes: [{ name: d, emptyDir: {} }]"
    private static let mount = "volumeMounts: [{ name: d, mountPath: /d }]"

    private static func initContainer(_ name: String, _ script: String) -> String {
      "- { name: \(name), image: \"\(Manifest.busybox)\", command: [sh, -c, \(Value.string(script).json)], volumeMounts: [{ name: d, mountPath: /d }] }"
    }

    @Test("init containers run one after another and before the others; one that fails stops the pod there")
    func initContainers() async throws {
      try await Space.with("inits") { space in
        let good = """
          \(Self.scratch)
          initContainers:
          \(Self.initContainer("one", "echo one >> /d/order"))
          \(Self.initContainer("two", "[ \"$(cat /d/order)\" = one ] && echo two >> /d/order"))
          """
        let bad = """
          \(Self.scratch)
          initContainers:
          \(Self.initContainer("one", "exit 3"))
          \(Self.initContainer("two", "true"))
          """
        try await space.apply(
          Manifest.pod("good", "cat /d/order; echo main", container: Self.mount, spec: good),
          Manifest.pod("bad", "echo never", container: Self.mount, spec: bad),
          Manifest.pod("again", "echo never", restart: "Always", container: Self.mount, spec: bad))
        try await space.wait("good", "status.phase", is: "Succeeded")
        #expect(try await space.kubectl("logs", "good") == "one\ntwo\nmain\n")
        try await space.wait("bad", "status.phase", is: "Failed")
        let bad1 = try await space.pod("bad")["status"]
        #expect(bad1["initContainerStatuses"][0]["state"]["terminated"]["exitCode"].int == 3)
        #expect(bad1["initContainerStatuses"][1]["state"]["waiting"]["reason"].string == "PodInitializing")
        #expect(bad1["containerStatuses"][0]["state"]["waiting"]["reason"].string == "PodInitializing")
        #expect(try await space.kubectl("get", "pod", "bad", "--no-headers").contains("Init:Error"))
        try await space.wait("again", "status.initContainerStatuses[0].state.waiting.reason", is: "CrashLoopBackOff")
        #expect(try await space.pod("again")["status"]["phase"].string == "Pending")
      }
    }

    @Test("restart policies Always, OnFailure and Never, by exit code")
    func restartPolicies() async throws {
      try await Space.with("restarts") { space in
        let failsOnce = "[ -e /d/ran ] || { touch /d/ran; exit 3; }"
        try await space.apply(
          Manifest.pod("always", "true", restart: "Always"), Manifest.pod("onfailure-good", "true", restart: "OnFailure"),
          Manifest.pod("onfailure-once", failsOnce, restart: "OnFailure", container: Self.mount, spec: Self.scratch),
          Manifest.pod("never-good", "true"), Manifest.pod("never-bad", "exit 3"))
        for pod in ["onfailure-good", "onfailure-once", "never-good"] { try await space.wait(pod, "status.phase", is: "Succeeded") }
        try await space.wait("never-bad", "status.phase", is: "Failed")
        func container(_ pod: String) async throws -> Value { try await space.pod(pod)["status"]["containerStatuses"][0] }
        #expect(try await container("onfailure-good")["restartCount"].int == 0)
        let once = try await container("onfailure-once")
        #expect(once["restartCount"].int == 1 && once["state"]["terminated"]["reason"].string == "Completed")
        #expect(once["lastState"]["terminated"]["exitCode"].int == 3 && once["lastState"]["terminated"]["reason"].string == "Error")
        let bad = try await container("never-bad")
        #expect(bad["restartCount"].int == 0 && bad["state"]["terminated"]["exitCode"].int == 3)
        try await space.wait("always", "status.containerStatuses[0].state.waiting.reason", is: "CrashLoopBackOff")
        #expect(try await container("always")["lastState"]["terminated"]["reason"].string == "Completed")
      }
    }

    @Test("a container that fails again and again waits 10 s, then 20 s, and says so")
    func backoffGrows() async throws {
      try await Space.with("backoff") { space in
        try await space.apply(Manifest.pod("crash", "echo broken > /dev/termination-log; exit 1", restart: "Always"))
        let watch = try space.kubectlRunning(
          "get", "pods", "--field-selector", "metadata.name=crash", "-w", "-o",
          "jsonpath={.status.containerStatuses[0].state.waiting.message}{\"\\n\"}")
        defer { watch.signal(SIGKILL) }
        #expect(await watch.waits { $0.contains("back-off 10s restarting failed container=main pod=crash_backoff(") })
        #expect(await watch.waits { $0.contains("back-off 20s restarting failed container=main pod=crash_backoff(") })
        let status = try await space.pod("crash")["status"]["containerStatuses"][0]
        #expect(status["restartCount"].int == 2 && status["lastState"]["terminated"]["message"].string == "broken\n")
        try await space.tells("crash", "BackOff: Back-off restarting failed container main in pod crash_backoff")
      }
    }

    @Test("liveness by command, request and connection: what fails is started again, and why is told")
    func liveness() async throws {
      try await Space.with("liveness") { space in
        func probe(_ action: String) -> String {
          "livenessProbe: { \(action), periodSeconds: 1, timeoutSeconds: 60, failureThreshold: 1 }"
        }
        // Healthy on its second run only.
        let server = "[ -e /d/ran ] && exec httpd -f -p 8080 -h /d; touch /d/ran; sleep 1000"
        try await space.apply(
          Manifest.pod(
            "command", "echo run; sleep 1000", restart: "Always",
            container:
              "\(Self.mount)\n\(probe("exec: { command: [sh, -c, \"[ -e /d/ran ] || { touch /d/ran; echo not yet; exit 1; }\"] }"))",
            spec: Self.scratch),
          Manifest.pod(
            "request", server, restart: "Always", container: "\(Self.mount)\n\(probe("httpGet: { path: /ran, port: 8080 }"))",
            spec: Self.scratch),
          Manifest.pod(
            "connection", server, restart: "Always", container: "\(Self.mount)\n\(probe("tcpSocket: { port: 8080 }"))",
            spec: Self.scratch))
        for (pod, message) in [
          ("command", "Liveness probe failed: not yet"), ("request", "connect: connection refused"),
          ("connection", "connect: connection refused"),
        ] {
          try await space.watch(pod, "status.containerStatuses[0].restartCount", passes: ["1"])
          try await space.tells(pod, message, "Killing: Container main failed liveness probe, will be restarted")
        }
        #expect(try await space.kubectl("logs", "command", "--previous") == "run\n")
      }
    }

    @Test("a pod that is not ready takes no traffic, and takes it again when it is; the startup probe comes before the others")
    func readiness() async throws {
      try await Space.with("readiness") { space in
        let probes = """
          startupProbe: { exec: { command: [test, -e, /d/started] }, periodSeconds: 1, timeoutSeconds: 60, failureThreshold: 1000 }
          readinessProbe: { httpGet: { path: /ready, port: http }, periodSeconds: 1, timeoutSeconds: 60, failureThreshold: 1 }
          livenessProbe: { exec: { command: [test, -e, /d/started] }, periodSeconds: 1, timeoutSeconds: 60, failureThreshold: 1 }
          ports: [{ name: http, containerPort: 8080 }]
          """
        try await space.apply(
          Manifest.pod(
            "web", "touch /d/ready; exec httpd -f -p 8080 -h /d", restart: "Always", labels: "{ app: web }",
            container: "\(Self.mount)\n\(probes)", spec: Self.scratch),
          """
          apiVersion: v1
          kind: Service
          metadata: { name: web }
          spec: { selector: { app: web }, ports: [{ port: 80, targetPort: http }] }
          """)
        try await space.wait("web", "status.phase", is: "Running")
        let before = try await space.pod("web")["status"]["containerStatuses"][0]
        #expect(before["started"].bool == false && before["ready"].bool == false && before["restartCount"].int == 0)
        let endpoints = try space.kubectlRunning(
          "get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-w", "-o",
          "jsonpath=<{.endpoints[*].conditions.ready}>{\"\\n\"}")
        defer { endpoints.signal(SIGKILL) }
        #expect(await endpoints.waits { $0.contains("<false>") })
        try await space.exec("web", "touch", "/d/started")
        try await space.ready("web")
        #expect(await endpoints.waits { $0.contains("<true>") })
        let address = try await space.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
        try await Command.run(space.cluster.inside(["curl", "-fsS", "--max-time", "5", "http://\(address)/ready"]))
        try await space.exec("web", "rm", "/d/ready")
        try await space.kubectl("wait", "pod/web", "--for=condition=Ready=false", Patience.kubectl)
        #expect(await endpoints.waits { $0.components(separatedBy: "<false>").count > 2 })
        // The node learns of a slice when the test does: asked until it has acted, ten seconds at most.
        let asking = "for i in $(seq 100); do curl -sS --max-time 5 http://\(address)/ || exit $?; sleep 0.1; done"
        let refused = try await Command.run(space.cluster.inside(["sh", "-c", asking]), mayFail: true)
        #expect(refused.status == 7, "a service without ready endpoints refuses: \(refused)")
        try await space.exec("web", "touch", "/d/ready")
        try await space.ready("web")
        let after = try await space.pod("web")["status"]["containerStatuses"][0]
        #expect(after["started"].bool == true && after["restartCount"].int == 0)
      }
    }

    @Test("a deleted pod is told with SIGTERM and has its grace; one that does not listen is killed after it")
    func termination() async throws {
      try await Space.with("termination") { space in
        let longGrace = "terminationGracePeriodSeconds: 60"
        func pod(_ name: String, _ script: String, _ grace: String) -> String {
          Manifest.pod(name, script).replacingOccurrences(of: "terminationGracePeriodSeconds: 1\n", with: "\(grace)\n")
        }
        try await space.apply(
          pod("polite", "trap 'echo told; exit 42' TERM; echo up; sleep 1000 & wait", longGrace),
          pod("deaf", "trap '' TERM; echo up; while true; do sleep 1; done", "terminationGracePeriodSeconds: 1"))
        try await space.ready("polite", "deaf")
        for (name, code) in [("polite", "42"), ("deaf", "137")] {
          let logs = try space.kubectlRunning("logs", "-f", name)
          #expect(await logs.waits { $0.contains("up") })
          let codes = try space.kubectlRunning(
            "get", "pods", "--field-selector", "metadata.name=\(name)", "-w", "-o",
            "jsonpath=<{.status.containerStatuses[0].state.terminated.exitCode}>{\"\\n\"}")
          defer { codes.signal(SIGKILL) }
          #expect(await codes.waits { $0.contains("<>") })
          try await space.kubectl("delete", "pod", name, "--wait")
          #expect(await codes.waits { $0.contains("<\(code)>") })
          #expect(await logs.outcome().output == (name == "polite" ? "up\ntold\n" : "up\n"))
        }
        #expect(try await space.kubectl("get", "pods", "-o", "name") == "")
      }
    }

    @Test("a pod on its way out serves to its end where there is no other; less grace ends it sooner")
    func servesToItsEnd() async throws {
      try await Space.with("lone") { space in
        let spec = "volumes: [{ name: d, emptyDir: {} }]"
        let container = """
          \(Self.mount)
          readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1, timeoutSeconds: 60 }
          ports: [{ name: http, containerPort: 8080 }]
          """
        let manifest = Manifest.pod(
          "lone", "trap '' TERM; echo here > /d/index.html; exec httpd -f -p 8080 -h /d", restart: "Always",
          labels: "{ app: lone }",
          container: container, spec: spec
        ).replacing("terminationGracePeriodSeconds: 1", with: "terminationGracePeriodSeconds: 900")
        try await space.apply(
          manifest,
          """
          apiVersion: v1
          kind: Service
          metadata: { name: lone }
          spec: { selector: { app: lone }, ports: [{ port: 80, targetPort: http }] }
          """)
        try await space.ready("lone")
        let endpoints = try space.kubectlRunning(
          "get", "endpointslices", "-l", "kubernetes.io/service-name=lone", "-w", "-o",
          "jsonpath=<{.endpoints[*].conditions.ready} {.endpoints[*].conditions.serving} {.endpoints[*].conditions.terminating}>")
        defer { endpoints.signal(SIGKILL) }
        #expect(await endpoints.waits { $0.contains("<true true false>") })
        let address = try await space.kubectl("get", "service", "lone", "-o", "jsonpath={.spec.clusterIP}")
        func answer() async throws -> String {
          try await Command.run(space.cluster.inside(["curl", "-sS", "--max-time", "60", "http://\(address)/"])).output
        }
        #expect(try await answer() == "here\n")
        try await space.kubectl("delete", "pod", "lone", "--wait=false")
        #expect(await endpoints.waits { $0.contains("<false true true>") }, "\(endpoints.output)")
        #expect(try await answer() == "here\n")
        #expect(try await space.kubectl("get", "pod", "lone", "--no-headers").contains("1/1"))
        try await space.kubectl("delete", "pod", "lone", "--grace-period=1", Patience.kubectl)
        #expect(await endpoints.waits { $0.hasSuffix("<  >") }, "\(endpoints.output)")
        #expect(!endpoints.output.contains("<false false"))
      }
    }

    @Test("the node tells that it starts and how it is, as the kubelet does")
    func nodeEvents() async throws {
      let cluster = try #require(SharedCluster.current)
      let events = try await cluster.kubectl(
        "get", "events", "--namespace", "default", "--field-selector", "involvedObject.kind=Node", "-o",
        "jsonpath={range .items[*]}{.source.component} {.reason}: {.message}{\"\\n\"}{end}")
      let name = try await cluster.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
      let reasons = ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID", "NodeReady"]
      for line in ["kubelet Starting: Starting kubelet."] + reasons.map({ "kubelet \($0): Node \(name) status is now: \($0)" }) {
        #expect(events.contains(line), "\(line) in \(events)")
      }
      // What others say of the node stays, and what they say it has may be used.
      let other = #"{"type":"KernelDeadlock","status":"False","reason":"None","message":"none"}"#
      try await cluster.kubectl(
        "patch", "node", name, "--subresource=status", "--type=strategic", "-p",
        #"{"status":{"conditions":[\#(other)],"capacity":{"example.com/dongle":"4"}}}"#)
      try await cluster.kubectl(
        "wait", "node/\(name)", #"--for=jsonpath={.status.allocatable.example\.com/dongle}=4"#, Patience.kubectl)
      let conditions = try await cluster.kubectl("get", "node", name, "-o", "jsonpath={.status.conditions[*].type}")
      #expect(conditions.contains("KernelDeadlock") && conditions.contains("Ready"), "\(conditions)")
    }

    @Test("limits are the container's cgroup's, and a container that takes more memory is OOMKilled")
    func limits() async throws {
      try await Space.with("limits") { space in
        let show = """
          if [ -e /sys/fs/cgroup/cgroup.controllers ]; then cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max
          else cat /sys/fs/cgroup/memory/memory.limit_in_bytes; echo $(cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us); fi
          """
        let limits = "resources: { requests: { cpu: 100m, memory: 16Mi }, limits: { cpu: 250m, memory: 32Mi } }"
        try await space.apply(
          Manifest.pod("show", show, container: limits), Manifest.pod("greedy", "exec tail /dev/zero", container: limits))
        try await space.wait("show", "status.phase", is: "Succeeded")
        #expect(try await space.kubectl("logs", "show") == "33554432\n25000 100000\n")
        try await space.wait("greedy", "status.phase", is: "Failed")
        let ended = try await space.pod("greedy")["status"]
        #expect(ended["containerStatuses"][0]["state"]["terminated"]["reason"].string == "OOMKilled")
        #expect(ended["containerStatuses"][0]["state"]["terminated"]["exitCode"].int == 137)
        #expect(ended["qosClass"].string == "Burstable")
        #expect(try await space.kubectl("get", "pod", "greedy", "--no-headers").contains("OOMKilled"))
      }
    }

    @Test("an image that is not there: ErrImagePull, then ImagePullBackOff, in the registry's words; a bad name; a policy of Never")
    func images() async throws {
      try await Space.with("images") { space in
        try await space.apply(
          Manifest.pod("absent", "true", image: "registry.gantry.internal/absent:1"),
          Manifest.pod("invalid", "true", image: "Not/A/Name"),
          Manifest.pod("never", "true", image: "registry.gantry.internal/absent:2", container: "imagePullPolicy: Never"))
        let reason = "status.containerStatuses[0].state.waiting.reason"
        try await space.watch("absent", reason, passes: ["ImagePullBackOff"])
        let waiting = try await space.pod("absent")["status"]["containerStatuses"][0]["state"]["waiting"]["message"].string ?? ""
        #expect(waiting.hasPrefix("Back-off pulling image \"registry.gantry.internal/absent:1\": ErrImagePull: "), "\(waiting)")
        #expect(waiting.contains("registry.gantry.internal/absent:1: not found"), "\(waiting)")
        try await space.tells(
          "absent", "Pulling: Pulling image \"registry.gantry.internal/absent:1\"",
          "Failed: Failed to pull image \"registry.gantry.internal/absent:1\"", "Failed: Error: ErrImagePull",
          "BackOff: Back-off pulling image \"registry.gantry.internal/absent:1\"", "Failed: Error: ImagePullBackOff")
        try await space.wait("invalid", reason, is: "InvalidImageName")
        try await space.wait("never", reason, is: "ErrImageNeverPull")
        #expect(
          try await space.pod("never")["status"]["containerStatuses"][0]["state"]["waiting"]["message"].string
            == "Container image \"registry.gantry.internal/absent:2\" is not present with pull policy of Never")
        let logs = try await space.tryKubectl("logs", "absent")
        #expect(
          logs.errors.contains("container \"main\" in pod \"absent\" is waiting to start: trying and failing to pull image"),
          "\(logs)")
      }
    }

    @Test("logs: of one container, of the run before, the end, since, with times")
    func logs() async throws {
      try await Space.with("logs") { space in
        let second = "- { name: second, image: \"\(Manifest.busybox)\", command: [sh, -c, \"echo from second; sleep 1000\"] }"
        try await space.apply(
          Manifest.pod(
            "talker", "[ -e /d/ran ] && echo run 2 || { touch /d/ran; echo run 1; exit 1; }; seq 1 100; sleep 1000",
            restart: "Always", container: "\(Self.mount)\n  ", spec: Self.scratch) + "\n\(Manifest.indented(second, by: 2))")
        try await space.watch("talker", "status.containerStatuses[?(@.name==\"main\")].restartCount", passes: ["1"])
        try await space.ready("talker")
        for (container, last) in [("main", "100\n"), ("second", "from second\n")] {
          let follow = try space.kubectlRunning("logs", "-f", "talker", "-c", container)
          #expect(await follow.waits { $0.hasSuffix(last) })
          follow.signal(SIGKILL)
        }
        for minor in [31, 37] {
          #expect(try await space.kubectl("logs", "talker", "-c", "second", minor: minor) == "from second\n")
          #expect(try await space.kubectl("logs", "talker", "-c", "main", "-p", minor: minor) == "run 1\n")
          #expect(try await space.kubectl("logs", "talker", "--tail=2", minor: minor) == "99\n100\n")
          #expect(try await space.kubectl("logs", "talker", "--limit-bytes=5", minor: minor) == "run 2")
          #expect(try await space.kubectl("logs", "talker", "--since=1h", "--tail=1", minor: minor) == "100\n")
          #expect(try await space.kubectl("logs", "talker", "--since-time=2100-01-01T00:00:00Z", minor: minor) == "")
          // Times that no clock counts.
          #expect(try await space.kubectl("logs", "talker", "--since-time=3000-01-01T00:00:00Z", minor: minor) == "")
          #expect(try await space.kubectl("logs", "talker", "--since=2500000h", "--tail=1", minor: minor) == "100\n")
          let timed = try await space.kubectl("logs", "talker", "--timestamps", "--tail=1", minor: minor)
          #expect(timed.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z 100\n/) != nil, "\(timed)")
          let all = try await space.kubectl("logs", "talker", "--all-containers", "--prefix", "--tail=1", minor: minor)
          #expect(all.contains("[pod/talker/main] 100\n") && all.contains("[pod/talker/second] from second\n"), "\(all)")
          let absent = try await space.tryKubectl("logs", "talker", "-c", "third", minor: minor)
          #expect(absent.errors.contains("container third is not valid for pod talker"), "\(absent)")
          let first = try await space.tryKubectl("logs", "talker", "-c", "second", "-p", minor: minor)
          #expect(first.errors.contains("previous terminated container \"second\" in pod \"talker\" not found"), "\(first)")
        }
      }
    }
  }
}

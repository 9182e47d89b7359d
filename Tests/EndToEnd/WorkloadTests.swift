import Foundation
import Testing

/// What a kubectl user does with a Deployment, on real containers.
@Suite struct WorkloadTests {
  static func deployment(_ name: String, replicas: Int, message: String = "v1") -> String {
    """
    apiVersion: apps/v1
    kind: Deployment
    metadata: { name: \(name) }
    spec:
      replicas: \(replicas)
      selector: { matchLabels: { app: \(name) } }
      template:
        metadata: { labels: { app: \(name) } }
        spec:
          terminationGracePeriodSeconds: 5
          containers:
          - name: web
            image: registry.gantry.internal/busybox:1.35
            command: ["sh", "-c", "mkdir -p /www && echo \(message) > /www/index.html && exec httpd -f -p 8080 -h /www"]
            ports: [{ name: http, containerPort: 8080 }]
            readinessProbe: { httpGet: { path: /, port: http }, periodSeconds: 1 }
            lifecycle: {}
    ---
    apiVersion: v1
    kind: Service
    metadata: { name: \(name) }
    spec:
      type: NodePort
      selector: { app: \(name) }
      ports: [{ name: http, port: 80, targetPort: http }]
    """
  }

  @Test("apply, scale, roll out, roll back, delete with kubectl", arguments: [31, 37])
  func lifeOfADeployment(minor: Int) async throws {
    try await Cluster.with { cluster in
      try await cluster.apply(Self.deployment("web", replicas: 2), minor: minor)
      try await cluster.rolledOut("web", minor: minor)
      #expect(try await cluster.kubectl("get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}", minor: minor) == "2")

      try await cluster.kubectl("scale", "deployment/web", "--replicas=3", minor: minor)
      try await cluster.rolledOut("web", minor: minor)
      let port = try await cluster.kubectl("get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}", minor: minor)
      let url = "http://127.0.0.1:\(port)/"
      #expect(try await Command.run(cluster.inside(["curl", "-fsS", url])).output == "v1\n")

      try await cluster.apply(Self.deployment("web", replicas: 3, message: "v2"), minor: minor)
      try await cluster.rolledOut("web", minor: minor)
      #expect(try await Command.run(cluster.inside(["curl", "-fsS", url])).output == "v2\n")
      try await cluster.kubectl("rollout", "undo", "deployment/web", minor: minor)
      try await cluster.rolledOut("web", minor: minor)
      #expect(try await Command.run(cluster.inside(["curl", "-fsS", url])).output == "v1\n")

      try await cluster.kubectl("delete", "deployment/web", "service/web", "--wait", minor: minor)
      try await cluster.kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=60s", minor: minor)
      #expect(try await cluster.kubectl("get", "deployments,replicasets,pods", "-o", "name", minor: minor) == "")
    }
  }

  @Test("a rolling update under constant requests fails no request")
  func rollingUpdateLosesNothing() async throws {
    try await Cluster.with { cluster in
      try await cluster.apply(Self.deployment("web", replicas: 3))
      try await cluster.rolledOut("web")
      let port = try await cluster.kubectl("get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}")
      // A new connection for every request, as fast as curl goes; the loop ends when the file appears and prints its counts.
      let stop = "\(cluster.dataDirectory)/stop-requests"
      let script = """
        ok=0; bad=0; echo started
        while [ ! -e \(stop) ]; do
          if curl -fsS --max-time 5 http://127.0.0.1:\(port)/ >/dev/null 2>>\(stop).errors; then ok=$((ok+1)); else bad=$((bad+1)); fi
        done
        echo "ok=$ok bad=$bad"; cat \(stop).errors
        """
      let requests = try Running(cluster.inside(["sh", "-c", script]))
      #expect(await requests.waits { $0.contains("started") })
      for message in ["v2", "v3"] {
        try await cluster.apply(Self.deployment("web", replicas: 3, message: message))
        try await cluster.rolledOut("web")
      }
      #expect(FileManager.default.createFile(atPath: stop, contents: nil))
      let outcome = await requests.outcome()
      #expect(outcome.output.contains("bad=0"), "\(outcome)")
      #expect(!outcome.output.contains("ok=0"), "\(outcome)")
    }
  }

  @Test("logs -f follows, exec answers with output, input and exit code")
  func logsAndExec() async throws {
    try await Cluster.with { cluster in
      try await cluster.kubectl(
        "run", "talker", "--image=registry.gantry.internal/busybox:1.35", "--restart=Never", "--", "sh", "-c",
        "echo first; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo second; exec sleep 1000")
      try await cluster.kubectl("wait", "--for=condition=Ready", "pod/talker", "--timeout=60s")
      let logs = try cluster.kubectlRunning("logs", "-f", "talker")
      #expect(await logs.waits { $0.contains("first") })
      for minor in [31, 37] {
        #expect(try await cluster.kubectl("exec", "talker", "--", "sh", "-c", "echo out; echo err >&2", minor: minor) == "out\n")
        #expect(
          try await cluster.kubectl("exec", "-i", "talker", "--", "cat", input: "through stdin\n", minor: minor)
            == "through stdin\n")
        let failed = try await cluster.tryKubectl("exec", "talker", "--", "sh", "-c", "exit 7", minor: minor)
        #expect(failed.status == 7, "\(failed)")
      }
      try await cluster.kubectl("exec", "talker", "--", "touch", "/tmp/go")
      #expect(await logs.waits { $0.contains("second") })
      try await cluster.kubectl("delete", "pod", "talker", "--grace-period=1")
      _ = await logs.outcome()
      #expect(logs.output == "first\nsecond\n")
    }
  }
}

import Foundation
import Testing
import Wire

extension OneCluster {
  /// What a kubectl user does with a Deployment, on real containers.
  @Suite struct Workloads {
    @Test("apply, scale, roll out, roll back, delete with kubectl", arguments: [31, 37])
    func lifeOfADeployment(minor: Int) async throws {
      try await Space.with("deployment-\(minor)") { space in
        func rolledOut() async throws { try await space.cluster.rolledOut("web", namespace: space.name, minor: minor) }
        try await space.apply(Manifest.deployment("web", replicas: 2), minor: minor)
        try await rolledOut()
        #expect(try await space.kubectl("get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}", minor: minor) == "2")

        try await space.kubectl("scale", "deployment/web", "--replicas=3", minor: minor)
        try await rolledOut()
        let port = try await space.kubectl("get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}", minor: minor)
        func answer() async throws -> String {
          try await Command.run(space.cluster.inside(["curl", "-fsS", "http://127.0.0.1:\(port)/"])).output
        }
        #expect(try await answer() == "v1\n")
        try await space.apply(Manifest.deployment("web", replicas: 3, message: "v2"), minor: minor)
        try await rolledOut()
        #expect(try await answer() == "v2\n")
        try await space.kubectl("rollout", "undo", "deployment/web", minor: minor)
        try await rolledOut()
        #expect(try await answer() == "v1\n")

        try await space.kubectl("delete", "deployment/web", "service/web", "--wait", minor: minor)
        try await space.kubectl("wait", "--for=delete", "pod", "-l", "app=web", Patience.kubectl, minor: minor)
        #expect(try await space.kubectl("get", "deployments,replicasets,pods", "-o", "name", minor: minor) == "")
      }
    }

    @Test("a rolling update under constant requests, to the NodePort and from a pod to the ClusterIP, fails no request")
    func rollingUpdateLosesNothing() async throws {
      try await Space.with("rolling") { space in
        let cluster = space.cluster
        // A new connection for every request, as fast as it goes, until it is told to end.
        let inside = """
          import http.client, signal, sys
          counts, going = [0, 0], [True]
          signal.signal(signal.SIGTERM, lambda *_: going.clear())
          print("started", flush=True)
          while going:
              c = http.client.HTTPConnection("web", 80, timeout=5)
              try:
                  c.request("GET", "/"); r = c.getresponse(); r.read(); assert r.status == 200, r.status; counts[0] += 1
              except BaseException as e: counts[1] += 1; print(repr(e), flush=True)
              c.close()
          print("ok=%d bad=%d" % tuple(counts), flush=True)
          """
        try await space.apply(Manifest.deployment("web", replicas: 3))
        try await cluster.rolledOut("web", namespace: space.name)
        try await space.apply(
          """
          apiVersion: v1
          kind: Pod
          metadata: { name: client }
          spec:
            restartPolicy: Never
            containers: [{ name: main, image: "\(Manifest.python)", command: [python3, -c, \(Value.string(inside).json)] }]
          """)
        try await space.ready("client")
        let answers = try space.kubectlRunning("logs", "-f", "client")
        #expect(await answers.waits { $0.contains("started") })
        let port = try await space.kubectl("get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}")
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
          try await space.apply(Manifest.deployment("web", replicas: 3, message: message))
          try await cluster.rolledOut("web", namespace: space.name)
        }
        #expect(FileManager.default.createFile(atPath: stop, contents: nil))
        try await space.kubectl("delete", "pod", "client", "--grace-period=20")
        for outcome in [await requests.outcome(), await answers.outcome()] {
          #expect(outcome.output.contains("bad=0"), "\(outcome)")
          #expect(!outcome.output.contains("ok=0"), "\(outcome)")
        }
      }
    }
  }
}

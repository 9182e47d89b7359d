import Foundation
import Testing
import Wire

extension OneCluster {
  /// What a container is given: environment and volumes.
  @Suite struct Configuration {
    private static let settings = """
      apiVersion: v1
      kind: ConfigMap
      metadata: { name: settings }
      data: { greeting: "hello\\n", other: "o" }
      binaryData: { raw: AAEC }
      ---
      apiVersion: v1
      kind: Secret
      metadata: { name: credentials }
      stringData: { user: admin, password: "s3cret" }
      """

    @Test("environment: values, $(VAR), fields, resources, config maps, secrets, envFrom, services")
    func environment() async throws {
      try await Space.with("environment") { space in
        let container = """
          args: ["--", "$(PLAIN)", "$$(PLAIN)", "$(NOBODY)"]
          resources: { requests: { cpu: 100m, memory: 16Mi }, limits: { cpu: 250m, memory: 32Mi } }
          envFrom:
          - { prefix: CM_, configMapRef: { name: plain } }
          - { secretRef: { name: credentials } }
          - { configMapRef: { name: absent, optional: true } }
          env:
          - { name: PLAIN, value: plain }
          - { name: EXPANDED, value: "$(PLAIN)-$(user)-$$(PLAIN)-$(LATER)" }
          - { name: LATER, value: later }
          - { name: POD, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
          - { name: NS, valueFrom: { fieldRef: { fieldPath: metadata.namespace } } }
          - { name: POD_UID, valueFrom: { fieldRef: { fieldPath: metadata.uid } } }
          - { name: LABEL, valueFrom: { fieldRef: { fieldPath: "metadata.labels['app.example/tier']" } } }
          - { name: POD_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
          - { name: HOST_IP, valueFrom: { fieldRef: { fieldPath: status.hostIP } } }
          - { name: NODE, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }
          - { name: ACCOUNT, valueFrom: { fieldRef: { fieldPath: spec.serviceAccountName } } }
          - { name: CPU_LIMIT, valueFrom: { resourceFieldRef: { resource: limits.cpu, divisor: 1m } } }
          - { name: CPUS, valueFrom: { resourceFieldRef: { resource: limits.cpu } } }
          - { name: MEMORY, valueFrom: { resourceFieldRef: { resource: requests.memory, divisor: 1Mi } } }
          - { name: GREETING, valueFrom: { configMapKeyRef: { name: plain, key: greeting } } }
          - { name: PASSWORD, valueFrom: { secretKeyRef: { name: credentials, key: password } } }
          - { name: ABSENT, valueFrom: { secretKeyRef: { name: credentials, key: absent, optional: true } } }
          """
        try await space.apply(
          Self.settings,
          """
          apiVersion: v1
          kind: ConfigMap
          metadata: { name: plain }
          data: { greeting: hello }
          binaryData: { raw: AAEC }
          ---
          apiVersion: v1
          kind: Service
          metadata: { name: my-cache }
          spec: { clusterIP: 10.96.7.7, ports: [{ name: redis, port: 6379 }] }
          """)
        try await space.apply(
          Manifest.pod("env", "env; echo \"args: $*\"", labels: "{ app.example/tier: web }", container: container))
        try await space.wait("env", "status.phase", is: "Succeeded")
        let lines = Set(try await space.kubectl("logs", "env").split(separator: "\n").map(String.init))
        let pod = try await space.pod("env")
        for line in [
          "PLAIN=plain", "EXPANDED=plain-admin-$(PLAIN)-$(LATER)", "POD=env", "NS=environment", "LABEL=web", "ACCOUNT=default",
          "POD_UID=\(pod["metadata"]["uid"].string ?? "?")", "POD_IP=\(pod["status"]["podIP"].string ?? "?")",
          "HOST_IP=\(pod["status"]["hostIP"].string ?? "?")", "NODE=\(pod["spec"]["nodeName"].string ?? "?")", "CPU_LIMIT=250",
          "CPUS=1", "MEMORY=16", "GREETING=hello", "PASSWORD=s3cret", "CM_greeting=hello", "user=admin", "password=s3cret",
          "MY_CACHE_SERVICE_HOST=10.96.7.7", "MY_CACHE_SERVICE_PORT_REDIS=6379", "MY_CACHE_PORT=tcp://10.96.7.7:6379",
          "KUBERNETES_SERVICE_HOST=10.96.0.1", "KUBERNETES_SERVICE_PORT=443", "HOSTNAME=env", "args: plain $(PLAIN) $(NOBODY)",
        ] { #expect(lines.contains(line), "\(line) in \(lines.sorted())") }
        #expect(!lines.contains { $0.hasPrefix("CM_raw") }, "binary data is no environment")
        #expect(!lines.contains { $0.hasPrefix("ABSENT=") })
      }
    }

    @Test("a pod that names what does not exist says so, and starts when it appears")
    func appearsLater() async throws {
      try await Space.with("later") { space in
        try await space.apply(
          Manifest.pod(
            "env", "echo $GREETING",
            container: "env: [{ name: GREETING, valueFrom: { configMapKeyRef: { name: settings, key: other } } }]"),
          Manifest.pod(
            "volume", "cat /v/other", container: "volumeMounts: [{ name: v, mountPath: /v }]",
            spec: "volumes: [{ name: v, configMap: { name: settings } }]"))
        let waiting = "status.containerStatuses[0].state.waiting"
        try await space.wait("env", "\(waiting).reason", is: "CreateContainerConfigError")
        #expect(
          try await space.pod("env")["status"]["containerStatuses"][0]["state"]["waiting"]["message"].string
            == "configmap \"settings\" not found")
        try await space.tells("env", "Failed: Error: configmap \"settings\" not found")
        try await space.wait("volume", "\(waiting).reason", is: "ContainerCreating")
        let mount = try space.kubectlRunning(
          "get", "events", "-w", "--field-selector", "involvedObject.name=volume", "-o", "jsonpath={.reason}: {.message}{\"\\n\"}")
        #expect(
          await mount.waits {
            $0.contains("FailedMount: MountVolume.SetUp failed for volume \"v\" : configmap \"settings\" not found")
          })
        mount.signal(SIGKILL)
        try await space.apply(Self.settings)
        for pod in ["env", "volume"] {
          try await space.wait(pod, "status.phase", is: "Succeeded")
          #expect(try await space.kubectl("logs", pod).trimmingCharacters(in: .newlines) == "o")
        }
      }
    }

    @Test("volumes: emptyDir (also in memory, shared), hostPath, configMap, secret, projected, downwardAPI, subPath")
    func volumes() async throws {
      try await Space.with("volumes") { space in
        let host = "\(space.cluster.dataDirectory)/shared-with-the-node"
        let spec = """
          volumes:
          - { name: disk, emptyDir: {} }
          - { name: memory, emptyDir: { medium: Memory, sizeLimit: 8Mi } }
          - { name: host, hostPath: { path: \(host), type: DirectoryOrCreate } }
          - { name: all, configMap: { name: settings, defaultMode: 0440 } }
          - { name: some, configMap: { name: settings, items: [{ key: greeting, path: deep/er/greeting, mode: 0400 }] } }
          - { name: optional, configMap: { name: absent, optional: true } }
          - { name: secret, secret: { secretName: credentials, defaultMode: 0400 } }
          - { name: down, downwardAPI: { items: [
              { path: labels, fieldRef: { fieldPath: metadata.labels } },
              { path: cpu, resourceFieldRef: { containerName: main, resource: limits.cpu, divisor: 1m } } ] } }
          - { name: mixed, projected: { sources: [
              { configMap: { name: settings, items: [{ key: other, path: from-map }] } },
              { secret: { name: credentials, items: [{ key: user, path: from-secret }] } },
              { downwardAPI: { items: [{ path: name, fieldRef: { fieldPath: metadata.name } }] } },
              { serviceAccountToken: { path: token, audience: somebody, expirationSeconds: 900 } } ] } }
          """
        let container = """
          resources: { limits: { cpu: 250m } }
          volumeMounts:
          - { name: disk, mountPath: /disk }
          - { name: disk, mountPath: /part, subPath: a/b }
          - { name: memory, mountPath: /memory }
          - { name: host, mountPath: /host }
          - { name: all, mountPath: /all }
          - { name: some, mountPath: /some }
          - { name: some, mountPath: /file, subPath: deep/er/greeting }
          - { name: optional, mountPath: /optional }
          - { name: secret, mountPath: /secret }
          - { name: down, mountPath: /down }
          - { name: mixed, mountPath: /mixed }
          """
        let checks = """
          echo part > /part/file; echo part=$(cat /disk/a/b/file)
          echo memory=$(grep ' /memory ' /proc/mounts | cut -d' ' -f3) $(df -m /memory | tail -1 | awk '{print $2}')
          echo host=$(cat /host/from-node); echo from pod > /host/from-pod
          echo all=$(ls /all | tr '\\n' ' ')$(stat -L -c %a /all/greeting) $(od -An -tx1 /all/raw)
          echo some=$(cat /some/deep/er/greeting) $(stat -L -c %a /some/deep/er/greeting)
          echo file=$(cat /file); echo optional=$(ls /optional)
          echo secret=$(cat /secret/password) $(stat -L -c %a /secret/password) $(grep ' /secret ' /proc/mounts | cut -d' ' -f3)
          echo down=$(cat /down/labels) $(cat /down/cpu)
          echo mixed=$(cat /mixed/from-map) $(cat /mixed/from-secret) $(cat /mixed/name) $(cut -d. -f1 /mixed/token | wc -c)
          for d in all secret mixed; do touch /$d/x 2>/dev/null && echo "$d is writable"; done
          touch /disk/ready; sleep 1000
          """
        let second =
          "- { name: second, image: \"\(Manifest.busybox)\", command: [sh, -c, \"while [ ! -e /disk/ready ]; do sleep 0.1; done; cat /disk/a/b/file; sleep 1000\"], volumeMounts: [{ name: disk, mountPath: /disk }] }"
        try FileManager.default.createDirectory(atPath: host, withIntermediateDirectories: true)
        try "from node".write(toFile: "\(host)/from-node", atomically: true, encoding: .utf8)
        try await space.apply(Self.settings)
        try await space.apply(
          Manifest.pod("volumes", checks, labels: "{ app: v }", container: container, spec: spec) + "\n"
            + Manifest.indented(second, by: 2))
        try await space.ready("volumes")
        let logs = try space.kubectlRunning("logs", "-f", "volumes", "--all-containers")
        defer { logs.signal(SIGKILL) }
        #expect(await logs.waits { $0.contains("mixed=") && $0.hasPrefix("part\n") || $0.contains("\npart\n") })
        let lines = Set(logs.output.split(separator: "\n").map(String.init))
        for line in [
          "part=part", "part", "memory=tmpfs 8", "host=from node", "all=greeting other raw 440 00 01 02", "some=hello 400",
          "file=hello", "optional=", "secret=s3cret 400 tmpfs", "down=app=\"v\" 250",
        ] { #expect(lines.contains(line), "\(line) in \(lines)") }
        #expect(lines.contains { $0.wholeMatch(of: /mixed=o admin volumes \d\d+/) != nil }, "\(lines)")
        #expect(!lines.contains { $0.hasSuffix("is writable") }, "\(lines)")
        #expect(try String(contentsOfFile: "\(host)/from-pod", encoding: .utf8) == "from pod\n")

        // A change is seen in the running pod; a changed pod is looked at at once, as the kubelet does.
        try await space.kubectl("patch", "configmap", "settings", "--type=merge", "-p", #"{"data":{"other":"changed","new":"n"}}"#)
        try await space.kubectl("label", "pod", "volumes", "seen=yes")
        try await space.exec(
          "volumes", "sh", "-c",
          "until [ \"$(cat /all/other /all/new)\" = changedn ] && grep -q seen=.yes /down/labels; do sleep 0.1; done",
          container: "main")
        // A directory that is bound by subPath keeps what it had, as upstream's does.
        #expect(try await space.exec("volumes", "cat", "/file", container: "main") == "hello\n")
      }
    }

    @Test(
      "a token is its containers' user's alone, or its group's; memory is no larger than the pod's; what would harm others is refused"
    )
    func privacy() async throws {
      try await Space.with("privacy") { space in
        let show = "d=/var/run/secrets/kubernetes.io/serviceaccount; stat -L -c '%a %u %g' $d/token; cut -d. -f1 $d/token | wc -c; "
        let memory = "df -k /m | tail -1 | awk '{print $2}'"
        let limits = "resources: { limits: { memory: 64Mi } }\nvolumeMounts: [{ name: m, mountPath: /m }]"
        let volume = "volumes: [{ name: m, emptyDir: { medium: Memory } }]"
        let second = "- { name: second, image: \"\(Manifest.busybox)\", command: [\"true\"], securityContext: { runAsUser: 0 } }"
        try await space.apply(
          Manifest.pod("user", show + memory, container: limits, spec: "securityContext: { runAsUser: 1000 }\n\(volume)"),
          Manifest.pod("group", show, spec: "securityContext: { runAsUser: 1000, fsGroup: 2000 }") + "\n"
            + Manifest.indented(second, by: 2),
          Manifest.pod("sysctl", "true", spec: "securityContext: { sysctls: [{ name: kernel.msgmax, value: \"65536\" }] }"),
          Manifest.pod(
            "safe", "cat /proc/sys/net/ipv4/tcp_fin_timeout",
            spec: "securityContext: { sysctls: [{ name: net.ipv4.tcp_fin_timeout, value: \"17\" }] }"),
          Manifest.pod("namespaces", "true", spec: "hostUsers: false"))
        for (pod, log) in [("user", "600 1000 0\n[0-9]+\n65536\n"), ("safe", "17\n")] {
          try await space.wait(pod, "status.phase", is: "Succeeded")
          let text = try await space.kubectl("logs", pod)
          #expect(try text.wholeMatch(of: Regex(log)) != nil, "\(pod): \(text)")
        }
        try await space.wait("group", "status.phase", is: "Succeeded")
        let group = try await space.kubectl("logs", "group", "-c", "main")
        #expect(group.hasPrefix("640 0 2000\n"), "\(group)")
        try await space.wait("sysctl", "status.phase", is: "Failed")
        let refused = try await space.pod("sysctl")["status"]
        #expect(refused["reason"].string == "SysctlForbidden")
        #expect(refused["message"].string == "Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted")
        let told = try space.kubectlRunning(
          "get", "events", "-w", "--field-selector", "involvedObject.name=namespaces", "-o",
          "jsonpath={.reason}: {.message}{\"\\n\"}")
        defer { told.signal(SIGKILL) }
        #expect(await told.waits { $0.contains("FailedCreatePodSandBox") && $0.contains("does not support user namespaces") })
      }
    }

    @Test("the pod's own token opens https://kubernetes.default.svc from inside: 200 connections in a row, none reset")
    func tokenWorks() async throws {
      try await Space.with("token") { space in
        try await space.kubectl("create", "rolebinding", "reads", "--clusterrole=view", "--serviceaccount=token:default")
        let script = """
          import http.client, json, os, ssl
          d = "/var/run/secrets/kubernetes.io/serviceaccount/"
          tls = ssl.create_default_context(cafile=d + "ca.crt")
          token, namespace = open(d + "token").read(), open(d + "namespace").read()
          for i in range(200):
              c = http.client.HTTPSConnection("kubernetes.default.svc", context=tls, timeout=10)
              c.request("GET", f"/api/v1/namespaces/{namespace}/pods", headers={"Authorization": "Bearer " + token})
              r = c.getresponse()
              pods = json.load(r)
              assert r.status == 200 and pods["items"][0]["metadata"]["name"] == "client", (i, r.status, pods)
              c.close()
          c = http.client.HTTPSConnection("kubernetes.default.svc", context=tls, timeout=10)
          c.request("GET", "/api/v1/secrets", headers={"Authorization": "Bearer " + token})
          r = c.getresponse()
          print(200, namespace, r.status, json.load(r)["message"].split(":")[1].split('"')[1])
          """
        try await space.apply(
          """
          apiVersion: v1
          kind: Pod
          metadata: { name: client }
          spec:
            restartPolicy: Never
            containers: [{ name: main, image: "\(Manifest.python)", command: [python3, -c, \(Value.string(script).json)] }]
          """)
        try await space.watch("client", "status.containerStatuses[0].state.terminated.reason", passes: ["Completed"])
        #expect(try await space.kubectl("logs", "client") == "200 token 403 system\n")
      }
    }
  }
}

import Foundation
import Testing
import Wire

extension OneCluster {
  /// Services and names as pods and the node see them.
  @Suite struct Services {
    /// A pod that answers with its name: TCP as HTTP, UDP as a datagram, both on ports with names.
    private static func backend(_ name: String, _ extra: String = "") -> String {
      let script = """
        import http.server, os, socket, threading
        name = os.uname().nodename
        class H(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200); self.end_headers(); self.wfile.write(name.encode())
            def log_message(self, *a): pass
        def udp():
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 5353))
            while True:
                data, peer = s.recvfrom(2000); s.sendto(name.encode(), peer)
        threading.Thread(target=udp, daemon=True).start()
        http.server.ThreadingHTTPServer(("", 8080), H).serve_forever()
        """
      return """
        apiVersion: v1
        kind: Pod
        metadata: { name: \(name), labels: { app: echo, pod: \(name) } }
        spec:
          terminationGracePeriodSeconds: 1
        \(Manifest.indented(extra, by: 2))
          containers:
          - name: main
            image: "\(Manifest.python)"
            command: [python3, -c, \(Value.string(script).json)]
            ports: [{ name: web, containerPort: 8080 }, { name: datagrams, containerPort: 5353, protocol: UDP }]
            readinessProbe: { tcpSocket: { port: web }, periodSeconds: 1 }
        """
    }

    private static let services = """
      apiVersion: v1
      kind: Service
      metadata: { name: echo }
      spec:
        type: NodePort
        selector: { app: echo }
        ports: [{ name: web, port: 80, targetPort: web }, { name: datagrams, port: 53, protocol: UDP, targetPort: datagrams }]
      ---
      apiVersion: v1
      kind: Service
      metadata: { name: each }
      spec: { clusterIP: None, selector: { app: echo }, ports: [{ name: web, port: 8080, targetPort: web }] }
      ---
      apiVersion: v1
      kind: Service
      metadata: { name: myself }
      spec: { selector: { pod: one }, ports: [{ port: 80, targetPort: web }] }
      ---
      apiVersion: v1
      kind: Service
      metadata: { name: alias }
      spec: { type: ExternalName, externalName: echo.services.svc.cluster.local }
      ---
      apiVersion: v1
      kind: Service
      metadata: { name: outside }
      spec: { type: ExternalName, externalName: www.example.org }
      """

    /// Asks as a resolver library does (`look`), and for single records (`ask`), from inside a pod.
    private static let client = """
      import socket, ssl, struct, sys, http.client
      def look(name):
          return sorted({a[4][0] for a in socket.getaddrinfo(name, 80, socket.AF_INET, socket.SOCK_STREAM)})
      def reverse(address):
          return socket.gethostbyaddr(address)[0]
      def get(host, port=80):
          c = http.client.HTTPConnection(host, port, timeout=5); c.request("GET", "/"); t = c.getresponse().read().decode(); c.close()
          return t
      def both(host):
          # Endpoints follow readiness and rules follow endpoints: until they are there, nobody answers, or one alone.
          while True:
              try: names = sorted({get(host) for _ in range(40)})
              except OSError: continue
              if len(names) == 2: return names
      def answers(host, text):
          while True:
              try:
                  if get(host) == text: return text
              except OSError: pass
      def until_stopping(host):
          # One request after the other, each of which must be answered, until a pod that was told to stop has answered two hundred.
          left = 200
          while left:
              if get(host) == "stopping": left -= 1
          return "all answered"
      def version(host):
          c = http.client.HTTPSConnection(host, 443, timeout=20,
              context=ssl.create_default_context(cafile="/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"))
          c.request("GET", "/version"); return c.getresponse().status
      def by_tcp(name):
          server = [l.split()[1] for l in open("/etc/resolv.conf") if l.startswith("nameserver")][0]
          q = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\\0" + struct.pack(">2H", 1, 1)
          s = socket.create_connection((server, 53), 20); s.sendall(struct.pack(">H", len(q)) + q)
          a = s.makefile("rb").read(struct.unpack(">H", s.makefile("rb", 0).read(2))[0])
          return socket.inet_ntoa(a[-4:])
      def udp(host, port):
          s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(b"?", (host, port))
          return s.recvfrom(2000)[0].decode()
      def srv(name):
          server = [l.split()[1] for l in open("/etc/resolv.conf") if l.startswith("nameserver")][0]
          q = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\\0" + struct.pack(">2H", 33, 1)
          s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(q, (server, 53)); a = s.recv(4096)
          def text(i):
              parts = []
              while a[i]:
                  if a[i] >= 192: parts.append(text((a[i] & 63) << 8 | a[i + 1])); return ".".join(parts)
                  parts.append(a[i + 1:i + 1 + a[i]].decode()); i += 1 + a[i]
              return ".".join(parts)
          i, found = len(q), []
          for _ in range(struct.unpack(">H", a[6:8])[0]):
              while a[i] and a[i] < 192: i += 1 + a[i]
              i += 2 if a[i] >= 192 else 1
              kind, _, _, length = struct.unpack(">2HIH", a[i:i + 10]); i += 10
              if kind == 33: found.append((struct.unpack(">H", a[i + 4:i + 6])[0], text(i + 6)))
              i += length
          return sorted(found)
      print(eval(sys.argv[1]))
      """

    @Test("ClusterIP, NodePort, headless, UDP and named ports lead to every pod; names, reverse names, SRV, search paths, aliases")
    func servicesAndNames() async throws {
      try await Space.with("services") { space in
        try await space.apply(
          Self.backend("one"), Self.backend("two", "hostname: second\nsubdomain: each"), Self.services,
          Manifest.pod("client", "sleep 1000", image: Manifest.python, labels: "{ app: client }"))
        try await space.ready("one", "two", "client")
        let cluster = space.cluster
        func client(_ expression: String) async throws -> String {
          try await space.exec("client", "python3", "-c", Self.client, expression).trimmingCharacters(in: .newlines)
        }
        let service = try await space.object("service", "echo")
        let address = try #require(service["spec"]["clusterIP"].string)
        let nodePort = try #require(service["spec"]["ports"][0]["nodePort"].int)
        let udpPort = try #require(service["spec"]["ports"][1]["nodePort"].int)
        let one = try #require(try await space.pod("one")["status"]["podIP"].string)
        let two = try #require(try await space.pod("two")["status"]["podIP"].string)
        let both = "['one', 'second']"
        #expect(try await client("both('echo')") == both)
        #expect(try await client("sorted({get('\(address)') for _ in range(60)})") == both)
        #expect(try await client("sorted({udp('echo', 53) for _ in range(60)})") == both)

        // The node's own address on a pod's link; and a pod that comes back to itself.
        #expect(try await client("sorted({get('10.42.0.1', \(nodePort)) for _ in range(60)})") == both)
        #expect(
          try await space.exec("one", "python3", "-c", Self.client, "sorted({get('myself') for _ in range(9)})") == "['one']\n")

        let host = "for i in $(seq 60); do curl -fsS --max-time 5 http://127.0.0.1:\(nodePort)/; echo; done | sort -u"
        #expect(try await Command.run(cluster.inside(["sh", "-c", host])).output == "one\nsecond\n")
        let datagrams =
          "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(b'?', ('127.0.0.1', \(udpPort))); print(s.recv(99).decode() in ('one', 'second'))"
        #expect(try await Command.run(cluster.inside(["python3", "-c", datagrams])).output == "True\n")

        for name in ["echo", "echo.services", "echo.services.svc", "echo.services.svc.cluster.local", "alias"] {
          #expect(try await client("look('\(name)')") == "['\(address)']", "\(name)")
        }
        #expect(try await client("look('each')") == "[\([one, two].sorted().map { "'\($0)'" }.joined(separator: ", "))]")
        #expect(try await client("look('second.each')") == "['\(two)']")
        #expect(try await client("look('kubernetes.default')") == "['10.96.0.1']")
        #expect(try await client("reverse('\(address)')") == "echo.services.svc.cluster.local")
        #expect(try await client("reverse('\(two)')") == "second.each.services.svc.cluster.local")
        #expect(
          try await client("srv('_web._tcp.echo.services.svc.cluster.local')") == "[(80, 'echo.services.svc.cluster.local')]")
        #expect(
          try await client("srv('_web._tcp.each.services.svc.cluster.local')")
            .contains("(8080, 'second.each.services.svc.cluster.local')"))
        #expect(
          try await client("srv('_datagrams._udp.echo.services.svc.cluster.local')")
            == "[(53, 'echo.services.svc.cluster.local')]")
        let unknown = try await space.tryKubectl(
          "exec", "client", "--", "python3", "-c", Self.client, "look('nobody.services.svc.cluster.local.')")
        #expect(unknown.errors.contains("Name or service not known"), "\(unknown)")
      }
    }

    @Test("a pod on the node's network has ports 443 and 53 of all addresses, and the API server and names are reached beside it")
    func ownPorts() async throws {
      let script = """
        import socket, threading
        def bind(kind, port):
            s = socket.socket(socket.AF_INET, kind); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("0.0.0.0", port))
            return s
        kept = [bind(socket.SOCK_DGRAM, 53), bind(socket.SOCK_STREAM, 53), bind(socket.SOCK_STREAM, 443)]
        for s in kept[1:]: s.listen()
        open("/up", "w")
        while True: c, _ = kept[2].accept(); c.recv(9999); c.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nmine"); c.close()
        """
      try await Space.with("own-ports") { space in
        try await space.apply(
          """
          apiVersion: v1
          kind: Pod
          metadata: { name: host }
          spec:
            hostNetwork: true
            dnsPolicy: ClusterFirstWithHostNet
            terminationGracePeriodSeconds: 1
            containers:
            - name: main
              image: "\(Manifest.python)"
              command: [python3, -c, \(Value.string(script).json)]
              readinessProbe: { exec: { command: [sh, -c, test -e /up] }, periodSeconds: 1, timeoutSeconds: 30 }
          """, Manifest.pod("client", "sleep 1000", image: Manifest.python))
        try await space.ready("host", "client")
        for pod in ["host", "client"] {
          func ask(_ expression: String) async throws -> String {
            try await space.exec(pod, "python3", "-c", Self.client, expression).trimmingCharacters(in: .newlines)
          }
          #expect(try await ask("look('kubernetes.default.svc.cluster.local')") == "['10.96.0.1']", "\(pod)")
          #expect(try await ask("by_tcp('kubernetes.default.svc.cluster.local')") == "10.96.0.1", "\(pod)")
          #expect(try await ask("version('kubernetes.default.svc.cluster.local')") == "200", "\(pod)")
          #expect(try await ask("get('10.42.0.1', 443)") == "mine", "\(pod)")
        }
        let cluster = space.cluster
        let version = try await Command.run(cluster.inside(["curl", "-ksS", "--max-time", "30", "https://10.96.0.1/version"]))
        #expect(version.output.contains("gitVersion"), "\(version)")
      }
    }

    @Test("a service whose only pod was told to stop leads to it for as long as it serves: no request fails")
    func stopping() async throws {
      let script = """
        import http.server, signal
        answer = b"serving"
        def stop(*a):
            global answer
            answer = b"stopping"
        signal.signal(signal.SIGTERM, stop)
        class H(http.server.BaseHTTPRequestHandler):
            def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(answer)
            def log_message(self, *a): pass
        http.server.ThreadingHTTPServer(("", 8080), H).serve_forever()
        """
      try await Space.with("stopping") { space in
        try await space.apply(
          """
          apiVersion: v1
          kind: Pod
          metadata: { name: lone, labels: { app: lone } }
          spec:
            terminationGracePeriodSeconds: 600
            containers:
            - name: main
              image: "\(Manifest.python)"
              command: [python3, -c, \(Value.string(script).json)]
              readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1, timeoutSeconds: 30 }
          ---
          apiVersion: v1
          kind: Service
          metadata: { name: lone }
          spec: { selector: { app: lone }, ports: [{ port: 80, targetPort: 8080 }] }
          """, Manifest.pod("client", "sleep 1000", image: Manifest.python))
        try await space.ready("lone", "client")
        func client(_ expression: String) async throws -> String {
          try await space.exec("client", "python3", "-c", Self.client, expression).trimmingCharacters(in: .newlines)
        }
        #expect(try await client("answers('lone', 'serving')") == "serving")
        async let requests = client("until_stopping('lone')")
        try await space.kubectl("delete", "pod", "lone", "--wait=false")
        #expect(try await requests == "all answered")
        let slices = try Value(
          json: Array(
            try await space.kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=lone", "-o", "json").utf8))
        let conditions = slices["items"][0]["endpoints"][0]["conditions"]
        #expect(conditions == ["ready": false, "serving": true, "terminating": true], "\(conditions.json)")
        try await space.kubectl("delete", "pod", "lone", "--force", "--grace-period=0")
      }
    }

    /// The server's first IPv4 resolver. The cluster's network namespace has no way out, so its address is free to be ours.
    private static let resolver: String? = {
      let configuration = (try? String(contentsOfFile: "/etc/resolv.conf", encoding: .utf8)) ?? ""
      let servers = configuration.split(separator: "\n").filter { $0.hasPrefix("nameserver ") }.map { String($0.dropFirst(11)) }
      return servers.first { !$0.contains(":") }
    }()

    @Test(
      "names of others are asked of the node's resolvers",
      .enabled(if: resolver != nil, "/etc/resolv.conf names no resolver that this test could stand for"))
    func forwarding() async throws {
      let cluster = try #require(SharedCluster.current)
      let resolver = try #require(Self.resolver)
      if !resolver.hasPrefix("127.") {
        try await Command.run(cluster.inside(["ip", "address", "add", "\(resolver)/32", "dev", "lo"]))
      }
      let stub = """
        import socket
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("\(resolver)", 53)); print("up", flush=True)
        while True:
            q, peer = s.recvfrom(4096)
            end = q.index(b"\\0", 12) + 5
            a = end and q[end - 4:end - 2] == b"\\0\\1"
            known = q[12:end - 4].lower() == b"\\3www\\7example\\3org\\0"
            flags = b"\\x81\\x80" if known else b"\\x81\\x83"
            n = 1 if known and a else 0
            s.sendto(q[:2] + flags + q[4:6] + bytes([0, n, 0, 0, 0, 0]) + q[12:end] + (b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4" + bytes([203, 0, 113, 7])) * n, peer)
        """
      let server = try Running(cluster.inside(["python3", "-c", stub]))
      defer { server.signal(SIGKILL) }
      try #require(await server.waits { $0.contains("up") }, "\(server.errors)")
      try await Space.with("forwarding") { space in
        try await space.apply(
          String(Self.services.split(separator: "---\n").last ?? ""),
          Manifest.pod("client", "sleep 1000", image: Manifest.python))
        try await space.ready("client")
        func client(_ expression: String) async throws -> Command.Outcome {
          try await space.tryKubectl("exec", "client", "--", "python3", "-c", Self.client, expression)
        }
        #expect(try await client("look('www.example.org')").output == "['203.0.113.7']\n")
        #expect(try await client("look('outside')").output == "['203.0.113.7']\n")
        #expect(try await client("look('absent.example.org')").errors.contains("Name or service not known"))
      }
    }
  }
}

import Foundation
import Glibc
import Testing

/// What keeps Gantry from starting: each says what is wrong and what to do, exits with a code that scripts can use, and leaves nothing.
@Suite struct StartTests {
  /// A network namespace and a directory that are gone afterwards.
  static func place(_ body: (_ inside: [String], _ directory: String) async throws -> Void) async throws {
    let id = "gt-\(String(UInt32.random(in: .min ... .max), radix: 36))"
    let directory = "/tmp/gantry-start-\(id)"
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
    try await Command.run(["ip", "netns", "add", id])
    let inside = ["nsenter", "--net=/run/netns/\(id)"]
    await Patience.places.take()
    var failure: (any Error)?
    do {
      try await Command.run(inside + ["ip", "link", "set", "lo", "up"])
      try await body(inside, directory)
    } catch { failure = error }
    await Patience.places.giveBack()
    // What a test that failed left running.
    for pid in try await Command.run(["ip", "netns", "pids", id]).output.split(separator: "\n") { kill(Int32(pid) ?? 0, SIGKILL) }
    try await Command.run(["sh", "-c", "grep -F \(directory) /proc/mounts | cut -d' ' -f2 | tac | xargs -r umount -l"])
    try await Command.run(["ip", "netns", "del", id])
    try FileManager.default.removeItem(atPath: directory)
    if let failure { throw failure }
  }

  @Test(
    "an option that cannot be is refused by its name, with the way out",
    arguments: [
      ["up", "--node-name", "Bad_Name", "lower-case letters"],
      ["up", "--node-ip", "nonsense", "IP address"],
      ["up", "--node-label", "disk", "KEY=VALUE"],
      ["up", "--network", "weave", "external"],
      ["up", "--containerd", "containerd.sock", "/run/containerd/containerd.sock"],
      ["server", "--listen", "127.0.0.1", "ADDRESS:PORT"],
      ["server", "--listen", "127.0.0.1:99999", "ADDRESS:PORT"],
      ["server", "--data-dir", "relative", "absolute path"],
      ["server", "--service-cidr", "nonsense", "10.42.0.0/16"],
      ["server", "--cluster-cidr", "10.42.0.0/33", "10.42.0.0/16"],
      ["up", "--cluster-cidr", "10.42.0.0/25", "/24"],
      ["up", "--cluster-cidr", "10.96.0.0/16", "--service-cidr"],
      ["server", "--service-cidr", "10.97.0.0/29", "sixteen addresses"],
      ["server", "--tls-san", "bad name", "DNS name"],
      ["server", "--advertise-address", "example.org", "IP address"],
      ["server", "--cluster-domain", "Cluster_Local", "DNS name"],
      ["server", "--datastore", "mysql://x", "sqlite:///PATH"],
      ["server", "--certificate-lifetime", "0", "hours"],
      ["server", "--log-level", "loud", "info"],
    ])
  func badOptions(_ words: [String]) async throws {
    let outcome = try await Command.run([Cluster.gantry] + words.dropLast(), mayFail: true)
    #expect(outcome.status == 64)
    #expect(outcome.errors.contains(words[1]) && outcome.errors.contains(words[3]), "\(outcome)")
  }

  @Test("a port and a data directory in use name who has them; the one that runs goes on")
  func inUse() async throws {
    try await Self.place { inside, directory in
      let first = try Running(inside + [Cluster.gantry, "server", "--data-dir", "\(directory)/a"])
      #expect(await first.waits { $0.contains("ready") })
      let port = try await Command.run(
        inside + [Cluster.gantry, "server", "--data-dir", "\(directory)/b"], mayFail: true)
      #expect(port.status == 1)
      #expect(port.errors.contains("port 6443 on 127.0.0.1 is in use") && port.errors.contains("--listen"), "\(port)")
      let data = try await Command.run(
        inside + [Cluster.gantry, "server", "--data-dir", "\(directory)/a", "--listen", "127.0.0.1:7443"],
        mayFail: true)
      #expect(data.status == 1)
      #expect(data.errors.contains("in use by process") && data.errors.contains("gantry down"), "\(data)")
      let running = try await Command.run([Cluster.gantry, "status", "--data-dir", "\(directory)/a"])
      #expect(running.output.contains("running as process"))
      first.signal(SIGTERM)
      #expect(await first.outcome().status == 0)
      let stopped = try await Command.run([Cluster.gantry, "status", "--data-dir", "\(directory)/a"], mayFail: true)
      #expect(stopped.status == 1 && stopped.errors.contains("gantry up"), "\(stopped)")
    }
  }

  @Test("without root, programs or a runtime nothing is left running, and the sentence says what to do")
  func missing() async throws {
    try await Self.place { inside, directory in
      let copy = "\(directory)/gantry"
      // Not copied by this process: a program started meanwhile would inherit the open file, which may not be executed then.
      try await Command.run(["cp", Cluster.gantry, copy])
      let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
      let noRoot = try await Command.run(
        inside + nobody + [copy, "up", "--data-dir", "/tmp/nobody"], mayFail: true)
      #expect(noRoot.status == 1 && noRoot.errors.contains("need root") && noRoot.errors.contains("sudo"), "\(noRoot)")
      let noRight = try await Command.run(
        inside + nobody + [copy, "server", "--data-dir", "\(directory)/private"], mayFail: true)
      #expect(noRight.status == 1 && noRight.errors.contains("--data-dir"), "\(noRight)")

      // A program that may not be executed is one that is not there.
      let noProgram = try await Command.run(
        inside + [
          "unshare", "-m", "sh", "-c",
          "mount --bind /dev/null $(command -v nft) && exec \(Cluster.gantry) up --data-dir \(directory)/d --node-name n1",
        ], mayFail: true)
      #expect(noProgram.status == 1 && noProgram.errors.contains("apt-get install nftables"), "\(noProgram)")

      let noRuntime = try await Command.run(
        inside + [
          Cluster.gantry, "up", "--data-dir", "\(directory)/d", "--node-name", "n1", "--containerd", "\(directory)/none.sock",
        ],
        mayFail: true)
      #expect(noRuntime.status == 1)
      #expect(noRuntime.errors.contains("no container runtime answers on \(directory)/none.sock"), "\(noRuntime)")
      #expect(!noRuntime.output.contains("ready"), "ready was said of a node that cannot run pods")

      let noLabel = try await Command.run(
        inside + [Cluster.gantry, "up", "--data-dir", "\(directory)/d", "--node-name", "n1", "--node-label", "bad key=x"],
        mayFail: true)
      #expect(noLabel.status == 1 && noLabel.errors.contains("bad key"), "\(noLabel)")
      try await Command.run(inside + [Cluster.gantry, "down", "--data-dir", "\(directory)/d", "--purge"])
    }
  }

  @Test("a server token that is gone or cut off is named: a new one would never open the datastore again")
  func lostToken() async throws {
    try await Self.place { inside, directory in
      let data = "\(directory)/d"
      let server = try Running(inside + [Cluster.gantry, "server", "--data-dir", data])
      #expect(await server.waits { $0.contains("ready") })
      server.signal(SIGTERM)
      #expect(await server.outcome().status == 0)
      let token = try String(contentsOfFile: "\(data)/server-token", encoding: .utf8)
      for rest in [nil, "", String(token.prefix(5))] as [String?] {
        try FileManager.default.removeItem(atPath: "\(data)/server-token")
        if let rest { try Data(rest.utf8).write(to: URL(fileURLWithPath: "\(data)/server-token")) }
        let refused = try await Command.run(inside + [Cluster.gantry, "server", "--data-dir", data], mayFail: true)
        #expect(refused.status == 1 && refused.errors.contains("\(data)/server-token, which is missing or damaged"), "\(refused)")
        try Data(token.utf8).write(to: URL(fileURLWithPath: "\(data)/server-token"))
      }
      let again = try Running(inside + [Cluster.gantry, "server", "--data-dir", data])
      #expect(await again.waits { $0.contains("ready") })
      again.signal(SIGTERM)
      #expect(await again.outcome().status == 0)
    }
  }

  @Test("a datastore that is gone, or of another cluster, is not taken for this one's")
  func wrongDatastore() async throws {
    try await Self.place { inside, directory in
      for name in ["a", "b"] {
        let server = try Running(inside + [Cluster.gantry, "server", "--data-dir", "\(directory)/\(name)"])
        #expect(await server.waits { $0.contains("ready") })
        server.signal(SIGTERM)
        #expect(await server.outcome().status == 0)
      }
      let wrong = try await Command.run(
        inside + [Cluster.gantry, "server", "--data-dir", "\(directory)/a", "--datastore", "sqlite://\(directory)/b/state.db"],
        mayFail: true)
      #expect(wrong.status == 1 && wrong.errors.contains("belongs to cluster"), "\(wrong)")
      try await Command.run(["sh", "-c", "mkdir \(directory)/away && mv \(directory)/a/state.db* \(directory)/away"])
      let gone = try await Command.run(inside + [Cluster.gantry, "server", "--data-dir", "\(directory)/a"], mayFail: true)
      #expect(gone.status == 1 && gone.errors.contains("is gone") && gone.errors.contains("gantry restore"), "\(gone)")
      try await Command.run(["sh", "-c", "mv \(directory)/away/* \(directory)/a"])
      let again = try Running(inside + [Cluster.gantry, "server", "--data-dir", "\(directory)/a"])
      #expect(await again.waits { $0.contains("ready") })
      again.signal(SIGTERM)
      #expect(await again.outcome().status == 0)
    }
  }

  @Test("a data directory that is a file, a datastore that is none, a disk without room: named, with the way out")
  func unusable() async throws {
    try await Self.place { inside, directory in
      func server(_ options: String...) async throws -> Command.Outcome {
        try await Command.run(inside + [Cluster.gantry, "server"] + options, mayFail: true)
      }
      try Data("x".utf8).write(to: URL(fileURLWithPath: "\(directory)/file"))
      let file = try await server("--data-dir", "\(directory)/file")
      #expect(file.status == 1 && file.errors.contains("is not a directory"), "\(file)")

      try Data(String(repeating: "garbage", count: 1000).utf8).write(to: URL(fileURLWithPath: "\(directory)/bad.db"))
      let damaged = try await server("--data-dir", "\(directory)/d", "--datastore", "sqlite://\(directory)/bad.db")
      #expect(damaged.status == 1)
      #expect(damaged.errors.contains("bad.db is damaged") && damaged.errors.contains("gantry restore"), "\(damaged)")

      let small = try await Command.run(
        inside + [
          "unshare", "-m", "sh", "-c",
          "mkdir \(directory)/small && mount -t tmpfs -o size=100k t \(directory)/small && exec \(Cluster.gantry) server --data-dir \(directory)/small",
        ], mayFail: true)
      #expect(small.status == 1)
      #expect(small.errors.hasPrefix("gantry: the disk that holds") && small.errors.contains("free space"), "\(small)")
    }
  }

  @Test("a disk that fills up refuses writes and says so in /readyz; reads go on, nothing is lost, and it ends with the shortage")
  func fullDisk() async throws {
    try await Self.place { inside, directory in
      let data = "\(directory)/data"
      try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
      try await Command.run(["mount", "-t", "tmpfs", "-o", "size=24m", "gantry-test", data])
      let server = try Running(inside + [Cluster.gantry, "server", "--data-dir", data])
      func kubectl(_ arguments: String..., input: String? = nil) async throws -> Command.Outcome {
        try await Command.run(
          inside + [Cluster.kubectlPath(37), "--kubeconfig", "\(data)/admin.kubeconfig"] + arguments, input: input,
          mayFail: true)
      }
      #expect(await server.waits { $0.contains("ready") })
      for name in ["before", "victim"] {
        #expect(try await kubectl("create", "configmap", name, "--from-literal=a=1").status == 0)
      }
      _ = try await Command.run(["dd", "if=/dev/zero", "of=\(data)/filler", "bs=64k"], mayFail: true)

      let large = String(repeating: "x", count: 100_000)
      var refusal = ""
      for number in 0..<20 where refusal.isEmpty {
        let outcome = try await kubectl("create", "configmap", "big-\(number)", "--from-literal=a=\(large)")
        if outcome.status != 0 { refusal = outcome.errors }
      }
      #expect(refusal.contains("is full") && refusal.contains("free space"), "\(refusal)")
      let ready = try await kubectl("get", "--raw", "/readyz")
      #expect(ready.status != 0 && ready.description.contains("datastore"), "\(ready)")
      #expect(try await kubectl("get", "--raw", "/livez").output == "ok", "a restart frees no disk")
      #expect(try await kubectl("get", "configmap", "before", "-o", "jsonpath={.data.a}").output == "1")

      // A server that dies meanwhile comes back on the full disk: through it the disk can be freed.
      server.signal(SIGKILL)
      _ = await server.outcome()
      _ = try await Command.run(["dd", "if=/dev/zero", "of=\(data)/filler2", "bs=1k"], mayFail: true)
      let again = try Running(inside + [Cluster.gantry, "server", "--data-dir", data])
      #expect(await again.waits { $0.contains("ready") }, "\(again.errors)")
      let deletion = try await kubectl("delete", "configmap", "victim")
      #expect(deletion.status == 0, "\(deletion)")
      #expect(try await kubectl("get", "configmap", "before", "-o", "jsonpath={.data.a}").output == "1")

      try FileManager.default.removeItem(atPath: "\(data)/filler")
      try FileManager.default.removeItem(atPath: "\(data)/filler2")
      #expect(try await kubectl("create", "configmap", "after", "--from-literal=a=2").status == 0)
      #expect(try await kubectl("get", "--raw", "/readyz").output == "ok")
      again.signal(SIGKILL)
      _ = await again.outcome()
      let second = try Running(inside + [Cluster.gantry, "server", "--data-dir", data])
      #expect(await second.waits { $0.contains("ready") })
      #expect(try await kubectl("get", "configmap", "before", "after", "-o", "jsonpath={.items[*].data.a}").output == "1 2")
      second.signal(SIGTERM)
      #expect(await second.outcome().status == 0)
      try await Command.run(["umount", data])
    }
  }

  @Test("a backup of a running server restores to one that has everything, secrets too")
  func backup() async throws {
    try await Self.place { inside, directory in
      let (first, second) = ("\(directory)/a", "\(directory)/b")
      func kubectl(_ data: String, _ arguments: String...) async throws -> String {
        try await Command.run(inside + [Cluster.kubectlPath(37), "--kubeconfig", "\(data)/admin.kubeconfig"] + arguments).output
      }
      let server = try Running(inside + [Cluster.gantry, "server", "--data-dir", first])
      #expect(await server.waits { $0.contains("ready") })
      _ = try await kubectl(first, "create", "secret", "generic", "s", "--from-literal=word=sesame")
      try await Command.run([Cluster.gantry, "backup", "--data-dir", first, "\(directory)/backup.db"])
      let again = try await Command.run(
        [Cluster.gantry, "backup", "--data-dir", first, "\(directory)/backup.db"], mayFail: true)
      #expect(again.status == 1 && again.errors.contains("exists"), "\(again)")
      _ = try await kubectl(first, "create", "configmap", "later", "--from-literal=a=1")
      let revision = try await kubectl(first, "get", "configmap", "later", "-o", "jsonpath={.metadata.resourceVersion}")
      server.signal(SIGKILL)
      _ = await server.outcome()
      // What was acknowledged after a backup survives a crash as ever.
      let once = try Running(inside + [Cluster.gantry, "server", "--data-dir", first])
      #expect(await once.waits { $0.contains("ready") })
      #expect(try await kubectl(first, "get", "configmap", "later", "-o", "jsonpath={.data.a}") == "1")
      once.signal(SIGTERM)
      #expect(await once.outcome().status == 0)

      try FileManager.default.createDirectory(
        atPath: second, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      let lost = try await Command.run(
        [Cluster.gantry, "restore", "--data-dir", second, "\(directory)/backup.db"], mayFail: true)
      #expect(lost.status == 1 && lost.errors.contains("server-token"), "\(lost)")
      try Data(String(repeating: "0", count: 40).utf8).write(to: URL(fileURLWithPath: "\(second)/server-token"))
      let foreign = try await Command.run(
        [Cluster.gantry, "restore", "--data-dir", second, "\(directory)/backup.db"], mayFail: true)
      #expect(foreign.status == 1 && foreign.errors.contains("another server token"), "\(foreign)")
      try FileManager.default.removeItem(atPath: "\(second)/server-token")
      try FileManager.default.copyItem(atPath: "\(first)/server-token", toPath: "\(second)/server-token")
      try Data("junk".utf8).write(to: URL(fileURLWithPath: "\(directory)/junk.db"))
      let junk = try await Command.run([Cluster.gantry, "restore", "--data-dir", second, "\(directory)/junk.db"], mayFail: true)
      #expect(junk.status == 1 && junk.errors.contains("junk.db is damaged"), "\(junk)")
      try await Command.run([Cluster.gantry, "restore", "--data-dir", second, "\(directory)/backup.db"])
      let restored = try Running(inside + [Cluster.gantry, "server", "--data-dir", second])
      #expect(await restored.waits { $0.contains("ready") })
      #expect(try await kubectl(second, "get", "secret", "s", "-o", "jsonpath={.data.word}") == "c2VzYW1l")
      let missing = try await kubectl(second, "get", "configmap", "later", "--ignore-not-found")
      #expect(missing.isEmpty)
      _ = try await kubectl(second, "create", "configmap", "new", "--from-literal=a=1")
      let after = try await kubectl(second, "get", "configmap", "new", "-o", "jsonpath={.metadata.resourceVersion}")
      #expect(try #require(Int(after)) > #require(Int(revision)), "revisions never repeat")
      restored.signal(SIGTERM)
      #expect(await restored.outcome().status == 0)
    }
  }

  @Test("a service manager that waits for readiness is told")
  func notify() async throws {
    try await Self.place { inside, directory in
      let listener = """
        import socket, subprocess, sys
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind("\(directory)/notify")
        s.settimeout(240)
        server = subprocess.Popen(["\(Cluster.gantry)", "server", "--data-dir", "\(directory)/d"], env={"NOTIFY_SOCKET": "\(directory)/notify"})
        try: print(s.recv(100).decode())
        finally: server.terminate(); server.wait()
        """
      let told = try await Command.run(inside + ["python3", "-c", listener]).output
      #expect(told.contains("READY=1"))
    }
  }

  @Test("the server renews its certificates while it runs")
  func renewal() async throws {
    try await Self.place { inside, directory in
      // 30 seconds: renewed after 20.
      let server = try Running(
        inside + [Cluster.gantry, "server", "--data-dir", "\(directory)/d", "--certificate-lifetime", "0.00834"])
      #expect(await server.waits { $0.contains("ready") })
      let kubeconfig = "\(directory)/d/admin.kubeconfig"
      func serial() async throws -> String {
        let command = "openssl s_client -connect 127.0.0.1:6443 </dev/null 2>/dev/null | openssl x509 -noout -serial"
        return try await Command.run(inside + ["sh", "-c", command]).output
      }
      let (first, firstFile) = (try await serial(), try String(contentsOfFile: kubeconfig, encoding: .utf8))
      #expect(first.hasPrefix("serial="))
      #expect(await server.waits { $0.contains("certificates renewed") })
      #expect(try await serial() != first)
      #expect(try String(contentsOfFile: kubeconfig, encoding: .utf8) != firstFile)
      let answer = try await Command.run(
        inside + [Cluster.kubectlPath(37), "--kubeconfig", kubeconfig, "get", "--raw", "/readyz"])
      #expect(answer.output == "ok")
      server.signal(SIGTERM)
      #expect(await server.outcome().status == 0)
    }
  }
}

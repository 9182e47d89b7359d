import Foundation
import Testing

/// The image registry as clients use it: over TLS, with a certificate or a token, blobs of any size.
@Suite struct RegistryTests {
  /// A server alone; `curl` speaks to it as the administrator, or as nobody.
  struct Registry {
    let inside: [String]
    let directory: String

    func curl(_ path: String, _ options: String..., asAdmin: Bool = true) async throws -> String {
      let identity = asAdmin ? ["--cert", "\(directory)/client.cert", "--key", "\(directory)/client.key"] : []
      return try await Command.run(
        inside + ["curl", "-sS", "--max-time", "100", "--cacert", "\(directory)/d/ca.crt"] + identity + options
          + ["https://127.0.0.1:6443\(path)"]
      ).output
    }

    func status(_ path: String, _ options: String..., asAdmin: Bool = true) async throws -> String {
      let identity = asAdmin ? ["--cert", "\(directory)/client.cert", "--key", "\(directory)/client.key"] : []
      return try await Command.run(
        inside + ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", "\(directory)/d/ca.crt"] + identity + options
          + ["https://127.0.0.1:6443\(path)"]
      ).output
    }
  }

  static func with(_ body: (Registry, Running) async throws -> Void) async throws {
    try await StartTests.place { inside, directory in
      let server = try Running(inside + [Cluster.gantry, "server", "--data-dir", "\(directory)/d"])
      #expect(await server.waits { $0.contains("ready") })
      for (path, file) in [("client-certificate-data", "client.cert"), ("client-key-data", "client.key")] {
        let query = "jsonpath={.users[0].user.\(path)}"
        let encoded = try await Command.run([
          Cluster.kubectlPath(37), "--kubeconfig", "\(directory)/d/admin.kubeconfig", "config", "view", "--raw", "-o", query,
        ]).output
        try #require(Data(base64Encoded: encoded)).write(to: URL(fileURLWithPath: "\(directory)/\(file)"))
      }
      try await body(Registry(inside: inside, directory: directory), server)
      server.signal(SIGTERM)
      #expect(await server.outcome().status == 0)
    }
  }

  @Test("a blob of 200 MB goes in and out in pieces: the same bytes, and memory does not grow with it")
  func large() async throws {
    try await Self.with { registry, server in
      let file = "\(registry.directory)/blob"
      try await Command.run(["sh", "-c", "head -c 209715200 /dev/urandom > \(file)"])
      let digest = try await Command.run(["sha256sum", file]).output.prefix(64)
      let start = try await registry.curl("/v2/big/blobs/uploads/", "-X", "POST", "-o", "/dev/null", "-w", "%header{location}")
      #expect(start.hasPrefix("/v2/big/blobs/uploads/"))
      // The first half, then a connection that breaks, then the rest from where the server says it is.
      try await Command.run(["sh", "-c", "head -c 100000000 \(file) > \(file).1 && tail -c +100000001 \(file) > \(file).2"])
      let half = try await registry.curl(start, "-X", "PATCH", "-T", "\(file).1", "-o", "/dev/null", "-w", "%header{range}")
      #expect(half == "0-99999999")
      let wrong = try await registry.status(start, "-X", "PATCH", "-H", "Content-Range: 5-10", "-d", "xxxxxx")
      #expect(wrong == "416")
      #expect(try await registry.status("\(start)?digest=sha256:\(digest)", "-X", "PUT", "-T", "\(file).2") == "201")
      let back = try await Command.run([
        "sh", "-c",
        (registry.inside + [
          "curl", "-sS", "--cacert", "\(registry.directory)/d/ca.crt", "--cert", "\(registry.directory)/client.cert", "--key",
          "\(registry.directory)/client.key", "https://127.0.0.1:6443/v2/big/blobs/sha256:\(digest)",
        ]).joined(separator: " ") + " | sha256sum",
      ]).output.prefix(64)
      #expect(back == digest)
      let part = try await registry.curl(
        "/v2/big/blobs/sha256:\(digest)", "-H", "Range: bytes=10-19", "-o", "/dev/null", "-w", "%{http_code} %{size_download}")
      #expect(part == "206 10")
      let status = try String(contentsOfFile: "/proc/\(server.pid)/status", encoding: .utf8)
      let peak = status.split(separator: "\n").first { $0.hasPrefix("VmHWM") }?.filter(\.isNumber)
      #expect(try #require(peak.flatMap { Int($0) }) < 150_000, "kB resident at most")
    }
  }

  @Test("nobody gets in without a certificate or token; names and digests that cannot be are refused in the specification's words")
  func refusals() async throws {
    try await Self.with { registry, _ in
      #expect(try await registry.status("/v2/", asAdmin: false) == "401")
      #expect(try await registry.curl("/v2/", "-i", asAdmin: false).lowercased().contains("www-authenticate"))
      #expect(try await registry.status("/v2/") == "200")
      for (path, code) in [
        ("/v2/a/manifests/none", "MANIFEST_UNKNOWN"), ("/v2/A/manifests/1", "NAME_INVALID"),
        ("/v2/a/blobs/sha256:12", "DIGEST_INVALID"), ("/v2/..%2f..%2fetc/manifests/1", "NAME_INVALID"),
        ("/v2/a/tags/list", "NAME_UNKNOWN"), ("/v2/a/manifests/.x", "TAG_INVALID"),
      ] {
        let answer = try await registry.curl(path, "--path-as-is")
        #expect(answer.contains("\"code\":\"\(code)\""), "\(path): \(answer)")
      }
      let broken = try await registry.curl("/v2/a/manifests/1", "-X", "PUT", "-d", "{\"schemaVersion\": 1}")
      #expect(broken.contains("MANIFEST_INVALID") && broken.contains("schemaVersion"), "\(broken)")
    }
  }

  @Test("skopeo pushes and pulls an image: the same manifest comes back, tags are listed, a deleted one is gone")
  func skopeo() async throws {
    try await Self.with { registry, _ in
      let certificates = "--src-cert-dir=\(registry.directory)/certs"
      try await Command.run([
        "sh", "-c",
        "mkdir \(registry.directory)/certs && cp \(registry.directory)/d/ca.crt \(registry.directory)/client.cert \(registry.directory)/client.key \(registry.directory)/certs",
      ])
      try await Command.run(
        registry.inside + [
          "python3", "\(Cluster.root)/examples/images/build", "--push", "127.0.0.1:6443", "--certs", "\(registry.directory)/certs",
          "busybox",
        ])
      let catalog = try await registry.curl("/v2/_catalog")
      #expect(catalog.contains("busybox"))
      let tags = try await registry.curl("/v2/busybox/tags/list")
      let list = try #require(try JSONSerialization.jsonObject(with: Data(tags.utf8)) as? [String: Any])
      let tag = try #require((list["tags"] as? [String])?.first)
      try await Command.run(
        registry.inside + [
          "skopeo", "copy", "-q", certificates, "docker://127.0.0.1:6443/busybox:\(tag)", "dir:\(registry.directory)/pulled",
        ])
      let pulled = try await Command.run(["sha256sum", "\(registry.directory)/pulled/manifest.json"]).output.prefix(64)
      let accept = "application/vnd.oci.image.manifest.v1+json"
      let digest = try await registry.curl(
        "/v2/busybox/manifests/\(tag)", "-I", "-H", "Accept: \(accept)", "-o", "/dev/null", "-w", "%header{docker-content-digest}")
      #expect(digest == "sha256:\(pulled)")
      #expect(try await registry.status("/v2/busybox/manifests/\(digest)", "-X", "DELETE") == "202")
      #expect(try await registry.status("/v2/busybox/manifests/\(tag)") == "404")
    }
  }
}

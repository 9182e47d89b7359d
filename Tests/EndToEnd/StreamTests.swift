import Foundation
import Testing
import Wire

extension OneCluster {
  /// exec, attach, cp and port-forward with the real clients.
  @Suite struct Streams {
    @Test("logs -f follows, exec answers with output, input, exit code and a terminal")
    func logsAndExec() async throws {
      try await Space.with("exec") { space in
        try await space.apply(
          Manifest.pod(
            "talker", "echo first; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo second; exec sleep 1000"))
        try await space.ready("talker")
        let logs = try space.kubectlRunning("logs", "-f", "talker")
        #expect(await logs.waits { $0.contains("first") })
        for minor in [31, 37] {
          #expect(try await space.exec("talker", "sh", "-c", "echo out; echo err >&2", minor: minor) == "out\n")
          #expect(
            try await space.kubectl("exec", "-i", "talker", "--", "cat", input: "through stdin\n", minor: minor)
              == "through stdin\n")
          let failed = try await space.tryKubectl("exec", "talker", "--", "sh", "-c", "exit 7", minor: minor)
          #expect(failed.status == 7, "\(failed)")
          let absent = try await space.tryKubectl("exec", "talker", "--", "no-such-program", minor: minor)
          #expect(absent.status != 0 && absent.errors.contains("no-such-program"), "\(absent)")
          let terminal = try await Terminal.run(
            space.cluster.kubectlWords(
              [
                "--namespace", "exec", "exec", "-it", "talker", "--", "sh", "-c",
                "tty; until stty size | grep -qv ^0; do sleep 0.1; done; stty size; read x; echo got $x; exit 5",
              ],
              minor: minor),
            input: "typed\n", rows: 33, columns: 77)
          #expect(terminal.status == 5 && terminal.output.contains("/dev/pts/"), "\(terminal)")
          #expect(terminal.output.contains("33 77") && terminal.output.contains("got typed"), "\(terminal)")
        }
        try await space.exec("talker", "touch", "/tmp/go")
        #expect(await logs.waits { $0.contains("second") })
        try await space.kubectl("delete", "pod", "talker", "--grace-period=1")
        _ = await logs.outcome()
        #expect(logs.output == "first\nsecond\n")
      }
    }

    @Test("sixty at once all answer, and so does the next one")
    func manyAtOnce() async throws {
      try await Space.with("crowd") { space in
        try await space.apply(Manifest.pod("busy", "exec sleep 1000"))
        try await space.ready("busy")
        let running = try (0..<60).map { i in
          (i, try space.kubectlRunning("exec", "busy", "--", "sh", "-c", "echo answer \(i)", minor: [31, 37][i % 2]))
        }
        defer { for (_, command) in running { command.signal(SIGKILL) } }
        for (i, command) in running {
          #expect(await command.waits { $0.contains("answer \(i)\n") }, "\(i): \(command.output)")
          #expect(await command.outcome().status == 0)
        }
        #expect(try await space.exec("busy", "echo", "still here") == "still here\n")
      }
    }

    @Test("cp both ways keeps every byte")
    func copy() async throws {
      try await Space.with("copy") { space in
        try await space.apply(Manifest.pod("box", "sleep 1000"))
        try await space.ready("box")
        let directory = "\(space.cluster.dataDirectory)/copy"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        var bytes = Data(count: 3 << 20)
        for i in bytes.indices { bytes[i] = UInt8(truncatingIfNeeded: i &* 31 >> 3) }
        try bytes.write(to: URL(fileURLWithPath: "\(directory)/there"))
        for minor in [31, 37] {
          try await space.kubectl("cp", "\(directory)/there", "box:/tmp/copied-\(minor)", minor: minor)
          try await space.kubectl("cp", "box:/tmp/copied-\(minor)", "\(directory)/back-\(minor)", minor: minor)
          #expect(try Data(contentsOf: URL(fileURLWithPath: "\(directory)/back-\(minor)")) == bytes)
        }
      }
    }

    @Test("attach carries input and output, run -i ends with its code, port-forward says that it is not served")
    func forwardAndAttach() async throws {
      try await Space.with("forward") { space in
        try await space.apply(
          Manifest.pod("web", "sleep 1000"),
          Manifest.pod("echo", "echo ready; read line; echo got $line; exec sleep 1000", container: "stdin: true"))
        try await space.ready("web", "echo")
        // Not served yet: both clients say so instead of hanging.
        for minor in [31, 37] {
          let forward = try await space.tryKubectl("port-forward", "pod/web", "18080:8080", minor: minor)
          #expect(
            forward.status == 1 && forward.errors.contains("pods/portforward is not served by this release of Gantry"), "\(forward)"
          )
        }
        let attached = try space.kubectlRunning("attach", "-i", "echo", input: "a line\n")
        defer { attached.signal(SIGKILL) }
        #expect(await attached.waits { $0.contains("got a line") })
        for minor in [31, 37] {
          let ran = try await space.tryKubectl(
            "run", "r\(minor)", "--image=\(Manifest.busybox)", "--restart=Never", "--rm", "-i", "--", "sh", "-c",
            "cat; exit 4", input: "into run\n", minor: minor)
          #expect(ran.status == 4 && ran.output.contains("into run\n"), "\(ran)")
        }
      }
    }
  }
}

/// A program on a terminal, as a person at a keyboard has it: `script` makes the terminal.
enum Terminal {
  static func run(_ words: [String], input: String, rows: Int, columns: Int) async throws -> Command.Outcome {
    let quoted = words.map { "'" + $0.replacingOccurrences(of: "'", with: "'\\''") + "'" }.joined(separator: " ")
    return try await Command.run(
      ["script", "-qec", "stty rows \(rows) cols \(columns); \(quoted)", "/dev/null"], input: input, mayFail: true)
  }
}

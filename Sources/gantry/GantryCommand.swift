import ArgumentParser
import Glibc
import Logging

/// `gantry`: argument parsing and wiring, nothing else.
///
/// In: arguments, signals.
/// Out: a running control plane, node or both; one line per failure to start, with the way out.
/// Never: decides anything about a cluster.
@main
struct GantryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gantry",
    abstract: "A container orchestrator with the Kubernetes API: one binary, one store, one fleet.",
    version: "gantry \(Version.current)",
    subcommands: [Up.self, Server.self, Status.self, Down.self, Backup.self, Restore.self],
    defaultSubcommand: nil)

  /// An error that leaves `main` would be a crash with a backtrace: everything ends here, as one sentence.
  static func main() async {
    // A client that goes away must not end the process.
    signal(SIGPIPE, SIG_IGN)
    // What is private is made so by its mode; what containers see must not depend on who started the server.
    umask(0o022)
    do {
      var command = try parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand { try await asynchronous.run() } else { try command.run() }
    } catch let error as StartFailure {
      write(error.message, to: STDERR_FILENO)
      Glibc.exit(1)
    } catch  where exitCode(for: error) == .failure {
      write("gantry: \(error)", to: STDERR_FILENO)
      Glibc.exit(1)
    } catch {
      exit(withError: error)
    }
  }

  static func write(_ line: String, to descriptor: Int32) {
    let bytes = Array("\(line)\n".utf8)
    _ = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
  }
}

/// Why Gantry did not start: one sentence that names the way out.
struct StartFailure: Error {
  let message: String

  init(_ message: String) { self.message = "gantry: \(message)" }

  /// A sentence that already says whose it is.
  init(sentence: String) { message = sentence.hasPrefix("gantry: ") ? sentence : "gantry: \(sentence)" }
}

enum Version {
  static let current = "0.1.0"
  /// What clients compare with.
  static let kubernetes = "v1.36.4+gantry"
}

#if canImport(Glibc)
  import Glibc
#endif

import NIOPosix

/// A program of the system that was run to its end: `nft`, `ip`, `conntrack`.
package struct Command: Sendable {
  package struct Failure: Error, CustomStringConvertible {
    package var program: String
    package var message: String
    package var description: String { "\(program): \(message)" }
  }

  /// Words in front of every program: empty, or `ip netns exec NAME` for a node that lives in a network namespace.
  package var prefix: [String]

  package init(prefix: [String] = []) { self.prefix = prefix }

  /// Runs on a thread of NIO's pool, never on an event loop.
  /// - Returns: what the program wrote to its standard output.
  /// - Throws: ``Failure`` with what it wrote to its standard error.
  @discardableResult
  package func run(_ words: String..., input: String = "") async throws -> String { try await run(words, input: input) }

  @discardableResult
  package func run(_ words: [String], input: String = "") async throws -> String {
    let all = prefix + words
    return try await NIOThreadPool.singleton.runIfActive { try Self.execute(all, input: input) }
  }

  private static func execute(_ words: [String], input: String) throws -> String {
    let program = words.first ?? ""
    // Files without names instead of pipes: neither side can block the other, whatever the amount.
    let files = try (0..<3).map { _ in try namelessFile(for: program) }
    defer { for file in files { close(file) } }
    var rest = Array(input.utf8)[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { write(files[0], $0.baseAddress, $0.count) }
      guard written > 0 else { throw Failure(program: program, message: "write: \(String(cString: strerror(errno)))") }
      rest = rest.dropFirst(written)
    }
    lseek(files[0], 0, SEEK_SET)

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (standard, file) in files.enumerated() { posix_spawn_file_actions_adddup2(&actions, file, Int32(standard)) }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    var environment: [UnsafeMutablePointer<CChar>?] = [strdup(path), strdup("LC_ALL=C"), nil]
    defer { for variable in environment { free(variable) } }
    guard let executable = find(program) else {
      throw Failure(program: program, message: "not found in \(path.dropFirst(5)); scripts/install-deps installs what Gantry needs")
    }
    var pid: pid_t = 0
    let result = posix_spawn(&pid, executable, &actions, &attributes, &arguments, &environment)
    guard result == 0 else { throw Failure(program: program, message: String(cString: strerror(result))) }
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 {
      guard errno == EINTR else { throw Failure(program: program, message: "waitpid: \(String(cString: strerror(errno)))") }
    }
    guard status == 0 else {
      let words = read(files[2]).split(separator: "\n").prefix(3).joined(separator: "; ")
      throw Failure(program: program, message: words.isEmpty ? "ended with status \(status)" : words)
    }
    return read(files[1])
  }

  private static func namelessFile(for program: String) throws -> Int32 {
    var template = Array("/tmp/.gantry-command-XXXXXX".utf8CString)
    let file = mkstemp(&template)
    guard file >= 0 else { throw Failure(program: program, message: "no temporary file: \(String(cString: strerror(errno)))") }
    unlink(template)
    _ = fcntl(file, F_SETFD, FD_CLOEXEC)
    return file
  }

  /// - Returns: the program's path, nil where neither `PATH` nor the usual directories have it: a service manager may hand on a short one.
  package static func find(_ program: String) -> String? {
    if program.contains("/") { return program }
    let named = getenv("PATH").map { String(cString: $0).split(separator: ":").map(String.init) } ?? []
    let usual = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    return (named.filter { $0.hasPrefix("/") } + usual).map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
  }

  private static func read(_ file: Int32) -> String {
    lseek(file, 0, SEEK_SET)
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    // 64 MB: more than any ruleset is text.
    while bytes.count < 64 << 20 {
      let count = Glibc.read(file, &chunk, chunk.count)
      guard count > 0 else { break }
      bytes += chunk[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

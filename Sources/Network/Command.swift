import CLinux
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// A program of the system that was run to its end: `nft`, `ip`, `conntrack`.
package struct Command: Sendable {
  package struct Failure: Error, CustomStringConvertible {
    package var program: String
    package var message: String
    package var description: String { "\(program): \(message)" }
  }

  /// Words in front of every program: empty, or `ip netns exec NAME` for a node that lives in a network namespace.
  package var prefix: [String]
  /// What has not ended by then is killed, with its children: a program that hangs must not hold its caller for ever.
  package var timeLimit: Duration

  package init(prefix: [String] = [], timeLimit: Duration = .seconds(60)) {
    self.prefix = prefix
    self.timeLimit = timeLimit
  }

  /// Waits on a thread of its own: one that hangs keeps no other from running. Cancelling the task kills the program.
  /// - Returns: what the program wrote to its standard output.
  /// - Throws: ``Failure`` with what it wrote to its standard error; `CancellationError`.
  @discardableResult
  package func run(_ words: String..., input: String = "") async throws -> String { try await run(words, input: input) }

  @discardableResult
  package func run(_ words: [String], input: String = "") async throws -> String {
    let (all, process, limit) = (prefix + words, Child(), timeLimit)
    return try await withTaskCancellationHandler {
      try await Self.onThread { try Self.execute(all, input: input, process, limit) }
    } onCancel: {
      process.cancel()
    }
  }

  private final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  private static func onThread(_ body: @escaping @Sendable () throws -> String) async throws -> String {
    try await withCheckedThrowingContinuation { continuation in
      let work = Unmanaged.passRetained(Work { continuation.resume(with: Result { try body() }) })
      var thread = pthread_t()
      let error = pthread_create(
        &thread, nil,
        { work in
          if let work { Unmanaged<Work>.fromOpaque(work).takeRetainedValue().body() }
          return nil
        }, work.toOpaque())
      if error == 0 {
        pthread_detach(thread)
      } else {
        work.release()
        continuation.resume(throwing: Failure(program: "thread", message: String(cString: strerror(error))))
      }
    }
  }

  /// A process that may be killed from another thread until it is reaped: after that its number may be somebody else's.
  private final class Child: Sendable {
    private struct State {
      var pid: pid_t?
      var isCancelled = false
    }
    private let state = Mutex(State())

    var isCancelled: Bool { state.withLock { $0.isCancelled } }

    func begin(_ pid: pid_t) {
      state.withLock {
        $0.pid = pid
        if $0.isCancelled { Glibc.kill(-pid, SIGKILL) }
      }
    }

    func kill() { state.withLock { if let pid = $0.pid { _ = Glibc.kill(-pid, SIGKILL) } } }

    func cancel() {
      state.withLock {
        $0.isCancelled = true
        if let pid = $0.pid { _ = Glibc.kill(-pid, SIGKILL) }
      }
    }

    func end() { state.withLock { $0.pid = nil } }
  }

  private static func execute(_ words: [String], input: String, _ process: Child, _ limit: Duration) throws -> String {
    let program = words.first ?? ""
    guard !process.isCancelled else { throw CancellationError() }
    // Files without names instead of pipes: neither side can block the other, whatever the amount. In memory: a full disk stops no rule.
    var files: [Int32] = []
    defer { for file in files { close(file) } }
    for _ in 0..<3 {
      let file = gantry_memory_file("gantry-command")
      guard file >= 0 else { throw Failure(program: program, message: "no memory file: \(String(cString: strerror(errno)))") }
      files.append(file)
    }
    var rest = Array(input.utf8)[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { write(files[0], $0.baseAddress, $0.count) }
      if written < 0, errno == EINTR { continue }
      guard written > 0 else { throw Failure(program: program, message: "write: \(String(cString: strerror(errno)))") }
      rest = rest.dropFirst(written)
    }
    lseek(files[0], 0, SEEK_SET)

    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    var environment: [UnsafeMutablePointer<CChar>?] = [strdup(path), strdup("LC_ALL=C"), nil]
    defer { for variable in environment { free(variable) } }
    guard let executable = find(program) else {
      throw Failure(program: program, message: "not found in \(path.dropFirst(5)); scripts/install-deps installs what Gantry needs")
    }
    var pid: pid_t = 0
    let result = gantry_spawn(&pid, executable, &arguments, &environment, files)
    guard result == 0 else { throw Failure(program: program, message: String(cString: strerror(result))) }
    process.begin(pid)
    let hasEnded = wait(for: pid, limit)
    if !hasEnded { process.kill() }
    // Not reaped before nobody kills by this number any more.
    while gantry_wait_for_exit(pid, -1) != 0 {}
    process.end()
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 {
      guard errno == EINTR else { throw Failure(program: program, message: "waitpid: \(String(cString: strerror(errno)))") }
    }
    guard hasEnded else { throw Failure(program: program, message: "did not end within \(limit) and was killed") }
    guard status == 0 else {
      if process.isCancelled { throw CancellationError() }
      let words = read(files[2]).split(separator: "\n").prefix(3).joined(separator: "; ")
      throw Failure(program: program, message: words.isEmpty ? "ended with status \(status)" : words)
    }
    return read(files[1])
  }

  /// - Returns: whether it ended in time. It is not reaped.
  private static func wait(for pid: pid_t, _ limit: Duration) -> Bool {
    let deadline = ContinuousClock.now + limit
    while true {
      let left = (deadline - ContinuousClock.now) / .milliseconds(1)
      guard left > 0 else { return false }
      // Also cut short by a signal.
      if gantry_wait_for_exit(pid, Int32(min(left.rounded(.up), 1e9))) == 0 { return true }
    }
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

import Foundation
import Glibc
import Synchronization

/// How long a test waits for what must come: a net under it, not a measure. Nothing waits longer than the thing takes.
enum Patience {
  static let seconds: TimeInterval = 240
  /// The same for `kubectl wait` and `kubectl rollout status`.
  static let kubectl = "--timeout=240s"
  /// Shorter than the agent's slow comparison with the runtime: what only that one finds, comes too late.
  static let kubectlEvent = "--timeout=120s"

  /// Clusters and servers that tests start for themselves, a few at a time: more only take the machine from each other.
  static let places = Places(3)

  actor Places {
    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(_ count: Int) { free = count }

    func take() async {
      if free > 0 { free -= 1 } else { await withCheckedContinuation { waiting.append($0) } }
    }

    func giveBack() {
      if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
    }
  }
}

/// A real program, run to its end or kept running.
struct Command {
  struct Outcome: CustomStringConvertible {
    var status: Int32
    var output: String
    var errors: String
    var description: String { "exit \(status)\n\(output)\(errors)" }
  }

  struct Failure: Error, CustomStringConvertible {
    var command: String
    var outcome: Outcome
    var description: String { "\(command): \(outcome)" }
  }

  /// Runs to the end; a program that outlives `timeout` is killed and fails.
  /// - Parameter input: what it reads from its standard input.
  @discardableResult
  static func run(
    _ arguments: [String], environment: [String: String] = [:], input: String? = nil, timeout: TimeInterval = Patience.seconds,
    mayFail: Bool = false
  ) async throws -> Outcome {
    let running = try Running(arguments, environment: environment, input: input)
    let watchdog = Task {
      try await Task.sleep(for: .seconds(timeout))
      running.signal(SIGKILL)
    }
    let outcome = await running.outcome()
    watchdog.cancel()
    if outcome.status != 0, !mayFail { throw Failure(command: arguments.joined(separator: " "), outcome: outcome) }
    return outcome
  }
}

/// A program that runs beside the test. Its lines can be awaited as they come.
final class Running: Sendable {
  private struct State {
    var output = ""
    var errors = ""
    var status: Int32?
    var open = 2
    var waiters: [CheckedContinuation<Void, Never>] = []
    var hasEnded: Bool { status != nil && open == 0 }
  }

  private let state = Mutex(State())
  let pid: Int32

  /// Pipes are closed on exec in every other program that a test starts at the same time: one that inherited them would hold them open.
  init(_ arguments: [String], environment: [String: String] = [:], input: String? = nil) throws {
    Self.spawning.lock()
    defer { Self.spawning.unlock() }
    let (stdin, output, errors) = (try Self.pipe(), try Self.pipe(), try Self.pipe())
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, stdin.read, 0)
    posix_spawn_file_actions_adddup2(&actions, output.write, 1)
    posix_spawn_file_actions_adddup2(&actions, errors.write, 2)
    let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0)=\($1)" }
    var argv = arguments.map { strdup($0) } + [nil]
    var envp = variables.map { strdup($0) } + [nil]
    defer { for pointer in argv + envp { free(pointer) } }
    var child: pid_t = 0
    let code = posix_spawnp(&child, arguments[0], &actions, nil, &argv, &envp)
    pid = child
    for descriptor in [stdin.read, output.write, errors.write] { close(descriptor) }
    guard code == 0 else {
      for descriptor in [stdin.write, output.read, errors.read] { close(descriptor) }
      throw Command.Failure(
        command: arguments[0], outcome: .init(status: code, output: "", errors: String(cString: strerror(code))))
    }
    follow(output.read) { $0.output += $1 }
    follow(errors.read) { $0.errors += $1 }
    Thread.detachNewThread { [self] in
      if let input { _ = Array(input.utf8).withUnsafeBytes { write(stdin.write, $0.baseAddress, $0.count) } }
      close(stdin.write)
      var status: Int32 = 0
      while waitpid(self.pid, &status, 0) < 0, errno == EINTR {}
      change { $0.status = status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f }
    }
  }

  /// Between a pipe and its close-on-exec flag nobody else may start a program.
  private static let spawning = NSLock()

  private static func pipe() throws -> (read: Int32, write: Int32) {
    var ends: [Int32] = [0, 0]
    guard Glibc.pipe(&ends) == 0, ends.allSatisfy({ fcntl($0, F_SETFD, FD_CLOEXEC) == 0 }) else {
      throw Command.Failure(command: "pipe", outcome: .init(status: errno, output: "", errors: ""))
    }
    return (ends[0], ends[1])
  }

  /// Reads a pipe to its end on a thread of its own.
  private func follow(_ descriptor: Int32, _ append: @escaping @Sendable (inout State, String) -> Void) {
    Thread.detachNewThread { [self] in
      var buffer = [UInt8](repeating: 0, count: 65536)
      while true {
        let count = read(descriptor, &buffer, buffer.count)
        if count < 0, errno == EINTR { continue }
        if count <= 0 { break }
        change { append(&$0, String(decoding: buffer.prefix(count), as: UTF8.self)) }
      }
      close(descriptor)
      change { $0.open -= 1 }
    }
  }

  /// Changes the state and wakes whoever waits for that.
  private func change(_ body: (inout State) -> Void) {
    let waiters = state.withLock { state in
      body(&state)
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  var output: String { state.withLock { $0.output } }
  var errors: String { state.withLock { $0.errors } }

  func signal(_ number: Int32) { kill(pid, number) }

  /// Waits for the next change unless `isDone` holds already; looked at under the lock, so that no change is missed.
  private func nextChange(unless isDone: (borrowing State) -> Bool) async {
    await withCheckedContinuation { continuation in
      let resume = state.withLock { state in
        if isDone(state) { return true }
        state.waiters.append(continuation)
        return false
      }
      if resume { continuation.resume() }
    }
  }

  /// Waits until everything printed so far satisfies `condition`; false where the program ended without it.
  /// A program that says nothing for too long is ended, so that no test hangs.
  func waits(for condition: (String) -> Bool, timeout: TimeInterval = Patience.seconds) async -> Bool {
    let watchdog = Task {
      try await Task.sleep(for: .seconds(timeout))
      signal(SIGKILL)
    }
    defer { watchdog.cancel() }
    return await waitsWithoutLimit(for: condition)
  }

  private func waitsWithoutLimit(for condition: (String) -> Bool) async -> Bool {
    while true {
      let (holds, hasEnded) = state.withLock { (condition($0.output + $0.errors), $0.hasEnded) }
      if holds || hasEnded { return holds }
      await nextChange { condition($0.output + $0.errors) || $0.hasEnded }
    }
  }

  func outcome() async -> Command.Outcome {
    while true {
      let done: Command.Outcome? = state.withLock { state in
        guard let status = state.status, state.hasEnded else { return nil }
        return Command.Outcome(status: status, output: state.output, errors: state.errors)
      }
      if let done { return done }
      await nextChange { $0.hasEnded }
    }
  }
}

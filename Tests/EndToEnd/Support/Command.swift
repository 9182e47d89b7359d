import Foundation
import Synchronization

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
    _ arguments: [String], environment: [String: String] = [:], input: String? = nil, timeout: TimeInterval = 120,
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
  private let process: Process
  var pid: Int32 { process.processIdentifier }

  init(_ arguments: [String], environment: [String: String] = [:], input: String? = nil) throws {
    process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let output = Pipe()
    let errors = Pipe()
    process.standardOutput = output
    process.standardError = errors
    let stdin = Pipe()
    if input != nil { process.standardInput = stdin } else { process.standardInput = FileHandle.nullDevice }
    let note: @Sendable (FileHandle, any WritableKeyPath<State, String> & Sendable) -> Void = { [self] handle, path in
      let data = handle.availableData
      if data.isEmpty { handle.readabilityHandler = nil }
      let waiters = state.withLock { state in
        if data.isEmpty { state.open -= 1 } else { state[keyPath: path] += String(decoding: data, as: UTF8.self) }
        defer { state.waiters = [] }
        return state.waiters
      }
      for waiter in waiters { waiter.resume() }
    }
    output.fileHandleForReading.readabilityHandler = { note($0, \.output) }
    errors.fileHandleForReading.readabilityHandler = { note($0, \.errors) }
    process.terminationHandler = { [self] process in
      let waiters = state.withLock { state in
        state.status = process.terminationStatus
        defer { state.waiters = [] }
        return state.waiters
      }
      for waiter in waiters { waiter.resume() }
    }
    try process.run()
    if let input {
      stdin.fileHandleForWriting.write(Data(input.utf8))
      try stdin.fileHandleForWriting.close()
    }
  }

  var output: String { state.withLock { $0.output } }
  var errors: String { state.withLock { $0.errors } }
  var isRunning: Bool { state.withLock { $0.status == nil } }

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
  func waits(for condition: (String) -> Bool) async -> Bool {
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

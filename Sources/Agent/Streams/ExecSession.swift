import CLinux
import Client
import Dispatch
import RPC
import Synchronization
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// A command in a running container, through containerd's tasks and named pipes: the end of stdin reaches the process, which CRI's
/// WebSocket streams of containerd 1.6 cannot say.
///
/// Frames: stdin 0, stdout 1, stderr 2, the closing `Status` 3, terminal sizes 4 (`{"Width":…,"Height":…}`).
struct ExecSession: Sendable {
  struct Options: Sendable {
    var command: [String]
    var hasInput: Bool
    var hasOutput: Bool
    var hasError: Bool
    var isTerminal: Bool
  }

  let containerd: ContainerdClient
  let cri: CRIClient
  let containerID: String
  let options: Options
  /// Where the named pipes are made: private to root.
  let directory: String
  /// Of the pod, whose containers share one shim. Those of containerd 1.6 start one process at a time and meanwhile take note of at
  /// most 32 that end: 50 starts at once, and each further one costs it a second.
  let turns: Turns

  private static let tasks = "/containerd.services.tasks.v1.Tasks"

  /// Runs the command to its end; the pipe gets its output and, last, its status.
  func run(_ pipe: FramePipe) async {
    // Before anything is made: whoever waits costs no more than its connection.
    guard let turn = await turns.take(until: pipe) else { return }
    defer { turn.end() }
    let id = String(UInt64.random(in: 1 << 60 ... .max), radix: 16) + String(UInt64.random(in: 1 << 60 ... .max), radix: 16)
    let folder = "\(directory)/\(id)"
    defer { Files.remove(folder) }
    do {
      let process = try await processSpec()
      try Files.makeDirectory(folder, mode: 0o700)
      var paths: [String: String] = [:]
      for name in ["in", "out", "err"] {
        let wanted = name == "in" ? options.hasInput : name == "out" ? true : !options.isTerminal
        guard wanted else { continue }
        guard gantry_mkfifo("\(folder)/\(name)", 0o600) == 0 else { throw Files.failure("cannot make", "\(folder)/\(name)") }
        paths[name] = "\(folder)/\(name)"
      }
      // Read ends open first and read-write, so that no open waits for the shim and no end is seen before it came.
      var readers: [FifoReader] = []
      defer { for reader in readers { reader.cancel() } }
      if let file = try Self.openPipe(paths["out"]) { readers.append(FifoReader(file: file, channel: 1, pipe: pipe)) }
      if let file = try Self.openPipe(paths["err"]) { readers.append(FifoReader(file: file, channel: 2, pipe: pipe)) }
      let input = try Self.openPipe(paths["in"])
      var feeding = false
      defer { if !feeding, let input { close(input) } }
      var any = ProtoWriter()
      any.string(1, "types.containerd.io/opencontainers/runtime-spec/1/Process")
      any.data(2, process.jsonBytes)
      var request = ProtoWriter()
      request.string(1, containerID)
      request.string(2, paths["in"] ?? "")
      request.string(3, paths["out"] ?? "")
      request.string(4, paths["err"] ?? "")
      if options.isTerminal { request.integer(5, 1) }
      request.data(6, any.bytes)
      request.string(7, id)
      _ = try await containerd.call("\(Self.tasks)/Exec", request)
      var start = ProtoWriter()
      start.string(1, containerID)
      start.string(2, id)
      do throws(GRPCError) { _ = try await containerd.call("\(Self.tasks)/Start", start) } catch {
        _ = try? await containerd.call("\(Self.tasks)/DeleteProcess", start)
        throw error
      }
      turn.end()
      for reader in readers { reader.start() }
      feeding = true
      let feeder = Task { await feed(pipe, id, input) }
      pipe.onClose {
        feeder.cancel()
        // The client has gone: its command goes too.
        Task {
          var kill = ProtoWriter()
          kill.string(1, containerID)
          kill.string(2, id)
          kill.integer(3, UInt64(SIGKILL))
          _ = try? await containerd.call("\(Self.tasks)/Kill", kill)
        }
      }
      let answer = try await containerd.call("\(Self.tasks)/Wait", start, deadline: nil)
      feeder.cancel()
      for reader in readers { reader.end() }
      var code: UInt64 = 0
      var reader = ProtoReader(answer)
      while let (number, field) = try reader.next() { if number == 1, case .varint(let value) = field { code = value } }
      _ = try? await containerd.call("\(Self.tasks)/DeleteProcess", start)
      for reader in readers { await reader.drainToEnd() }
      pipe.write(3, Self.status(code: Int(truncatingIfNeeded: code)).jsonBytes)
      pipe.end(3)
      pipe.finish()
    } catch {
      let message = (error as? GRPCError)?.message ?? "\(error)"
      pipe.write(3, Self.failure(message).jsonBytes)
      pipe.end(3)
      pipe.finish()
    }
  }

  static func status(code: Int) -> Value {
    if code == 0 { return ["metadata": .emptyObject, "status": "Success"] }
    return [
      "metadata": .emptyObject, "status": "Failure",
      "message": .string("command terminated with non-zero exit code: exit status \(code)"),
      "reason": "NonZeroExitCode", "details": ["causes": [["reason": "ExitCode", "message": .string("\(code)")]]],
    ]
  }

  static func failure(_ message: String) -> Value {
    [
      "metadata": .emptyObject, "status": "Failure",
      "message": .string("Internal error occurred: error executing command in container: \(message)"), "reason": "InternalError",
      "code": 500,
    ]
  }

  /// Read-write: an end that no writer has yet is not an end.
  private static func openPipe(_ path: String?) throws(AgentFailure) -> Int32? {
    guard let path else { return nil }
    let file = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)
    guard file >= 0 else { throw Files.failure("cannot open", path) }
    return file
  }

  /// The container's own process, with the command's words.
  private func processSpec() async throws -> Value {
    let answer = try await cri.call("ContainerStatus", ["container_id": .string(containerID), "verbose": true])
    guard answer["status"]["state"].string == "CONTAINER_RUNNING" else { throw AgentFailure("container is not running") }
    let info = try Value(json: answer["info"]["info"].string ?? "{}")
    var process = info["runtimeSpec"]["process"]
    guard process.object != nil else { throw AgentFailure("the runtime does not say how the container's process was made") }
    process["args"] = .array(options.command.map { .string($0) })
    process["terminal"] = .bool(options.isTerminal)
    process.remove("consoleSize")
    if options.isTerminal {
      var environment = process["env"].array ?? []
      if !environment.contains(where: { $0.string?.hasPrefix("TERM=") == true }) { environment.append("TERM=xterm") }
      process["env"] = .array(environment)
    }
    return process
  }

  private func feed(_ pipe: FramePipe, _ id: String, _ file: Int32?) async {
    var input = file
    defer { if let input { close(input) } }
    for await frame in pipe.input {
      if Task.isCancelled { return }
      if frame.channel == 4, let size = try? Value(json: frame.bytes) {
        var request = ProtoWriter()
        request.string(1, containerID)
        request.string(2, id)
        request.integer(3, UInt64(clamping: size["Width"].int ?? 80))
        request.integer(4, UInt64(clamping: size["Height"].int ?? 24))
        _ = try? await containerd.call("\(Self.tasks)/ResizePty", request)
      }
      guard frame.channel == 0, let open = input else { continue }
      if !frame.bytes.isEmpty, await !Self.write(frame.bytes, to: open) { continue }
      if frame.isEnd {
        // Two writers hold the pipe open: this one and the shim's. The shim reads what is left, then sees the end.
        close(open)
        input = nil
        var request = ProtoWriter()
        request.string(1, containerID)
        request.string(2, id)
        request.integer(3, 1)
        _ = try? await containerd.call("\(Self.tasks)/CloseIO", request)
      }
    }
  }

  private static func write(_ bytes: [UInt8], to file: Int32) async -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      if Task.isCancelled { return false }
      let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno == EAGAIN {
        // The process does not read: wait, as a pipe would.
        await waitForRoom(file)
      } else if errno != EINTR {
        return false
      }
    }
    return true
  }
}

/// Until the file takes bytes again, or the task is cancelled.
private func waitForRoom(_ file: Int32) async {
  let source = DispatchSource.makeWriteSource(fileDescriptor: file, queue: .global())
  nonisolated(unsafe) let unsafeSource = source
  await withTaskCancellationHandler {
    await withCheckedContinuation { continuation in
      source.setEventHandler { unsafeSource.cancel() }
      source.setCancelHandler { continuation.resume() }
      source.resume()
    }
  } onCancel: {
    unsafeSource.cancel()
  }
}

/// Reads a named pipe into frames, no faster than they are taken.
package final class FifoReader: Sendable {
  /// What the pipes between a process and its reader hold at most.
  package static let rest = 4 << 20

  private struct State {
    var isStarted = false
    /// The process has ended: what is left in its pipes is read at once, or the shim drops it. What it left running may write on for ever.
    var isEnding = false
    var rest = FifoReader.rest
    var isWaiting = false
    /// From now on it is never suspended: a source that is let go while it is ends the process.
    var isCancelled = false
  }

  private let file: Int32
  private let channel: UInt8
  private let pipe: FramePipe
  /// Dispatch's sources may be used from any thread.
  nonisolated(unsafe) private let source: any DispatchSourceRead
  private let queue = DispatchQueue(label: "gantry.agent.exec")
  private let state = Mutex(State())

  /// - Parameter file: of a pipe, nonblocking; it is the reader's from now on.
  package init(file: Int32, channel: UInt8, pipe: FramePipe) {
    self.file = file
    self.channel = channel
    self.pipe = pipe
    source = DispatchSource.makeReadSource(fileDescriptor: file, queue: queue)
    source.setEventHandler { [weak self] in self?.drain() }
    source.setCancelHandler { close(file) }
  }

  package func start() {
    let isFirst = state.withLock { state in
      defer { state.isStarted = true }
      return !state.isStarted
    }
    if isFirst { source.resume() }
  }

  /// The process has ended: what it has left is taken, whether there is room or not.
  package func end() {
    state.withLock { $0.isEnding = true }
    proceed()
  }

  /// The shim has written everything.
  package func drainToEnd() async {
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      queue.async { [self] in
        drain()
        continuation.resume()
      }
    }
  }

  package func cancel() {
    start()
    state.withLock { $0.isCancelled = true }
    proceed()
    source.cancel()
  }

  private func proceed() {
    // Inside the lock: a source that is resumed before it is suspended ends the process.
    state.withLock { state in
      if state.isWaiting { source.resume() }
      state.isWaiting = false
    }
  }

  private func drain() {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    // In turns: whoever writes faster than this reads must not keep the reader from being ended.
    for _ in 0..<FifoReader.rest / buffer.count {
      let waits = state.withLock { state in
        if state.isCancelled { return true }
        guard !pipe.hasRoom, !state.isEnding || state.rest <= 0 else { return false }
        if !state.isWaiting { source.suspend() }
        state.isWaiting = true
        return true
      }
      if waits {
        pipe.whenRoom { [weak self] in self?.proceed() }
        return
      }
      let count = read(file, &buffer, buffer.count)
      guard count > 0 else { return }
      pipe.write(channel, Array(buffer[..<count]))
      state.withLock { if $0.isEnding { $0.rest -= count } }
    }
  }
}

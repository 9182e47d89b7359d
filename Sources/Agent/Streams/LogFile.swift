import CLinux
import Client
import Dispatch
import Synchronization
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// A container's log in CRI's format: `TIME STREAM F|P TEXT`, one line each; `P` says that the line goes on in the next entry.
package enum LogFile {
  package struct Options: Sendable {
    package var follow = false
    package var tailLines: Int?
    package var sinceNanoseconds: Int64?
    package var limitBytes: Int?
    package var timestamps = false
    /// `Stdout`, `Stderr`, or nil for both.
    package var stream: String?
    package init() {}
  }

  package struct Entry: Equatable {
    package var time: ArraySlice<UInt8>
    package var isError: Bool
    package var isPartial: Bool
    package var text: ArraySlice<UInt8>
  }

  /// - Parameter line: without its newline.
  package static func parse(_ line: ArraySlice<UInt8>) -> Entry? {
    let parts = line.split(separator: UInt8(ascii: " "), maxSplits: 3, omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    let isError = parts[1].elementsEqual("stderr".utf8)
    guard isError || parts[1].elementsEqual("stdout".utf8) else { return nil }
    return Entry(time: parts[0], isError: isError, isPartial: parts[2].first == UInt8(ascii: "P"), text: parts[3])
  }

  /// - Parameter time: RFC 3339. What lies beyond what nanoseconds can count is the end of it.
  package static func nanoseconds(_ time: ArraySlice<UInt8>) -> Int64? {
    let text = String(decoding: time, as: UTF8.self)
    guard let seconds = Timestamp(text)?.seconds else { return nil }
    var fraction: Int64 = 0
    if let dot = text.firstIndex(of: ".") {
      let digits = text[text.index(after: dot)...].prefix { $0.isASCII && $0.isNumber }.prefix(9)
      fraction = (Int64(digits) ?? 0) * (0..<(9 - digits.count)).reduce(1) { n, _ in n * 10 }
    }
    let moment = Moment(seconds: seconds).nanoseconds
    return seconds < 0 ? moment : NodeAdmission.sum(moment, fraction)
  }

  /// The last lines as text, for a termination message.
  package static func tail(_ path: String, lines: Int, bytes: Int) -> String {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return "" }
    defer { close(file) }
    let size = Int(lseek(file, 0, SEEK_END))
    // A line's time and stream take less than 64 bytes; what is longer than all that is wanted need not be read.
    let start = max(offset(ofLast: lines, in: file, size: size), size - bytes - lines * 64 - 65_536)
    lseek(file, off_t(start), SEEK_SET)
    guard let content = Files.read(file, limit: 1 << 20) else { return "" }
    let entries = content.split(separator: UInt8(ascii: "\n")).suffix(lines).compactMap { parse($0) }
    let text = entries.flatMap { Array($0.text) + ($0.isPartial ? [] : [UInt8(ascii: "\n")]) }
    return String(decoding: text.suffix(bytes), as: UTF8.self)
  }

  /// The offset at which the last `lines` lines begin. Read backwards in pieces of 64 KB.
  static func offset(ofLast lines: Int, in file: Int32, size: Int) -> Int {
    if lines <= 0 { return size }
    var position = size
    var found = 0
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while position > 0 {
      let count = min(chunk.count, position)
      let read = pread(file, &chunk, count, off_t(position - count))
      guard read == count else { return 0 }
      for i in stride(from: count - 1, through: 0, by: -1) where chunk[i] == UInt8(ascii: "\n") {
        let absolute = position - count + i
        if absolute == size - 1 { continue }
        found += 1
        if found == lines { return absolute + 1 }
      }
      position -= count
    }
    return 0
  }
}

/// Sends a log down a pipe: what is there, then what comes, woken by inotify.
final class LogReader: Sendable {
  private struct State {
    var file: Int32 = -1
    var carry: [UInt8] = []
    var sent = 0
    var atLineStart: [Bool] = [true, true]
    var isDone = false
    /// At the end of the file everything has been sent.
    var isEnding = false
    var isPaused = false
  }

  private let path: String
  private let options: LogFile.Options
  private let pipe: FramePipe
  private let queue = DispatchQueue(label: "gantry.agent.log")
  private let state = Mutex(State())
  /// Set once, before anybody else knows this reader; Dispatch's sources may be cancelled from any thread.
  nonisolated(unsafe) private var source: (any DispatchSourceRead)?
  private let isRunning: @Sendable () async -> Bool

  /// - Parameter isRunning: whether more may come; asked once at the end of the file and at every `stop`.
  init(path: String, options: LogFile.Options, pipe: FramePipe, isRunning: @escaping @Sendable () async -> Bool) {
    self.path = path
    self.options = options
    self.pipe = pipe
    self.isRunning = isRunning
  }

  /// - Throws: where there is no log.
  func start() throws(AgentFailure) {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw Files.failure("cannot open log", path) }
    if let tail = options.tailLines {
      let size = lseek(file, 0, SEEK_END)
      lseek(file, off_t(LogFile.offset(ofLast: tail, in: file, size: Int(size))), SEEK_SET)
    }
    state.withLock { $0.file = file }
    if options.follow { watch() }
    pipe.onClose { [weak self] in self?.stop() }
    queue.async { [self] in
      if !options.follow { state.withLock { $0.isEnding = true } }
      pump()
      guard options.follow else { return }
      Task {
        if await !self.isRunning() { self.ended() }
      }
    }
  }

  /// The container has ended: what is there is all.
  func ended() {
    queue.async { [self] in
      state.withLock { $0.isEnding = true }
      pump()
    }
  }

  /// Sends what there is, as far as it is taken; the rest when there is room again.
  private func pump() {
    while true {
      guard drain() else { return pumpLater() }
      guard isRotated else { break }
      // What came into the old file until the new one was there.
      guard drain() else { return pumpLater() }
      guard takeNewFile() else { break }
    }
    if state.withLock({ $0.isEnding }) { finish() }
  }

  private func pumpLater() {
    let isFirst = state.withLock { state in
      defer { state.isPaused = true }
      return !state.isPaused
    }
    guard isFirst else { return }
    pipe.whenRoom { [self] in
      queue.async {
        self.state.withLock { $0.isPaused = false }
        self.pump()
      }
    }
  }

  private func watch() {
    // The directory: rotation puts a new file under the name.
    let directory = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    let watch = gantry_watch_path(directory)
    guard watch >= 0 else { return }
    let source = DispatchSource.makeReadSource(fileDescriptor: watch, queue: queue)
    source.setEventHandler { [weak self] in
      var buffer = [UInt8](repeating: 0, count: 16_384)
      while read(watch, &buffer, buffer.count) > 0 {}
      self?.pump()
    }
    source.setCancelHandler { close(watch) }
    self.source = source
    source.resume()
  }

  /// Another file has the log's name.
  private var isRotated: Bool {
    var now = stat()
    var open = stat()
    let file = state.withLock { $0.file }
    return file >= 0 && stat(path, &now) == 0 && fstat(file, &open) == 0 && open.st_ino != now.st_ino
  }

  private func takeNewFile() -> Bool {
    let file = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return false }
    let old = state.withLock { state in
      let isOpen = state.file >= 0
      let old = isOpen ? state.file : file
      if isOpen { state.file = file }
      return old
    }
    close(old)
    return old != file
  }

  /// - Returns: false where the reader has not taken enough yet to be sent more.
  private func drain() -> Bool {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      guard pipe.hasRoom else { return false }
      let (done, more) = state.withLock { state -> (Bool, Bool) in
        guard !state.isDone, state.file >= 0 else { return (true, false) }
        let count = read(state.file, &chunk, chunk.count)
        guard count > 0 else { return (false, false) }
        state.carry += chunk[..<count]
        var start = state.carry.startIndex
        while let end = state.carry[start...].firstIndex(of: UInt8(ascii: "\n")) {
          emit(state.carry[start..<end], &state)
          start = end + 1
          if state.isDone { break }
        }
        state.carry.removeFirst(start)
        return (state.isDone, true)
      }
      if done {
        finish()
        return true
      }
      if !more { return true }
    }
  }

  private func emit(_ line: ArraySlice<UInt8>, _ state: inout State) {
    guard let entry = LogFile.parse(line) else { return }
    if options.stream == "Stdout", entry.isError { return }
    if options.stream == "Stderr", !entry.isError { return }
    if let since = options.sinceNanoseconds, let time = LogFile.nanoseconds(entry.time), time < since { return }
    let stream = entry.isError ? 1 : 0
    var out: [UInt8] = []
    out.reserveCapacity(line.count + 1)
    if options.timestamps, state.atLineStart[stream] {
      out += entry.time
      out.append(UInt8(ascii: " "))
    }
    out += entry.text
    if !entry.isPartial { out.append(UInt8(ascii: "\n")) }
    state.atLineStart[stream] = !entry.isPartial
    if let limit = options.limitBytes, state.sent + out.count >= limit {
      out = Array(out.prefix(limit - state.sent))
      state.isDone = true
    }
    state.sent += out.count
    if !out.isEmpty { pipe.write(0, out) }
  }

  private func finish() {
    stop()
    pipe.finish()
  }

  func stop() {
    let file = state.withLock { state -> Int32 in
      defer {
        state.file = -1
        state.isDone = true
      }
      return state.file
    }
    if file >= 0 { close(file) }
    source?.cancel()
  }
}

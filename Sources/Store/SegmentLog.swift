import Glibc
import Synchronization

/// Records that are only ever appended: audit, metrics, log groups. Files in one directory, an index by time, a retention. No objects.
///
/// In: bytes with a time. Out: the records of a span of time, in the order in which they came. A torn tail (crash, full disk) is cut
/// off when the log is opened again; whatever stood before it is there.
/// Never: changes a record, or grows past its bounds.
package final class SegmentLog: Sendable {
  package struct Record: Sendable, Equatable {
    /// Microseconds since 1970.
    package var time: Int64
    package var bytes: [UInt8]

    package init(time: Int64, bytes: [UInt8]) {
      self.time = time
      self.bytes = bytes
    }
  }

  package struct Configuration: Sendable {
    /// Made (0700) where it does not exist. Belongs to this log alone.
    package var directory: String
    /// A file is closed and the next one begun at this size.
    package var segmentBytes = 8 << 20
    /// Whole files go when their newest record is older.
    package var retentionSeconds: Int64 = 7 * 24 * 3600
    /// The oldest files go when all together are larger.
    package var maximumBytes = 1 << 30

    package init(directory: String) { self.directory = directory }
  }

  /// Bytes of one record.
  package static let maximumRecord = 1 << 20
  private static let headerSize = 16
  /// The index has an entry for every so many bytes.
  private static let blockBytes = 64 << 10

  private struct Segment: Sendable {
    var number: Int
    var bytes = 0
    /// Offset of each block and the times within it. Times need not be in order: clocks jump.
    var blocks: [(offset: Int, oldest: Int64, newest: Int64)] = []
    var newest: Int64 { blocks.reduce(Int64.min) { max($0, $1.newest) } }

    mutating func note(offset: Int, size: Int, time: Int64) {
      if let last = blocks.last, offset < last.offset + SegmentLog.blockBytes {
        blocks[blocks.count - 1].oldest = min(last.oldest, time)
        blocks[blocks.count - 1].newest = max(last.newest, time)
      } else {
        blocks.append((offset, time, time))
      }
      bytes = offset + size
    }
  }

  private struct State: Sendable {
    var segments: [Segment] = []
    var file: Int32 = -1
  }

  private let configuration: Configuration
  private let state = Mutex(State())

  /// - Throws: ``StoreError/refused(_:)`` where the directory cannot be used.
  package init(_ configuration: Configuration) throws(StoreError) {
    self.configuration = configuration
    guard mkdir(configuration.directory, 0o700) == 0 || errno == EEXIST, let directory = opendir(configuration.directory) else {
      throw .refused("cannot use \(configuration.directory): \(String(cString: strerror(errno)))")
    }
    var numbers: [Int] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name.hasSuffix(".seg"), let number = Int(name.dropLast(4)) { numbers.append(number) }
    }
    closedir(directory)
    var segments: [Segment] = []
    for number in numbers.sorted() { segments.append(try indexed(number)) }
    if let last = segments.last {
      // What a crash left behind the last whole record.
      guard truncate(path(last.number), off_t(last.bytes)) == 0 else { throw failure(path(last.number)) }
    }
    state.withLock { $0.segments = segments }
  }

  deinit { state.withLock { if $0.file >= 0 { Glibc.close($0.file) } } }

  private func path(_ number: Int) -> String { "\(configuration.directory)/\(number).seg" }

  private func failure(_ path: String) -> StoreError {
    errno == ENOSPC ? .full(path: path) : .failed("\(path): \(String(cString: strerror(errno)))")
  }

  // MARK: Writing

  /// Appends a record; durable after ``sync()``, or when the operating system writes it.
  /// - Parameter time: microseconds since 1970.
  /// - Throws: ``StoreError/full(path:)`` (nothing was written; works again once there is room), `.tooLarge`.
  package func append(_ bytes: [UInt8], time: Int64) throws(StoreError) {
    guard bytes.count <= Self.maximumRecord else {
      throw .tooLarge("a record has \(bytes.count) bytes; at most \(Self.maximumRecord) are kept")
    }
    var frame: [UInt8] = []
    frame.reserveCapacity(Self.headerSize + bytes.count)
    Self.put(UInt64(bytes.count), 4, &frame)
    Self.put(UInt64(Self.checksum(bytes, time)), 4, &frame)
    Self.put(UInt64(bitPattern: time), 8, &frame)
    frame.append(contentsOf: bytes)
    let error = state.withLock { state -> StoreError? in
      if state.file < 0 || (state.segments.last?.bytes ?? 0) >= configuration.segmentBytes, let error = open(&state) {
        return error
      }
      let last = state.segments.count - 1
      let offset = state.segments[last].bytes
      let written = frame.withUnsafeBytes { pwrite(state.file, $0.baseAddress, $0.count, off_t(offset)) }
      guard written == frame.count else {
        let error = written < 0 ? failure(path(state.segments[last].number)) : .full(path: path(state.segments[last].number))
        _ = ftruncate(state.file, off_t(offset))
        return error
      }
      state.segments[last].note(offset: offset, size: frame.count, time: time)
      return nil
    }
    if let error { throw error }
  }

  private func open(_ state: inout State) -> StoreError? {
    let isNew = state.segments.isEmpty || (state.segments.last?.bytes ?? 0) >= configuration.segmentBytes
    let number = (state.segments.last?.number ?? 0) + (isNew ? 1 : 0)
    let file = Glibc.open(path(number), O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else { return failure(path(number)) }
    if state.file >= 0 {
      fdatasync(state.file)
      Glibc.close(state.file)
    }
    state.file = file
    if isNew { state.segments.append(Segment(number: number)) }
    return nil
  }

  /// Makes everything appended so far durable.
  package func sync() throws(StoreError) {
    let isDone = state.withLock { $0.file < 0 || fdatasync($0.file) == 0 }
    if !isDone { throw failure(configuration.directory) }
  }

  /// Deletes the files that are too old or too many; the newest stays.
  /// - Parameter now: microseconds since 1970.
  package func prune(now: Int64) {
    state.withLock { state in
      var total = state.segments.reduce(0) { $0 + $1.bytes }
      while state.segments.count > 1 {
        let oldest = state.segments[0]
        let isOld = oldest.newest < now - configuration.retentionSeconds * 1_000_000
        guard isOld || total > configuration.maximumBytes else { return }
        unlink(path(oldest.number))
        total -= oldest.bytes
        state.segments.removeFirst()
      }
    }
  }

  // MARK: Reading

  /// Records of a span of time, in the order in which they came.
  /// - Parameters: span: microseconds since 1970. limit: of records.
  package func read(_ span: ClosedRange<Int64>, limit: Int) throws(StoreError) -> [Record] {
    var found: [Record] = []
    for segment in state.withLock({ $0.segments }) {
      for (i, block) in segment.blocks.enumerated() where block.oldest <= span.upperBound && block.newest >= span.lowerBound {
        let end = i + 1 < segment.blocks.count ? segment.blocks[i + 1].offset : segment.bytes
        try scan(segment.number, block.offset..<end) { _, record in
          if span.contains(record.time), found.count < limit { found.append(record) }
        }
        if found.count >= limit { return found }
      }
    }
    return found
  }

  private func indexed(_ number: Int) throws(StoreError) -> Segment {
    var segment = Segment(number: number)
    try scan(number, 0..<Int.max) { offset, record in
      segment.note(offset: offset, size: Self.headerSize + record.bytes.count, time: record.time)
    }
    return segment
  }

  /// Visits whole records until the first that is torn. A file that was pruned meanwhile has none.
  private func scan(_ number: Int, _ range: Range<Int>, _ visit: (Int, Record) -> Void) throws(StoreError) {
    let file = Glibc.open(path(number), O_RDONLY | O_CLOEXEC)
    guard file >= 0 else {
      if errno == ENOENT { return }
      throw failure(path(number))
    }
    defer { Glibc.close(file) }
    var offset = range.lowerBound
    var buffer: [UInt8] = []
    var bufferStart = offset
    while offset < range.upperBound {
      func bytes(_ from: Int, _ count: Int) -> ArraySlice<UInt8>? {
        if from < bufferStart || from + count > bufferStart + buffer.count {
          buffer = [UInt8](unsafeUninitializedCapacity: max(count, 256 << 10)) { memory, read in
            read = max(0, pread(file, memory.baseAddress, memory.count, off_t(from)))
          }
          bufferStart = from
        }
        guard from + count <= bufferStart + buffer.count else { return nil }
        return buffer[(from - bufferStart)..<(from - bufferStart + count)]
      }
      guard let header = bytes(offset, Self.headerSize) else { return }
      let size = Int(Self.get(header.prefix(4)))
      let sum = UInt32(truncatingIfNeeded: Self.get(header.dropFirst(4).prefix(4)))
      let time = Int64(bitPattern: Self.get(header.dropFirst(8)))
      guard size <= Self.maximumRecord, let body = bytes(offset + Self.headerSize, size) else { return }
      let record = Record(time: time, bytes: Array(body))
      guard Self.checksum(record.bytes, time) == sum else { return }
      visit(offset, record)
      offset += Self.headerSize + size
    }
  }

  private static func put(_ number: UInt64, _ count: Int, _ out: inout [UInt8]) {
    for i in 0..<count { out.append(UInt8(truncatingIfNeeded: number >> UInt64(8 * i))) }
  }

  private static func get(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }

  /// FNV-1a over time and bytes: finds what is torn, not what is forged.
  private static func checksum(_ bytes: [UInt8], _ time: Int64) -> UInt32 {
    var hash: UInt32 = 0x811c_9dc5
    for i in 0..<8 { hash = (hash ^ UInt32(UInt8(truncatingIfNeeded: time >> Int64(8 * i)))) &* 0x0100_0193 }
    for byte in bytes { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
    return hash
  }
}

import Glibc
import Store
import Synchronization
import Testing
import Wire

/// A writing process, `gantry-bench store-child PATH`, which prints `NAME COUNTER REVISION` for every acknowledgement.
struct WritingChild {
  let pid: pid_t
  let output: Int32

  /// The benchmark's binary lies beside the test bundle.
  static var binary: String? {
    let candidates = CommandLine.arguments + ["/proc/self/exe"]
    for candidate in candidates {
      guard let real = realpath(candidate, nil) else { continue }
      defer { free(real) }
      let path = String(cString: real)
      guard let slash = path.lastIndex(of: "/") else { continue }
      let binary = "\(path[..<slash])/gantry-bench"
      if access(binary, X_OK) == 0 { return binary }
    }
    return nil
  }

  init(_ arguments: [String]) throws {
    let binary = try #require(Self.binary, "gantry-bench is not built")
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    var argv: [UnsafeMutablePointer<CChar>?] = ([binary] + arguments).map { strdup($0) } + [nil]
    defer { argv.forEach { free($0) } }
    var child: pid_t = 0
    try #require(posix_spawn(&child, binary, &actions, nil, &argv, environ) == 0)
    close(ends[1])
    pid = child
    output = ends[0]
  }

  /// Reads acknowledgements until there are so many, or the child has ended.
  func read(_ count: Int, into lines: inout [Substring]) {
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    var newlines = 0
    while newlines < count {
      let got = Glibc.read(output, &buffer, buffer.count)
      if got <= 0 { break }
      newlines += buffer.prefix(got).count { $0 == UInt8(ascii: "\n") }
      text += buffer.prefix(got)
    }
    // The last line may be torn by the kill: it was not acknowledged to anybody.
    let whole = text.lastIndex(of: UInt8(ascii: "\n")).map { text[..<$0] } ?? []
    lines += String(decoding: whole, as: UTF8.self).split(separator: "\n")
    if newlines < count { close(output) }
  }

  func kill() { Glibc.kill(pid, SIGKILL) }

  /// - Returns: the exit code, nil after a signal.
  @discardableResult
  func wait() -> Int32? {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    return status & 0x7f == 0 ? status >> 8 & 0xff : nil
  }
}

@Suite(.serialized) struct CrashTests {
  @Test("kill -9 under load, again and again: every acknowledged write is there, revisions only grow")
  func killed() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/state.db"
      var acknowledged: [String: Int] = [:]
      var last: Revision = 0
      var random = Seeded(11)
      for round in 0..<12 {
        let child = try WritingChild(["store-child", path])
        var lines: [Substring] = []
        child.read(200 + random.next(1500), into: &lines)
        child.kill()
        child.read(Int.max, into: &lines)
        #expect(child.wait() == nil)
        var newest = last
        for line in lines {
          let parts = line.split(separator: " ")
          try #require(parts.count == 3, "\(line)")
          let counter = try #require(Int(parts[1]))
          let revision = try #require(Revision(parts[2]))
          #expect(revision > last, "round \(round)")
          acknowledged[String(parts[0])] = max(acknowledged[String(parts[0])] ?? 0, counter)
          newest = max(newest, revision)
        }
        last = newest
        let store = try SQLiteStore(.init(path: path))
        defer { store.close() }
        let (records, revision) = try store.load()
        #expect(revision >= last)
        let stored = Dictionary(
          uniqueKeysWithValues: records.map {
            ($0.key.key.name, Int(String(decoding: $0.value.prefix { $0 != 32 }, as: UTF8.self)) ?? -1)
          })
        for (name, counter) in acknowledged { #expect(stored[name] ?? -1 >= counter, "\(name), round \(round)") }
        // Whatever the file holds that nobody was told of counts from now on.
        for (name, counter) in stored { acknowledged[name] = max(acknowledged[name] ?? 0, counter) }
      }
      #expect(acknowledged.count > 10)
    }
  }

  @Test("a full disk fails writes, loses nothing, and is over when there is room", .enabled(if: geteuid() == 0))
  func full() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/disk"
      mkdir(path, 0o700)
      try #require(mount("tmpfs", path, "tmpfs", 0, "size=4m") == 0)
      defer { umount2(path, Int32(MNT_DETACH)) }
      let store = try SQLiteStore(.init(path: "\(path)/state.db"))
      defer { store.close() }
      var written: [String] = []
      var refusals = 0
      for i in 0..<2000 where refusals < 20 {
        do throws(StoreError) {
          try await store.put("k\(i)", [UInt8](repeating: UInt8(i % 256), count: 8192))
          written.append("k\(i)")
        } catch {
          guard case .full = error else { throw error }
          #expect("\(error)".contains("free space"))
          refusals += 1
        }
      }
      #expect(refusals == 20)
      #expect(written.count > 100)
      #expect(try Set(store.load().records.map(\.key.key.name)) == Set(written))
      // In flight together: the large one fails for itself, whatever becomes of the small ones they are answered.
      async let large: () = { _ = try? await store.put("large", [UInt8](repeating: 1, count: 4 << 20)) }()
      for i in 0..<5 { _ = try? await store.put("small\(i)", [1]) }
      await large
      try #require(mount("tmpfs", path, "tmpfs", UInt(MS_REMOUNT), "size=64m") == 0)
      for i in 0..<200 {
        try await store.put("after\(i)", [UInt8](repeating: 1, count: 8192))
        written.append("after\(i)")
      }
      let names = try Set(store.load().records.map(\.key.key.name))
      #expect(names.isSuperset(of: written))
      store.close()
      let again = try SQLiteStore(.init(path: "\(path)/state.db"))
      #expect(try Set(again.load().records.map(\.key.key.name)) == names)
      again.close()
    }
  }

  @Test("a full disk is freed by deletions, also after a kill; nothing else uses their room", .enabled(if: geteuid() == 0))
  func freed() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/disk"
      mkdir(path, 0o700)
      try #require(mount("tmpfs", path, "tmpfs", 0, "size=12m") == 0)
      defer { umount2(path, Int32(MNT_DETACH)) }
      let file = "\(path)/state.db"
      let clock = TestClock()
      var configuration = SQLiteStore.Configuration(path: file)
      configuration.now = { clock.seconds }
      var store = try SQLiteStore(configuration)
      defer { store.close() }
      var written: [(name: String, revision: Revision)] = []
      var isFull = false
      while !isFull {
        let name = "k\(written.count)"
        do throws(StoreError) {
          written.append((name, try await store.put(name, [UInt8](repeating: 1, count: 16_384))))
        } catch { isFull = true }
      }
      // Whatever is free goes to somebody else.
      let other = open("\(path)/other", O_WRONLY | O_CREAT, 0o600)
      let block = [UInt8](repeating: 2, count: 4096)
      while write(other, block, block.count) > 0 {}
      close(other)
      // As a kill leaves it: reserve and write-ahead log as they are.
      let copy = "\(directory)/copy"
      try #require(system("cp -a --sparse=never \(path) \(copy)") == 0)
      store.close()
      try #require(system("rm -f \(path)/state.db* && cp -a --sparse=never \(copy)/state.db* \(path)/") == 0)
      store = try SQLiteStore(configuration)
      await #expect(throws: StoreError.self) { try await store.put("more", [UInt8](repeating: 1, count: 262_144)) }
      let kept = 5
      for (name, revision) in written.dropLast(kept) {
        let key = testKey(name)
        _ = try await store.commit(Transaction(compares: [.revision(key, revision)], writes: [.delete(key, uid: name)]))
      }
      #expect(try Set(store.load().records.map(\.key.key.name)) == Set(written.suffix(kept).map(\.name)))
      // What was deleted went back to the disk, not only to the file: the reserve is held again.
      var reserve = stat()
      #expect(stat("\(file).reserve", &reserve) == 0 && reserve.st_blocks * 512 > 1 << 20)
      clock.seconds += 10
      try await store.put("again", [UInt8](repeating: 1, count: 16_384))
    }
  }

  @Test("a disk that fails under an fsync ends the process: nothing is acknowledged after it", .enabled(if: geteuid() == 0))
  func brokenDisk() async throws {
    try await withTemporaryDirectory { directory in
      // A file system that believes in 64 MB on a disk that has 12: its writes fail when they reach the disk.
      try #require(mkdir("\(directory)/disk", 0o700) == 0 && mkdir("\(directory)/files", 0o700) == 0)
      try #require(mount("tmpfs", "\(directory)/disk", "tmpfs", 0, "size=12m") == 0)
      defer { umount2("\(directory)/disk", Int32(MNT_DETACH)) }
      try #require(
        system(
          "truncate -s 64m \(directory)/disk/image && mkfs.ext4 -q -O ^has_journal \(directory)/disk/image && mount -o loop,errors=continue \(directory)/disk/image \(directory)/files"
        ) == 0)
      defer { umount2("\(directory)/files", Int32(MNT_DETACH)) }
      let child = try WritingChild(["store-child", "\(directory)/files/state.db", "65536"])
      var lines: [Substring] = []
      child.read(Int.max, into: &lines)
      #expect(child.wait() == 70)
      #expect(lines.count > 20)
    }
  }
}

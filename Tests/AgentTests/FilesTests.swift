import Agent
import Glibc
import Testing
import Wire

@Suite("Files of pods")
struct FilesTests {
  private static func directory() throws -> String {
    var name = Array("/tmp/gantry-files-XXXXXX".utf8CString)
    return String(cString: try #require(mkdtemp(&name)))
  }

  private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  private static func write(_ text: String, _ path: String) throws {
    let file = try #require(fopen(path, "w"))
    fputs(text, file)
    fclose(file)
  }

  @Test("a tree goes however deep it is and whatever its names are; what links lead to stays")
  func removal() throws {
    let root = try Self.directory()
    let outside = try Self.directory()
    defer { for path in [root, outside] { Files.remove(path) } }
    try Self.write("stays", "\(outside)/file")
    // 1,500 levels: a path of 15,000 bytes, several at each level, and more levels than a process may have files open.
    mkdir("\(root)/deep", 0o700)
    var level = open("\(root)/deep", O_RDONLY | O_DIRECTORY)
    for _ in 0..<1500 {
      for name in ["directory", "other"] { #expect(mkdirat(level, name, 0o700) == 0) }
      close(openat(level, "other/file", O_WRONLY | O_CREAT, 0o600))
      symlinkat(outside, level, "link")
      let next = openat(level, "directory", O_RDONLY | O_DIRECTORY)
      close(level)
      level = next
    }
    close(level)
    // A name that is no text.
    let name: [CChar] = [-1, -2, 47, 120, 0]
    var directory = Array("\(root)/deep/".utf8CString.dropLast()) + name[..<2]
    directory.append(0)
    #expect(mkdir(directory, 0o700) == 0)
    var file = Array("\(root)/deep/".utf8CString.dropLast())
    file += name
    close(open(file, O_WRONLY | O_CREAT, 0o600))
    Files.remove("\(root)/deep")
    #expect(!Self.exists("\(root)/deep"))
    #expect(Self.exists("\(outside)/file"))
    symlink(outside, "\(root)/link")
    Files.remove("\(root)/link")
    #expect(!Self.exists("\(root)/link") && Self.exists("\(outside)/file"))
  }

  @Test("what is mounted inside stays, with all around it gone", .enabled(if: geteuid() == 0, "needs root"))
  func mounted() throws {
    let root = try Self.directory()
    let other = try Self.directory()
    defer { for path in [root, other] { Files.remove(path) } }
    try Self.write("stays", "\(other)/file")
    for path in ["\(root)/a", "\(root)/a/b", "\(root)/a/c"] { mkdir(path, 0o700) }
    // The same file system: only the mount tells them apart.
    try #require(mount(other, "\(root)/a/b", nil, UInt(MS_BIND), nil) == 0)
    Files.remove(root)
    umount2("\(root)/a/b", Int32(MNT_DETACH))
    #expect(Self.exists("\(other)/file"))
    #expect(!Self.exists("\(root)/a/c"))
  }

  @Test("the end of a log: so many lines, so many bytes, however long its lines are")
  func tail() throws {
    let root = try Self.directory()
    defer { Files.remove(root) }
    let path = "\(root)/0.log"
    let head = "2026-11-25T08:41:20.78699315Z stdout"
    try Self.write((0..<200).map { "\(head) F line \($0)\n" }.joined(), path)
    #expect(LogFile.tail(path, lines: 2, bytes: 2048) == "line 198\nline 199\n")
    #expect(LogFile.tail(path, lines: 2, bytes: 5) == " 199\n")
    #expect(LogFile.tail(path, lines: 1000, bytes: 2048) == String((0..<200).map { "line \($0)\n" }.joined().suffix(2048)))
    let long = String(repeating: "\(head) P \(String(repeating: "x", count: 16_384))\n", count: 200)
    try Self.write(long + "\(head) F end\n", path)
    #expect(LogFile.tail(path, lines: 80, bytes: 2048) == String(repeating: "x", count: 2044) + "end\n")
    #expect(LogFile.tail("\(root)/absent", lines: 1, bytes: 1) == "")
  }

  @Test(
    "times of logs beyond what nanoseconds count are the end of them",
    arguments: [
      ("2026-11-25T08:41:20.786993151Z", 1_795_596_080_786_993_151), ("3000-01-01T00:00:00Z", .max), ("0001-01-01T00:00:00Z", .min),
      ("2262-04-11T23:47:16.999999999Z", .max), ("yesterday", nil),
    ] as [(String, Int64?)])
  func times(text: String, expected: Int64?) { #expect(LogFile.nanoseconds(Array(text.utf8)[...]) == expected) }

  @Test("the next log's number")
  func numbers() throws {
    let root = try Self.directory()
    defer { Files.remove(root) }
    #expect(PodLogs.next(in: "\(root)/absent") == 0)
    #expect(PodLogs.next(in: root) == 0)
    for name in ["0.log", "2.log", "2.log.1", "x.log", "9.txt", "log"] { try Self.write("", "\(root)/\(name)") }
    #expect(PodLogs.next(in: root) == 3)
    try Self.write("", "\(root)/9223372036854775807.log")
    #expect(PodLogs.next(in: root) == .max)
  }
}

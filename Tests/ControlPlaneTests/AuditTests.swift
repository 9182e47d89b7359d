import Client
import ControlPlane
import Store
import Testing
import Wire

#if canImport(Glibc)
  import Glibc
#endif

@Suite struct AuditTests {
  static func contents(_ path: String) -> [UInt8] {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return [] }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = read(file, &chunk, chunk.count), count > 0 { bytes += chunk[..<count] }
    return bytes
  }

  static func events(_ directory: String) throws -> [Value] {
    try contents("\(directory)/audit.log").split(separator: UInt8(ascii: "\n")).map { try Value(json: Array($0)) }
  }

  static func remove(_ directory: String) {
    unlink("\(directory)/audit.log")
    rmdir(directory)
  }

  private func withDirectory(_ body: (String) throws -> Void) throws {
    var template = Array("/tmp/gantry-audit-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw StoreError.failed("mkdtemp") }
    let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { Self.remove(directory) }
    try body(directory)
  }

  @Test("every write is recorded before its answer, refused ones with their code; bodies are not")
  func audit() async throws {
    try await TestPlane.with { test in
      let directory = "\(test.directory)/audit"
      test.plane.setAuditLog(try AuditLog(.init(directory: directory)))
      defer { Self.remove(directory) }
      let jane = test.plane.client(as: Identity(name: "jane", groups: ["system:masters"]))
      _ = try await jane.create(
        .secrets, namespace: "default", body: ["metadata": ["name": "a"], "stringData": ["k": "hidden-words"]], WriteOptions())
      await #expect(throws: APIError.self) {
        try await jane.create(.secrets, namespace: "default", body: ["metadata": ["name": "a"]], WriteOptions())
      }
      try await jane.delete(.secrets, ObjectKey(namespace: "default", name: "a"), DeleteOptions())
      let events = try Self.events(directory)
      #expect(events.map { $0["verb"].string } == ["create", "create", "delete"])
      #expect(events.map { $0["responseStatus"]["code"].int } == [201, 409, 200])
      #expect(events.allSatisfy { $0["user"]["username"] == "jane" && $0["objectRef"]["resource"] == "secrets" })
      let text = String(decoding: Self.contents("\(directory)/audit.log"), as: UTF8.self)
      #expect(!text.contains("hidden-words"))
    }
  }

  @Test("a bind of the scheduler is recorded and measured as one over HTTP is, refused ones too")
  func binding() async throws {
    try await TestPlane.with { test in
      let directory = "\(test.directory)/audit"
      test.plane.setAuditLog(try AuditLog(.init(directory: directory)))
      defer { Self.remove(directory) }
      _ = try await test.admin.create(.pods, namespace: "default", body: TestPlane.pod("a"), WriteOptions())
      let key = ObjectKey(namespace: "default", name: "a")
      for _ in 0..<2 { _ = await test.plane.client(as: .scheduler).submit([.bind(pod: key, uid: "", node: "n1")]) }
      let binds = try Self.events(directory).filter { $0["objectRef"]["subresource"] == "binding" }
      #expect(binds.map { $0["responseStatus"]["code"].int } == [201, 409])
      #expect(binds.allSatisfy { $0["user"]["username"] == "system:kube-scheduler" && $0["objectRef"]["name"] == "a" })
      #expect(test.plane.metrics.render().contains("gantry_write_duration_seconds_count{verb=\"binding\"} 1\n"))
    }
  }

  @Test("a full file is closed under its time; the oldest go by number and by age")
  func rotation() throws {
    try withDirectory { directory in
      var configuration = AuditLog.Configuration(directory: directory)
      configuration.fileBytes = 100
      configuration.keptFiles = 3
      configuration.retentionSeconds = 1000
      let log = try AuditLog(configuration)
      let line = [UInt8](repeating: UInt8(ascii: "x"), count: 59) + [UInt8(ascii: "\n")]
      for second in 0..<6 { try log.append(line, now: Timestamp(seconds: 1_764_000_000 + Int64(second))) }
      #expect(
        log.closedFiles() == [
          "audit-2025-11-24T16-00-03.000000Z.log", "audit-2025-11-24T16-00-04.000000Z.log",
          "audit-2025-11-24T16-00-05.000000Z.log",
        ])
      #expect(Self.contents("\(directory)/audit.log") == line)
      try log.append(line, now: Timestamp(seconds: 1_764_001_005))
      #expect(log.closedFiles() == ["audit-2025-11-24T16-00-05.000000Z.log", "audit-2025-11-24T16-16-45.000000Z.log"])
      for name in log.closedFiles() { unlink("\(directory)/\(name)") }
    }
  }

  @Test("a line that cannot be written is told, the first of a row as such, and the next one opens the file anew")
  func failure() throws {
    try withDirectory { directory in
      let path = "\(directory)/audit.log"
      symlink("/dev/full", path)
      let log = try AuditLog(.init(directory: directory))
      let now = Timestamp(seconds: 0)
      for isFirst in [true, false] {
        let failure = #expect(throws: AuditLog.Failure.self) { try log.append([120, 10], now: now) }
        #expect(failure?.isFirst == isFirst && failure?.description.contains("No space left on device") == true)
      }
      unlink(path)
      try log.append([121, 10], now: now)
      #expect(Self.contents(path) == [121, 10])
    }
  }
}

import Client
import Glibc
import Logging
import Schema
import Synchronization
import Wire

/// Who changed what, when, and how it ended: one JSON line a write, in the form of upstream's audit events at level Metadata.
///
/// In: what the write pipeline did, before its answer. Out: `audit.log` in one directory; full files get the time at which they were
/// closed into their name (`audit-2026-11-25T14-05-09.123456Z.log`), and go when they are too many or too old.
/// Never: holds a body, a header or a token; changes a line that is written.
package final class AuditLog: Sendable {
  package struct Configuration: Sendable {
    /// Made (0700) where it does not exist.
    package var directory: String
    /// A file is closed and the next one begun at this size.
    package var fileBytes = 32 << 20
    /// Closed files kept besides the one that is written.
    package var keptFiles = 7
    /// Closed files are removed this many seconds after they were closed.
    package var retentionSeconds: Int64 = 30 * 86400

    package init(directory: String) { self.directory = directory }
  }

  private struct State {
    var file: Int32 = -1
    var size = 0
    var isFailing = false
  }

  private let configuration: Configuration
  private let state = Mutex(State())

  package struct Failure: Error, CustomStringConvertible {
    package let description: String
    /// The line before this one was written: worth a word in the server's log.
    package var isFirst = false
  }

  /// - Throws: ``Failure`` where the directory or file cannot be written.
  package init(_ configuration: Configuration) throws(Failure) {
    self.configuration = configuration
    let (file, size) = try open()
    state.withLock { $0 = State(file: file, size: size) }
  }

  deinit { state.withLock { if $0.file >= 0 { close($0.file) } } }

  private var path: String { "\(configuration.directory)/audit.log" }

  private static func failure(_ what: String) -> Failure { Failure(description: "\(what): \(String(cString: strerror(errno)))") }

  private func open() throws(Failure) -> (file: Int32, size: Int) {
    guard mkdir(configuration.directory, 0o700) == 0 || errno == EEXIST else {
      throw Self.failure("cannot make the audit directory \(configuration.directory)")
    }
    let file = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw Self.failure("cannot write \(path)") }
    return (file, Int(max(0, lseek(file, 0, SEEK_END))))
  }

  /// Appends one line, whole or not at all.
  /// - Throws: ``Failure`` where it could not be written; the next line tries again, with a file opened anew.
  package func append(_ line: [UInt8], now: Timestamp) throws(Failure) {
    let failure = state.withLock { state -> Failure? in
      do throws(Failure) {
        try write(line, &state, now)
        state.isFailing = false
        return nil
      } catch {
        if state.file >= 0 { close(state.file) }
        let failure = Failure(description: error.description, isFirst: !state.isFailing)
        state = State(isFailing: true)
        return failure
      }
    }
    if let failure { throw failure }
  }

  private func write(_ line: [UInt8], _ state: inout State, _ now: Timestamp) throws(Failure) {
    if state.file < 0 { (state.file, state.size) = try open() }
    if state.size > 0, state.size + line.count > configuration.fileBytes {
      close(state.file)
      state.file = -1
      try rotate(now)
      (state.file, state.size) = try open()
    }
    var written = 0
    while written < line.count {
      let count = line[written...].withUnsafeBytes { Glibc.write(state.file, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else {
        let failure = Self.failure("cannot write \(path)")
        // Half a line would spoil the next one.
        ftruncate(state.file, off_t(state.size))
        throw failure
      }
      written += count
    }
    state.size += written
  }

  private func rotate(_ now: Timestamp) throws(Failure) {
    let stamp = now.microDescription.replacing(":", with: "-")
    guard rename(path, "\(configuration.directory)/audit-\(stamp).log") == 0 else { throw Self.failure("cannot rename \(path)") }
    // Names sort by time.
    let closed = closedFiles()
    let end = Timestamp(seconds: now.seconds - configuration.retentionSeconds).microDescription.replacing(":", with: "-")
    for (i, name) in closed.enumerated() where i < closed.count - configuration.keptFiles || name < "audit-\(end)" {
      unlink("\(configuration.directory)/\(name)")
    }
  }

  /// Names of the files that are no longer written, the oldest first.
  package func closedFiles() -> [String] {
    guard let directory = opendir(configuration.directory) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name.hasPrefix("audit-"), name.hasSuffix(".log") { names.append(name) }
    }
    return names.sorted()
  }
}

extension ControlPlane {
  /// Audit is switched off until a log is set.
  package func setAuditLog(_ log: AuditLog?) { auditLog.withLock { $0 = log } }

  /// What says nothing about anybody's intent: heartbeats and events are not recorded.
  private static let unaudited: Set<String> = ["coordination/v1.Lease", "core/v1.Event", "events/v1.Event"]

  /// Records a write or action before it is answered.
  func record(
    _ identity: Identity, _ verb: String, _ kind: ResourceKind, _ key: ObjectKey, subresource: String?, dryRun: Bool, code: Int
  ) {
    if Self.unaudited.contains(kind.typeName) { return }
    var attributes = RequestAttributes(
      user: identity, verb: verb, group: kind.gvr.group, resource: kind.gvr.resource, subresource: subresource ?? "",
      namespace: key.namespace, name: key.name)
    if dryRun { attributes.verb += " (dry run)" }
    record(attributes, version: kind.gvr.version, code: code)
  }

  /// Records a request that was refused, one that opens a stream, or one of another door.
  package func record(_ attributes: RequestAttributes, version: String = "v1", code: Int) {
    guard let log = auditLog.withLock({ $0 }) else { return }
    let identity = attributes.user
    var reference: Value = .emptyObject
    for (field, text) in [
      ("resource", attributes.resource), ("namespace", attributes.namespace), ("name", attributes.name),
      ("apiGroup", attributes.group),
      ("apiVersion", attributes.resource.isEmpty ? "" : version), ("subresource", attributes.subresource),
    ] where !text.isEmpty { reference[field] = .string(text) }
    var user: Value = ["username": .string(identity.name)]
    if !identity.uid.isEmpty { user["uid"] = .string(identity.uid) }
    user["groups"] = .array(identity.groups.map { .string($0) })
    let time = clock.now()
    let now = time.microDescription
    let event: Value = [
      "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": .string(clock.uuid()),
      "stage": "ResponseComplete",
      "verb": .string(attributes.verb), "user": user, "objectRef": reference, "responseStatus": ["code": .int(Int64(code))],
      "requestReceivedTimestamp": .string(now), "stageTimestamp": .string(now),
    ]
    var line = event
    if let path = attributes.path { line["requestURI"] = .string(path) }
    do throws(AuditLog.Failure) { try log.append(line.jsonBytes + [UInt8(ascii: "\n")], now: time) } catch {
      metrics.count("gantry_audit_errors_total")
      if error.isFirst { logger.error("writes are not audited", metadata: ["error": "\(error)"]) }
    }
  }
}

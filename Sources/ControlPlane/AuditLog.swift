import Client
import Glibc
import Schema
import Synchronization
import Wire

/// Who changed what, when, and how it ended: one JSON line a write, in the form of upstream's audit events at level Metadata.
///
/// In: what the write pipeline did, before its answer. Out: `audit.log` in one directory, rotated by size.
/// Never: holds a body, a header or a token.
package final class AuditLog: Sendable {
  package struct Configuration: Sendable {
    /// Made (0700) where it does not exist.
    package var directory: String
    /// A file is closed and the next one begun at this size.
    package var fileBytes = 32 << 20
    /// Files kept besides the one that is written: audit-1.log is the newest of them.
    package var keptFiles = 7

    package init(directory: String) { self.directory = directory }
  }

  private struct State {
    var file: Int32 = -1
    var size = 0
  }

  private let configuration: Configuration
  private let state = Mutex(State())

  package struct Failure: Error, CustomStringConvertible {
    package let description: String
  }

  /// - Throws: ``Failure`` where the directory or file cannot be written.
  package init(_ configuration: Configuration) throws(Failure) {
    self.configuration = configuration
    guard mkdir(configuration.directory, 0o700) == 0 || errno == EEXIST else {
      throw Failure(description: "cannot make the audit directory \(configuration.directory): \(String(cString: strerror(errno)))")
    }
    let (file, size) = try Self.open(path(0))
    state.withLock { $0 = State(file: file, size: size) }
  }

  deinit { state.withLock { if $0.file >= 0 { close($0.file) } } }

  private func path(_ age: Int) -> String {
    age == 0 ? "\(configuration.directory)/audit.log" : "\(configuration.directory)/audit-\(age).log"
  }

  private static func open(_ path: String) throws(Failure) -> (file: Int32, size: Int) {
    let file = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw Failure(description: "cannot write \(path): \(String(cString: strerror(errno)))") }
    return (file, Int(max(0, lseek(file, 0, SEEK_END))))
  }

  /// Appends one line with one write(2): lines of several servers in one process never mix.
  func append(_ line: [UInt8]) {
    state.withLock { state in
      if state.size + line.count > configuration.fileBytes { rotate(&state) }
      guard state.file >= 0 else { return }
      let written = line.withUnsafeBytes { write(state.file, $0.baseAddress, $0.count) }
      if written > 0 { state.size += written }
    }
  }

  private func rotate(_ state: inout State) {
    if state.file >= 0 { close(state.file) }
    unlink(path(configuration.keptFiles))
    for age in stride(from: configuration.keptFiles - 1, through: 0, by: -1) { rename(path(age), path(age + 1)) }
    let opened = try? Self.open(path(0))
    state = State(file: opened?.file ?? -1, size: opened?.size ?? 0)
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

  /// Records a request that was refused, or one that opens a stream.
  func record(_ attributes: RequestAttributes, version: String = "v1", code: Int) {
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
    let now = clock.now().microDescription
    let event: Value = [
      "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": .string(clock.uuid()),
      "stage": "ResponseComplete",
      "verb": .string(attributes.verb), "user": user, "objectRef": reference, "responseStatus": ["code": .int(Int64(code))],
      "requestReceivedTimestamp": .string(now), "stageTimestamp": .string(now),
    ]
    var line = event
    if let path = attributes.path { line["requestURI"] = .string(path) }
    log.append(line.jsonBytes + [UInt8(ascii: "\n")])
  }
}

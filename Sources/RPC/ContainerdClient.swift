import Wire

/// What containerd offers beside CRI: its event stream, processes in tasks, and content that is written directly.
package struct ContainerdClient: Sendable {
  /// What happened to a task, from `/tasks/exit`, `/tasks/delete`, `/tasks/oom`, `/tasks/start`.
  package enum Event: Sendable, Equatable {
    /// - Parameter execID: empty or the container's own id: its first process.
    case exit(container: String, execID: String, status: Int)
    /// What was left of the container's ended processes is taken away: seconds after the exit where the machine is busy, and what CRI waits
    /// for before it says that the container has exited.
    case delete(container: String)
    case oom(container: String)
    case start(container: String)
  }

  package static let namespace = "k8s.io"
  package let connection: GRPCClient

  package init(_ connection: GRPCClient) { self.connection = connection }

  private var metadata: [(String, String)] { [("containerd-namespace", Self.namespace)] }

  package func call(_ path: String, _ body: ProtoWriter, deadline: Duration? = .seconds(60)) async throws(GRPCError) -> [UInt8] {
    try await connection.unary(path, body.bytes, metadata: metadata, deadline: deadline)
  }

  /// Events of the namespace k8s.io from now on; ends with an error when containerd goes away.
  package func events() -> AsyncThrowingStream<Event, any Error> {
    var request = ProtoWriter()
    request.string(1, "namespace==\(Self.namespace),topic~=^/tasks/")
    let messages = connection.serverStream("/containerd.services.events.v1.Events/Subscribe", request.bytes, metadata: metadata)
    return AsyncThrowingStream { continuation in
      let task = Task {
        do {
          for try await message in messages {
            if let event = try? Self.event(message) { continuation.yield(event) }
          }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { _ in task.cancel() }
    }
  }

  /// Envelope: timestamp 1, namespace 2, topic 3, event 4 (Any: type 1, value 2).
  static func event(_ message: [UInt8]) throws(ProtoReader.Malformed) -> Event? {
    var topic = ""
    var payload: ArraySlice<UInt8> = []
    var reader = ProtoReader(message)
    while let (number, field) = try reader.next() {
      guard case .bytes(let bytes) = field else { continue }
      if number == 3 { topic = String(decoding: bytes, as: UTF8.self) }
      if number == 4 {
        var any = ProtoReader(bytes)
        while let (number, field) = try any.next() {
          if number == 2, case .bytes(let value) = field { payload = value }
        }
      }
    }
    var container = ""
    var id = ""
    var status = 0
    var fields = ProtoReader(payload)
    while let (number, field) = try fields.next() {
      switch (number, field) {
      case (1, .bytes(let bytes)): container = String(decoding: bytes, as: UTF8.self)
      case (2, .bytes(let bytes)): id = String(decoding: bytes, as: UTF8.self)
      case (4, .varint(let value)): status = Int(truncatingIfNeeded: value)
      default: break
      }
    }
    // TaskExit: container 1, id 2, pid 3, status 4. TaskDelete, TaskOOM and TaskStart: container 1.
    switch topic {
    case "/tasks/exit": return .exit(container: container, execID: id == container ? "" : id, status: status)
    case "/tasks/delete": return .delete(container: container)
    case "/tasks/oom": return .oom(container: container)
    case "/tasks/start": return .start(container: container)
    default: return nil
    }
  }
}

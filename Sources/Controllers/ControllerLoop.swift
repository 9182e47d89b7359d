import Client
import Logging
import Wire

/// The one loop around every reconciler: keys from a queue, a few workers, the actions through ``Client``, back-off by key.
struct ControllerLoop: Sendable {
  let name: String
  let client: any Client
  let queue: WorkQueue<ObjectKey>
  let recorder: EventRecorder
  let log: Logger

  /// Creates are sent 16, 32, … up to so many at once.
  static let largestBatch = 500

  init(_ name: String, _ context: ControllerContext, patience: Duration = .milliseconds(5)) {
    self.name = name
    client = context.clients(.controller(name))
    queue = WorkQueue(base: patience, limit: .seconds(60))
    recorder = EventRecorder(client: client, controller: name, now: context.now)
    var log = context.log
    log[metadataKey: "controller"] = "\(name)"
    self.log = log
  }

  /// Works until the task is cancelled.
  /// - Parameter reconcile: pure but for what it reads from informers; called for one key by one worker at a time.
  func run(workers: Int = 2, _ reconcile: @escaping @Sendable (ObjectKey) async throws(APIError) -> [Action]) async {
    await withDiscardingTaskGroup { group in
      for _ in 0..<workers {
        group.addTask {
          while let key = await queue.next() {
            do throws(APIError) {
              try await apply(try await reconcile(key), key)
              queue.done(key)
            } catch {
              // Stale reads are the order of the day; anything else is worth a line.
              if error.reason != .conflict, error.reason != .notFound, error.reason != .alreadyExists {
                log.warning("will try again", metadata: ["key": "\(key)", "error": "\(error.message)"])
              }
              queue.done(key, succeeded: false)
            }
          }
        }
      }
    }
  }

  private func apply(_ actions: [Action], _ key: ObjectKey) async throws(APIError) {
    for action in actions {
      switch action {
      case .write(let operation): for result in await client.submit([operation]) { _ = try result.get() }
      case .event(let about, let kind, let reason, let note): await recorder.record(about, kind, reason: reason, note)
      case .requeue(let seconds): queue.add(key, after: .seconds(seconds))
      }
    }
  }
}

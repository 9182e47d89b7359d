import Wire

/// The one interface between rooms. Controllers, scheduler, agent, both doors' actions and the console use nothing else,
/// in-process (no HTTP, the same admission and authorization) or over HTTP.
///
/// Objects come back in the version asked for. Every call is authorized as ``identity``; a refusal is `APIError` with reason
/// `.forbidden`, a missing object `.notFound`.
package protocol Client: Sendable {
  var identity: Identity { get }

  /// - Throws: `.notFound`.
  func get(_ resource: GroupVersionResource, _ key: ObjectKey) async throws(APIError) -> EncodedObject

  /// - Parameter namespace: nil for all namespaces and for cluster-scoped kinds.
  /// - Throws: `.expired` where the revision or the continue token is gone.
  func list(_ resource: GroupVersionResource, namespace: String?, _ options: ListOptions) async throws(APIError) -> ObjectList

  /// Events after `options.resourceVersion`, in the order of their revisions. The stream ends with an error event
  /// (`.expired`) when its position has fallen off the ring and the log.
  func watch(_ resource: GroupVersionResource, namespace: String?, _ options: ListOptions) async throws(APIError) -> WatchStream

  /// - Parameter body: the object as JSON tree; `kind` and `apiVersion` may be absent.
  func create(
    _ resource: GroupVersionResource, namespace: String, body: Value, _ options: WriteOptions
  ) async throws(APIError) -> EncodedObject

  /// Replaces an object or one of its subresources (`status`, `scale`, …).
  func update(
    _ resource: GroupVersionResource, _ key: ObjectKey, subresource: String?, body: Value, _ options: WriteOptions
  ) async throws(APIError) -> EncodedObject

  func patch(
    _ resource: GroupVersionResource, _ key: ObjectKey, subresource: String?, _ patch: Patch, _ options: WriteOptions
  ) async throws(APIError) -> EncodedObject

  /// - Returns: the object that stays while finalizers or a grace period hold it, or nil where it is gone.
  @discardableResult
  func delete(_ resource: GroupVersionResource, _ key: ObjectKey, _ options: DeleteOptions) async throws(APIError) -> EncodedObject?

  /// Subresources that are actions: `pods/binding`, `pods/eviction`, `serviceaccounts/token`. The answer is the action's own object.
  func createSubresource(
    _ resource: GroupVersionResource, _ key: ObjectKey, subresource: String, body: Value, _ options: WriteOptions
  ) async throws(APIError) -> Value

  /// Independent writes in one go, for example a thousand bindings: authorized and committed as a batch, answered one by one,
  /// in the order given.
  func submit(_ operations: [Operation]) async -> [Result<EncodedObject?, APIError>]

  /// Opens a byte stream to a subresource (`pods/exec`, `pods/log`, `pods/attach`).
  func connect(
    _ resource: GroupVersionResource, _ key: ObjectKey, subresource: String, query: [(name: String, value: String)]
  ) async throws(APIError) -> any ByteStream
}

/// Options of list and watch.
package struct ListOptions: Sendable {
  package var labelSelector = ""
  package var fieldSelector = ""
  /// nil or "": the most recent state. "0": any state.
  package var resourceVersion: String?
  package var resourceVersionMatch: String?
  package var limit = 0
  package var `continue` = ""
  package var allowWatchBookmarks = false
  package var sendInitialEvents = false

  package init(
    labelSelector: String = "", fieldSelector: String = "", resourceVersion: String? = nil, allowWatchBookmarks: Bool = false,
    sendInitialEvents: Bool = false
  ) {
    self.labelSelector = labelSelector
    self.fieldSelector = fieldSelector
    self.resourceVersion = resourceVersion
    self.allowWatchBookmarks = allowWatchBookmarks
    self.sendInitialEvents = sendInitialEvents
  }
}

/// A consistent list: every object as it was at `revision`.
package struct ObjectList: Sendable {
  package var revision: Int64
  package var items: [EncodedObject]
  /// Token of the next page; "" on the last.
  package var `continue`: String
  package var remainingItemCount: Int64?

  package init(revision: Int64, items: [EncodedObject], continue: String = "", remainingItemCount: Int64? = nil) {
    self.revision = revision
    self.items = items
    self.continue = `continue`
    self.remainingItemCount = remainingItemCount
  }
}

package enum WatchEvent: Sendable {
  case added(EncodedObject)
  case modified(EncodedObject)
  /// The last state, at the revision of the deletion (or of the write after which it stopped matching).
  case deleted(EncodedObject)
  /// Nothing up to this revision is missing. `initialEventsEnd` closes the state sent because of `sendInitialEvents`.
  case bookmark(revision: Int64, initialEventsEnd: Bool)
  case error(APIError)
}

/// Batches of events; ends after `.error` or when the server goes away.
package typealias WatchStream = AsyncStream<[WatchEvent]>

package struct WriteOptions: Sendable {
  package var fieldManager: String
  package var dryRun = false
  /// `Strict`, `Warn` or `Ignore`. Controllers leave it at Ignore.
  package var fieldValidation = "Ignore"
  /// Server-side apply: take over fields that others own.
  package var force = false

  package init(fieldManager: String = "", dryRun: Bool = false, fieldValidation: String = "Ignore", force: Bool = false) {
    self.fieldManager = fieldManager
    self.dryRun = dryRun
    self.fieldValidation = fieldValidation
    self.force = force
  }
}

package struct Patch: Sendable {
  package enum Kind: String, Sendable {
    case json = "application/json-patch+json"
    case merge = "application/merge-patch+json"
    case strategic = "application/strategic-merge-patch+json"
    case apply = "application/apply-patch+yaml"
  }
  package var kind: Kind
  package var body: Value

  package init(_ kind: Kind, _ body: Value) {
    self.kind = kind
    self.body = body
  }
}

package struct DeleteOptions: Sendable {
  package enum Propagation: String, Sendable {
    case background = "Background"
    case foreground = "Foreground"
    case orphan = "Orphan"
  }
  /// nil: the kind's own default (30 s or what its spec says for pods, 0 for the rest).
  package var gracePeriodSeconds: Int64?
  package var propagation: Propagation?
  package var preconditionUID: String?
  package var preconditionResourceVersion: String?
  package var dryRun = false

  package init(
    gracePeriodSeconds: Int64? = nil, propagation: Propagation? = nil, preconditionUID: String? = nil,
    preconditionResourceVersion: String? = nil
  ) {
    self.gracePeriodSeconds = gracePeriodSeconds
    self.propagation = propagation
    self.preconditionUID = preconditionUID
    self.preconditionResourceVersion = preconditionResourceVersion
  }
}

/// One write of ``Client/submit(_:)``.
package enum Operation: Sendable {
  case create(GroupVersionResource, namespace: String, body: Value)
  case update(GroupVersionResource, ObjectKey, subresource: String?, body: Value)
  case patch(GroupVersionResource, ObjectKey, subresource: String?, Patch)
  case delete(GroupVersionResource, ObjectKey, DeleteOptions)
  /// `pods/binding`: the pod's `spec.nodeName`, once.
  case bind(pod: ObjectKey, uid: String, node: String)
}

/// A two-way stream of frames. `channel` is 0 for plain streams; exec numbers stdin 0, stdout 1, stderr 2, error 3, resize 4.
package protocol ByteStream: Sendable {
  /// The other side's frames; ends when it closes.
  var frames: AsyncThrowingStream<StreamFrame, any Error> { get }
  func send(_ frame: StreamFrame) async throws
  /// No more will be sent on the channel.
  func finish(channel: UInt8) async throws
  func close()
}

package struct StreamFrame: Sendable {
  package var channel: UInt8
  package var bytes: [UInt8]
  /// The other side has ended this channel.
  package var isEnd = false

  package init(channel: UInt8, bytes: [UInt8], isEnd: Bool = false) {
    self.channel = channel
    self.bytes = bytes
    self.isEnd = isEnd
  }
}

/// One stored object at one revision: canonical JSON that holds neither `kind`, `apiVersion` nor `metadata.resourceVersion`.
///
/// Opaque on purpose (DESIGN section 7): callers read through ``withView(_:)`` and write through ``write(apiVersion:kind:into:)``
/// and hold no buffer, so that the representation can change without touching them. Shared by cache, informers and doors.
package final class EncodedObject: Sendable {
  /// The revision of the write that made this state: `metadata.resourceVersion`.
  package let revision: Int64
  package let key: ObjectKey
  package let uid: String
  private let bytes: [UInt8]
  /// Where `"resourceVersion":"…",` goes: before the first member of metadata that upstream writes after it.
  private let splice: Int

  /// - Parameter bytes: canonical JSON of an object with `metadata.name`.
  /// - Throws: ``JSONError`` where the bytes are no JSON object with metadata.
  package init(bytes: [UInt8], revision: Int64) throws(JSONError) {
    self.bytes = bytes
    self.revision = revision
    var parts: (key: ObjectKey, uid: String, splice: Int)?
    var failure: JSONError?
    bytes.withUnsafeBufferPointer { buffer in
      var tape = JSONTape(capacity: max(64, buffer.count / 24))
      do throws(JSONReadError<JSONError>) {
        parts = try tape.read(buffer) { view throws(JSONError) in
          let metadata = view["metadata"]
          guard metadata.isObject else { throw JSONError("stored object has no metadata", at: 0) }
          var splice: Int?
          metadata.forEachMember { key, _ in
            let isBefore =
              key.equals("name") || key.equals("generateName") || key.equals("namespace") || key.equals("selfLink")
              || key.equals("uid")
            if splice == nil, !isBefore { splice = key.range.lowerBound }
          }
          let key = ObjectKey(namespace: metadata["namespace"].string ?? "", name: metadata["name"].string ?? "")
          guard let splice else { throw JSONError("stored object has no creationTimestamp", at: metadata.range.lowerBound) }
          return (key, metadata["uid"].string ?? "", splice)
        }
      } catch {
        switch error {
        case .json(let error), .body(let error): failure = error
        }
      }
    }
    guard let parts else { throw failure ?? JSONError("unreadable object", at: 0) }
    key = parts.key
    uid = parts.uid
    splice = parts.splice
  }

  private init(_ other: EncodedObject, revision: Int64) {
    self.revision = revision
    bytes = other.bytes
    key = other.key
    uid = other.uid
    splice = other.splice
  }

  /// The same state at another revision: what a watcher is shown of a deletion.
  package func at(revision: Int64) -> EncodedObject { EncodedObject(self, revision: revision) }

  /// True where both hold the same bytes; the revision does not count.
  package func hasSameBytes(as other: [UInt8]) -> Bool { bytes == other }

  /// Bytes this object occupies, for limits and measurements.
  package var count: Int { bytes.count }

  /// The stored bytes, without resourceVersion.
  package func withBytes<R, E: Error>(_ body: (UnsafeBufferPointer<UInt8>) throws(E) -> R) throws(E) -> R {
    var result: Result<R, E>?
    bytes.withUnsafeBufferPointer { buffer in
      do throws(E) { result = .success(try body(buffer)) } catch { result = .failure(error) }
    }
    return try result!.get()
  }

  /// Lends a view of the object; `metadata.resourceVersion` is not in it (see ``revision``).
  package func withView<R>(_ body: (JSONView) -> R) -> R {
    withBytes { buffer in
      var tape = JSONTape(capacity: max(64, buffer.count / 24))
      guard let result = try? tape.read(buffer, { body($0) }) else {
        preconditionFailure("the bytes were parsed when this object was made")
      }
      return result
    }
  }

  /// Appends the object as a client sees it.
  /// - Parameters: apiVersion, kind: nil both for an item of a list, which upstream writes without them.
  package func write(apiVersion: String?, kind: String?, into out: inout [UInt8]) {
    out.reserveCapacity(out.count + bytes.count + 96)
    out.append(UInt8(ascii: "{"))
    if let apiVersion, let kind {
      JSONWriter.literal("\"kind\":\"", into: &out)
      out.append(contentsOf: kind.utf8)
      JSONWriter.literal("\",\"apiVersion\":\"", into: &out)
      out.append(contentsOf: apiVersion.utf8)
      JSONWriter.literal("\",", into: &out)
    }
    out.append(contentsOf: bytes[1..<splice])
    // What was never written (a dry run) has no version.
    if revision > 0 {
      JSONWriter.literal("\"resourceVersion\":\"", into: &out)
      JSONWriter.write(revision, into: &out)
      JSONWriter.literal("\",", into: &out)
    }
    out.append(contentsOf: bytes[splice...])
  }

  /// The object as a tree, with `metadata.resourceVersion`; for merges and for components that change objects.
  package var value: Value {
    var value = withView(\.value)
    if revision > 0 { value["metadata"]["resourceVersion"] = .string(String(revision)) }
    return value
  }
}

/// One stored object at one revision: canonical JSON that holds neither `kind`, `apiVersion` nor `metadata.resourceVersion`.
///
/// Opaque on purpose (DESIGN section 7): callers read through ``withView(_:)`` and write through ``write(apiVersion:kind:into:)``
/// and hold no buffer. What the cache keeps is told by a ``BytePattern`` where that saves memory; nobody sees a difference.
package final class EncodedObject: Sendable {
  /// The revision of the write that made this state: `metadata.resourceVersion`.
  package let revision: Int64
  package let key: ObjectKey
  package let uid: String
  /// The object's bytes; with a pattern, the steps that make them out of it.
  private let bytes: [UInt8]
  private let pattern: BytePattern?
  /// Bytes of the object, for limits and measurements. See ``footprint`` for what it occupies.
  package let count: Int
  /// Where `"resourceVersion":"…",` goes: before the first member of metadata that upstream writes after it.
  private let splice: Int

  /// - Parameter bytes: canonical JSON of an object with `metadata.name`.
  /// - Throws: ``JSONError`` where the bytes are no JSON object with metadata.
  package init(bytes: [UInt8], revision: Int64) throws(JSONError) {
    self.bytes = bytes
    pattern = nil
    count = bytes.count
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

  private init(
    _ other: EncodedObject, revision: Int64, key: ObjectKey, uid: String, bytes: [UInt8], pattern: BytePattern?
  ) {
    self.revision = revision
    self.key = key
    self.uid = uid
    self.bytes = bytes
    self.pattern = pattern
    count = other.count
    splice = other.splice
  }

  /// The same state at another revision: what a watcher is shown of a deletion.
  package func at(revision: Int64) -> EncodedObject {
    EncodedObject(self, revision: revision, key: key, uid: uid, bytes: bytes, pattern: pattern)
  }

  /// The same object in less memory, for those who keep it long: its bytes told by a pattern where that saves half of them, its
  /// names shared with the state before.
  package func kept(after old: EncodedObject?, on shelf: inout PatternShelf) -> EncodedObject {
    guard pattern == nil else { return self }
    let packed = shelf.pack(self, bytes, before: old?.pattern)
    let isSame = old?.key == key
    if packed == nil, !isSame { return self }
    return EncodedObject(
      self, revision: revision, key: isSame ? old?.key ?? key : key, uid: old?.uid == uid ? old?.uid ?? uid : uid,
      bytes: packed?.steps ?? bytes, pattern: packed?.pattern)
  }

  /// True where both hold the same bytes; the revision does not count.
  package func hasSameBytes(as other: [UInt8]) -> Bool {
    count == other.count && withBytes { mine in other.withUnsafeBufferPointer { mine.elementsEqual($0) } }
  }

  /// Bytes that it holds alone, without what it shares.
  package var footprint: Int { bytes.count }

  /// The stored bytes, without resourceVersion; not copied where they are whole.
  var copiedBytes: [UInt8] { pattern == nil ? bytes : withBytes { Array($0) } }

  /// The stored bytes, without resourceVersion.
  package func withBytes<R, E: Error>(_ body: (UnsafeBufferPointer<UInt8>) throws(E) -> R) throws(E) -> R {
    var result: Result<R, E>?
    func lend(_ buffer: UnsafeBufferPointer<UInt8>) {
      do throws(E) { result = .success(try body(buffer)) } catch { result = .failure(error) }
    }
    if let pattern {
      withUnsafeTemporaryAllocation(byteCount: count, alignment: 1) { buffer in
        var end = 0
        pattern.unpack(bytes) { piece in
          UnsafeMutableRawBufferPointer(rebasing: buffer[end...]).copyMemory(from: piece)
          end += piece.count
        }
        lend(UnsafeBufferPointer(start: buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), count: end))
      }
    } else {
      bytes.withUnsafeBufferPointer { lend($0) }
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
    // Doubled at least: asked for again and again, exact room would be copied again and again.
    let needed = out.count + count + 96
    if needed > out.capacity { out.reserveCapacity(max(needed, out.capacity * 2)) }
    out.append(UInt8(ascii: "{"))
    if let apiVersion, let kind {
      JSONWriter.literal("\"kind\":\"", into: &out)
      out.append(contentsOf: kind.utf8)
      JSONWriter.literal("\",\"apiVersion\":\"", into: &out)
      out.append(contentsOf: apiVersion.utf8)
      JSONWriter.literal("\",", into: &out)
    }
    guard let pattern else {
      out.append(contentsOf: bytes[1..<splice])
      writeRevision(into: &out)
      out.append(contentsOf: bytes[splice...])
      return
    }
    var position = 0
    pattern.unpack(bytes) { piece in
      let end = position + piece.count
      if position > 0, end <= splice || position > splice {
        out.append(contentsOf: piece)
      } else {
        // The brace was written; the revision goes between.
        let cut = max(0, min(splice, end) - position)
        out.append(contentsOf: piece[min(position == 0 ? 1 : 0, cut)..<cut])
        if end > splice, position <= splice { writeRevision(into: &out) }
        out.append(contentsOf: piece[cut...])
      }
      position = end
    }
  }

  private func writeRevision(into out: inout [UInt8]) {
    // What was never written (a dry run) has no version.
    guard revision > 0 else { return }
    JSONWriter.literal("\"resourceVersion\":\"", into: &out)
    JSONWriter.write(revision, into: &out)
    JSONWriter.literal("\",", into: &out)
  }

  /// The object as a tree, with `metadata.resourceVersion`; for merges and for components that change objects.
  package var value: Value {
    var value = withView(\.value)
    if revision > 0 { value["metadata"]["resourceVersion"] = .string(String(revision)) }
    return value
  }
}

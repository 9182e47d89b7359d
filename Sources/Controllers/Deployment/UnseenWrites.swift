import Wire

/// What one deployment's rounds wrote of its sets. A round that does not see the writes of the one before would do sums with old
/// sizes and have too many pods, or too few. Pure.
package struct UnseenWrites: Sendable {
  private struct Write {
    var revision: Int64
    var isCreation: Bool
  }

  private var writes: [ObjectKey: Write] = [:]
  /// Seconds since 1970.
  private var since: Int64 = 0

  /// Seconds after which what does not show up is given up: it was deleted before it was seen.
  package static let patience: Int64 = 30

  package init() {}

  package mutating func note(_ set: ObjectKey, _ revision: Int64, isCreation: Bool, now: Int64) {
    writes[set] = Write(revision: revision, isCreation: isCreation || writes[set]?.isCreation ?? false)
    since = now
  }

  /// - Parameter shown: the revision that the informer shows of a set, nil where it shows none.
  /// - Returns: seconds to wait at most; nil: all is seen. The sets' own events come earlier.
  package func wait(now: Int64, shown: (ObjectKey) -> Int64?) -> Int64? {
    let isMissing = writes.contains { set, write in shown(set).map { $0 < write.revision } ?? write.isCreation }
    let left = since + Self.patience - now
    return isMissing && left > 0 ? left : nil
  }
}

import Schema
import Wire

/// The two versions of a kind that share one place: core/v1 and events.k8s.io/v1 Events.
enum Conversion {
  /// Names of a field in core/v1 and in events.k8s.io/v1.
  private static let eventFields = [
    ("involvedObject", "regarding"), ("message", "note"), ("source", "deprecatedSource"), ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"), ("count", "deprecatedCount"), ("reportingComponent", "reportingController"),
  ]

  static func read(_ object: EncodedObject, as kind: ResourceKind, table: SchemaTable) -> EncodedObject {
    var value = object.withView(\.value)
    rename(&value, toEvents: true)
    guard let converted = try? EncodedObject(bytes: table.encodeForStorage(value, kind: kind), revision: object.revision) else { return object }
    return converted
  }

  /// Brings what a client wrote into the stored version.
  static func write(_ value: inout Value, from kind: ResourceKind) {
    if kind.storage != kind.gvr.groupResource { rename(&value, toEvents: false) }
  }

  static func rename(_ value: inout Value, toEvents: Bool) {
    for (core, events) in eventFields {
      let (from, to) = toEvents ? (core, events) : (events, core)
      if let moved = value.remove(from) { value[to] = moved }
    }
  }
}

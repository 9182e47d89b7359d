import Wire

/// The newer Event has other names for the fields of the older one, whose rules hold for both.
enum RenamedFields {
  static func asCoreEvent(_ event: Value) -> Value {
    var event = event
    for (new, old) in [
      ("regarding", "involvedObject"), ("note", "message"), ("reportingController", "reportingComponent"),
      ("deprecatedSource", "source"), ("deprecatedCount", "count"),
    ] {
      if let value = event.remove(new) { event[old] = value }
    }
    return event
  }
}

import Wire

/// Who owns which field of an object: `metadata.managedFields`, kept on every write that is no apply.
extension SchemaTable {
  /// Names by which one manager is told from another.
  private struct Manager: Hashable {
    var name, operation, apiVersion, subresource: String
  }

  private struct Entry {
    var manager: Manager
    var time: String
    var fields: FieldSet
  }

  /// More managers than this that update share one entry: the oldest are folded together.
  private static let maximumUpdateManagers = 10

  /// What nobody owns: the server's own.
  private static let unowned: FieldSet = {
    var set = FieldSet()
    for name in ["apiVersion", "kind", "metadata"] { set.insert([.field(name)]) }
    for name in [
      "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields", "resourceVersion",
    ] {
      set.insert([.field("metadata"), .field(name)])
    }
    return set
  }()

  /// Attributes what a create, update or patch changed to its manager and writes `new.metadata.managedFields`.
  /// - Parameters:
  ///   - old: the stored object; nil on create.
  ///   - new: what is going to be stored: defaulted, and with what the strategy resets already reset.
  ///   - subresource: "" for the main resource.
  ///   - manager: the request's fieldManager, or else the user agent up to its first slash.
  ///   - now: RFC 3339, to the second.
  package func updateManagedFields(
    old: Value?, new: inout Value, kind: ResourceKind, subresource: String, manager: String, now: String
  ) {
    var entries = Self.entries(new["metadata"]["managedFields"]) ?? []
    if entries.isEmpty, let old { entries = Self.entries(old["metadata"]["managedFields"]) ?? [] }
    let changes = changedFields(old: old, new: new, type: kind.type)
    var reset = FieldSet()
    if subresource.isEmpty, kind.subresource("status") != nil { reset.insert([.field("status")]) }
    if subresource == "status" { reset.insert([.field("spec")]) }
    let ignored = { (set: FieldSet) in set.difference(Self.unowned).recursiveDifference(reset) }
    let touched = ignored(changes.added.union(changes.modified))
    let removed = changes.removed
    let identity = Manager(
      name: String(manager.prefix(128)), operation: "Update", apiVersion: kind.apiVersion, subresource: subresource)
    var isKnown = false
    for i in entries.indices {
      let before = entries[i].fields
      if entries[i].manager == identity {
        isKnown = true
        entries[i].fields = before.difference(removed).union(touched)
        if entries[i].fields != before { entries[i].time = now }
      } else {
        entries[i].fields = before.difference(removed).difference(touched)
      }
    }
    if !isKnown, !touched.isEmpty { entries.append(Entry(manager: identity, time: now, fields: touched)) }
    entries.removeAll { $0.fields.isEmpty }
    Self.fold(&entries)
    entries.sort { a, b in
      (a.manager.operation, a.time, a.manager.name, a.manager.apiVersion, a.manager.subresource)
        < (b.manager.operation, b.time, b.manager.name, b.manager.apiVersion, b.manager.subresource)
    }
    if entries.isEmpty {
      new["metadata"].remove("managedFields")
    } else {
      new["metadata"]["managedFields"] = .array(entries.map(Self.value))
    }
  }

  private static func fold(_ entries: inout [Entry]) {
    let updates = entries.indices.filter { entries[$0].manager.operation == "Update" && entries[$0].manager.subresource.isEmpty }
    guard updates.count > maximumUpdateManagers else { return }
    let oldest = updates.sorted { entries[$0].time < entries[$1].time }.prefix(updates.count - maximumUpdateManagers + 1)
    var folded: [String: Entry] = [:]
    for i in oldest {
      let entry = entries[i]
      let version = entry.manager.apiVersion
      var bucket =
        folded[version]
        ?? Entry(
          manager: Manager(name: "ancient-changes", operation: "Update", apiVersion: version, subresource: ""), time: entry.time,
          fields: FieldSet())
      bucket.fields = bucket.fields.union(entry.fields)
      bucket.time = max(bucket.time, entry.time)
      folded[version] = bucket
    }
    let gone = Set(oldest)
    entries = entries.indices.filter { !gone.contains($0) }.map { entries[$0] } + folded.values
  }

  private static func entries(_ value: Value) -> [Entry]? {
    guard case .array(let rows) = value else { return nil }
    var entries: [Entry] = []
    for row in rows {
      guard let operation = row["operation"].string, let fields = FieldSet(json: row["fieldsV1"]) else { return nil }
      entries.append(
        Entry(
          manager: Manager(
            name: row["manager"].string ?? "", operation: operation, apiVersion: row["apiVersion"].string ?? "",
            subresource: row["subresource"].string ?? ""), time: row["time"].string ?? "", fields: fields))
    }
    return entries
  }

  private static func value(_ entry: Entry) -> Value {
    var row: Object = [:]
    if !entry.manager.name.isEmpty { row["manager"] = .string(entry.manager.name) }
    row["operation"] = .string(entry.manager.operation)
    row["apiVersion"] = .string(entry.manager.apiVersion)
    if !entry.time.isEmpty { row["time"] = .string(entry.time) }
    row["fieldsType"] = "FieldsV1"
    row["fieldsV1"] = entry.fields.json
    if !entry.manager.subresource.isEmpty { row["subresource"] = .string(entry.manager.subresource) }
    return .object(row)
  }
}

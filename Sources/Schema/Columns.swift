import Wire

/// One column of a Table as kubectl shows it.
package struct TableColumn: Sendable {
  package let name: String
  /// `string`, `integer`, `date`, `boolean`, …
  package let type: String
  package let format: String
  /// 0 is always shown, more only with `-o wide`.
  package let priority: Int
  let cell: Value
  /// The JSON type of the cells, where it is not ``type``.
  let cellType: String

  init(_ row: Value) {
    name = row[0].string ?? ""
    type = row[1].string ?? ""
    format = row[2].string ?? ""
    priority = Int(row[3].int ?? 0)
    cell = row[4]
    cellType = row[5].string.flatMap { $0.isEmpty ? nil : $0 } ?? type
  }

  fileprivate init(name: String, type: String, format: String, cell: Value) {
    self.name = name
    self.type = type
    self.format = format
    self.cell = cell
    cellType = type
    priority = 0
  }

  /// For kinds without columns of their own.
  static let fallback = [
    TableColumn(name: "Name", type: "string", format: "name", cell: ["path": "metadata.name"]),
    TableColumn(name: "Created At", type: "date", format: "", cell: ["time": "metadata.creationTimestamp"]),
  ]
}

extension SchemaTable {
  package func columns(_ kind: ResourceKind) -> [TableColumn] { columns[kind.typeName] ?? TableColumn.fallback }

  /// The cells of one object's row.
  /// - Parameter now: for ages.
  package func cells(_ kind: ResourceKind, _ view: JSONView, now: Timestamp) -> [Value] {
    columns(kind).map { cell($0, view, now: now) }
  }

  private func cell(_ column: TableColumn, _ view: JSONView, now: Timestamp) -> Value {
    let cell = column.cell
    if let rule = cell["rule"].string { return CellRules.evaluate(rule, cell, view, now: now) }
    if let age = cell["age"].string {
      guard let time = view.at(path: age).string.flatMap({ Timestamp($0) }) else {
        return cell["absent"].isNull ? "<unknown>" : cell["absent"]
      }
      return .string(HumanDuration.text(seconds: now.seconds - time.seconds))
    }
    if let seconds = cell["seconds"].string {
      guard let length = view.at(path: seconds).int else { return cell["absent"] }
      return .string(HumanDuration.text(seconds: length))
    }
    if let counted = cell["count"].array {
      return .int(Int64(counted.compactMap(\.string).reduce(0) { $0 + view.at(path: $1).count }))
    }
    if let time = cell["time"].string { return .string(view.at(path: time).string ?? "<unknown>") }
    let found = view.at(path: cell["path"].string ?? "")
    if found.isNull || found.equals("") {
      if !cell["absent"].isNull { return cell["absent"] }
      return column.cellType == "integer" ? 0 : column.cellType == "boolean" ? false : .string(found.string ?? "")
    }
    return column.cellType == "string" && !found.isString ? .string(found.value.json) : found.value
  }

  /// The conditions of one object's row: a finished pod's says so; nil for all others.
  package func rowConditions(_ kind: ResourceKind, _ view: JSONView) -> Value? {
    guard kind.typeName == "core/v1.Pod", let phase = view["status"]["phase"].string, ["Succeeded", "Failed"].contains(phase) else {
      return nil
    }
    let message = phase == "Succeeded" ? "The pod has completed successfully." : "The pod failed."
    return [["type": "Completed", "status": "True", "reason": .string(phase), "message": .string(message)]]
  }
}

extension JSONView {
  /// A member deep inside by a dotted path; `[0]` picks the first element.
  func at(path: String) -> JSONView {
    var view = self
    for part in path.split(separator: ".") {
      if part.hasSuffix("[0]") {
        var first: JSONView?
        view[dynamic: String(part.dropLast(3))].forEach { if first == nil { first = $0 } }
        view = first ?? view["\0"]
      } else {
        view = view[dynamic: String(part)]
      }
    }
    return view
  }
}

/// Lengths of time as kubectl shows them: two units at most.
package enum HumanDuration {
  package static func text(seconds: Int64) -> String {
    if seconds < -1 { return "<invalid>" }
    if seconds < 0 { return "0s" }
    if seconds < 120 { return "\(seconds)s" }
    let minutes = seconds / 60
    if minutes < 10 { return seconds % 60 == 0 ? "\(minutes)m" : "\(minutes)m\(seconds % 60)s" }
    if minutes < 180 { return "\(minutes)m" }
    let hours = seconds / 3600
    if hours < 8 { return minutes % 60 == 0 ? "\(hours)h" : "\(hours)h\(minutes % 60)m" }
    if hours < 48 { return "\(hours)h" }
    if hours < 24 * 8 { return hours % 24 == 0 ? "\(hours / 24)d" : "\(hours / 24)d\(hours % 24)h" }
    let days = hours / 24
    if days < 365 * 2 { return "\(days)d" }
    if days < 365 * 8 { return days % 365 == 0 ? "\(days / 365)y" : "\(days / 365)y\(days % 365)d" }
    return "\(days / 365)y"
  }
}

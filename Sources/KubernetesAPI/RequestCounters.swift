import Synchronization

/// Requests answered, by verb and class of status. Fixed sets: no client's text becomes a label, and counting costs one atomic add.
final class RequestCounters: Sendable {
  private static let verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "connect", ""]
  private let cells: [Cell]
  private final class Cell: Sendable { let value = Atomic<Int>(0) }

  init() { cells = (0..<Self.verbs.count * 6).map { _ in Cell() } }

  func count(verb: String, status: Int) {
    let row = Self.verbs.firstIndex(of: verb) ?? Self.verbs.count - 1
    let column = min(max(status / 100, 0), 5)
    cells[row * 6 + column].value.add(1, ordering: .relaxed)
  }

  func render() -> String {
    var text = "# TYPE apiserver_request_total counter\n"
    for (i, cell) in cells.enumerated() {
      let count = cell.value.load(ordering: .relaxed)
      if count > 0 { text += "apiserver_request_total{verb=\"\(Self.verbs[i / 6].uppercased())\",code=\"\(i % 6)xx\"} \(count)\n" }
    }
    return text
  }
}

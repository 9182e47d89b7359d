import Glibc

/// What is hoped for. Nothing here fails a build: a machine may be busy, and whoever reads the table sees what was measured beside it.
enum Target {
  case atLeast(Double)
  case atMost(Double)

  func isMet(_ value: Double) -> Bool {
    switch self {
    case .atLeast(let bound): value >= bound
    case .atMost(let bound): value <= bound
    }
  }

  var words: String {
    switch self {
    case .atLeast(let bound): "at least \(Report.short(bound))"
    case .atMost(let bound): "at most \(Report.short(bound))"
    }
  }
}

/// One line a figure: what, measured, against what of the same run, the ratio, the target and whether it is met.
enum Report {
  /// - Parameters:
  ///   - against: the floor or the peer, measured in this run, or the mark from the design.
  ///   - target: of the ratio.
  static func line(_ what: String, _ measured: String, against: String, ratio: Double, _ target: Target? = nil) {
    let verdict = target.map { " | \($0.words) | \($0.isMet(ratio) ? "met" : "MISSED")" } ?? " | | "
    print("| \(what) | \(measured) | \(against) | \(short(ratio))\(verdict) |")
    fflush(nil)
  }

  static let head = "| what | measured | against | ratio | target | |\n|---|---|---|---|---|---|"

  static func short(_ number: Double) -> String {
    let digits = number >= 100 ? 0 : number >= 10 ? 1 : 2
    let scale = [1.0, 10, 100][digits]
    let whole = (number * scale).rounded()
    return digits == 0 ? "\(Int(whole))" : "\(whole / scale)"
  }

  /// `1,234,567`.
  static func count(_ number: Double) -> String {
    var digits = Array(String(Int(number.rounded())))
    var position = digits.count - 3
    while position > 0 {
      digits.insert(",", at: position)
      position -= 3
    }
    return String(digits)
  }

  static func time(_ seconds: Double) -> String {
    switch seconds {
    case ..<1e-6: "\(short(seconds * 1e9)) ns"
    case ..<1e-3: "\(short(seconds * 1e6)) µs"
    case ..<1: "\(short(seconds * 1e3)) ms"
    default: "\(short(seconds)) s"
    }
  }
}

/// Seconds that one call takes: the best of some rounds.
func best(of rounds: Int, _ count: Int, _ body: () throws -> Void) rethrows -> Double {
  var best = Double.infinity
  for _ in 0..<rounds {
    best = min(best, seconds(try ContinuousClock().measure { for _ in 0..<count { try body() } }) / Double(count))
  }
  return best
}
